//! Names of models in requests: the served model has its own, and those that clients have built in.

use crate::problem::{Problem, Reason};

/// The name that always means the served model.
const ANY: &str = "zimg";

/// The beginnings of OpenAI's names: n8n, LibreChat and Home Assistant offer no others.
const OPENAI: [&str; 3] = ["gpt-image-", "dall-e-", "chatgpt-image-"];

/// Accepts a request for the model `asked` if it is one for the served model, whose name may be
/// unknown still.
///
/// # Errors
///
/// `NotFound`, with the name of the served model.
pub(crate) fn accept_model(served: Option<&str>, asked: &str) -> Result<(), Problem> {
    let known = asked.is_empty()
        || asked.eq_ignore_ascii_case(ANY)
        || OPENAI.iter().any(|beginning| asked.starts_with(beginning));
    match served {
        // No name can be compared before the model is loaded.
        None => Ok(()),
        Some(served) if known || asked.eq_ignore_ascii_case(served) => Ok(()),
        Some(served) => {
            let asked: String = asked.chars().take(64).flat_map(char::escape_debug).collect();
            let message = format!("model `{asked}` does not exist, the served model is `{served}`");
            let hint = format!("ask for `{served}`, or for `{ANY}`, which is any served model");
            Err(Problem::new(Reason::NotFound, message)
                .hint(hint)
                .param("model")
                .code("model_not_found"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_served_model_has_its_own_name_and_those_of_clients() {
        let accept = |name| accept_model(Some("Z-Image-Turbo"), name);
        for name in [
            "",
            "zimg",
            "Z-Image-Turbo",
            "z-image-turbo",
            "gpt-image-1",
            "gpt-image-1.5",
            "dall-e-2",
            "dall-e-3",
            "chatgpt-image-latest",
        ] {
            assert_eq!(accept(name), Ok(()), "{name}");
        }
        for name in ["gpt-4o", "flux", "Z-Image", "../x", "sd\u{1b}[0m"] {
            let problem = accept(name).unwrap_err();
            assert_eq!(
                (problem.reason(), problem.openai()["error"]["code"].as_str()),
                (Reason::NotFound, Some("model_not_found"))
            );
            assert!(problem.message().contains("`Z-Image-Turbo`"), "{}", problem.message());
            assert!(!problem.message().contains('\u{1b}'));
        }
        assert_eq!(accept_model(None, "flux"), Ok(()));
    }
}
