//! Threads and processes that may be started here, files that may be open, and the sentence when
//! there may be no more.

use std::fmt::Write;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::cgroup::Cgroups;

/// The files that this process may have open (`ulimit -n`), if it is limited.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Why a thread or a process cannot be started, with the limit that is reached.
pub fn explain(error: &io::Error) -> String {
    explained(error, &Limits::of_this_process())
}

/// The same for a message of another program or library in which that error ends a sentence about
/// threads: libgomp's, for example.
pub fn explain_text(text: &str) -> String {
    let is_about_them =
        ["thread", "Thread", "fork", "clone"].iter().any(|word| text.contains(word));
    if !is_about_them || !text.contains(AGAIN) {
        return text.to_owned();
    }
    let limits = explain(&Errno::AGAIN.into());
    text.replace(&format!("{AGAIN} (os error 11)"), &limits).replace(AGAIN, &limits)
}

/// What strerror(3) says of EAGAIN.
const AGAIN: &str = "Resource temporarily unavailable";

/// The limits; root is exempt from the first.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    /// `ulimit -u`: of the user, in all groups.
    user: Option<u64>,
    /// `pids.max`, the tightest.
    group: Option<u64>,
    /// `ulimit -n`: files of this process.
    files: Option<u64>,
}

impl Limits {
    fn of_this_process() -> Self {
        let is_exempt = rustix::process::geteuid().is_root();
        let user = getrlimit(Resource::Nproc).current.filter(|_| !is_exempt);
        Self { user, group: pids_in(&Cgroups::of_this_process()), files: open_files() }
    }
}

fn pids_in(cgroups: &Cgroups) -> Option<u64> {
    // "max" is no number.
    cgroups.groups("pids").iter().filter_map(|group| group.read("pids.max")?.parse().ok()).min()
}

fn explained(error: &io::Error, limits: &Limits) -> String {
    if let (Some(Errno::MFILE), Some(files)) = (Errno::from_io_error(error), limits.files) {
        return format!("Too many open files: {files} are allowed here (ulimit -n)");
    }
    // clone(2), pthread_create(3): what a limit of either kind answers.
    if error.raw_os_error() != Some(Errno::AGAIN.raw_os_error()) {
        return error.to_string();
    }
    let mut text = "no more threads and processes can be started".to_owned();
    let user = limits.user.map(|limit| format!("{limit} are allowed for this user (ulimit -u)"));
    let group = limits.group.map(|limit| format!("{limit} in this control group (pids.max)"));
    let all: Vec<_> = user.into_iter().chain(group).collect();
    if !all.is_empty() {
        let _ = write!(text, ": {}", all.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{V1, V2, tree};

    #[test]
    fn a_refused_thread_is_told_with_the_limits() {
        let again = io::Error::from(Errno::AGAIN);
        let said = |user, group| explained(&again, &Limits { user, group, files: None });
        assert_eq!(
            said(Some(3), None),
            "no more threads and processes can be started: 3 are allowed for this user (ulimit -u)"
        );
        assert_eq!(
            said(Some(9), Some(4)),
            "no more threads and processes can be started: 9 are allowed for this user (ulimit \
             -u), 4 in this control group (pids.max)"
        );
        assert_eq!(said(None, None), "no more threads and processes can be started");
        let files = Limits { files: Some(16), ..Limits::default() };
        assert_eq!(
            explained(&Errno::MFILE.into(), &files),
            "Too many open files: 16 are allowed here (ulimit -n)"
        );
        let other = io::Error::from(Errno::NOENT);
        assert_eq!(explained(&other, &Limits::default()), other.to_string());
    }

    #[test]
    fn other_programs_messages_about_threads_are_explained() {
        let limits = explain(&Errno::AGAIN.into());
        let said =
            explain_text("libgomp: Thread creation failed: Resource temporarily unavailable");
        assert_eq!(said, format!("libgomp: Thread creation failed: {limits}"));
        let error = io::Error::from(Errno::AGAIN);
        assert_eq!(explain_text(&format!("a thread: {error}")), format!("a thread: {limits}"));
        let other = "read: Resource temporarily unavailable";
        assert_eq!(explain_text(other), other);
    }

    #[test]
    fn the_tightest_group_counts() {
        let pids = |groups: &[(&str, &str)], files: &[(&str, &str)]| {
            pids_in(&Cgroups::under(tree(&[groups, files].concat()).path()))
        };
        let own = "sys/fs/cgroup/system.slice/zimaged.service/pids.max";
        let around = "sys/fs/cgroup/system.slice/pids.max";
        assert_eq!(pids(&V2, &[(own, "max\n"), (around, "100\n")]), Some(100));
        assert_eq!(pids(&V1, &[("sys/fs/cgroup/pids/pids.max", "7\n")]), Some(7));
        assert_eq!(pids(&[], &[]), None);
    }
}
