//! File formats of weights: what a file says about its tensors, checked against its length.

pub(crate) mod safetensors;
