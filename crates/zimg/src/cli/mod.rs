//! Command line arguments: every command and option, as types. `job_spec` combines them with the
//! user's settings.
//!
//! A new command is a variant of `Subcommands` and of [`Command`], and a file in `commands/`.

mod command_line;
mod common;
mod dash;
#[cfg(test)]
mod docs_test;
mod draw;
mod help;
mod inputs;
mod jobs;
mod mcp;
mod models;
mod params;
mod prepare;
mod pull;
mod status;
mod usage_error;
mod values;
mod web;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

pub(crate) use command_line::near_command;
use command_line::{CommandLine, Subcommands, usage};
pub(crate) use common::{CommonArgs, ConfigCommand, DocsCommand, RedoArgs, ShowArgs};
pub(crate) use draw::{DrawArgs, DrawOptions};
pub(crate) use inputs::{FitArg, InputOptions, Outpaint};
pub(crate) use jobs::{CancelArgs, WaitArgs};
pub(crate) use mcp::McpArgs;
pub(crate) use models::ModelsArgs;
pub(crate) use params::{ParamOptions, is_converted};
pub(crate) use prepare::PrepareArgs;
pub(crate) use pull::PullArgs;
pub(crate) use status::StatusArgs;
pub(crate) use usage_error::{plainly, usage_error, wants_json};
pub(crate) use values::{AspectRatio, GraphicsArg, PriorityArg};
pub(crate) use web::WebArgs;

