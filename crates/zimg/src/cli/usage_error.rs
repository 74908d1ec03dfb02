//! Usage errors: clap's errors as a sentence and a hint.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use zimg_client::params::ForeignSetting;
use zimg_client::{Failure, Kind};

use super::command_line::{CommandLine, near_command, usage};
use super::dash::dash_tip;
use zimg_image::ImageFormat;

const QUOTES: &str = "quote a prompt of several words";

/// Names of options in other programs, and the option of zimg.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["--width", "--height", "-W", "-H"], "the size is --size WxH"),
    (&["--batch-size", "--batch-count", "-b", "--num-images"], "the number of images is -n N"),
    (&["-p", "--prompt"], "the prompt is an argument in quotes, not an option"),
    (&["-m", "--model", "--device"], "model and device are options of zimaged"),
    (&["-S"], "the seed is --seed N"),
    (&["-C"], "the CFG scale is --cfg-scale C, and guidance is C - 1"),
    (&["--outdir", "--output-dir", "--outpath", "--filename"], "the output is -o FILE"),
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
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => elsewhere_value(&message, value),
        _ => None,
    };
    let hint = suggested(error).or(value).unwrap_or_else(|| format!("see `{}`", help_of(words)));
    Some(Failure::new(Kind::Usage, message).hint(hint))
}

/// The hint for a value that is right in another program: of the option that `message` names.
fn elsewhere_value(message: &str, value: &str) -> Option<String> {
    let is_of = |option: &str| message.contains(&format!("for '{option} <"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_of("--seed") {
        let hex = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
        let hex = hex.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        return Some(match (hex, value.split_once('.')) {
            (Some(seed), _) => format!("{value} is --seed {seed}"),
            (None, Some((whole, zeros)))
                if is_number(whole) && zeros.bytes().all(|b| b == b'0') =>
            {
                format!("a seed has no point: --seed {whole}")
            }
            _ if is_number(value) => format!("a seed is at most {}", u64::MAX),
            // Other programs use -1 for a random seed.
            _ => "omit --seed for a random seed, which is shown".to_owned(),
        });
    }
    // stable-diffusion.cpp's short options.
    if is_of("--size") && is_number(value) {
        return Some(format!("-s is the size, and a seed is --seed {value}"));
    }
    if is_of("--count") && value.chars().any(char::is_alphabetic) {
        let text = "-n is the number of images, and what the image should not show is --negative";
        return Some(text.to_owned());
    }
    None
}

/// Adds a tip for an unknown argument: `zimg a red fox` lacks quotes, `zimg shwo a.png` is
/// misspelt, and some options have other names in other programs.
pub(super) fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    if error.use_stderr()
        && error.kind() != ErrorKind::InvalidUtf8
        && let Some((sentence, tip)) = dash_tip(words)
    {
        return suggesting(usage(sentence), tip);
    }
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
        None if word.starts_with('-') => match ForeignSetting::named(word) {
            Some(foreign) => foreign.why.to_owned(),
            None => return error,
        },
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
                "a seed is at most 18446744073709551615",
            ),
            (
                &["x", "--seed=-1"],
                "invalid value '-1' for '--seed <N>': it is not a whole number of 0 or more",
                "omit --seed for a random seed, which is shown",
            ),
            (
                &["x", "--seed=0x10"],
                "invalid value '0x10' for '--seed <N>': it is not a whole number of 0 or more",
                "0x10 is --seed 16",
            ),
            (
                &["x", "--seed=7.0"],
                "invalid value '7.0' for '--seed <N>': it is not a whole number of 0 or more",
                "a seed has no point: --seed 7",
            ),
            (
                &["x", "-s", "42"],
                "invalid value '42' for '--size <WxH>': a size is WxH in pixels, for example 1024x768",
                "-s is the size, and a seed is --seed 42",
            ),
            (
                &["x", "-n", "blur"],
                "invalid value 'blur' for '--count <N>': it is not a whole number of 0 or more",
                "-n is the number of images, and what the image should not show is --negative",
            ),
            (
                &["x", "--sampling-method", "euler"],
                "unknown option --sampling-method",
                "there is one sampler, Euler on the model's own schedule",
            ),
            (
                &["x", "--cfg-scale", "0.5"],
                "`cfg_scale` is 0.5, expected a number from 1 to 101",
                "cfg_scale 1 is guidance 0, which is off: guidance is cfg_scale - 1",
            ),
            (
                &["- a red circle", "-o", "d.png"],
                "a prompt that begins with - comes last, after --",
                "`zimg -o d.png -- '- a red circle'`",
            ),
            (
                &["-n 3 dogs"],
                "a prompt that begins with - comes last, after --",
                "`zimg -- '-n 3 dogs'`",
            ),
            (
                &["-forest at night"],
                "a prompt that begins with - comes last, after --",
                "`zimg -- '-forest at night'`",
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
