//! Check of the CPUs that the daemon may use: a quota below their number slows images on the CPU.

use zimg_system::cpus::Cpus;

use super::finding::Finding;

const TOPIC: &str = "cpus";
/// Less than a CPU slows the loading of weights and the commands to a GPU, too.
const MATTERS_TO_GPU: f64 = 1.0;

/// Checks the CPUs of the daemon, or of this process if none runs.
pub(super) fn look(pid: Option<u32>, device: &str) -> Finding {
    let (whose, cpus) = match pid {
        Some(pid) => ("zimaged's", Cpus::of_process(pid)),
        None => ("yours", Cpus::of_this_process()),
    };
    judged(whose, cpus, device)
}

fn judged(whose: &str, cpus: Cpus, device: &str) -> Finding {
    let Cpus { usable, .. } = cpus;
    match cpus.quota.filter(|quota| *quota < usable as f64) {
        Some(quota) if !device.starts_with("cuda") || quota < MATTERS_TO_GPU => Finding::warn(
            TOPIC,
            format!(
                "a quota allows {quota:.2} of {usable} CPUs ({whose}): on the CPU an image takes \
                 longer, and {} computes",
                if cpus.threads() == 1 {
                    "1 thread".to_owned()
                } else {
                    format!("{} threads", cpus.threads())
                }
            ),
            "raise `CPUQuota=` of the unit or `--cpus` of the container",
        ),
        _ => Finding::ok(TOPIC, format!("{usable} can be used ({whose})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_quota_that_matters_is_told() {
        let level = |usable, quota, device| judged("yours", Cpus { usable, quota }, device).level;
        assert_eq!(level(8, None, "auto"), Level::Ok);
        assert_eq!(level(8, Some(8.0), "cpu"), Level::Ok);
        assert_eq!(level(8, Some(2.0), "cuda:0"), Level::Ok);
        assert_eq!(level(8, Some(2.0), "auto"), Level::Warn);
        assert_eq!(level(8, Some(0.5), "cuda:0"), Level::Warn);
        let half = judged("yours", Cpus { usable: 2, quota: Some(0.5) }, "cpu");
        assert!(half.text.contains("0.50 of 2 CPUs"), "{half:?}");
    }
}
