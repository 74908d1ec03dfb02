//! What a safetensors file says about the quantisation of a layer: ComfyUI's JSON, in the file's
//! metadata (`_quantization_metadata`) or in a tensor beside the weight (`comfy_quant`).

use std::collections::BTreeMap;

use serde::Deserialize;

/// The key of the metadata.
pub(super) const METADATA_KEY: &str = "_quantization_metadata";

/// The longest JSON of one layer: it has 100 bytes.
pub(super) const LAYER_LIMIT: u64 = 4096;

/// All layers of a file.
#[derive(Debug, Deserialize)]
pub(super) struct FileQuantization {
    /// By the name before `.weight`.
    pub(super) layers: BTreeMap<String, LayerQuantization>,
}

/// One layer.
#[derive(Debug, Deserialize)]
pub(super) struct LayerQuantization {
    /// The format's name.
    #[serde(default)]
    pub(super) format: String,
    #[serde(flatten)]
    top: Options,
    /// Where some programs put the options.
    #[serde(default)]
    params: Options,
}

#[derive(Debug, Default, Deserialize)]
struct Options {
    convrot: Option<bool>,
    convrot_groupsize: Option<u64>,
    group_size: Option<u64>,
}

impl LayerQuantization {
    /// Whether the rows are rotated, where the format leaves it open.
    pub(super) fn is_rotated(&self) -> bool {
        self.top.convrot.or(self.params.convrot).unwrap_or(false)
    }

    /// Numbers in a group of the rotation.
    pub(super) fn rotation(&self) -> u64 {
        self.top.convrot_groupsize.or(self.params.convrot_groupsize).unwrap_or(256)
    }

    /// Numbers in a group of scales.
    pub(super) fn group(&self) -> u64 {
        self.top.group_size.or(self.params.group_size).unwrap_or(16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_at_the_top_or_among_the_params() {
        for text in [
            r#"{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":64}"#,
            r#"{"format":"int8_tensorwise","params":{"convrot":true,"convrot_groupsize":64}}"#,
        ] {
            let layer: LayerQuantization = serde_json::from_str(text).unwrap();
            assert_eq!((layer.is_rotated(), layer.rotation(), layer.group()), (true, 64, 16));
        }
        let plain = r#"{"format":"nvfp4","full_precision_matrix_mult":true,"orig_dtype":"bf16"}"#;
        let layer: LayerQuantization = serde_json::from_str(plain).unwrap();
        assert_eq!((layer.format.as_str(), layer.is_rotated()), ("nvfp4", false));
    }
}
