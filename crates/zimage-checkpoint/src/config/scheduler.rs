//! `scheduler/scheduler_config.json`: diffusers' `FlowMatchEulerDiscreteScheduler`.

use serde::Deserialize;

use super::{Check, parse};
use crate::error::Result;

/// The schedule's parameters, under the names that the file has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchedulerConfig {
    /// How many noise levels training knew.
    pub num_train_timesteps: u32,
    /// How far noise levels are pushed up: 3 for Turbo, 6 for the base model.
    pub shift: f64,
    #[serde(default)]
    use_dynamic_shifting: bool,
    #[serde(default)]
    invert_sigmas: bool,
    #[serde(default)]
    stochastic_sampling: bool,
    #[serde(default)]
    use_karras_sigmas: bool,
    #[serde(default)]
    use_exponential_sigmas: bool,
    #[serde(default)]
    use_beta_sigmas: bool,
    shift_terminal: Option<f64>,
}

impl SchedulerConfig {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let config: Self = parse(file, bytes)?;
        config.check(&Check { file })?;
        Ok(config)
    }

    fn check(&self, check: &Check<'_>) -> Result<()> {
        let steps = i64::from(self.num_train_timesteps);
        check.within("num_train_timesteps", steps, &(1..=1_000_000))?;
        check.positive("shift", self.shift)?;
        for (key, value) in [
            ("use_dynamic_shifting", self.use_dynamic_shifting),
            ("invert_sigmas", self.invert_sigmas),
            ("stochastic_sampling", self.stochastic_sampling),
            ("use_karras_sigmas", self.use_karras_sigmas),
            ("use_exponential_sigmas", self.use_exponential_sigmas),
            ("use_beta_sigmas", self.use_beta_sigmas),
        ] {
            check.only(key, &value, &false)?;
        }
        check.only("shift_terminal", &self.shift_terminal, &None)
    }
}
