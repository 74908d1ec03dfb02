//! zimaged: keeps a worker with the model running and draws for clients on a Unix socket.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use tracing_subscriber::EnvFilter;
use zimaged::Args;
use zimg_protocol::{Failure, Kind};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return say(&mistake(&error)),
        Err(help) => {
            // It is asked for; printing it can only fail where nobody reads.
            let _ = help.print();
            return ExitCode::SUCCESS;
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
    wrong.map_or(ExitCode::SUCCESS, |failure| say(&failure))
}

/// Says what is wrong to whoever typed it.
fn say(failure: &Failure) -> ExitCode {
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}\n")).collect::<String>();
    let _ = std::io::stderr().write_all(format!("zimaged: {failure}\n{hint}").as_bytes());
    failure.kind.exit_code().into()
}

/// What clap has to say of a mistake, in a sentence and a hint. Values it does not know.
fn mistake(error: &clap::Error) -> Failure {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.split(' ').next().unwrap_or_default()),
        _ => None,
    };
    let message = match (error.kind(), word(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(word)) if word.starts_with('-') => {
            format!("there is no option {word}")
        }
        (ErrorKind::UnknownArgument, Some(word)) => format!("it takes options alone, not '{word}'"),
        (ErrorKind::InvalidValue, Some(word)) => format!("{word} needs a value"),
        (ErrorKind::ArgumentConflict, Some(word)) => format!("{word} is there twice"),
        _ => error.to_string().lines().next().unwrap_or_default().replace("error: ", ""),
    };
    let hint = match word(ContextKind::SuggestedArg) {
        Some(other) => format!("did you mean {other}?"),
        None => "see `zimaged --help`".to_owned(),
    };
    Failure::new(Kind::Usage, message).hint(hint)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_a_sentence_and_a_hint() {
        let said = |words: &[&str]| {
            let failure = mistake(&Args::try_parse_from(words).unwrap_err());
            assert_eq!(failure.kind, Kind::Usage);
            (failure.message, failure.hint.unwrap())
        };
        let case = |words: &[&str], message: &str, hint: &str| {
            assert_eq!(said(&[&["zimaged"], words].concat()), (message.into(), hint.into()));
        };
        let see = "see `zimaged --help`";
        case(&["--sokcet", "s"], "there is no option --sokcet", "did you mean --socket?");
        case(&["-x"], "there is no option -x", see);
        case(&["start"], "it takes options alone, not 'start'", see);
        case(&["--model"], "--model needs a value", see);
        case(&["--plain", "--plain"], "--plain is there twice", see);
        case(
            &["--plain=no"],
            "unexpected value 'no' for '--plain' found; no more were expected",
            see,
        );
    }
}
