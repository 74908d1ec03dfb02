//! CPUs that this process may use: those of its affinity (which a cpuset sets), and the quota of
//! its control groups.

use std::thread;

use rustix::process::Pid;

use crate::cgroup::{Cgroups, Version};

/// What may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpus {
    /// CPUs that threads may run on.
    pub usable: usize,
    /// CPU seconds a second, if a quota limits them.
    pub quota: Option<f64>,
}

impl Cpus {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self::new(None, &Cgroups::of_this_process())
    }

    /// Those of another process.
    pub fn of_process(pid: u32) -> Self {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self::new(process, &Cgroups::of_process(pid))
    }

    fn new(process: Option<Pid>, cgroups: &Cgroups) -> Self {
        let set = rustix::thread::sched_getaffinity(process).ok();
        let usable = set.map_or(0, |set| set.count() as usize);
        let usable = if usable > 0 {
            usable
        } else {
            thread::available_parallelism().map_or(1, usize::from)
        };
        Self { usable, quota: quota_in(cgroups) }
    }

    /// How many threads compute without being throttled for most of each period. A broken quota is
    /// rounded up, as the JVM and Go 1.25 do: with 1.5 CPUs, two threads do more than one.
    pub fn threads(&self) -> usize {
        let quota = self.quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
        self.usable.min(quota).max(1)
    }

    /// Whether the quota allows fewer threads than there are CPUs.
    pub fn is_limited(&self) -> bool {
        self.threads() < self.usable
    }
}

/// The tightest quota of the groups.
fn quota_in(cgroups: &Cgroups) -> Option<f64> {
    let groups = cgroups.groups("cpu");
    let quotas = groups.iter().filter_map(|group| {
        let (quota, period): (f64, f64) = match group.version {
            Version::V2 => {
                let text = group.read("cpu.max")?;
                let (quota, period) = text.split_once(' ')?;
                // "max" is no number.
                (quota.parse().ok()?, period.parse().ok()?)
            }
            // No quota is -1.
            Version::V1 => (
                group.read("cpu.cfs_quota_us")?.parse().ok()?,
                group.read("cpu.cfs_period_us")?.parse().ok()?,
            ),
        };
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    });
    quotas.min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{V1, V2, tree};

    fn quota(groups: &[(&str, &str)], files: &[(&str, &str)]) -> Option<f64> {
        quota_in(&Cgroups::under(tree(&[groups, files].concat()).path()))
    }

    #[test]
    fn the_tightest_quota_of_all_groups_counts() {
        let own = "sys/fs/cgroup/system.slice/zimaged.service/cpu.max";
        let around = "sys/fs/cgroup/system.slice/cpu.max";
        assert_eq!(quota(&V2, &[(own, "50000 100000\n")]), Some(0.5));
        assert_eq!(quota(&V2, &[(own, "max 100000\n"), (around, "150000 100000\n")]), Some(1.5));
        assert_eq!(quota(&V2, &[(own, "max 100000\n")]), None);
        let v1 = |quota_us| {
            quota(
                &V1,
                &[
                    ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota_us),
                    ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n"),
                ],
            )
        };
        assert_eq!(v1("200000\n"), Some(4.0));
        assert_eq!(v1("-1\n"), None);
        for damaged in ["", "a b", "1", "0 0", "50000 0"] {
            assert_eq!(quota(&V2, &[(own, damaged)]), None, "{damaged}");
        }
    }

    #[test]
    fn threads_are_bounded_by_cpus_and_quota() {
        let threads = |usable, quota| Cpus { usable, quota }.threads();
        assert_eq!([threads(8, None), threads(8, Some(16.0)), threads(8, Some(2.0))], [8, 8, 2]);
        assert_eq!(
            [threads(8, Some(1.5)), threads(8, Some(0.1)), threads(1, Some(0.5))],
            [2, 1, 1]
        );
        let limited = |usable, quota| Cpus { usable, quota: Some(quota) }.is_limited();
        assert!(limited(2, 0.5) && !limited(2, 1.5) && !limited(2, 2.0));
    }
}
