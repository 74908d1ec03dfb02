//! Models: the one that is served.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::App;
use crate::problem::Problem;
use crate::translate::{accept_model, now, served_model};

/// `GET /v1/models`.
pub(super) async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let served = served_model(&app).await?;
    Ok(Json(models(&served.name, now())))
}

/// `GET /v1/models/{id}`: by each name that a request may have for it.
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let served = served_model(&app).await?;
    accept_model(Some(&served.name), &id)?;
    Ok(Json(model(&served.name, now())))
}

fn model(name: &str, created: u64) -> Value {
    json!({"id": name, "object": "model", "created": created, "owned_by": "zimg"})
}

fn models(name: &str, created: u64) -> Value {
    json!({"object": "list", "data": [model(name, created)]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_model() {
        let list = models("tiny", 5);
        assert_eq!((&list["object"], &list["data"][0]), (&json!("list"), &model("tiny", 5)));
    }
}
