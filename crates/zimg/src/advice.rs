//! Advice about parameters that the model ignores or is not made for.

use zimg_client::{ModelInfo, Params};

use crate::format;

/// One sentence for each unusual parameter. Parameters that are not given have the model's
/// defaults.
pub(crate) fn advice(draw: &Params, model: &ModelInfo) -> Vec<String> {
    let name = &model.name;
    let mut said = Vec::new();
    if draw.prompt.trim().is_empty() {
        said.push("the prompt is empty: the image is unconditioned".to_owned());
    }
    // A model whose default guidance is 0 is distilled.
    if let Some(guidance) = draw.guidance.filter(|g| *g > 0.0 && model.guidance <= 0.0) {
        said.push(format!(
            "{name} is distilled for guidance 0: guidance {guidance} doubles the time and seldom \
             improves the image"
        ));
    }
    if draw.negative.is_some() && draw.guidance.unwrap_or(model.guidance) <= 0.0 {
        said.push("the negative prompt has no effect while the guidance is 0".to_owned());
    }
    if let Some(steps) = draw.steps {
        let own = model.steps;
        let (all, made_for) = (format::steps(steps), format::steps(own));
        if steps > own.saturating_mul(2) {
            said.push(format!(
                "{name} is made for {made_for}: {all} take longer and are seldom better"
            ));
        } else if steps.saturating_mul(2) < own {
            said.push(format!("{name} is made for {made_for}: after {all} the image may be rough"));
        }
    }
    if let (Some(width), Some(height)) = (draw.width, draw.height) {
        let own = u64::from(model.width) * u64::from(model.height);
        let pixels = u64::from(width) * u64::from(height);
        if pixels > 4 * own || pixels * 8 < own {
            let (w, h) = (model.width, model.height);
            said.push(format!("{name} works best at about {w}x{h}, not at {width}x{height}"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::Capabilities;

    fn model(guidance: f32) -> ModelInfo {
        ModelInfo {
            name: "Z".to_owned(),
            device: "cpu".to_owned(),
            dtype: "float32".to_owned(),
            width: 1024,
            height: 1024,
            steps: 8,
            guidance,
            max_tokens: 1504,
            capabilities: Capabilities::default(),
        }
    }

    #[test]
    fn the_models_own_and_what_is_near_need_no_advice() {
        let quiet: &[&str] = &[];
        let usual = Params {
            steps: Some(9),
            width: Some(512),
            height: Some(768),
            guidance: Some(0.0),
            ..Params::new("a fox")
        };
        assert_eq!(advice(&Params::new("a fox"), &model(0.0)), quiet);
        assert_eq!(advice(&usual, &model(0.0)), quiet);
        let guided = Params { negative: Some("x".to_owned()), ..Params::new("a fox") };
        assert_eq!(advice(&guided, &model(4.0)), quiet);
    }

    #[test]
    fn each_unusual_setting_is_a_sentence() {
        let all = Params {
            guidance: Some(4.0),
            steps: Some(30),
            width: Some(64),
            height: Some(64),
            ..Params::new("a fox")
        };
        assert_eq!(
            advice(&all, &model(0.0)),
            [
                "Z is distilled for guidance 0: guidance 4 doubles the time and seldom improves the image",
                "Z is made for 8 steps: 30 steps take longer and are seldom better",
                "Z works best at about 1024x1024, not at 64x64",
            ]
        );
        let few = Params { steps: Some(3), negative: Some("x".to_owned()), ..Params::new("a fox") };
        assert_eq!(
            advice(&few, &model(0.0)),
            [
                "the negative prompt has no effect while the guidance is 0",
                "Z is made for 8 steps: after 3 steps the image may be rough",
            ]
        );
        let one = Params { steps: Some(1), ..Params::new("a fox") };
        let rough = ["Z is made for 8 steps: after 1 step the image may be rough"];
        assert_eq!(advice(&one, &model(0.0)), rough);
        let empty = ["the prompt is empty: the image is unconditioned"];
        assert_eq!(advice(&Params::new(" \n"), &model(0.0)), empty);
    }
}
