//! The answer of `progress`: how far the job of this user is.
//!
//! SillyTavern and webuiapi wait until `progress` is 0 and `state.job_count` is 0.

use serde_json::{Value, json};

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// Images asked for.
    pub(crate) count: u32,
    /// The image that is being generated, from 0.
    pub(crate) image: u32,
    /// Steps done of it.
    pub(crate) step: u32,
    /// Steps of each image; 0 before the job has begun.
    pub(crate) steps: u32,
    /// Milliseconds of the latest step.
    pub(crate) step_ms: f32,
    /// The latest preview, as base64 of a PNG file.
    pub(crate) preview: Option<String>,
    /// When the job began, as A1111 writes it.
    pub(crate) job_timestamp: String,
    /// Whether it is being cancelled.
    pub(crate) interrupted: bool,
    /// Why it waits, if it does.
    pub(crate) waiting: Option<String>,
}

impl Progress {
    /// The share that is done. More than 0, since 0 is "no job" to clients.
    fn share(&self) -> f64 {
        let all = f64::from(self.count.max(1)) * f64::from(self.steps.max(1));
        let done = f64::from(self.image) * f64::from(self.steps) + f64::from(self.step);
        (done / all).clamp(0.001, 0.999)
    }

    fn left_s(&self) -> f64 {
        let images = f64::from(self.count.saturating_sub(self.image));
        let steps = images * f64::from(self.steps) - f64::from(self.step);
        steps.max(0.0) * f64::from(self.step_ms) / 1000.0
    }
}

/// The body of the answer for the user's job, if there is one.
pub(crate) fn answer(job: Option<&Progress>) -> Value {
    let idle = Progress { job_timestamp: "0".to_owned(), ..Progress::default() };
    let (state, share, left) = match job {
        Some(job) => (job, job.share(), job.left_s()),
        None => (&idle, 0.0, 0.0),
    };
    json!({
        "progress": share,
        "eta_relative": left,
        "state": {
            "skipped": false,
            "interrupted": state.interrupted,
            "stopping_generation": state.interrupted,
            "job": if job.is_some() { "txt2img" } else { "" },
            "job_count": state.count,
            "job_timestamp": state.job_timestamp,
            "job_no": state.image,
            "sampling_step": state.step,
            "sampling_steps": state.steps,
        },
        "current_image": state.preview,
        "textinfo": state.waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_job_is_zero_and_a_job_never_is() {
        let idle = answer(None);
        assert_eq!((&idle["progress"], &idle["state"]["job_count"]), (&json!(0.0), &json!(0)));
        let job = Progress { count: 2, ..Progress::default() };
        assert!(answer(Some(&job))["progress"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn images_and_steps_are_counted_together() {
        let job = Progress {
            count: 2,
            image: 1,
            step: 2,
            steps: 8,
            step_ms: 500.0,
            preview: Some("aa".into()),
            ..Progress::default()
        };
        let body = answer(Some(&job));
        assert_eq!((&body["progress"], &body["eta_relative"]), (&json!(0.625), &json!(3.0)));
        assert_eq!(body["current_image"], "aa");
    }
}
