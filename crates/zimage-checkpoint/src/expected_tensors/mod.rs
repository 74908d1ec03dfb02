//! The tensors that follow from a configuration: names and shapes, for each component.
//!
//! `zimage` takes the same tensors when it loads a model; its tests load the checkpoints that the
//! tests here verify, so the two cannot differ.

pub(crate) mod leftovers;
mod text_encoder;
mod transformer;
mod vae;

use crate::config::{TextEncoderConfig, TransformerConfig, VaeConfig};

/// A tensor that a component must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Its canonical name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<i64>,
}

/// The tensors of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The tensors that are loaded.
    pub tensors: Vec<ExpectedTensor>,
    /// Prefixes of tensors that may exist and are not loaded.
    pub unused: Vec<String>,
}

impl Architecture {
    /// The transformer's.
    pub(crate) fn transformer(config: &TransformerConfig) -> Self {
        Self { tensors: transformer::tensors(config), unused: Vec::new() }
    }

    /// The text encoder's.
    pub(crate) fn text_encoder(config: &TextEncoderConfig) -> Self {
        Self { tensors: text_encoder::tensors(config), unused: config.unused_prefixes().to_vec() }
    }

    /// The autoencoder's.
    pub(crate) fn vae(config: &VaeConfig) -> Self {
        Self { tensors: vae::tensors(config), unused: Vec::new() }
    }
}

/// A list of expected tensors under construction.
#[derive(Default)]
struct Tensors(Vec<ExpectedTensor>);

impl Tensors {
    fn add(&mut self, name: &str, shape: &[i64]) {
        self.0.push(ExpectedTensor { name: name.to_owned(), shape: shape.to_vec() });
    }

    /// `{name}.weight` of a matrix product.
    fn linear(&mut self, name: &str, inputs: i64, outputs: i64) {
        self.add(&format!("{name}.weight"), &[outputs, inputs]);
    }

    /// The same with `{name}.bias`.
    fn linear_with_bias(&mut self, name: &str, inputs: i64, outputs: i64) {
        self.linear(name, inputs, outputs);
        self.add(&format!("{name}.bias"), &[outputs]);
    }

    /// `{name}.weight` of a norm without bias.
    fn norm(&mut self, name: &str, width: i64) {
        self.add(&format!("{name}.weight"), &[width]);
    }

    /// `{name}.weight` and `{name}.bias` of a norm over groups of channels.
    fn group_norm(&mut self, name: &str, channels: i64) {
        self.norm(name, channels);
        self.add(&format!("{name}.bias"), &[channels]);
    }

    /// `{name}.weight` and `{name}.bias` of a convolution over `size`² pixels.
    fn conv(&mut self, name: &str, inputs: i64, outputs: i64, size: i64) {
        self.add(&format!("{name}.weight"), &[outputs, inputs, size, size]);
        self.add(&format!("{name}.bias"), &[outputs]);
    }
}
