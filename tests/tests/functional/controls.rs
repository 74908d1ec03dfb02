//! ControlNets through the whole way: a control image of a file, a ControlNet among the daemon's files, the
//! worker's steps, the image's metadata, and the same image again.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::path::{Path, PathBuf};
use std::process::Output;

use zimg_tests::{Daemon, Options, built_worker};

fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path).display().to_string()
}

/// A daemon of the small model, with the ControlNets of a folder.
fn daemon(nets: Option<&Path>) -> Daemon {
    let mut environment = vec![
        ("ZIMAGED_MODEL".to_owned(), fixture("reference/plain")),
        ("ZIMAGED_WARMUP".to_owned(), "64x64".to_owned()),
    ];
    if let Some(nets) = nets {
        environment.push(("ZIMAGED_CONTROL_DIRS".to_owned(), nets.display().to_string()));
    }
    Daemon::with(Options { worker: Some(built_worker()), environment, ..Options::default() })
}

/// A folder with ControlNets, and another one with an image.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nets = folder.path().join("nets");
        std::fs::create_dir(&nets).unwrap();
        for net in ["union-2.1", "union-1-all", "union-1"] {
            let file = format!("{net}.safetensors");
            std::fs::copy(fixture(&format!("reference/nets/{file}")), nets.join(&file)).unwrap();
        }
        std::fs::copy(fixture("control/disc.png"), folder.path().join("disc.png")).unwrap();
        Self { folder }
    }

    fn nets(&self) -> PathBuf {
        self.folder.path().join("nets")
    }

    fn run(&self, daemon: &Daemon, arguments: &[&str]) -> Output {
        daemon.zimg(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// The pixels of an image of these arguments.
    fn pixels(&self, daemon: &Daemon, name: &str, arguments: &[&str]) -> Vec<u8> {
        let usual = ["draw", "a red fox", "--seed", "7", "--steps", "2", "-o", name];
        let output = self.run(daemon, &[&usual[..], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.decoded(name)
    }

    fn decoded(&self, name: &str) -> Vec<u8> {
        image::open(self.folder.path().join(name)).unwrap().to_rgb8().into_raw()
    }

    fn refused(&self, daemon: &Daemon, arguments: &[&str]) -> String {
        let output = self.run(daemon, &[&["draw", "a fox"][..], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_control_image_steers_and_is_drawn_again_from_the_same_file() {
    let files = Files::new();
    let daemon = daemon(Some(&files.nets()));
    let control = ["--control", "disc.png", "--control-net", "union-2.1"];
    let pixels =
        |name: &str, more: &[&str]| files.pixels(&daemon, name, &[&control[..], more].concat());
    let raw = pixels("raw.png", &[]);
    // The size follows the control image, which is 96x64.
    let plain = files.pixels(&daemon, "plain.png", &["--size", "96x64"]);
    assert_eq!(raw.len(), plain.len());
    assert_ne!(raw, plain);
    let canny = pixels("canny.png", &["--control-kind", "canny", "--control-scale", "1.2"]);
    assert_ne!(canny, raw);
    assert_eq!(pixels("none.png", &["--control-scale", "0"]), plain, "hints of 0 change nothing");
    let other = ["--control", "disc.png", "--control-net", "union-1-all"];
    assert_ne!(files.pixels(&daemon, "other.png", &other), raw);
    let masked = ["--init", "disc.png", "--outpaint", "16,0,16,0"];
    assert_ne!(pixels("masked.png", &masked).len(), raw.len());

    for (name, wanted) in [("raw", &raw), ("canny", &canny)] {
        let file = format!("{name}.png");
        let output = files.run(&daemon, &["redo", &file]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(files.decoded(&format!("{name}-redo.png")) == *wanted, "{name}");
    }
    let shown = files.run(&daemon, &["show", "--json", "canny.png"]);
    let shown = String::from_utf8(shown.stdout).unwrap().replace([' ', '\n'], "");
    for part in [
        "\"name\":\"disc.png\"",
        "\"kind\":\"canny\"",
        "\"control_net\":\"union-2.1\"",
        "\"control_scale\":1.2",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // A file that has changed is not taken silently.
    std::fs::copy(fixture("control/lines.png"), files.folder.path().join("disc.png")).unwrap();
    let output = files.run(&daemon, &["redo", "raw.png", "-o", "again.png"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("has changed since"), "{said}");
}

#[test]
fn a_detached_job_has_its_control_image() {
    let files = Files::new();
    let daemon = daemon(Some(&files.nets()));
    let usual = ["--control", "disc.png", "--control-net", "union-1-all"];
    let wanted = files.pixels(&daemon, "attached.png", &usual);
    let begin = ["draw", "a red fox", "--seed", "7", "--steps", "2", "--detach"];
    let output = files.run(&daemon, &[&begin[..], &usual].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = files.run(&daemon, &["wait", said.trim(), "-o", "detached.png"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(files.decoded("detached.png") == wanted);
}

#[test]
fn what_cannot_be_used_is_refused_in_a_sentence() {
    let files = Files::new();
    let with = daemon(Some(&files.nets()));
    for (arguments, said) in [
        (&["--control", "disc.png"][..], "there are 3 ControlNets, expected the name of one"),
        (&["--control", "disc.png", "--control-net", "union-2"], "no ControlNet named union-2"),
        (&["--control", "disc.png", "--control-net", "union-1"], "for tokens of width 48"),
        (&["--control", "disc.png", "--control-net", "../disc"], "no ControlNet named"),
        (&["--control", "nets"], "is a directory"),
        (&["--control", "disc.png", "--control-kind", "depth"], "Depth Anything"),
        (&["--control", "disc.png", "--control-scale", "3"], "expected a number from 0 to 2"),
    ] {
        let found = files.refused(&with, arguments);
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
    drop(with);
    let without = daemon(None);
    let found = files.refused(&without, &["--control", "disc.png"]);
    assert!(found.contains("the model takes no control image"), "{found}");
}
