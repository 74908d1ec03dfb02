//! The web UI's options: the served model, and nothing that can be changed.

use serde_json::{Value, json};

use crate::problem::Problem;
use crate::translate::{Fields, accept_model};

/// The body of `GET options`.
pub(crate) fn answer(model: &str) -> Value {
    json!({
        "samples_format": "png",
        "sd_model_checkpoint": model,
        "sd_checkpoint_hash": "",
        "sd_vae": "None",
        "CLIP_stop_at_last_layers": 1,
        "show_progress_every_n_steps": 1,
        "live_previews_enable": true,
    })
}

/// Accepts the body of `POST options` if it asks for the served model or for none. Clients write
/// back all that they have read: what changes nothing is no error.
///
/// # Errors
///
/// `NotFound` for another model, `Invalid` for a body that is no object.
pub(crate) fn accept(body: &[u8], model: Option<&str>) -> Result<(), Problem> {
    match Fields::of(body)?.text("sd_model_checkpoint")? {
        Some(asked) => accept_model(model, &asked),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Reason;

    #[test]
    fn the_served_model_is_accepted_and_no_other() {
        let accept = |body: &str| accept(body.as_bytes(), Some("tiny"));
        let whole = answer("tiny").to_string();
        for body in ["{}", "{\"sd_model_checkpoint\":\"tiny\"}", &whole, "{\"x\":[1]}"] {
            assert_eq!(accept(body), Ok(()), "{body}");
        }
        let other = accept("{\"sd_model_checkpoint\":\"sdxl\"}").unwrap_err();
        assert_eq!(other.reason(), Reason::NotFound);
        assert!(accept("[]").is_err());
    }
}
