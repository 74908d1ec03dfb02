//! The program `zimg-web`: command line, log and exit code around `zimg_web::serve`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use zimg_client::{Failure, Kind};
use zimg_image::{DECODER, run_decoder};
use zimg_system::log::{LogSink, Wait};
use zimg_system::signals;
use zimg_web::Args;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == DECODER) {
        return run_decoder();
    }
    signals::survive_log_files_and_terminals();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return report(&usage(&error)),
        Err(help) => return printed(help.print()),
    };
    if let Some(name) = &args.new_key {
        return match zimg_web::new_key(&args, name) {
            Ok(key) => printed(writeln!(stdout(), "{key}")),
            Err(failure) => report(&failure),
        };
    }
    // With a link a person reads it, for whom that it listens is no news.
    zimg_web::log::start(if args.link { "warn" } else { "info" });
    let code = match zimg_web::serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.kind.exit_code();
            tracing::error!(event = zimg_web::START_FAILED, code, "{}", failure.with_hint());
            ExitCode::from(code)
        }
    };
    zimg_web::log::finish();
    code
}

fn printed(result: std::io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            report(&Failure::new(Kind::Io, format!("cannot write to standard output: {error}")))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints a failure for the user at the terminal.
fn report(failure: &Failure) -> ExitCode {
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}\n")).collect::<String>();
    LogSink::stderr().write(format!("zimg-web: {failure}\n{hint}").as_bytes(), Wait::Briefly);
    failure.kind.exit_code().into()
}

/// clap's first line as a sentence.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let message = line.strip_prefix("error: ").unwrap_or(line).trim_end_matches(':');
    Failure::new(Kind::Usage, message).hint("see `zimg-web --help`")
}
