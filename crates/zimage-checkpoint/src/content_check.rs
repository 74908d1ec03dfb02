//! Checks that files hold what their names promise, as far as their first bytes say.

use crate::content::{Content, HEAD};
use crate::error::{Error, Result};
use crate::source::DataFile;

/// The first bytes of a file.
fn head(file: &DataFile) -> Result<Vec<u8>> {
    let mut head = vec![0; file.len.min(HEAD) as usize];
    file.read_exact_at(&mut head, 0)?;
    Ok(head)
}

/// Checks that a file holds weights in a known format, as far as its first bytes say.
pub(crate) fn check_weights(file: &DataFile) -> Result<()> {
    match Content::instead_of_weights(&head(file)?, file.len) {
        Some(content) => Err(Error::Content { file: file.label.clone(), content }),
        None => Ok(()),
    }
}

/// Checks that the bytes of the file `label` are JSON, as far as the first ones say.
pub(crate) fn check_json(label: &str, bytes: &[u8]) -> Result<()> {
    match Content::instead_of_json(&bytes[..bytes.len().min(HEAD as usize)]) {
        Some(content) => Err(Error::Content { file: label.to_owned(), content }),
        None => Ok(()),
    }
}
