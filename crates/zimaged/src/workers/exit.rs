//! How a worker's process ended, and whose doing it was.

use nix::sys::signal::Signal;
use zimg_protocol::error::Kind;

/// A worker's exit status that says: the configuration is wrong, do not start me again.
const CONFIG: i32 = Kind::Config.exit_code() as i32;
/// A worker's exit status that says: the GPU has failed for good in this process.
const STICKY: i32 = 71;
/// Signals that a process does not get by its own mistake: an operator sends them, or the kernel
/// when memory runs out.
const FROM_OUTSIDE: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGKILL,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its exit status, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The last lines that it wrote to standard error.
    pub stderr_tail: Option<String>,
    /// Its last message was not whole.
    pub truncated: bool,
    /// It closed its socket and went on, so that it had to be killed.
    pub still_running: bool,
}

/// Whose doing a death was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The worker's own: its job may be the reason.
    Own,
    /// Somebody's or something's outside: its job has nothing to do with it.
    Outside,
}

impl Exit {
    /// Whether the worker says that its configuration is wrong.
    pub(crate) fn is_config(&self) -> bool {
        self.code == Some(CONFIG)
    }

    /// Whose doing it was.
    pub(crate) fn fault(&self) -> Fault {
        let signal = self.signal.and_then(|signal| Signal::try_from(signal).ok());
        if !self.still_running && signal.is_some_and(|signal| FROM_OUTSIDE.contains(&signal)) {
            Fault::Outside
        } else {
            Fault::Own
        }
    }

    /// The end in one sentence, with the worker's own last words.
    pub(crate) fn sentence(&self) -> String {
        self.with_stderr(&match (self.code, self.signal) {
            _ if self.still_running => "the worker closed its socket and did not end".to_owned(),
            (_, Some(signal)) => format!("the worker was ended by {}", signal_name(signal)),
            (Some(STICKY), None) => "the GPU failed and its worker was given up".to_owned(),
            (Some(code), None) if self.truncated => {
                format!("the worker ended in the middle of a message, with status {code}")
            }
            (Some(code), None) => format!("the worker ended with status {code}"),
            (None, None) => "the worker ended".to_owned(),
        })
    }

    /// A sentence with the worker's last words.
    pub(crate) fn with_stderr(&self, how: &str) -> String {
        match &self.stderr_tail {
            Some(words) => format!("{how}: {words}"),
            None => how.to_owned(),
        }
    }
}

/// "SIGKILL" for 9, and the number for what has no name.
fn signal_name(signal: i32) -> String {
    Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |known| known.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: Option<i32>, signal: Option<i32>) -> Exit {
        Exit { code, signal, ..Exit::default() }
    }

    #[test]
    fn what_an_operator_or_the_kernel_sends_is_not_the_workers_doing() {
        for signal in [1, 2, 9, 15] {
            assert_eq!(exit(None, Some(signal)).fault(), Fault::Outside, "{signal}");
        }
        for signal in [4, 6, 7, 8, 11, 31, 34] {
            assert_eq!(exit(None, Some(signal)).fault(), Fault::Own, "{signal}");
        }
        for code in [0, 1, 70, 71, 101] {
            assert_eq!(exit(Some(code), None).fault(), Fault::Own, "{code}");
        }
    }

    #[test]
    fn who_is_killed_in_the_middle_of_a_message_is_killed_and_who_had_to_be_was_not() {
        let truncated = Exit { truncated: true, ..exit(None, Some(9)) };
        assert_eq!(
            (truncated.fault(), &*truncated.sentence()),
            (Fault::Outside, "the worker was ended by SIGKILL")
        );
        let ended = Exit { truncated: true, ..exit(Some(0), None) };
        assert_eq!(ended.fault(), Fault::Own);
        assert_eq!(ended.sentence(), "the worker ended in the middle of a message, with status 0");
        let still_running = Exit { still_running: true, ..exit(None, Some(9)) };
        assert_eq!(still_running.fault(), Fault::Own);
    }

    #[test]
    fn an_end_is_one_sentence() {
        let mut end = exit(None, Some(11));
        assert_eq!(end.sentence(), "the worker was ended by SIGSEGV");
        end.stderr_tail = Some("illegal address".into());
        assert_eq!(end.sentence(), "the worker was ended by SIGSEGV: illegal address");
        assert_eq!(exit(None, Some(34)).sentence(), "the worker was ended by signal 34");
        assert_eq!(exit(Some(3), None).sentence(), "the worker ended with status 3");
        assert!(exit(Some(71), None).sentence().starts_with("the GPU failed"));
    }
}
