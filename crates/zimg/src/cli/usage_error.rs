//! Usage errors: clap's errors as a sentence and a hint.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use zimg_client::{Failure, Kind};

use super::command_line::{CommandLine, near_command, usage};
use zimg_image::ImageFormat;

const QUOTES: &str = "quote a prompt of several words";

/// Names of options in other programs, and the option of zimg.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["--width", "--height", "-W", "-H"], "the size is --size WxH"),
    (&["--batch-size", "--batch-count", "-b", "--num-images"], "the number of images is -n N"),
    (&["-p", "--prompt"], "the prompt is an argument in quotes, not an option"),
    (&["-m", "--model", "--device"], "model and device are options of zimaged"),
];

/// Whether `--json` is among the arguments: then the usage error is printed as JSON.
pub(crate) fn wants_json(words: impl IntoIterator<Item = OsString>) -> bool {
    words.into_iter().take_while(|word| word != "--").any(|word| word == "--json")
}

/// The usage error of these arguments (without the program name); none if clap prints help.
pub(crate) fn usage_error(
    error: &clap::Error,
    words: impl IntoIterator<Item = OsString>,
) -> Option<Failure> {
    let help = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || error.kind() == help {
        return None;
    }
    if error.kind() == ErrorKind::InvalidUtf8 {
        return Some(no_text(&words.into_iter().collect::<Vec<_>>()));
    }
    let text = error.to_string();
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if word.starts_with('-') => Some(word),
        _ => None,
    };
    let message = match unknown.filter(|_| error.kind() == ErrorKind::UnknownArgument) {
        Some(word) => format!("unknown option {word}"),
        None => first_paragraph(&text),
    };
    // Other programs use -1 for a random seed.
    let seed = error.kind() == ErrorKind::ValueValidation && message.contains("for '--seed <N>'");
    let random = seed.then(|| "omit --seed for a random seed, which is shown".to_owned());
    let hint = suggested(error).or(random).unwrap_or_else(|| format!("see `{}`", help_of(words)));
    Some(Failure::new(Kind::Usage, message).hint(hint))
}

/// Adds a tip for an unknown argument: `zimg a red fox` lacks quotes, `zimg shwo a.png` is
/// misspelt, and some options have other names in other programs.
pub(super) fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let word = match error.kind() {
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => error.get(ContextKind::InvalidSubcommand),
        _ => None,
    };
    let Some(ContextValue::String(word)) = word else { return error };
    let first = words.first().and_then(|first| first.to_str()).unwrap_or_default();
    let near = |word| near_command(word).map(|name| format!("did you mean `zimg {name}`?"));
    if error.kind() == ErrorKind::InvalidSubcommand && first == "help" {
        let (tip, error) = (near(word), usage(&format!("unknown command {word}")));
        return match tip {
            Some(tip) => suggesting(error, tip),
            None => error,
        };
    }
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&word.as_str()));
    let tip = match elsewhere {
        Some((_, tip)) => (*tip).to_owned(),
        None if word.starts_with('-') => return error,
        // The arguments of a command are in its help.
        None if first != "draw" && CommandLine::command().find_subcommand(first).is_some() => {
            return error;
        }
        None => match near(first) {
            Some(tip) => tip,
            None if ImageFormat::of(Path::new(word)).is_some() => {
                format!("give the output file with -o {word}")
            }
            None => QUOTES.to_owned(),
        },
    };
    if error.kind() == ErrorKind::InvalidSubcommand {
        return usage(&tip);
    }
    error.remove(ContextKind::SuggestedArg);
    suggesting(error, tip)
}

/// The failure of arguments one of which has to be text and is not UTF-8. File names may be
/// anything.
fn no_text(words: &[OsString]) -> Failure {
    let at = words.iter().position(|word| word.to_str().is_none()).unwrap_or_default();
    let name = |word: &OsString| {
        let name = word.to_string_lossy().split('=').next().map(str::to_owned)?;
        name.starts_with('-').then_some(name)
    };
    let before = || at.checked_sub(1).and_then(|before| words.get(before)).and_then(name);
    let takes_value = |name: &String| {
        let long = name.trim_start_matches('-');
        CommandLine::command().get_arguments().any(|arg| {
            arg.get_action().takes_values()
                && (arg.get_long() == Some(long)
                    || arg.get_short().is_some_and(|c| *name == format!("-{c}")))
        })
    };
    let option = words.get(at).and_then(name).or_else(|| before().filter(takes_value));
    let what =
        option.map_or_else(|| "the prompt".to_owned(), |name| format!("the value of {name}"));
    Failure::new(Kind::Usage, format!("{what} is not UTF-8"))
        .hint("convert it, for example with `iconv -f latin1 -t utf-8`")
}

