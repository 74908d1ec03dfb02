//! The program `zimaged`: command line, log and exit code around `zimaged::serve`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use zimaged::Args;
use zimg_protocol::{Failure, Kind};
use zimg_system::log::{LogSink, Wait};
use zimg_system::{closed_at_start, processes, signals, stack};

/// Runs before std gives closed descriptors another meaning.
#[used]
#[expect(unsafe_code, reason = "the section's name")]
// SAFETY: the section holds pointers to functions, and this one takes no arguments.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = closed_at_start::note_closed_descriptors;

fn main() -> ExitCode {
    signals::survive_log_files_and_terminals();
    stack::with_stack(run).unwrap_or_else(|error| {
        let why = processes::explain(&error);
        report(&Failure::new(Kind::Internal, format!("cannot start a thread: {why}")))
    })
}

fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return report(&usage_failure(&error)),
        Err(help) => return printed(help.print()),
    };
    if args.check {
        return check(&args);
    }
    zimaged::log::start();
    let code = match zimaged::serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.kind.exit_code();
            tracing::error!(event = zimaged::START_FAILED, code, "{}", failure.with_hint());
            ExitCode::from(failure.kind.exit_code())
        }
    };
    zimaged::log::finish();
    code
}

/// Prints the effective configuration, and what is wrong with it.
fn check(args: &Args) -> ExitCode {
    let (text, wrong) = match zimaged::check(args) {
        Ok((text, wrong)) => (text, wrong),
        Err(failure) => (String::new(), Some(failure)),
    };
    let printed = printed(stdout().write_all(text.as_bytes()));
    wrong.map_or(printed, |failure| report(&failure))
}

/// What became of what was asked for; a reader that has seen enough, as `head` has, is no failure.
fn printed(result: std::io::Result<()>) -> ExitCode {
    let message = match result {
        _ if closed_at_start::is_closed(1) => {
            "standard output is closed, expected one that is open for writing".to_owned()
        }
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            format!("cannot write to standard output: {error}")
        }
        _ => return ExitCode::SUCCESS,
    };
    report(&Failure::new(Kind::Io, message))
}

/// Prints a failure for the user at the terminal.
fn report(failure: &Failure) -> ExitCode {
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}\n")).collect::<String>();
    let text = format!("zimaged: {failure}\n{hint}");
    LogSink::stderr().write(text.as_bytes(), Wait::Briefly);
    failure.kind.exit_code().into()
}

/// A clap error as a sentence and a hint; the configuration checks values. `zimg` has its own
/// (`cli/usage`), because its hints know its commands.
fn usage_failure(error: &clap::Error) -> Failure {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.split(' ').next().unwrap_or_default()),
        _ => None,
    };
    let message = match (error.kind(), word(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(word)) if word.starts_with('-') => {
            let new = zimaged::config::renamed(word.trim_start_matches('-'));
            if let Some(new) = new {
                let message = format!("{word} is now called --{new}");
                return Failure::new(Kind::Usage, message).hint("see `zimaged --help`");
            }
            format!("there is no option {word}")
        }
        (ErrorKind::UnknownArgument, Some(word)) => {
            format!("zimaged takes only options, not '{word}'")
        }
        (ErrorKind::InvalidValue, Some(word)) => format!("{word} needs a value"),
        (ErrorKind::ArgumentConflict, Some(word)) => format!("{word} is given twice"),
        _ => error.to_string().lines().next().unwrap_or_default().replace("error: ", ""),
    };
    let hint = match word(ContextKind::SuggestedArg) {
        Some(other) => format!("did you mean {other}?"),
        None => "see `zimaged --help`".to_owned(),
    };
    Failure::new(Kind::Usage, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_a_sentence_and_a_hint() {
        let said = |words: &[&str]| {
            let failure = usage_failure(&Args::try_parse_from(words).unwrap_err());
            assert_eq!(failure.kind, Kind::Usage);
            (failure.message, failure.hint.unwrap())
        };
        let case = |words: &[&str], message: &str, hint: &str| {
            assert_eq!(said(&[&["zimaged"], words].concat()), (message.into(), hint.into()));
        };
        let see = "see `zimaged --help`";
        case(&["--sokcet", "s"], "there is no option --sokcet", "did you mean --socket?");
        case(&["-x"], "there is no option -x", see);
        case(&["--keep", "1d"], "--keep is now called --retention", see);
        case(&["--plain"], "--plain is now called --eager", see);
        case(&["start"], "zimaged takes only options, not 'start'", see);
        case(&["--model"], "--model needs a value", see);
        case(&["--eager", "--eager"], "--eager is given twice", see);
        case(
            &["--eager=no"],
            "unexpected value 'no' for '--eager' found; no more were expected",
            see,
        );
    }
}
