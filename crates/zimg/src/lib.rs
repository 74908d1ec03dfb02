//! Implementation of the `zimg` program. It is a library only so that its parsers can be fuzzed; its
//! API is not stable.

mod advice;
mod batch;
mod cli;
mod commands;
mod control_input;
mod daemon_state;
mod doctor;
mod exit;
mod fetch;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image_inputs;
mod image_size;
mod interrupt;
mod job_spec;
mod json;
mod mcp;
mod metadata;
mod models;
mod output;
mod prepare;
mod progress;
mod prompt;
mod prompt_advice;
mod run_job;
mod settings;
mod stderr;
mod terminal_image;
mod version;

use std::io::Write;
use std::process::ExitCode;

use zimg_client::{Failure, Kind};
use zimg_system::{closed_at_start, processes, signals, stack};

use crate::cli::{Cli, Command, DocsCommand, usage_error, wants_json};
use crate::exit::Exit;

/// Runs the program with the arguments of the process, whatever `ulimit -s` is.
pub fn run_with_stack() -> ExitCode {
    let is_decoder = std::env::args_os().next().is_some_and(|name| name == zimg_image::DECODER);
    let program = if is_decoder { zimg_image::run_decoder } else { run };
    stack::with_stack(program).unwrap_or_else(|error| {
        let message = format!("cannot start a thread: {}", processes::explain(&error));
        tell(&Failure::new(Kind::Internal, message), false)
    })
}

/// Runs the program with the arguments of the process.
fn run() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            let words = || std::env::args_os().skip(1);
            if let Some(failure) = usage_error(&error, words()) {
                return tell(&failure, wants_json(words()));
            }
            if error.use_stderr() {
                let help = error.render();
                let coloured = format::coloured().then(|| help.ansi().to_string());
                stderr::say(&coloured.unwrap_or_else(|| help.to_string()));
                return Kind::Usage.exit_code().into();
            }
            if closed_at_start::is_closed(1) {
                return tell(&stdout_closed(), false);
            }
            // Help and version are no errors, nor is a closed pipe while they are printed.
            return match error.print().map_err(|error| Exit::stdout(&error)) {
                Err(Exit::Failed(failure)) => tell(&failure, false),
                _ => ExitCode::SUCCESS,
            };
        }
    };
    if closed_at_start::is_closed(1) && prints(&cli) {
        return tell(&stdout_closed(), false);
    }
    signals::survive_file_size_limit();
    let flushed = || std::io::stdout().flush().map_err(|error| Exit::stdout(&error));
    match commands::run(&cli).and_then(|()| flushed()) {
        Ok(()) | Err(Exit::PipeClosed) => ExitCode::SUCCESS,
        Err(Exit::Signalled(signal)) => (128 + signal as u8).into(),
        Err(Exit::Failed(failure)) => tell(&failure, cli.common.json),
    }
}

/// Whether the command's product is on standard output. `-o -` is checked with the other names.
fn prints(cli: &Cli) -> bool {
    match &cli.command {
        Command::Draw(draw) => cli.common.json || draw.detach,
        Command::Redo(_) | Command::Wait(_) | Command::Cancel(_) => cli.common.json,
        Command::Sleep | Command::Wake => cli.common.json,
        Command::GenerateDocs(DocsCommand::Man(folder)) => folder.is_none(),
        _ => true,
    }
}

fn stdout_closed() -> Failure {
    let message = "standard output is closed, expected one that is open for writing";
    Failure::new(Kind::Io, message)
}

/// Prints the failure on standard error and returns its exit code.
fn tell(failure: &Failure, json: bool) -> ExitCode {
    if json {
        let _ = json::print(&json::FailedEvent::from(failure));
    }
    let [red, cyan, plain] =
        if format::coloured() { ["\x1b[1;31m", "\x1b[36m", "\x1b[0m"] } else { [""; 3] };
    let mut text = format!("{red}zimg:{plain} {}\n", format::sentence(&failure.message));
    if let Some(hint) = &failure.hint {
        text += &format!("{cyan}hint:{plain} {}\n", format::sentence(hint));
    }
    stderr::say(&text);
    failure.kind.exit_code().into()
}
