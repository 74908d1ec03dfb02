//! Check of environment variables that break a worker: the running daemon's if they can be read,
//! else the user's.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use super::finding::Finding;
use super::settings::Running;

const TOPIC: &str = "variables";
/// Libraries that the worker finds by itself.
const LIBRARIES: [&str; 4] =
    ["libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so.13", "libcudnn.so.9"];

/// Checks the environment of the daemon.
pub(super) fn look(pid: Option<u32>) -> Finding {
    match pid.and_then(Running::find) {
        Some(running) => judged("zimaged's", |name| running.variable(name).cloned()),
        None => judged("yours", |name| env::var_os(name)),
    }
}

fn judged(whose: &str, variable: impl Fn(&str) -> Option<OsString>) -> Finding {
    let variable = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let mut odd = Vec::new();
    let mut fixes = Vec::new();
    if let Some(visible) = variable("CUDA_VISIBLE_DEVICES")
        && (visible.trim().is_empty() || visible.trim() == "-1")
    {
        odd.push("CUDA_VISIBLE_DEVICES hides all GPUs".to_owned());
        fixes.push("unset it");
    }
    let path = variable("LD_LIBRARY_PATH").unwrap_or_default();
    for folder in env::split_paths(&path) {
        let has = |name: &&&str| folder.join(name).exists();
        if let Some(name) = LIBRARIES.iter().find(has) {
            odd.push(format!("LD_LIBRARY_PATH has another {name} in {}", folder.display()));
            fixes.push("leave that folder out: the worker finds its own");
        }
    }
    if let Some(preloaded) = variable("LD_PRELOAD").filter(|value| !value.is_empty()) {
        odd.push(format!("LD_PRELOAD loads {preloaded} into every program"));
        fixes.push("unset it");
    }
    if let Some(libtorch) = variable("LIBTORCH").filter(|value| !Path::new(value).exists()) {
        odd.push(format!("LIBTORCH is {libtorch}, which does not exist"));
        fixes.push("unset it before you build");
    }
    if odd.is_empty() {
        return Finding::ok(TOPIC, format!("no conflicts in {whose}"));
    }
    fixes.dedup();
    Finding::warn(TOPIC, format!("{} ({whose})", odd.join("; ")), fixes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn what_leads_astray_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libtorch_cpu.so"), "").unwrap();
        let path = format!("/nowhere:{}", folder.path().display());
        let judge = |pairs: &[(&str, &str)]| {
            judged("yours", |name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(judge(&[("CUDA_VISIBLE_DEVICES", "0,1")]).level, Level::Ok);
        assert!(judge(&[("CUDA_VISIBLE_DEVICES", "")]).text.contains("hides all GPUs"));
        let both = judge(&[("LD_LIBRARY_PATH", &path), ("LD_PRELOAD", "/x.so")]);
        assert_eq!(both.level, Level::Warn);
        assert!(both.text.contains("another libtorch_cpu.so in "), "{both:?}");
        assert!(both.text.contains("LD_PRELOAD loads /x.so"), "{both:?}");
    }
}
