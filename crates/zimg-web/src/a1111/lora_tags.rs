//! LoRAs in prompts, as A1111's clients write them: `<lora:NAME:WEIGHT>`.
//!
//! Forms are those of `modules/extra_networks.py`: the weight may be left out; a second one is that of
//! the transformer, and the first one that of the text encoder.

use crate::problem::{Problem, Reason};

const BEGIN: &str = "<lora:";

/// The prompt without its tags, and the LoRAs as the parameter `lora` has them.
///
/// # Errors
///
/// A tag that has no name, or weights that differ.
pub(crate) fn taken(prompt: &str) -> Result<(String, Option<String>), Problem> {
    let wrong = |message: &str| {
        Problem::new(Reason::Invalid, format!("a LoRA in the prompt {message}"))
            .hint("write <lora:NAME:WEIGHT>")
            .param("prompt")
    };
    let (mut text, mut loras) = (String::with_capacity(prompt.len()), Vec::new());
    let mut rest = prompt;
    while let Some((before, tag)) = rest.split_once(BEGIN) {
        // What is not closed is text.
        let Some((tag, after)) = tag.split_once('>') else { break };
        text.push_str(before);
        rest = after;
        let mut words = tag.split(':').map(str::trim);
        let name = words.next().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("has no name"))?;
        // In the parameter a comma begins another.
        if name.contains(',') {
            return Err(wrong("has a comma in its name, expected one LoRA in a tag"));
        }
        let mut weights = words.filter(|word| !word.is_empty());
        let weight = weights.next().unwrap_or("1");
        if weights.any(|other| other != weight) {
            return Err(wrong("has several weights, expected one"));
        }
        if weight.parse::<f32>().is_err() {
            return Err(wrong("has a weight that is no number"));
        }
        loras.push(if weight == "1" { name.to_owned() } else { format!("{name}:{weight}") });
    }
    text.push_str(rest);
    let loras = (!loras.is_empty()).then(|| loras.join(","));
    Ok((if loras.is_some() { text.trim().to_owned() } else { text }, loras))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_loras_and_the_rest_stays() {
        for (prompt, text, loras) in [
            ("a fox", "a fox", None),
            ("a fox <lora:ink:0.8>", "a fox", Some("ink:0.8")),
            (
                "<lora:ink> a fox,<lora:pixel-2:-0.5>, snow",
                "a fox,, snow",
                Some("ink,pixel-2:-0.5"),
            ),
            ("a <lora:ink:1:1> fox", "a  fox", Some("ink")),
            ("a <lora:ink fox", "a <lora:ink fox", None),
            ("a <hypernet:x:1> fox ", "a <hypernet:x:1> fox ", None),
        ] {
            assert_eq!(taken(prompt), Ok((text.to_owned(), loras.map(str::to_owned))), "{prompt}");
        }
    }

    #[test]
    fn a_tag_that_means_something_else_is_refused() {
        for prompt in ["<lora:>", "<lora::1>", "<lora:a:x>", "<lora:a:0.5:0.8>", "<lora:a,b:1>"] {
            assert_eq!(taken(prompt).unwrap_err().parameter(), Some("prompt"), "{prompt}");
        }
    }
}
