//! The tokenizer: prompts to token ids, with the checkpoint's tokenizer and the exact chat template.

use tokenizers::Tokenizer;

use crate::error::{Error, Result};

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
}

impl PromptTokenizer {
    /// From the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// When they are not a tokenizer.
    pub fn from_bytes(json: &[u8]) -> Result<Self> {
        let mut tokenizer =
            Tokenizer::from_bytes(json).map_err(|e| Error::Tokenizer(e.to_string()))?;
        // The file may request either; a prompt is never truncated and never padded here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(Self { tokenizer })
    }

    /// From the bytes of the file `file`, which an error names.
    ///
    /// # Errors
    /// When they are not a tokenizer.
    pub(crate) fn from_file(file: String, json: &[u8]) -> Result<Self> {
        Self::from_bytes(json).map_err(|error| match error {
            Error::Tokenizer(reason) => zimage_checkpoint::Error::Tokenizer { file, reason }.into(),
            other => other,
        })
    }

    /// Token ids of a prompt, template included.
    ///
    /// The template is `apply_chat_template(add_generation_prompt=True, enable_thinking=True)`
    /// of the Qwen3 tokenizer: no system message, no thinking block.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, prompt: &str) -> Result<Vec<i64>> {
        let text = format!("<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n");
        let encoding =
            self.tokenizer.encode_fast(text, true).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }
}
