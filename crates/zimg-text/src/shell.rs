//! Words quoted for a shell, for hints that are typed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The word or path as a shell reads it back: as it is, or in single quotes. One that is no text or
/// has control characters is quoted as bash, zsh and busybox read it, `$'caf\xe9'`.
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let Some(text) = word.to_str().filter(|text| !text.contains(char::is_control)) else {
        return ansi_quoted(word.as_bytes());
    };
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-{}".contains(c);
    let is_plain = !text.is_empty() && text.chars().all(plain);
    // Braces with a comma or two full stops are expanded, and `=` is a setting before a command.
    if is_plain && !(text.contains('{') && (text.contains(',') || text.contains(".."))) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn ansi_quoted(bytes: &[u8]) -> String {
    let mut quoted = "$'".to_owned();
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\'' | '\\' => quoted.extend(['\\', c]),
                // Two digits always, as more of them may follow.
                c if c.is_ascii_control() => quoted += &format!("\\x{:02x}", u32::from(c)),
                c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
                c => quoted.push(c),
            }
        }
        quoted.extend(part.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    quoted + "'"
}
