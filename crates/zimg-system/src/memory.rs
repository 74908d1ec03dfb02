//! Memory that this process may use, and how often the kernel has killed for the lack of it.

use rustix::process::{Resource, getrlimit};

use crate::cgroup::{Cgroups, Version};

/// The machine's counters (proc_vmstat(5)), used where the control group's are unknown.
const MACHINE: &str = "/proc/vmstat";

/// The kills so far in the control group of this process, or else on the machine; `None` if neither
/// can be read.
pub fn oom_kills() -> Option<u64> {
    oom_kills_in(&Cgroups::of_this_process())
        .or_else(|| counted(&std::fs::read_to_string(MACHINE).ok()?))
}

fn oom_kills_in(cgroups: &Cgroups) -> Option<u64> {
    let own = cgroups.groups("memory").into_iter().next()?;
    counted(&own.read(match own.version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    })?)
}

/// The count in any of these files; each has lines of a name and a number.
fn counted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The bytes that the control groups allow, if they limit memory.
pub fn allowed() -> Option<u64> {
    allowed_in(&Cgroups::of_this_process())
}

fn allowed_in(cgroups: &Cgroups) -> Option<u64> {
    let groups = cgroups.groups("memory");
    let limits = groups.iter().filter_map(|group| match group.version {
        // "max" is no number.
        Version::V2 => group.read("memory.max")?.parse().ok(),
        // No limit is the highest number of whole pages.
        Version::V1 => {
            group.read("memory.limit_in_bytes")?.parse().ok().filter(|limit| *limit < 1 << 62)
        }
    });
    limits.min()
}

/// The bytes of address space that `ulimit -v` allows, if it limits them.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// The bytes of writable memory of its own that `ulimit -d` allows a process, if it limits them.
pub fn data() -> Option<u64> {
    getrlimit(Resource::Data).current
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{V1, V2, tree};

    fn seen(groups: &[(&str, &str)], files: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let root = tree(&[groups, files].concat());
        let cgroups = Cgroups::under(root.path());
        (oom_kills_in(&cgroups), allowed_in(&cgroups))
    }

    #[test]
    fn kills_are_those_of_the_group_and_the_limit_is_the_tightest_around_it() {
        let own = "sys/fs/cgroup/system.slice/zimaged.service/";
        let events = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n";
        let (kills, max) = (&*format!("{own}memory.events"), &*format!("{own}memory.max"));
        let around = "sys/fs/cgroup/system.slice/memory.max";
        assert_eq!(seen(&V2, &[(kills, events), (max, "max\n")]), (Some(2), None));
        assert_eq!(seen(&V2, &[(max, "200\n"), (around, "100\n")]), (None, Some(100)));
        let v1 = |limit| {
            seen(
                &V1,
                &[
                    (
                        "sys/fs/cgroup/memory/memory.oom_control",
                        "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
                    ),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", limit),
                ],
            )
        };
        assert_eq!(v1("125829120\n"), (Some(5), Some(125_829_120)));
        assert_eq!(v1("9223372036854771712\n"), (Some(5), None));
        assert_eq!(seen(&[], &[]), (None, None));
    }

    #[test]
    fn kills_are_counted_in_each_file() {
        assert_eq!(counted("drop_slab 0\noom_kill 14\nnuma_hit 5\n"), Some(14));
        assert_eq!(counted("oom_kills 1\noom_kill_disable 0\n"), None);
    }
}
