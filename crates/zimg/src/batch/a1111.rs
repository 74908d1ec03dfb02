//! Lines of AUTOMATIC1111's script *Prompts from file or textbox*: options with a prompt among them.
//!
//! Its source, `scripts/prompts_from_file.py`, splits a line as a shell does, takes every second
//! word as a value, and all words up to the next option as a prompt.

/// Whether a line is made of such options.
pub(super) fn is_options(line: &str) -> bool {
    let option = line.trim_start().strip_prefix("--");
    option.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// The names and values of a line.
///
/// # Errors
///
/// A sentence about what is wrong.
pub(super) fn options(line: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(line)?;
    let mut words = words.into_iter().peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            return Err(format!("`{word}` stands where an option is expected"));
        };
        if let Some((name, value)) = name.split_once('=') {
            found.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let missing = || format!("`--{name}` has no value");
        let mut value = words.next().ok_or_else(missing)?;
        // Only the text after a prompt's own option may be many words.
        if matches!(name, "prompt" | "negative_prompt") {
            while let Some(more) = words.next_if(|word| !word.starts_with("--")) {
                value = format!("{value} {more}");
            }
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

/// The words of a line as a shell without variables has them.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            quote @ ('\'' | '"') => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err(format!("a quote {quote} is not closed")),
                        Some(end) if end == quote => break,
                        Some('\\') if quote == '"' => match letters.next() {
                            Some(escaped @ ('"' | '\\')) => word.push(escaped),
                            Some(other) => word.extend(['\\', other]),
                            None => return Err(format!("a quote {quote} is not closed")),
                        },
                        Some(inside) => word.push(inside),
                    }
                }
            }
            '\\' => {
                let escaped = letters.next().ok_or("a backslash is the last character")?;
                word.get_or_insert_default().push(escaped);
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, String)> {
        options(line).unwrap()
    }

    #[test]
    fn lines_are_split_as_the_web_ui_does() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(
            read(r#"--prompt "a red circle" --steps 4 --seed -1 --restore_faces false"#),
            pairs(&[
                ("prompt", "a red circle"),
                ("steps", "4"),
                ("seed", "-1"),
                ("restore_faces", "false")
            ])
        );
        assert_eq!(
            read(r"--prompt a red\ circle --negative_prompt 'it''s' --cfg_scale=7"),
            pairs(&[("prompt", "a red circle"), ("negative_prompt", "its"), ("cfg_scale", "7")])
        );
        assert_eq!(read(r#"--prompt "say \"hi\" \n""#), pairs(&[("prompt", r#"say "hi" \n"#)]));
        assert_eq!(read("--prompt ''"), pairs(&[("prompt", "")]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("--prompt", "`--prompt` has no value"),
            ("--steps 4 5", "`5` stands where an option is expected"),
            ("--prompt \"a", "a quote \" is not closed"),
            ("--prompt 'a", "a quote ' is not closed"),
            ("--prompt a\\", "a backslash is the last character"),
        ] {
            assert_eq!(options(line).unwrap_err(), said);
        }
        assert!(is_options("--prompt x") && is_options("  --steps 4"));
        assert!(!is_options("-- x") && !is_options("a --steps 4") && !is_options("---"));
    }
}
