//! Words quoted for a shell, for hints that are typed.

/// The word as a shell reads it back: as it is, or in single quotes.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-{}".contains(c);
    let is_plain = !word.is_empty() && word.chars().all(plain);
    // Braces with a comma or two full stops are expanded, and `=` is a setting before a command.
    if is_plain && !(word.contains('{') && (word.contains(',') || word.contains(".."))) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
