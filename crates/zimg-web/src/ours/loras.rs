//! `GET loras`: what the parameter `lora` can name.

use axum::extract::State;
use serde_json::{Value, json};
use zimg_client::LoraInfo;

use crate::App;
use crate::access::User;
use crate::problem::Problem;

pub(super) async fn loras(State(app): State<App>, _: User) -> Result<axum::Json<Value>, Problem> {
    let found = app.daemon.loras().await?;
    let loras: Vec<_> = found.loras.iter().map(object).collect();
    Ok(axum::Json(json!({"loras": loras, "remarks": found.remarks})))
}

fn object(lora: &LoraInfo) -> Value {
    json!({
        "name": lora.name,
        "kind": Some(&lora.kind).filter(|kind| !kind.is_empty()),
        "rank": lora.rank,
        "title": lora.title,
        "base_model": lora.base_model,
        "trigger_words": lora.trigger_words,
        "bytes": lora.bytes,
        "remarks": lora.remarks,
        "problem": lora.problem,
    })
}
