//! Oracle of the configuration file.

use std::path::Path;

use super::within;

/// A text has one meaning or is refused in one sentence.
pub fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let file = Path::new("zimaged.toml");
    // TOML's tree of a text is larger than the text: a dot makes a table.
    let read = || zimaged::config::from_text(text, file);
    let meaning = within(1024 * bytes.len(), read);
    assert_eq!(read(), meaning);
    let understood = meaning.is_ok();
    if let Err(error) = meaning {
        let failure = zimg_protocol::Failure::from(error);
        assert!(
            failure.message.starts_with("zimaged.toml: ")
                || failure.message.contains("in zimaged.toml "),
            "{failure}"
        );
        assert!(!failure.message.contains('\n'), "{failure}");
    }
    understood
}