fn suggesting(mut error: clap::Error, tip: String) -> clap::Error {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// clap's first paragraph as one line, without "error: ".
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    plainly(line.strip_prefix("error: ").unwrap_or(&line))
}

/// Replaces Rust's parse errors by plain words.
pub(crate) fn plainly(text: &str) -> String {
    let text = text
        .replace("invalid digit found in string", "it is not a whole number of 0 or more")
        .replace("number too large to fit in target type", "it is too large")
        .replace("invalid float literal", "it is not a number");
    match text.split_once(" is not in ") {
        Some((before, range)) if range.contains("..=") => {
            format!("{before} is not within {}", range.replace("..=", " to "))
        }
        _ => text,
    }
}

/// clap's suggestions as one sentence.
fn suggested(error: &clap::Error) -> Option<String> {
    let names = error.get(ContextKind::SuggestedArg).or(error.get(ContextKind::SuggestedValue));
    match (names, error.get(ContextKind::Suggested)) {
        (Some(ContextValue::String(name)), _) => Some(format!("did you mean {name}?")),
        (Some(ContextValue::Strings(names)), _) if !names.is_empty() => {
            Some(format!("did you mean {}?", names.join(" or ")))
        }
        (_, Some(ContextValue::StyledStrs(tips))) => {
            Some(tips.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        _ => None,
    }
}

/// The command that prints the help for these arguments.
fn help_of(words: impl IntoIterator<Item = OsString>) -> String {
    let zimg = CommandLine::command();
    let mut words = words.into_iter().filter_map(|word| word.into_string().ok());
    match words.find(|word| zimg.find_subcommand(word).is_some()) {
        Some(command) => format!("zimg {command} --help"),
        None => "zimg --help".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    fn said(words: &[&str]) -> (String, String) {
        let error = Cli::from_arguments(["zimg"].iter().chain(words)).unwrap_err();
        let failure = usage_error(&error, words.iter().map(OsString::from)).unwrap();
        assert_eq!(failure.kind, Kind::Usage);
        (failure.message, failure.hint.unwrap())
    }

    #[test]
    fn a_mistake_is_a_sentence_and_a_hint() {
        let expected = [
            (&["x", "--stesp", "4"][..], "unknown option --stesp", "did you mean --steps?"),
            (&["x", "-W", "64"], "unknown option -W", "the size is --size WxH"),
            (
                &["x", "--model", "dir"],
                "unknown option --model",
                "model and device are options of zimaged",
            ),
            (
                &["wait", "seven"],
                "invalid value 'seven' for '<JOB>...': it is not a whole number of 0 or more",
                "see `zimg wait --help`",
            ),
            (&["status", "x"], "unexpected argument 'x' found", "see `zimg status --help`"),
            (
                &["draw", "a", "fox"],
                "unexpected argument 'fox' found",
                "quote a prompt of several words",
            ),
            (
                &["x", "--quality=0"],
                "invalid value '0' for '--quality <Q>': 0 is not within 1 to 100",
                "see `zimg --help`",
            ),
            (
                &["x", "--seed=18446744073709551616"],
                "invalid value '18446744073709551616' for '--seed <N>': it is too large",
                "omit --seed for a random seed, which is shown",
            ),
            (&["help", "drow"], "unknown command drow", "did you mean `zimg draw`?"),
            (&["jobs", "--vim"], "unknown option --vim", "see `zimg jobs --help`"),
            (&["a", "red", "fox"], "quote a prompt of several words", "see `zimg --help`"),
            (
                &["x", "--show=kity"],
                "invalid value 'kity' for '--show[=<HOW>]' \
                 [possible values: auto, kitty, iterm2, sixel, blocks, none]",
                "did you mean kitty?",
            ),
            (
                &["x", "--steps", "many"],
                "invalid value 'many' for '--steps <N>': it is not a whole number of 0 or more",
                "see `zimg --help`",
            ),
            (
                &["show"],
                "the following required arguments were not provided: <FILE>...",
                "see `zimg show --help`",
            ),
        ];
        for (words, message, hint) in expected {
            assert_eq!(said(words), (message.to_owned(), hint.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn help_is_no_mistake() {
        for words in [&["zimg"][..], &["zimg", "--help"], &["zimg", "show", "-h"]] {
            let error = Cli::from_arguments(words).unwrap_err();
            assert!(usage_error(&error, []).is_none(), "{words:?}");
        }
    }
}
