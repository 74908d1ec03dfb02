//! What a request comes to: generation parameters, and the settings that have no effect.

use zimg_client::Started;
use zimg_client::params::{Params, cfg_of_guidance};

use super::ignored::Ignored;
use crate::problem::{Problem, Reason};

/// The parameters of a request, beside its delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    pub(crate) params: Params,
    pub(crate) unobeyed: Unobeyed,
    pub(crate) ignored: Vec<Ignored>,
}

/// Steps and CFG scale that a client has sent by itself, and that are the model's own instead.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Unobeyed {
    pub(crate) steps: Option<u32>,
    pub(crate) cfg_scale: Option<f32>,
}

impl Draw {
    /// The settings without effect, once the model's own values are known.
    pub(crate) fn ignored(&self, started: &Started) -> Vec<Ignored> {
        let mut ignored = self.ignored.clone();
        let own = |name: &str, own: &str| {
            let why =
                format!("the model's own {own} is used; --obey-steps of zimg-web changes that");
            Ignored::new(name, why)
        };
        if self.unobeyed.steps.is_some_and(|steps| steps != started.steps) {
            ignored.push(own("steps", &started.steps.to_string()));
        }
        let cfg_scale = cfg_of_guidance(started.guidance);
        if self.unobeyed.cfg_scale.is_some_and(|asked| asked != cfg_scale) {
            ignored.push(own("cfg_scale", &cfg_scale.to_string()));
        }
        if self.params.negative.as_deref().is_some_and(|text| !text.trim().is_empty())
            && started.guidance <= 0.0
        {
            let why = "the negative prompt has no effect while the guidance is 0";
            ignored.push(Ignored::new("negative_prompt", why));
        }
        ignored.truncate(Ignored::MAX);
        ignored
    }
}

/// An image that comes before the daemon has said how its job started.
pub(crate) fn unbegun() -> Problem {
    Problem::new(Reason::Internal, "zimaged did not say how the job started")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::ModelInfo;

    #[test]
    fn what_differs_from_the_models_own_is_named() {
        let started = |guidance| Started {
            model: ModelInfo::default(),
            width: 64,
            height: 64,
            steps: 8,
            guidance,
        };
        let draw = |steps, cfg_scale, negative: Option<&str>| Draw {
            params: Params { negative: negative.map(str::to_owned), ..Params::new("a") },
            unobeyed: Unobeyed { steps, cfg_scale },
            ignored: vec![],
        };
        let names = |draw: Draw, guidance| -> Vec<String> {
            draw.ignored(&started(guidance)).into_iter().map(|ignored| ignored.name).collect()
        };
        assert_eq!(
            names(draw(Some(20), Some(7.0), Some("x")), 0.0),
            ["steps", "cfg_scale", "negative_prompt"]
        );
        assert_eq!(names(draw(Some(8), Some(1.0), Some(" ")), 0.0), [""; 0]);
        assert_eq!(names(draw(Some(8), Some(5.0), Some("x")), 4.0), [""; 0]);
        assert_eq!(names(draw(None, None, None), 0.0), [""; 0]);
    }
}
