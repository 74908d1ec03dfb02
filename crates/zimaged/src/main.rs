//! zimaged: keeps a worker with the model running and draws for clients on a Unix socket.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;
use zimaged::Args;
use zimg_protocol::Kind;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(shown) => {
            // Help and version are asked for; printing them can only fail where nobody reads.
            let _ = shown.print();
            return match shown.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(Kind::Usage.exit_code()),
            };
        }
    };
    if args.check {
        return check(&args);
    }
    start_log();
    match zimaged::serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match &failure.hint {
                Some(hint) => tracing::error!("{failure}; {hint}"),
                None => tracing::error!("{failure}"),
            }
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Prints the settings, and what is wrong with them.
fn check(args: &Args) -> ExitCode {
    let (text, wrong) = match zimaged::check(args) {
        Ok((text, wrong)) => (text, wrong),
        Err(failure) => (String::new(), Some(failure)),
    };
    // Who does not read it does not want to know.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let Some(failure) = wrong else { return ExitCode::SUCCESS };
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}\n")).collect::<String>();
    let _ = std::io::stderr().write_all(format!("zimaged: {failure}\n{hint}").as_bytes());
    failure.kind.exit_code().into()
}

/// Logs to standard error; the journal has its own clock.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    if journal {
        log.without_time().init();
    } else {
        log.init();
    }
}
