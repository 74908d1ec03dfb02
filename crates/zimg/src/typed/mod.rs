//! What was typed: every word and option, and which command they are for. What they mean for a
//! drawing, together with the settings, is for `commands`.
//!
//! A new command is a variant of [`Word`] and of [`Task`], and a file in `commands/`.

mod draw;
mod help;
mod jobs;
mod mistake;
#[cfg(test)]
mod page;
mod status;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use zimg_client::{Failure, Kind, socket};

pub(crate) use draw::{Draw, Options};
pub(crate) use jobs::{Cancel, Wait};
pub(crate) use mistake::{mistake, plainly, wants_json};
pub(crate) use status::Status;
pub(crate) use values::{Aspect, Graphics, Priority};

use crate::settings::Settings;

/// Colours of the help and of mistakes, where a terminal shows them to somebody who wants them.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Draw images with zimaged
///
/// zimg sends a prompt to the zimaged service and writes the image it draws. Sizes, steps and
/// guidance that are not given are the model's own defaults.
#[derive(Debug, Parser)]
#[command(
    version,
    styles = STYLES,
    arg_required_else_help = true,
    max_term_width = 100,
    override_usage = "zimg [OPTIONS] <PROMPT>\n       zimg <COMMAND>",
    after_help = help::EXAMPLES,
    after_long_help = help::LONG_EXAMPLES
)]
struct Typed {
    #[command(subcommand)]
    command: Option<Word>,
    #[command(flatten)]
    draw: Draw,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Draw images; the word may be left out
    #[command(after_long_help = help::DRAW)]
    Draw(Draw),
    /// Draw an image again as it was made, but for what is typed
    #[command(after_help = help::REDO)]
    Redo(Redo),
    /// Print how an image was made
    #[command(after_help = help::SHOW)]
    Show(Show),
    /// List your jobs: those that wait, are drawn, or are kept
    #[command(after_help = help::JOBS)]
    Jobs,
    /// Save the images of detached jobs, once they are drawn
    #[command(after_help = help::WAIT)]
    Wait(Box<Wait>),
    /// Stop jobs, or drop what is kept of them
    Cancel(Cancel),
    /// Say how the daemon and its worker are
    #[command(after_help = help::STATUS)]
    Status(Status),
    /// Print the daemon's figures for Prometheus
    #[command(after_help = help::METRICS)]
    Metrics,
    /// Look for what keeps images from being drawn, and say what to type
    #[command(after_help = help::DOCTOR)]
    Doctor,
    /// Free the GPU until the next prompt
    Sleep,
    /// Bring the model back before a prompt does
    Wake,
    /// Print the settings that are in force
    #[command(subcommand, after_long_help = help::CONFIG)]
    Config(Config),
    /// Print completions for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write all pages into a folder
    Man {
        /// Where to write zimg.1, zimg-draw.1 and so on
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// The daemon's socket
    ///
    /// Without it: ZIMG_SOCKET, then the configuration file's, then
    /// $XDG_RUNTIME_DIR/zimaged/zimaged.sock if it exists, then /run/zimaged/zimaged.sock.
    #[arg(long, value_name = "PATH", global = true, value_hint = ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
    /// Print what happens as lines of JSON on standard output
    ///
    /// One object a line, with the fields "v" (1) and "event"; a failure is the last line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// An image to draw again.
#[derive(Args, Clone, Debug)]
pub(crate) struct Redo {
    /// Images by zimg, or by another program that writes its settings as the web UIs do
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Another prompt
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Images to be asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// PNG, JPEG or WebP files
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Print the text that other programs read
    #[arg(long, conflicts_with = "json")]
    pub(crate) parameters: bool,
}

/// What to print of the settings.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Config {
    /// Print all settings in the form of the file
    Show {
        /// Say where each is from
        #[arg(long)]
        origin: bool,
    },
    /// Print where the file is
    Path,
}

/// What is printed about zimg itself.
#[derive(Clone, Debug)]
pub(crate) enum Papers {
    Completions(Shell),
    Man(Option<PathBuf>),
}

impl Common {
    /// Where the daemon listens.
    ///
    /// # Errors
    ///
    /// `Usage`: the path is too long for a socket.
    pub(crate) fn find_socket(&self, settings: &Settings) -> Result<PathBuf, Failure> {
        let set = std::env::var_os(socket::VARIABLE).is_some_and(|value| !value.is_empty());
        let file = settings.socket().filter(|_| !set);
        socket::find(self.socket.as_deref().or(file))
    }

