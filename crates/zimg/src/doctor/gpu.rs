//! Checks of the GPU: driver, libtorch with CUDA, free memory and the processes that use the rest.
//!
//! Source: nvidia-smi(1)'s queries, and /proc/driver/nvidia/version where there is none.

use std::fs;
use std::process::Command;

use super::finding::Finding;
use super::program::ask;
use super::programs::Libtorch;
use crate::format;

const TOPIC: &str = "gpu";
const MEMORY: &str = "memory";
/// The first driver for CUDA 13, which the libtorch with CUDA is built for.
const OLDEST_DRIVER: u32 = 580;
const DRIVER: &str = "/proc/driver/nvidia/version";

/// A GPU as nvidia-smi shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gpu {
    name: String,
    /// Bytes, if the driver reports them.
    memory: Option<(u64, u64)>,
}

/// A process that uses memory of the GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    bytes: Option<u64>,
    name: String,
}

/// Checks the GPUs. `device` is the setting; `needed` is the size of the weights, if no worker
/// runs.
pub(super) fn look(libtorch: Option<&Libtorch>, device: &str, needed: Option<u64>) -> Vec<Finding> {
    let driver = fs::read_to_string(DRIVER).ok().and_then(|text| driver_of(&text));
    let query = "--query-gpu=driver_version,memory.used,memory.total,name";
    let gpus = smi(query).unwrap_or_default();
    let version =
        driver.or_else(|| Some(gpus.lines().next()?.split(',').next()?.trim().to_owned()));
    let gpus: Vec<_> = gpus.lines().filter_map(gpu).collect();
    let mut findings = vec![pairing(&gpus, version.as_deref(), libtorch, device)];
    // The worker uses the configured GPU, else the first.
    let number = device.strip_prefix("cuda:").and_then(|n| n.parse().ok()).unwrap_or(0);
    if let Some(gpu) = gpus.get::<usize>(number).filter(|_| device != "cpu") {
        let holders = smi("--query-compute-apps=pid,used_memory,process_name").unwrap_or_default();
        let holders: Vec<_> = holders.lines().filter_map(holder).collect();
        findings.extend(memory(gpu, &holders, needed));
    }
    findings
}

/// Bytes that are free on the configured GPU, if there is one.
pub(super) fn free(device: &str) -> Option<u64> {
    let gpus = smi("--query-gpu=driver_version,memory.used,memory.total,name")?;
    let number = device.strip_prefix("cuda:").and_then(|number| number.parse().ok()).unwrap_or(0);
    let (used, total) = gpus.lines().filter_map(gpu).nth(number)?.memory?;
    Some(total.saturating_sub(used))
}

fn smi(query: &str) -> Option<String> {
    let mut command = Command::new("nvidia-smi");
    let said = ask(command.args([query, "--format=csv,noheader,nounits"])).ok()?;
    said.well.then_some(said.out)
}

/// The version in the text of the kernel module: its first word that is one.
fn driver_of(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

fn gpu(line: &str) -> Option<Gpu> {
    let mut fields = line.splitn(4, ',').map(str::trim).skip(1);
    let used = mebibytes(fields.next()?);
    let total = mebibytes(fields.next()?);
    Some(Gpu { name: fields.next()?.to_owned(), memory: used.zip(total) })
}

fn holder(line: &str) -> Option<Holder> {
    let mut fields = line.splitn(3, ',').map(str::trim);
    let pid = fields.next()?.parse().ok()?;
    Some(Holder { pid, bytes: mebibytes(fields.next()?), name: fields.next()?.to_owned() })
}

fn mebibytes(text: &str) -> Option<u64> {
    text.parse::<u64>().ok()?.checked_mul(1 << 20)
}

/// Checks that driver, libtorch and `device` fit each other.
fn pairing(
    gpus: &[Gpu],
    driver: Option<&str>,
    libtorch: Option<&Libtorch>,
    device: &str,
) -> Finding {
    if device == "cpu" {
        return Finding::ok(TOPIC, "not used: `device` is cpu");
    }
    // A GPU that is configured by name must exist; else images are generated on the CPU.
    let must = device != "auto";
    let without = |text: String, fix: &str| {
        if must {
            Finding::wrong(TOPIC, format!("{text}, and `device` is {device}"), fix)
        } else {
            Finding::warn(TOPIC, format!("{text}: images are generated on the CPU"), fix)
        }
    };
    let Some(driver) = driver else {
        return if must {
            without("there is no NVIDIA driver".to_owned(), "install it, or set `device` to cpu")
        } else {
            Finding::ok(TOPIC, "no NVIDIA driver: images are generated on the CPU")
        };
    };
    let named: Vec<_> = gpus.iter().map(|gpu| &*gpu.name).collect();
    let named = if named.is_empty() { String::new() } else { format!("{}, ", named.join(", ")) };
    let text = format!("{named}driver {driver}");
    if libtorch.is_some_and(|libtorch| !libtorch.has_cuda) {
        let fix = "`make libtorch CUDA=1`, then build and install again";
        return without(format!("{text}, but libtorch is built without CUDA"), fix);
    }
    let major: Option<u32> = driver.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major| major < OLDEST_DRIVER) {
        let text = format!("{text} is too old for CUDA 13, which begins with {OLDEST_DRIVER}");
        return without(text, "install a newer NVIDIA driver");
    }
    if gpus.is_empty() {
        let text = format!("{text}, but nvidia-smi shows no GPU");
        return without(text, "`nvidia-smi` prints the reason");
    }
    Finding::ok(TOPIC, text)
}

