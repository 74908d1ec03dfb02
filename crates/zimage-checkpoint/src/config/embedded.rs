//! The configurations of all components in one, as prepared files have them in their header.

use serde::{Deserialize, Serialize};

use super::{SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig, parse};
use crate::error::Result;

/// The configurations of all components.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Configurations {
    pub(crate) transformer: TransformerConfig,
    pub(crate) text_encoder: TextEncoderConfig,
    pub(crate) vae: VaeConfig,
    pub(crate) scheduler: SchedulerConfig,
}

impl Configurations {
    /// Those in `text`, if their values are possible; `file` is what messages call the file.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self> {
        let Self { transformer, text_encoder, vae, scheduler } = parse(file, text.as_bytes())?;
        Ok(Self {
            transformer: transformer.checked(file)?,
            text_encoder: text_encoder.checked(file)?,
            vae: vae.checked(file)?,
            scheduler: scheduler.checked(file)?,
        })
    }
}