/// The command line, understood.
#[derive(Debug)]
pub(crate) struct Cli {
    pub(crate) command: Command,
    pub(crate) common: CommonArgs,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Draw(Box<DrawArgs>),
    Redo(Box<RedoArgs>),
    Show(ShowArgs),
    Jobs,
    Wait(Box<WaitArgs>),
    Cancel(CancelArgs),
    Status(StatusArgs),
    Metrics,
    Pull(Box<PullArgs>),
    Models(ModelsArgs),
    Loras,
    Prepare(Box<PrepareArgs>),
    Doctor,
    Mcp(McpArgs),
    Sleep,
    Wake,
    Web(WebArgs),
    Config(ConfigCommand),
    GenerateDocs(DocsCommand),
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
        CommandLine::command()
    }

    fn from_arguments(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let typed = CommandLine::try_parse_from(&arguments)
            .map_err(|error| usage_error::with_tip(error, &arguments[1..]))?;
        let command = match typed.command {
            None => Command::Draw(Box::new(typed.draw)),
            // A prompt of several words without quotes, one of which is a command.
            Some(_) if typed.draw.prompt.is_some() => {
                return Err(usage("quote a prompt of several words"));
            }
            Some(_) if typed.draw != DrawArgs::default() => {
                return Err(usage("options of `zimg draw` go after the prompt or after `draw`"));
            }
            Some(Subcommands::Draw(draw)) => Command::Draw(Box::new(draw)),
            Some(Subcommands::Redo(redo)) => Command::Redo(Box::new(redo)),
            Some(Subcommands::Show(show)) => Command::Show(show),
            Some(Subcommands::Jobs) => Command::Jobs,
            Some(Subcommands::Wait(wait)) => Command::Wait(wait),
            Some(Subcommands::Cancel(cancel)) => Command::Cancel(cancel),
            Some(Subcommands::Status(status)) => Command::Status(status),
            Some(Subcommands::Metrics) => Command::Metrics,
            Some(Subcommands::Pull(pull)) => Command::Pull(pull),
            Some(Subcommands::Models(models)) => Command::Models(models),
            Some(Subcommands::Loras) => Command::Loras,
            Some(Subcommands::Prepare(prepare)) => Command::Prepare(prepare),
            Some(Subcommands::Doctor) => Command::Doctor,
            Some(Subcommands::Mcp(mcp)) => Command::Mcp(mcp),
            Some(Subcommands::Sleep) => Command::Sleep,
            Some(Subcommands::Wake) => Command::Wake,
            Some(Subcommands::Web(web)) => Command::Web(web),
            Some(Subcommands::Config(config)) => Command::Config(config),
            Some(Subcommands::Completions { shell }) => {
                Command::GenerateDocs(DocsCommand::Completions(shell))
            }
            Some(Subcommands::Man { folder }) => Command::GenerateDocs(DocsCommand::Man(folder)),
        };
        if matches!(&command, Command::Draw(draw) if draw.prompt.is_none() && draw.batch.is_none())
        {
            let error = usage("no prompt: give one, or - to read it from standard input");
            return Err(usage_error::with_tip(error, &arguments[1..]));
        }
        Ok(Self { command, common: typed.common })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::from_arguments(["zimg"].iter().chain(words))
    }

    fn generated(words: &[&str]) -> DrawArgs {
        match read(words).unwrap().command {
            Command::Draw(draw) => *draw,
            other => panic!("{words:?} is {other:?}"),
        }
    }

    fn error(words: &[&str]) -> String {
        read(words).unwrap_err().to_string()
    }

    #[test]
    fn clap_finds_no_fault() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_word_draw_may_be_left_out() {
        let words = ["a fox", "-o", "f.png", "--size", "640x480", "-n", "2", "--seed", "7", "-q"];
        let draw = generated(&words);
        assert_eq!(draw, generated(&[&["draw"], &words[..]].concat()));
        assert_eq!(draw.options.size, Some((640, 480)));
        assert_eq!((draw.options.params.count, draw.options.params.seed), (Some(2), Some(7)));
    }

    #[test]
    fn names_of_other_programs_are_options_in_their_unit() {
        let params = |words: &[&str]| generated(&[&["x"], words].concat()).options.params;
        for (words, guidance) in [
            (&["--cfg-scale", "1"][..], 0.0),
            (&["--cfg_scale=7"], 6.0),
            (&["--cfg", "3.3"], 2.3),
            (&["--guidance-scale", "4"], 4.0),
            (&["--guidance_scale", "0"], 0.0),
            (&["--guidance=4"], 4.0),
        ] {
            assert_eq!(params(words).guidance, Some(guidance), "{words:?}");
        }
        for spelling in ["--num-inference-steps=9", "--num_inference_steps=9", "--steps=9"] {
            assert_eq!(params(&[spelling]).steps, Some(9), "{spelling}");
        }
        assert_eq!(params(&["--negative_prompt", "b"]).negative.as_deref(), Some("b"));
        assert_eq!(params(&["--guidance_rescale=0.5"]).guidance_rescale, Some(0.5));
        assert!(error(&["x", "--cfg=7", "--guidance=6"]).contains("cannot be used with"));
        assert!(error(&["x", "--cfg=7", "--cfg-scale=7"]).contains("cannot be used with"));
        assert!(error(&["x", "--cfg=0"]).contains("`cfg` is 0, expected a number from 1 to 101"));
    }

    #[test]
    fn commands_win_only_as_exact_single_words() {
        assert!(matches!(read(&["status"]).unwrap().command, Command::Status(_)));
        assert!(matches!(read(&["--json", "status"]).unwrap().command, Command::Status(_)));
        let cli = read(&["--socket", "/s", "status"]).unwrap();
        assert!(
            matches!(cli.command, Command::Status(_)) && cli.common.socket == Some("/s".into())
        );
        assert!(read(&["status", "--json"]).unwrap().common.json);
        assert_eq!(generated(&["status report"]).prompt.as_deref(), Some("status report"));
        assert_eq!(generated(&["stat"]).prompt.as_deref(), Some("stat"));
        assert_eq!(generated(&["draw", "status"]).prompt.as_deref(), Some("status"));
        assert_eq!(generated(&["draw", "draw"]).prompt.as_deref(), Some("draw"));
    }

    #[test]
    fn common_options_stand_on_either_side() {
        for words in [["--json", "draw", "x"], ["draw", "x", "--json"], ["draw", "--json", "x"]] {
            assert!(read(&words).unwrap().common.json, "{words:?}");
        }
    }

    #[test]
    fn missing_quotes_are_hinted_at() {
        assert!(error(&["a", "red", "fox"]).contains("quote a prompt"));
        assert!(error(&["the", "status"]).contains("quote a prompt"));
    }

    #[test]
    fn a_slip_is_told_from_a_prompt() {
        assert!(error(&["shwo", "a.png"]).contains("did you mean `zimg show`?"));
        assert!(error(&["stauts", "--", "x"]).contains("did you mean `zimg status`?"));
        assert_eq!(near_command("show"), None);
        assert_eq!(near_command("a fox"), None);
        assert!(error(&["a fox", "a.png"]).contains("give the output file with -o a.png"));
        assert!(error(&["x", "-W", "64"]).contains("the size is --size WxH"));
        assert!(error(&["x", "--sampler", "euler"]).contains("there is one sampler"));
        assert!(error(&["x", "--control-image=a"]).contains("the control image is `control`"));
        assert!(error(&["x", "--nagetive", "y"]).contains("'--negative'"));
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(error(&["draw"]).contains("no prompt: give one"));
        assert!(error(&["-n", "2"]).contains("no prompt: give one"));
        assert!(error(&["-n", "2", "draw", "x"]).contains("go after"));
        assert!(error(&["x", "--sizes", "1x1"]).contains("'--size'"), "did you mean");
        for bad in ["1024", "x", "1024x", "axb", "-1x64", "64x64x64", "1e3x64"] {
            let message = error(&["x", &format!("--size={bad}")]);
            assert!(message.contains("a size is WxH in pixels"), "{message}");
        }
    }
}
