//! `make install` and `make uninstall`: the installed tree runs from any folder, and all of it is
//! removed.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zimg_tests::built_worker;

/// Longer than a loaded machine takes to start.
const TIMEOUT: Duration = Duration::from_secs(120);

/// `make` in the repository, for a tree below `stage`, with what is built already.
fn make(target: &str, stage: &Path) {
    let worker = built_worker();
    let folder = worker.parent().unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let output = Command::new("make")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env("CARGO_TARGET_DIR", folder.parent().unwrap())
        .env("COPY", "link")
        .args([target, "PREFIX=/usr", &format!("PROFILE={profile}")])
        .arg(format!("DESTDIR={}", stage.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {target}: {said}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A daemon of the tree, with an environment that holds nothing.
struct Daemon(Child);

impl Daemon {
    fn start(tree: &Path, folder: &Path) -> Self {
        let notifications = UnixDatagram::bind(folder.join("notify")).unwrap();
        notifications.set_read_timeout(Some(TIMEOUT)).unwrap();
        let child = Command::new(tree.join("bin/zimaged"))
            .env_clear()
            .env("HOME", folder)
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .args(["--state-dir", "off", "--device", "cpu", "--socket"])
            .arg(folder.join("zimaged.sock"))
            .stdin(Stdio::null())
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self(child);
        // The first thing it says to a service manager comes after it listens.
        let told = notifications.recv(&mut [0; 4096]);
        assert!(told.is_ok(), "{}", fs::read_to_string(folder.join("log")).unwrap());
        daemon
    }

    /// The files that its worker has mapped.
    fn workers_files(&self) -> Vec<PathBuf> {
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let worker = children.split_whitespace().next().unwrap();
        let maps = fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
        maps.lines().filter_map(|line| Some(PathBuf::from(line.get(line.find('/')?..)?))).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_installed_tree_generates_after_it_was_moved() {
    // Beside the target folder, so that libtorch can be linked instead of copied.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let stage = scratch.path().join("stage");
    make("install", &stage);
    for file in [
        "lib/systemd/system/zimaged.service",
        "lib/systemd/system/zimaged.socket",
        "lib/systemd/system/zimg-web.service",
        "lib/systemd/system/zimg-web.socket",
        "lib/sysusers.d/zimg-web.conf",
        "share/doc/zimaged/supervisord/zimg-web.conf",
        "bin/zimg-web",
        "lib/systemd/user/zimaged.service",
        "lib/systemd/user/zimaged.socket",
        "lib/sysusers.d/zimaged.conf",
        "lib/tmpfiles.d/zimaged.conf",
        "share/doc/zimaged/supervisord/zimaged.conf",
        "share/man/man1/zimg.1",
        "share/man/man1/zimg-redo.1",
        "share/bash-completion/completions/zimg",
        "share/zsh/site-functions/_zimg",
        "share/fish/vendor_completions.d/zimg.fish",
        "share/zimg/desktop/zimg-watch",
        "share/zimg/desktop/zimg-again.desktop",
        "lib/systemd/user/zimg-wallpaper.timer",
        "share/doc/zimaged/README.md",
        "share/doc/zimaged/LICENSE-APACHE",
    ] {
        assert!(stage.join("usr").join(file).is_file(), "{file} is not installed");
    }
    for (file, line) in [
        ("lib/systemd/system/zimaged.service", "ExecStart=/usr/bin/zimaged\n"),
        ("lib/systemd/user/zimaged.service", "ExecStart=/usr/bin/zimaged\n"),
        ("share/doc/zimaged/supervisord/zimaged.conf", "command=/usr/bin/zimaged\n"),
    ] {
        let text = fs::read_to_string(stage.join("usr").join(file)).unwrap();
        assert!(text.contains(line), "{file}: {text}");
    }
    let usr = stage.join("usr");
    for file in files(&usr).iter().filter(|file| !file.starts_with(usr.join("lib/zimaged"))) {
        let place_is_open = fs::read(file).unwrap().windows(8).any(|word| word == b"@PREFIX@");
        assert!(!place_is_open, "{} names no place", file.display());
    }
    // A worker without CUDA generates on the CPU alone, which the service must then allow.
    let cuda = usr.join("lib/zimaged/torch/lib/libtorch_cuda.so").exists();
    let drop_in = usr.join("lib/systemd/system/zimaged.service.d/cpu.conf").exists();
    assert_ne!(cuda, drop_in);

    let tree = scratch.path().join("elsewhere");
    fs::rename(stage.join("usr"), &tree).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&tree, folder.path());
    let generated = Command::new(tree.join("bin/zimg"))
        .env_clear()
        .env("HOME", folder.path())
        .arg("--socket")
        .arg(folder.path().join("zimaged.sock"))
        .args(["a red circle on a white background", "-q", "--seed", "1", "-o"])
        .arg(folder.path().join("out.png"))
        .output()
        .unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(generated.status.success(), "{}{log}", String::from_utf8_lossy(&generated.stderr));
    let image = image::open(folder.path().join("out.png")).unwrap();
    assert_eq!((image.width(), image.height()), (256, 256));

    let torch: Vec<_> = daemon
        .workers_files()
        .into_iter()
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("libtorch"))
        .collect();
    assert!(!torch.is_empty());
    let tree = tree.canonicalize().unwrap();
    assert!(torch.iter().all(|path| path.starts_with(&tree)), "not the tree's own: {torch:?}");
}

#[test]
fn uninstall_takes_everything_away_and_nothing_else() {
    let stage = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let others = stage.path().join("usr/bin/another");
    fs::create_dir_all(others.parent().unwrap()).unwrap();
    fs::write(&others, "").unwrap();
    make("install", stage.path());
    assert!(files(stage.path()).len() > 10);
    make("uninstall", stage.path());
    assert_eq!(files(stage.path()), [others]);
}
