//! LoRAs: the file of a repository that is asked for, and peft's configuration beside it.

use super::split::OTHERS;
use super::variant::{listed, meant, variants};
use crate::error::{Error, Result};
use crate::listing::{Listing, RemoteFile};
use crate::names::{FilePath, ModelRequest};

/// The file with a LoRA's alpha, which peft writes beside its weights.
const CONFIGURATION: &str = "adapter_config.json";
/// The folder of ComfyUI's repositories that has them.
const LORAS: &str = "loras";

/// The files of the LoRA that is asked for, the weights first.
///
/// # Errors
/// `NoLora`, `NoVariant` or `SeveralVariants`.
pub fn choose_lora(request: &ModelRequest, listing: &Listing) -> Result<Vec<RemoteFile>> {
    let repository = request.repository.to_string();
    let files: Vec<_> = listing.files.iter().filter(|file| is_lora(&file.path)).collect();
    let there = variants(&files);
    let named = request.variant.as_deref().and_then(|path| listing.find(path));
    let found = match (named, &request.variant, there.as_slice()) {
        (Some(file), ..) if is_safetensors(&file.path) => file,
        (.., []) => return Err(Error::NoLora { repository }),
        (_, None, [only]) => only.file,
        (_, None, _) => {
            return Err(Error::SeveralVariants { repository, there: listed(&there) });
        }
        (_, Some(asked), _) => match meant(&there, asked) {
            Some(variant) => variant.file,
            None => {
                let (variant, there) = (asked.clone(), listed(&there));
                return Err(Error::NoVariant { repository, variant, there });
            }
        },
    };
    let path = found.path.as_str();
    let folder = path.strip_suffix(found.path.name()).unwrap_or_default();
    let configuration = listing.find(&format!("{folder}{CONFIGURATION}"));
    Ok([Some(found), configuration].into_iter().flatten().cloned().collect())
}

fn is_safetensors(path: &FilePath) -> bool {
    path.name().to_ascii_lowercase().ends_with(".safetensors")
}

fn is_lora(path: &FilePath) -> bool {
    let is_other = |folder: &str| folder != LORAS && OTHERS.contains(&folder);
    is_safetensors(path) && !path.folders().any(is_other)
}