    /// Of a command that prints no JSON.
    ///
    /// # Errors
    ///
    /// `Usage`, with this message: it was asked for.
    pub(crate) fn refuse_json(&self, message: &str) -> Result<(), Failure> {
        if self.json { Err(Failure::new(Kind::Usage, message)) } else { Ok(()) }
    }
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
    Draw(Box<Draw>),
    Redo(Box<Redo>),
    Show(Show),
    Jobs,
    Wait(Box<Wait>),
    Cancel(Cancel),
    Status(Status),
    Metrics,
    Doctor,
    Sleep,
    Wake,
    Config(Config),
    Papers(Papers),
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

    /// The definition of all that can be typed.
    pub(crate) fn command() -> clap::Command {
        Typed::command()
    }

    fn from_arguments(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let typed = Typed::try_parse_from(&arguments)
            .map_err(|error| mistake::with_tip(error, &arguments[1..]))?;
        let task = match typed.command {
            None => Task::Draw(Box::new(typed.draw)),
            // A prompt of several words without quotes, one of which is a command.
            Some(_) if typed.draw.prompt.is_some() => {
                return Err(usage("a prompt of several words needs quotes around it"));
            }
            Some(_) if typed.draw != Draw::default() => {
                return Err(usage("options for drawing come after the prompt or the word draw"));
            }
            Some(Word::Draw(draw)) => Task::Draw(Box::new(draw)),
            Some(Word::Redo(redo)) => Task::Redo(Box::new(redo)),
            Some(Word::Show(show)) => Task::Show(show),
            Some(Word::Jobs) => Task::Jobs,
            Some(Word::Wait(wait)) => Task::Wait(wait),
            Some(Word::Cancel(cancel)) => Task::Cancel(cancel),
            Some(Word::Status(status)) => Task::Status(status),
            Some(Word::Metrics) => Task::Metrics,
            Some(Word::Doctor) => Task::Doctor,
            Some(Word::Sleep) => Task::Sleep,
            Some(Word::Wake) => Task::Wake,
            Some(Word::Config(config)) => Task::Config(config),
            Some(Word::Completions { shell }) => Task::Papers(Papers::Completions(shell)),
            Some(Word::Man { folder }) => Task::Papers(Papers::Man(folder)),
        };
        if matches!(&task, Task::Draw(draw) if draw.prompt.is_none() && draw.batch.is_none()) {
            return Err(usage("what to draw? Give a prompt, or - to read it from standard input"));
        }
        Ok(Self { task, common: typed.common })
    }
}

fn usage(message: &str) -> clap::Error {
    Typed::command().error(ErrorKind::ArgumentConflict, message)
}

/// The command that this word is one slip away from.
pub(crate) fn near_command(word: &str) -> Option<String> {
    let near = |name: &str| strsim::osa_distance(name, word) == 1;
    let commands = Typed::command();
    commands.get_subcommands().map(|c| c.get_name()).find(|name| near(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::from_arguments(["zimg"].iter().chain(words))
    }

    fn drawn(words: &[&str]) -> Draw {
        match read(words).unwrap().task {
            Task::Draw(draw) => *draw,
            other => panic!("{words:?} is {other:?}"),
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
        assert_eq!(draw.options.size, Some((640, 480)));
        assert_eq!((draw.options.count, draw.options.seed), (Some(2), Some(7)));
    }

    #[test]
    fn commands_win_only_as_exact_single_words() {
        assert!(matches!(read(&["status"]).unwrap().task, Task::Status(_)));
        assert!(matches!(read(&["--json", "status"]).unwrap().task, Task::Status(_)));
        let cli = read(&["--socket", "/s", "status"]).unwrap();
        assert!(matches!(cli.task, Task::Status(_)) && cli.common.socket == Some("/s".into()));
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
    fn a_slip_is_told_from_a_prompt() {
        assert!(error(&["shwo", "a.png"]).contains("did you mean `zimg show`?"));
        assert!(error(&["stauts", "--", "x"]).contains("did you mean `zimg status`?"));
        assert_eq!(near_command("show"), None);
        assert_eq!(near_command("a fox"), None);
        assert!(error(&["a fox", "a.png"]).contains("the image's name is given with -o a.png"));
        assert!(error(&["x", "-W", "64"]).contains("the size is --size WxH"));
        assert!(error(&["x", "--nagetive", "y"]).contains("'--negative'"));
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
