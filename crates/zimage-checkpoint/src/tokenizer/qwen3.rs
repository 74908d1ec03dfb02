//! Qwen3's tokenizer, which comes with the program for files of weights that have none.
//!
//! `data/README.md` says what the data is and under which licence. The merges make the published
//! `tokenizer.json`, to the byte.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// The merges, compressed.
static MERGES: &[u8] = include_bytes!("../../data/qwen3-merges.zlib");
/// How many there are.
const COUNT: usize = 151_387;
/// Bytes of the planes: three for each of a merge's two parts.
const PLANES: usize = 6 * COUNT;
/// Ids of single bytes come first.
const BYTES: usize = 256;
/// One more than the largest id.
pub(crate) const SIZE: i64 = 151_669;

/// How text is cut before it is encoded.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Tokens that are not text.
const SPECIAL: [&str; 14] = [
    "endoftext",
    "im_start",
    "im_end",
    "object_ref_start",
    "object_ref_end",
    "box_start",
    "box_end",
    "quad_start",
    "quad_end",
    "vision_start",
    "vision_end",
    "vision_pad",
    "image_pad",
    "video_pad",
];
/// Single tokens that are text for a model to write.
const WRITTEN: [&str; 12] = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
];

/// The bytes of the `tokenizer.json` of Qwen3, which comes with the program.
pub fn json() -> Vec<u8> {
    static JSON: OnceLock<Vec<u8>> = OnceLock::new();
    // Nothing that is serialised here can fail: there are no maps with odd keys, and no input.
    JSON.get_or_init(|| serde_json::to_vec_pretty(&File::new()).unwrap_or_default()).clone()
}

#[derive(Serialize)]
struct File {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<AddedToken>,
    normalizer: Kind,
    pre_tokenizer: PreTokenizer,
    post_processor: ByteLevel,
    decoder: ByteLevel,
    model: Model,
}

#[derive(Serialize)]
struct Kind {
    r#type: &'static str,
}

#[derive(Serialize)]
struct AddedToken {
    id: usize,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Serialize)]
struct PreTokenizer {
    r#type: &'static str,
    pretokenizers: (Split, ByteLevel),
}

#[derive(Serialize)]
struct Split {
    r#type: &'static str,
    pattern: BTreeMap<&'static str, &'static str>,
    behavior: &'static str,
    invert: bool,
}

#[derive(Clone, Copy, Serialize)]
struct ByteLevel {
    r#type: &'static str,
    add_prefix_space: bool,
    trim_offsets: bool,
    use_regex: bool,
}

#[derive(Serialize)]
struct Model {
    r#type: &'static str,
    dropout: Option<()>,
    unk_token: Option<()>,
    continuing_subword_prefix: &'static str,
    end_of_word_suffix: &'static str,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocabulary,
    merges: Merges,
}

/// Tokens in the order of their ids.
struct Vocabulary(Vec<String>);

/// The two parts of each merge.
struct Merges(Vec<[String; 2]>);

impl File {
    fn new() -> Self {
        let (tokens, merges) = vocabulary();
        let byte_level = ByteLevel {
            r#type: "ByteLevel",
            add_prefix_space: false,
            trim_offsets: false,
            use_regex: false,
        };
        let split = Split {
            r#type: "Split",
            pattern: BTreeMap::from([("Regex", PATTERN)]),
            behavior: "Isolated",
            invert: false,
        };
        let special = SPECIAL.iter().map(|word| (format!("<|{word}|>"), true));
        let added = special.chain(WRITTEN.iter().map(|word| ((*word).to_owned(), false)));
        let added = added.enumerate().map(|(i, (content, special))| AddedToken {
            id: tokens.len() + i,
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special,
        });
        Self {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: added.collect(),
            normalizer: Kind { r#type: "NFC" },
            pre_tokenizer: PreTokenizer { r#type: "Sequence", pretokenizers: (split, byte_level) },
            post_processor: byte_level,
            decoder: byte_level,
            model: Model {
                r#type: "BPE",
                dropout: None,
                unk_token: None,
                continuing_subword_prefix: "",
                end_of_word_suffix: "",
                fuse_unk: false,
                byte_fallback: false,
                ignore_merges: false,
                vocab: Vocabulary(tokens),
                merges: Merges(merges),
            },
        }
    }
}

impl Serialize for Vocabulary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (id, token) in self.0.iter().enumerate() {
            map.serialize_entry(token, &id)?;
        }
        map.end()
    }
}

impl Serialize for Merges {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for parts in &self.0 {
            list.serialize_element(parts)?;
        }
        list.end()
    }
}

/// All tokens, and the parts of those that are merges.
fn vocabulary() -> (Vec<String>, Vec<[String; 2]>) {
    let planes =
        miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(MERGES, PLANES).unwrap_or_default();
    let id = |part: usize, merge: usize| {
        let byte = |plane: usize| {
            let at = (3 * part + plane) * COUNT + merge;
            usize::from(planes.get(at).copied().unwrap_or_default())
        };
        byte(0) | byte(1) << 8 | byte(2) << 16
    };
    let mut tokens: Vec<String> = Vec::with_capacity(BYTES + COUNT);
    tokens.extend(byte_names().map(String::from));
    let mut merges = Vec::with_capacity(COUNT);
    for merge in 0..COUNT {
        let part = |part| tokens.get(id(part, merge)).cloned().unwrap_or_default();
        let parts = [part(0), part(1)];
        tokens.push(parts.concat());
        merges.push(parts);
    }
    (tokens, merges)
}

/// GPT-2's names for bytes, in the order of their ids: bytes that print stand for themselves, and the
/// others are letters from U+0100 on.
fn byte_names() -> impl Iterator<Item = char> {
    let prints = (33..=126).chain(161..=172).chain(174..=255);
    let others = (0..BYTES as u32 - 188).map(|i| 0x100 + i);
    prints.chain(others).filter_map(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Shapes, TextEncoderConfig};
    use crate::digest::sha256;

    /// Of the file in the repositories of Qwen3 and Z-Image.
    const PUBLISHED: &str = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4";

    #[test]
    fn the_file_is_the_published_one_to_the_byte() {
        assert_eq!(sha256(&json()), PUBLISHED);
    }

    #[test]
    fn it_passes_the_check_of_other_tokenizers() {
        let shape: &[(&str, &[i64])] = &[
            ("embed_tokens.weight", &[SIZE, 64]),
            ("layers.0.self_attn.q_norm.weight", &[16]),
            ("layers.0.self_attn.q_proj.weight", &[64, 64]),
            ("layers.0.self_attn.k_proj.weight", &[32, 64]),
            ("layers.0.mlp.gate_proj.weight", &[128, 64]),
        ];
        let shapes = Shapes { place: "f", shapes: shape.iter().copied().collect() };
        let config: TextEncoderConfig = shapes.text_encoder(Default::default()).unwrap();
        crate::tokenizer::check("it", &json(), &config).unwrap();
        let fewer = TextEncoderConfig { vocab_size: SIZE - 1, ..config };
        assert!(crate::tokenizer::check("it", &json(), &fewer).is_err());
    }
}
