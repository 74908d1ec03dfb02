//! Checks of the programs and of libtorch: paths, versions, and whether they run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zimg_client::service::Service;

use super::program::{Said, ask};
use super::settings::{self, DaemonSettings, Running};
use super::{DaemonScope, Finding};
use crate::daemon_state::DaemonState;

const OURS: &str = env!("CARGO_PKG_VERSION");
const INSTALL: &str = "install them from one build: `make install`";

/// The findings about the programs, and what later checks need.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) findings: Vec<Finding>,
    pub(super) settings: DaemonSettings,
    pub(super) libtorch: Option<Libtorch>,
}

/// The libtorch that a worker loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Libtorch {
    /// The directory of its libraries.
    pub(super) folder: PathBuf,
    /// Whether it supports NVIDIA GPUs.
    pub(super) has_cuda: bool,
}

/// The finding about this program.
pub(super) fn zimg() -> Finding {
    let place = env::current_exe().map(|path| format!(" at {}", path.display()));
    Finding::ok("zimg", format!("{OURS}{}", place.unwrap_or_default()))
}

/// Checks the other programs: those of the running daemon if they are visible, else those that
/// would be started.
pub(super) fn look(service: &Service, scope: DaemonScope, seen: Option<&DaemonState>) -> Programs {
    let running = seen.and_then(|seen| Running::find(seen.status().pid));
    let running = running.filter(|running| running.program.ends_with("zimaged"));
    let own = running.as_ref().map(|running| running.program.clone());
    let Some(zimaged) = own.or_else(|| service.program.clone()) else {
        let finding = match seen {
            // It runs as another user, so its path is not visible.
            Some(seen) => Finding::ok(
                "zimaged",
                format!(
                    "{}, at an unknown path: the process belongs to another user",
                    seen.status().version
                ),
            ),
            None => {
                let text = "not found beside zimg or in PATH";
                Finding::fail("zimaged", text, "install it: `make install`")
            }
        };
        return Programs { findings: vec![finding], ..Programs::default() };
    };
    let mut findings = vec![version("zimaged", &zimaged, running.as_ref())];
    let (finding, settings) = settings::look(&zimaged, scope, running.as_ref());
    let worker = settings.text("worker").map(PathBuf::from);
    findings.push(finding);
    let mut libtorch = None;
    if let Some(worker) = worker {
        findings.push(version("worker", &worker, None));
        let (finding, found) = libtorch_of(&worker);
        findings.push(finding);
        libtorch = found;
    }
    Programs { findings, settings, libtorch }
}

/// Checks the version of a program.
fn version(topic: &'static str, program: &Path, running: Option<&Running>) -> Finding {
    let at = program.display();
    if running.is_some_and(|running| running.replaced) {
        let text = format!("{at} has been replaced since it was started");
        return Finding::warn(topic, text, "restart it: `sudo systemctl restart zimaged`");
    }
    match ask(Command::new(program).arg("--version")) {
        Ok(said) if said.well => {
            let version = said.out.split_whitespace().nth(1).unwrap_or_default();
            if version == OURS {
                Finding::ok(topic, format!("{version} at {at}"))
            } else {
                let text = format!("{version} at {at}, but zimg is {OURS}");
                Finding::warn(topic, text, INSTALL)
            }
        }
        Ok(said) => broken(topic, program, &said.complaint()),
        Err(why) => Finding::fail(topic, why, INSTALL),
    }
}

/// The finding of a program that does not run, mostly because of a missing library.
fn broken(topic: &'static str, program: &Path, complaint: &str) -> Finding {
    let text = format!("{} does not run: {complaint}", program.display());
    let fix = if complaint.contains("shared libraries") {
        "download libtorch with `make libtorch`, then `make build` and `make install`"
    } else {
        INSTALL
    };
    Finding::wrong(topic, text, fix)
}