fn memory(gpu: &Gpu, holders: &[Holder], needed: Option<u64>) -> Option<Finding> {
    let (used, total) = gpu.memory?;
    let free = total.saturating_sub(used);
    let mut text = format!("{} of {} are free", format::bytes(free), format::bytes(total));
    let holders: Vec<_> = holders
        .iter()
        .map(|Holder { pid, bytes, name }| {
            let bytes = bytes.map(|bytes| format!(" has {}", format::bytes(bytes)));
            let name = name.rsplit('/').next().unwrap_or(name);
            format!("{name} ({pid}){}", bytes.unwrap_or_default())
        })
        .collect();
    if !holders.is_empty() {
        text += &format!("; {}", holders.join(", "));
    }
    Some(match needed.filter(|needed| *needed > free) {
        Some(needed) => {
            let text = format!("{text}; the model alone takes {}", format::bytes(needed));
            let fix = "stop other programs on the GPU, or set `idle_unload` to share it";
            Finding::warn(MEMORY, text, fix)
        }
        None => Finding::ok(MEMORY, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn h100() -> Vec<Gpu> {
        vec![gpu("580.159.04, 512, 81559, NVIDIA H100 80GB HBM3").unwrap()]
    }

    fn libtorch(has_cuda: bool) -> Libtorch {
        Libtorch { folder: "/l".into(), has_cuda }
    }

    #[test]
    fn drivers_say_their_version_in_two_ways() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Tue Sep  2\n\
                      GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        assert_eq!(driver_of(closed).as_deref(), Some("580.159.04"));
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release\n";
        assert_eq!(driver_of(open).as_deref(), Some("570.86.10"));
        assert_eq!(driver_of("none"), None);
    }

    #[test]
    fn what_nvidia_smi_prints_is_understood() {
        let gpus = h100();
        assert_eq!(gpus[0].name, "NVIDIA H100 80GB HBM3");
        assert_eq!(gpus[0].memory, Some((512 << 20, 81_559 << 20)));
        assert_eq!(gpu("580.1, [N/A], [N/A], GB10").unwrap().memory, None);
        let held = holder("1234, 21500, /opt/my app, with a comma/python3").unwrap();
        assert_eq!((held.pid, held.bytes), (1234, Some(21_500 << 20)));
        assert_eq!(held.name, "/opt/my app, with a comma/python3");
        assert_eq!(holder("no processes"), None);
    }

    #[test]
    fn driver_libtorch_and_setting_must_fit() {
        let gpus = h100();
        let with = |driver, cuda, device| pairing(&gpus, driver, Some(&libtorch(cuda)), device);
        let good = with(Some("580.159.04"), true, "auto");
        assert_eq!(good, Finding::ok(TOPIC, "NVIDIA H100 80GB HBM3, driver 580.159.04"));
        assert_eq!(with(None, true, "auto").level, Level::Ok);
        assert_eq!(with(Some("535.1"), false, "cpu").level, Level::Ok);
        let cut = with(Some("580.159.04"), false, "auto");
        assert_eq!(cut.level, Level::Warn, "{cut:?}");
        assert!(cut.fix.unwrap().contains("CUDA=1"));
        let old = with(Some("535.104.05"), true, "auto");
        assert!(old.text.contains("driver 535.104.05 is too old"), "{old:?}");
        for failing in [with(None, true, "cuda:0"), with(Some("535.104.05"), true, "cuda:1")] {
            assert_eq!((failing.level, failing.kind.exit_code()), (Level::Fail, 78), "{failing:?}");
        }
        let hidden = pairing(&[], Some("580.1"), Some(&libtorch(true)), "auto");
        assert!(hidden.text.contains("shows no GPU"), "{hidden:?}");
    }

    #[test]
    fn memory_that_others_hold_is_told() {
        let gpu = Gpu { name: "G".to_owned(), memory: Some((60_000 << 20, 81_559 << 20)) };
        let holders = [holder("7, 59000, /usr/bin/python3").unwrap()];
        let roomy = memory(&gpu, &holders, Some(20_500_000_000)).unwrap();
        let text = "22.6 GB of 85.5 GB are free; python3 (7) has 61.9 GB";
        assert_eq!(roomy, Finding::ok(MEMORY, text));
        let tight = memory(&gpu, &holders, Some(24_000_000_000)).unwrap();
        assert_eq!(tight.level, Level::Warn);
        assert!(tight.text.ends_with("the model alone takes 24.0 GB"), "{tight:?}");
    }
}
