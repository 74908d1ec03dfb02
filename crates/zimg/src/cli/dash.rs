//! Prompts and values that begin with a dash, which are taken for options, and the command line that
//! passes them.

use std::ffi::OsString;

use clap::CommandFactory;
use zimg_text::shell_word;

use super::command_line::CommandLine;

/// The longest prompt that a hint repeats whole, in characters.
const WHOLE: usize = 200;

/// The sentence and the hint for the first word that is text and begins with a dash; none if there
/// is no such word.
pub(super) fn dash_tip(words: &[OsString]) -> Option<(&'static str, String)> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let at = words[..end].iter().position(|word| is_text(word))?;
    let text = &words[at];
    if let Some(option) = at.checked_sub(1).map(|before| &words[before])
        && takes_value(option)
    {
        let equals = if option.starts_with("--") { "=" } else { "" };
        let tip = format!("`{option}{equals}{}`", shell_word(&**text));
        return Some(("a value that begins with - follows its option without a space", tip));
    }
    let shown = match text.char_indices().nth(WHOLE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    };
    let others = words.iter().enumerate().filter(|(other, word)| *other != at && *word != "--");
    let others: Vec<_> = others.map(|(_, word)| shell_word(&**word)).collect();
    let tip = ["zimg".to_owned()].into_iter().chain(others);
    let tip = tip.chain(["--".to_owned(), shell_word(&shown)]).collect::<Vec<_>>().join(" ");
    Some(("a prompt that begins with - comes last, after --", format!("`{tip}`")))
}

/// A word with a space that begins with a dash and is no option with its value.
fn is_text(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('-') else { return false };
    let name = rest.strip_prefix('-').and_then(|long| long.split_once('=')).map(|(name, _)| name);
    let is_option =
        name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    word.contains(char::is_whitespace) && !is_option
}

/// Whether this is an option whose value is the next word.
fn takes_value(word: &str) -> bool {
    let command = CommandLine::command();
    command.get_arguments().any(|arg| {
        let long = word.strip_prefix("--").is_some_and(|name| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        });
        let short = arg.get_short().is_some_and(|short| word == format!("-{short}"));
        (long || short) && arg.get_action().takes_values() && !arg.is_require_equals_set()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(words: &[&str]) -> Option<(&'static str, String)> {
        dash_tip(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_hint_is_the_users_own_command_line() {
        let last = "a prompt that begins with - comes last, after --";
        for (words, typed) in [
            (&["- a red circle", "-o", "d.png"][..], "`zimg -o d.png -- '- a red circle'`"),
            (&["-o", "my d.png", "-5 degrees"], "`zimg -o 'my d.png' -- '-5 degrees'`"),
            (&["draw", "-- a fox", "-n", "2"], "`zimg draw -n 2 -- '-- a fox'`"),
            (&["-it's a fox"], "`zimg -- '-it'\\''s a fox'`"),
            (&["--a fox=b c"], "`zimg -- '--a fox=b c'`"),
        ] {
            assert_eq!(tip(words), Some((last, typed.to_owned())), "{words:?}");
        }
        let value = "a value that begins with - follows its option without a space";
        for (words, typed) in [
            (&["x", "--negative", "- blur"][..], "`--negative='- blur'`"),
            (&["x", "-o", "- x.png"], "`-o'- x.png'`"),
        ] {
            assert_eq!(tip(words), Some((value, typed.to_owned())), "{words:?}");
        }
        for words in
            [&["x", "--output=a b.png"][..], &["x", "-W", "64"], &["--", "- a fox"], &["a -b"]]
        {
            assert_eq!(tip(words), None, "{words:?}");
        }
        let long = format!("- {}", "x".repeat(300));
        assert!(tip(&[&long]).unwrap().1.ends_with("x…'`"));
    }
}
