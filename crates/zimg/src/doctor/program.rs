//! Running another program with a timeout, and its output.

use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The time limit of a program: a worker may load its libraries from a slow disk.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The output of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether the exit status was 0.
    pub(super) well: bool,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// The last line of its output.
    pub(super) fn complaint(&self) -> String {
        let last =
            |text: &str| text.lines().map(str::trim).rfind(|l| !l.is_empty()).map(str::to_owned);
        last(&self.err)
            .or_else(|| last(&self.out))
            .unwrap_or_else(|| "it printed nothing".to_owned())
    }
}

/// Runs a program and returns its output.
///
/// # Errors
///
/// The reason in words: the program does not exist or hangs.
pub(super) fn ask(command: &mut Command) -> Result<Said, String> {
    ask_for(command, TIMEOUT)
}

fn ask_for(command: &mut Command, timeout: Duration) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is not installed"),
        _ => format!("cannot run {name}: {error}"),
    })?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let (ended, ends) = channel();
    thread::spawn(move || {
        // Sending fails if the timeout has passed.
        let _ = ended.send(child.wait_with_output());
    });
    match ends.recv_timeout(timeout) {
        Ok(Ok(output)) => Ok(Said {
            well: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Ok(Err(error)) => Err(format!("cannot read the output of {name}: {error}")),
        Err(_) => {
            // The thread has not waited for it yet, so the process id is still its own.
            let _ = kill(pid, Signal::SIGKILL);
            Err(format!("{name} did not exit within {timeout:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_it_says_is_heard() {
        let said = ask(&mut sh("echo a; echo b >&2; echo ' c ' >&2; echo >&2; exit 3")).unwrap();
        assert_eq!((said.well, &*said.out, said.complaint()), (false, "a\n", "c".to_owned()));
        let quiet = ask(&mut sh("exit 0")).unwrap();
        assert_eq!((quiet.well, quiet.complaint()), (true, "it printed nothing".to_owned()));
    }

    #[test]
    fn what_is_not_there_or_hangs_is_said() {
        let nothing = ask(&mut Command::new("/nowhere/at-all")).unwrap_err();
        assert_eq!(nothing, "/nowhere/at-all is not installed");
        let hangs = ask_for(&mut sh("exec sleep 1000"), Duration::from_millis(20)).unwrap_err();
        assert_eq!(hangs, "/bin/sh did not exit within 20ms");
    }
}
