//! `scheduler/scheduler_config.json`: diffusers' `FlowMatchEulerDiscreteScheduler`.

use serde::{Deserialize, Serialize};

use super::{Check, parse};
use crate::error::Result;

/// The schedule's parameters, under the names that the file has.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SchedulerConfig {
    /// How many noise levels training knew.
    pub num_train_timesteps: u32,
    /// How far noise levels are pushed up: 3 for Turbo, 6 for the base model.
    pub shift: f64,
}

/// The file; what is left out or null has the default of the reference's constructor.
#[derive(Deserialize)]
struct File {
    num_train_timesteps: Option<u32>,
    shift: Option<f64>,
    use_dynamic_shifting: Option<bool>,
    invert_sigmas: Option<bool>,
    stochastic_sampling: Option<bool>,
    use_karras_sigmas: Option<bool>,
    use_exponential_sigmas: Option<bool>,
    use_beta_sigmas: Option<bool>,
    shift_terminal: Option<f64>,
}

impl SchedulerConfig {
    /// Defaults: diffusers `FlowMatchEulerDiscreteScheduler.__init__`, 0.42.
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let check = Check { file };
        let file: File = parse(file, bytes)?;
        for (key, value) in [
            ("use_dynamic_shifting", file.use_dynamic_shifting),
            ("invert_sigmas", file.invert_sigmas),
            ("stochastic_sampling", file.stochastic_sampling),
            ("use_karras_sigmas", file.use_karras_sigmas),
            ("use_exponential_sigmas", file.use_exponential_sigmas),
            ("use_beta_sigmas", file.use_beta_sigmas),
        ] {
            check.only(key, &value.unwrap_or(false), &false)?;
        }
        check.only("shift_terminal", &file.shift_terminal, &None)?;
        let config = Self {
            num_train_timesteps: file.num_train_timesteps.unwrap_or(1000),
            shift: file.shift.unwrap_or(1.0),
        };
        config.check(&check)?;
        Ok(config)
    }

    /// Itself, if its values are possible and supported; `file` is what messages call its origin.
    pub(crate) fn checked(self, file: &str) -> Result<Self> {
        self.check(&Check { file })?;
        Ok(self)
    }

    fn check(&self, check: &Check<'_>) -> Result<()> {
        let steps = i64::from(self.num_train_timesteps);
        check.within("num_train_timesteps", steps, &(1..=1_000_000))?;
        check.positive("shift", self.shift)
    }
}