/// Finds the worker's libtorch without running the worker, as ldd(1) does.
fn libtorch_of(worker: &Path) -> (Finding, Option<Libtorch>) {
    match ask(Command::new(worker).arg("--version").env("LD_TRACE_LOADED_OBJECTS", "1")) {
        Ok(said) => loaded(worker, &said),
        Err(why) => (Finding::fail("libtorch", why, INSTALL), None),
    }
}

fn loaded(worker: &Path, said: &Said) -> (Finding, Option<Libtorch>) {
    let missing: Vec<_> = said
        .out
        .lines()
        .filter_map(|line| line.trim().strip_suffix(" => not found"))
        .map(str::to_owned)
        .collect();
    if !missing.is_empty() {
        let complaint = format!("shared libraries are missing ({})", missing.join(", "));
        return (broken("libtorch", worker, &complaint), None);
    }
    let found = said.out.lines().find_map(|line| {
        let (name, rest) = line.trim().split_once(" => ")?;
        let path = rest.split(" (0x").next()?;
        (name == "libtorch_cpu.so").then(|| PathBuf::from(path))
    });
    let Some(folder) = found.as_deref().and_then(Path::parent) else {
        // A worker that is a script, as in tests, loads no libtorch.
        let text = format!("{} loads no libtorch", worker.display());
        return (Finding::ok("libtorch", text), None);
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let version = fs::read_to_string(folder.join("../build-version")).unwrap_or_default();
    let version = version.split_whitespace().next().map(|word| format!("{word} "));
    let has_cuda = folder.join("libtorch_cuda.so").exists();
    let kind = if has_cuda { "with CUDA" } else { "for the CPU" };
    let text = format!("{}{kind} at {}", version.unwrap_or_default(), folder.display());
    (Finding::ok("libtorch", text), Some(Libtorch { folder, has_cuda }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn traced(out: &str) -> Said {
        Said { well: true, out: out.to_owned(), err: String::new() }
    }

    #[test]
    fn libtorch_is_where_the_loader_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().canonicalize().unwrap().join("lib");
        fs::create_dir(&lib).unwrap();
        fs::write(lib.join("../build-version"), "2.11.0\n").unwrap();
        let out = format!(
            "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibtorch_cpu.so => {}/libtorch_cpu.so (0x00007f)\n",
            lib.display()
        );
        let worker = Path::new("/w");
        let (finding, libtorch) = loaded(worker, &traced(&out));
        assert_eq!(finding.text, format!("2.11.0 for the CPU at {}", lib.display()));
        assert_eq!(libtorch, Some(Libtorch { folder: lib.clone(), has_cuda: false }));
        fs::write(lib.join("libtorch_cuda.so"), "").unwrap();
        let (finding, libtorch) = loaded(worker, &traced(&out));
        assert_eq!(finding.text, format!("2.11.0 with CUDA at {}", lib.display()));
        assert!(libtorch.unwrap().has_cuda);
    }

    #[test]
    fn a_library_that_is_not_found_is_named() {
        let out = "\tlibtorch_cpu.so => not found\n\tlibc10.so => not found\n";
        let (finding, libtorch) = loaded(Path::new("/w"), &traced(out));
        assert_eq!((finding.level, finding.kind.exit_code(), libtorch), (Level::Fail, 78, None));
        let text = "/w does not run: shared libraries are missing (libtorch_cpu.so, libc10.so)";
        assert_eq!(finding.text, text);
        assert!(finding.fix.unwrap().contains("make libtorch"));
    }

    #[test]
    fn a_program_of_another_version_or_none_is_said() {
        let other = version("zimaged", Path::new("/bin/echo"), None);
        assert_eq!(other.level, Level::Warn, "{other:?}");
        let none = version("zimaged", Path::new("/nowhere"), None);
        assert_eq!((none.level, &*none.text), (Level::Fail, "/nowhere is not installed"));
        let broken = version("worker", Path::new("/bin/false"), None);
        assert_eq!(broken.level, Level::Fail);
    }
}
