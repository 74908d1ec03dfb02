//! How a worker process ended, and whether its job may be the cause.

use nix::sys::signal::Signal;
use zimg_protocol::error::Kind;
use zimg_system::processes;

/// The exit status for a wrong configuration: no restart.
const CONFIG: i32 = Kind::Config.exit_code() as i32;
/// The exit status after a sticky CUDA error, which only a new process can clear.
const GPU_FAILED: i32 = 71;
/// Signals that an operator sends, or the kernel when memory runs out, and not the process's own
/// errors.
const EXTERNAL_SIGNALS: [Signal; 7] = [
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
    /// The last lines of its standard error.
    pub stderr_tail: Option<String>,
    /// Its last message was incomplete.
    pub truncated: bool,
    /// It closed its socket without exiting, so that it was killed.
    pub still_running: bool,
    /// What it had too little of, if that ended it.
    pub shortage: Option<Shortage>,
}

/// What a process had too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Memory: the kernel killed it; bytes that its control groups allow, if they limit them.
    Memory(Option<u64>),
    /// Address space: an allocation failed; bytes that `ulimit -v` allows.
    AddressSpace(u64),
    /// Memory of its own: an allocation failed; bytes that `ulimit -d` allows.
    Data(u64),
}

/// What a program or a library prints when an allocation fails: libtorch, Rust, C++, the loader, libc.
const ALLOCATION_FAILED: [&str; 5] = [
    "can't allocate memory",
    "memory allocation of",
    "bad_alloc",
    "failed to map segment",
    "annot allocate memory",
];

/// The cause of a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The worker itself: its job may be the cause.
    Own,
    /// An operator or the kernel: its job is not the cause.
    Outside,
    /// A smaller memory plan is made: nothing failed.
    Replan,
}

impl Exit {
    /// Whether the worker reports a wrong configuration.
    pub(crate) fn is_config(&self) -> bool {
        self.code == Some(CONFIG)
    }

    /// The cause.
    pub(crate) fn fault(&self) -> Fault {
        let signal = self.signal.and_then(|signal| Signal::try_from(signal).ok());
        if !self.still_running && signal.is_some_and(|signal| EXTERNAL_SIGNALS.contains(&signal)) {
            Fault::Outside
        } else {
            Fault::Own
        }
    }

    /// Whether its last words are that an allocation failed.
    pub(crate) fn is_refused_memory(&self) -> bool {
        let tail = self.stderr_tail.as_deref().unwrap_or_default();
        ALLOCATION_FAILED.iter().any(|words| tail.contains(words))
    }

    /// What an administrator can do about it, if that is known.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self.shortage? {
            Shortage::Memory(Some(_)) => {
                "allow more memory (`MemoryMax=` of the unit, `--memory` of the container)"
            }
            Shortage::Memory(None) => "end other programs, or add memory",
            Shortage::AddressSpace(_) => "raise `ulimit -v` (`LimitAS=` of the unit)",
            Shortage::Data(_) => "raise `ulimit -d` (`LimitDATA=` of the unit)",
        })
    }

    /// The end in one sentence, with the tail of standard error.
    pub(crate) fn sentence(&self) -> String {
        match self.shortage {
            // Its last lines are of work that went well.
            Some(Shortage::Memory(allowed)) => return killed_for_memory(allowed),
            Some(Shortage::AddressSpace(allowed)) => {
                return self.with_stderr(&format!(
                    "the worker did not get the memory it needs: {} of address space are allowed \
                     here (ulimit -v)",
                    mebibytes(allowed)
                ));
            }
            Some(Shortage::Data(allowed)) => {
                return self.with_stderr(&format!(
                    "the worker did not get the memory it needs: {} of data are allowed here \
                     (ulimit -d)",
                    mebibytes(allowed)
                ));
            }
            None => {}
        }
        self.with_stderr(&match (self.code, self.signal) {
            _ if self.still_running => "the worker closed its socket and did not end".to_owned(),
            (_, Some(signal)) => format!("the worker was ended by {}", signal_name(signal)),
            (Some(GPU_FAILED), None) => "the GPU failed and its worker was given up".to_owned(),
            (Some(code), None) if self.truncated => {
                format!("the worker ended in the middle of a message, with status {code}")
            }
            (Some(code), None) => format!("the worker ended with status {code}"),
            (None, None) => "the worker ended".to_owned(),
        })
    }

    /// A sentence with the tail of standard error.
    pub(crate) fn with_stderr(&self, how: &str) -> String {
        match &self.stderr_tail {
            Some(words) => format!("{how}: {}", processes::explain_text(words)),
            None => how.to_owned(),
        }
    }
}

fn killed_for_memory(allowed: Option<u64>) -> String {
    match allowed {
        Some(bytes) => format!(
            "the kernel ended the worker for lack of memory: {} are allowed here",
            mebibytes(bytes)
        ),
        None => "the kernel ended the worker for lack of memory: the machine has none left".into(),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
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
    fn signals_of_operator_and_kernel_are_external() {
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
    fn a_kill_in_the_middle_of_a_message_is_external_and_a_kill_after_closing_is_not() {
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
    fn a_shortage_is_told_with_its_limit_and_not_as_a_signal() {
        let killed = |allowed| Exit {
            shortage: Some(Shortage::Memory(allowed)),
            stderr_tail: Some("memory allocated and small files read in 0.02 s".into()),
            ..exit(None, Some(9))
        };
        let limited = killed(Some(120 << 20));
        assert_eq!(
            (limited.fault(), &*limited.sentence()),
            (
                Fault::Outside,
                "the kernel ended the worker for lack of memory: 120 MiB are allowed here"
            )
        );
        assert!(killed(None).sentence().ends_with("the machine has none left"));
        let words = "Cannot allocate memory (os error 12)";
        let refused = Exit {
            shortage: Some(Shortage::AddressSpace(400 << 20)),
            stderr_tail: Some(words.into()),
            ..exit(Some(127), None)
        };
        assert!(refused.is_refused_memory());
        let sentence = refused.sentence();
        assert!(sentence.contains("400 MiB of address space") && sentence.ends_with(words));
        let refused = Exit { shortage: Some(Shortage::Data(10 << 20)), ..refused };
        let sentence = refused.sentence();
        assert!(sentence.contains("10 MiB of data are allowed here (ulimit -d)"), "{sentence}");
        assert!(refused.advice().unwrap().contains("LimitDATA="));
        assert!(!exit(Some(127), None).is_refused_memory());
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
