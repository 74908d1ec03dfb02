//! The kernel's count of processes killed because memory ran out.

use std::fs;
use std::path::{Path, PathBuf};

/// The machine's counters (proc_vmstat(5)), used if the control group's are unknown.
const MACHINE: &str = "/proc/vmstat";
/// Where control groups (version 2) are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// The kills so far in the daemon's control group, or else on the machine; `None` if neither can be
/// read.
pub(crate) fn kills() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| events(&text));
    let count = |path: &Path| counted(&fs::read_to_string(path).ok()?);
    group.and_then(|path| count(&path)).or_else(|| count(Path::new(MACHINE)))
}

/// The event counters of the group in `/proc/self/cgroup`.
fn events(cgroup: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(GROUPS).join(path).join("memory.events"))
}

/// The count in either file; both have lines of a name and a number.
fn counted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_either_file() {
        assert_eq!(counted("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(counted("drop_slab 0\noom_kill 14\nnuma_hit 5\n"), Some(14));
        assert_eq!(counted("oom_kills 1\n"), None);
    }

    #[test]
    fn the_group_is_that_of_version_2() {
        let path = events("1:name=x:/a\n0::/system.slice/zimaged.service\n").unwrap();
        let expected = "/sys/fs/cgroup/system.slice/zimaged.service/memory.events";
        assert_eq!(path, Path::new(expected));
        assert_eq!(events("5:memory:/user\n"), None);
    }
}
