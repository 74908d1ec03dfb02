//! What was typed: every word and option, and which command they are for. What they mean for a
//! drawing, together with the settings, is for `commands`.
//!
//! A new command is a variant of [`Word`] and of [`Task`], and a file in `commands/`.

mod draw;
mod values;

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use zimg_client::{Failure, Kind};

pub(crate) use draw::Draw;

/// Draw pictures with zimaged
///
/// zimg sends a prompt to the zimaged service and writes the picture it draws. Sizes, steps and
/// guidance that are not given are the model's own defaults.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    override_usage = "zimg [OPTIONS] <PROMPT>\n       zimg <COMMAND>",
    after_help = "\
Examples:
  zimg \"a red fox in the snow\" -o fox.png
  zimg \"a red fox in the snow\" -n 4 --seed 7 -o 'fox-{seed}.png'
  zimg - < prompt.txt -o out.webp",
    after_long_help = AFTER_LONG_HELP
)]
struct Typed {
    #[command(subcommand)]
    command: Option<Word>,
    #[command(flatten)]
    draw: Draw,
    #[command(flatten)]
    common: Common,
}

const AFTER_LONG_HELP: &str = "\
Examples:
  zimg \"a red fox in the snow\" -o fox.png
  zimg \"a red fox in the snow\" -n 4 --seed 7 -o 'fox-{seed}.png'
  zimg \"a red fox in the snow\" --size 1280x720 -o - | display
  zimg - < prompt.txt -o out.webp
  zimg draw \"status\"        draws the word; `zimg status` asks the daemon
  zimg status --json

Exit codes:
  0 done · 64 usage · 65 prompt or parameters refused · 69 no daemon · 70 internal or worker
  failure · 73 cannot create the output · 74 I/O · 75 busy, loading or shutting down (try again) ·
  76 version · 77 permission · 78 configuration · 130 interrupted";

#[derive(Debug, Subcommand)]
enum Word {
    /// Draw pictures; the word may be left out
    Draw(Draw),
    /// Say how the daemon and its worker are
    Status,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// The daemon's socket
    ///
    /// Without it: ZIMG_SOCKET, then $XDG_RUNTIME_DIR/zimaged/zimaged.sock if it exists, then
    /// /run/zimaged/zimaged.sock.
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) socket: Option<PathBuf>,
    /// Print what happens as lines of JSON on standard output
    ///
    /// One object a line, with the fields "v" (1) and "event"; a failure is the last line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The command line, understood.
#[derive(Debug)]
pub(crate) struct Cli {
    pub(crate) task: Task,
    pub(crate) common: Common,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    Draw(Draw),
    Status,
}

impl Cli {
    /// From the process's arguments.
    ///
    /// # Errors
    ///
    /// clap's, which also carries help and version.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::from_arguments(std::env::args_os())
    }

    fn from_arguments(
        arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let typed = Typed::try_parse_from(arguments).map_err(hint_at_quotes)?;
        let task = match typed.command {
            None => Task::Draw(typed.draw),
            // A prompt of several words without quotes, one of which is a command.
            Some(_) if typed.draw.prompt.is_some() => {
                return Err(usage("a prompt of several words needs quotes around it"));
            }
            Some(_) if typed.draw != Draw::default() => {
                return Err(usage("options for drawing come after the prompt or the word draw"));
            }
            Some(Word::Status) => Task::Status,
            Some(Word::Draw(draw)) => Task::Draw(draw),
        };
        if let Task::Draw(Draw { prompt: None, .. }) = task {
            return Err(usage("what to draw? Give a prompt, or - to read it from standard input"));
        }
        Ok(Self { task, common: typed.common })
    }
}

/// The mistake as `--json` tells it, if that was typed too: the line that clap begins with.
pub(crate) fn misused(error: &clap::Error) -> Option<Failure> {
    let typed = std::env::args_os().skip(1).take_while(|word| word != "--");
    let json = error.use_stderr() && typed.into_iter().any(|word| word == "--json");
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let message = line.strip_prefix("error: ").unwrap_or(line);
    json.then(|| Failure::new(Kind::Usage, message).hint("try --help"))
}

fn usage(message: &str) -> clap::Error {
    Typed::command().error(ErrorKind::ArgumentConflict, message)
}

/// `zimg a red fox`: the second word is no option, so quotes are missing.
fn hint_at_quotes(mut error: clap::Error) -> clap::Error {
    let word = error.get(ContextKind::InvalidArg);
    let is_word = matches!(word, Some(ContextValue::String(word)) if !word.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument && is_word {
        let tip = "a prompt of several words needs quotes around it".to_owned();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::from_arguments(["zimg"].iter().chain(words))
    }

    fn drawn(words: &[&str]) -> Draw {
        match read(words).unwrap().task {
            Task::Draw(draw) => draw,
            Task::Status => panic!("{words:?} is status"),
        }
    }

    fn error(words: &[&str]) -> String {
        read(words).unwrap_err().to_string()
    }

    #[test]
    fn clap_finds_no_fault() {
        Typed::command().debug_assert();
    }

    #[test]
    fn the_word_draw_may_be_left_out() {
        let words = ["a fox", "-o", "f.png", "--size", "640x480", "-n", "2", "--seed", "7", "-q"];
        let draw = drawn(&words);
        assert_eq!(draw, drawn(&[&["draw"], &words[..]].concat()));
        assert_eq!(draw.size, Some((640, 480)));
        assert_eq!((draw.count, draw.seed), (Some(2), Some(7)));
    }

    #[test]
    fn commands_win_only_as_exact_single_words() {
        assert!(matches!(read(&["status"]).unwrap().task, Task::Status));
        assert!(matches!(read(&["--json", "status"]).unwrap().task, Task::Status));
        let cli = read(&["--socket", "/s", "status"]).unwrap();
        assert!(matches!(cli.task, Task::Status) && cli.common.socket == Some("/s".into()));
        assert!(read(&["status", "--json"]).unwrap().common.json);
        assert_eq!(drawn(&["status report"]).prompt.as_deref(), Some("status report"));
        assert_eq!(drawn(&["stat"]).prompt.as_deref(), Some("stat"));
        assert_eq!(drawn(&["draw", "status"]).prompt.as_deref(), Some("status"));
        assert_eq!(drawn(&["draw", "draw"]).prompt.as_deref(), Some("draw"));
    }

    #[test]
    fn common_options_stand_on_either_side() {
        for words in [["--json", "draw", "x"], ["draw", "x", "--json"], ["draw", "--json", "x"]] {
            assert!(read(&words).unwrap().common.json, "{words:?}");
        }
    }

    #[test]
    fn missing_quotes_are_hinted_at() {
        assert!(error(&["a", "red", "fox"]).contains("needs quotes around it"));
        assert!(error(&["the", "status"]).contains("needs quotes around it"));
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(error(&["draw"]).contains("what to draw?"));
        assert!(error(&["-n", "2"]).contains("what to draw?"));
        assert!(error(&["-n", "2", "draw", "x"]).contains("come after"));
        assert!(error(&["x", "--sizes", "1x1"]).contains("'--size'"), "did you mean");
        for bad in ["1024", "x", "1024x", "axb", "-1x64", "64x64x64", "1e3x64"] {
            let message = error(&["x", &format!("--size={bad}")]);
            assert!(message.contains("a size is WxH in pixels"), "{message}");
        }
    }
}
