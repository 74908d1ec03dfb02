//! What is in `contrib/packaging/desktop`, with a real `zimg` and `zimaged`; the desktops' own programs are
//! played by scripts that note how they were called.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_tests::{Daemon, program, wait_until};

const DESKTOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/packaging/desktop");

/// A program that notes its name and words in `called`.
fn play(bin: &Path, name: &str) {
    let text = "#!/bin/sh\necho \"${0##*/} $*\" >> \"${0%/*}/called\"\n";
    script(bin, name, text);
}

fn script(bin: &Path, name: &str, text: &str) {
    fs::create_dir_all(bin).unwrap();
    let path = bin.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn called(bin: &Path) -> String {
    let called = bin.join("called");
    let text = fs::read_to_string(&called).unwrap_or_default();
    let _ = fs::remove_file(called);
    text
}

/// One of the desktop's programs: its own folder of programs first, then zimg's, then the system's,
/// and no desktop.
fn desktop(daemon: &Daemon, name: &str) -> Command {
    let own = daemon.folder().join("bin");
    let zimg = program("zimg");
    let path = [own, zimg.parent().unwrap().to_owned(), "/usr/bin".into(), "/bin".into()];
    let mut command = Command::new(format!("{DESKTOP}/{name}"));
    command
        .env_clear()
        .current_dir(daemon.folder())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", daemon.folder())
        .env("ZIMG_SOCKET", daemon.socket())
        .env("ZIMG_CONFIG", "")
        .stdin(Stdio::null());
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The one colour that the mock generates: the seed.
fn seed_of(path: &Path) -> u32 {
    let image = image::open(path).unwrap().into_rgb8();
    let [red, green, blue] = image.get_pixel(0, 0).0;
    u32::from_be_bytes([0, red, green, blue])
}

#[test]
fn the_watcher_generates_what_is_put_there_once() {
    let daemon = Daemon::ready("");
    let folder = daemon.folder().join("prompts");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a fox.txt"), "a red fox\nin the snow\n").unwrap();
    fs::write(folder.join("long.txt"), "x".repeat(70_000)).unwrap();
    let once = |seed: &str| {
        let mut watch = desktop(&daemon, "zimg-watch");
        watch.arg("--once").arg(&folder).args(["--", "--seed", seed, "--size", "64x64"]);
        told(&watch.output().unwrap())
    };
    let image = folder.join("a fox.png");
    let (code, printed, said) = once("7");
    assert_eq!((code, printed), (Some(0), format!("{}\n", image.display())), "{said}");
    assert_eq!(seed_of(&image), 7);
    let failed = fs::read_to_string(folder.join("long.failed")).unwrap();
    assert!(failed.contains("longer than 65536 bytes"), "{failed}");
    assert_eq!(once("8"), (Some(0), String::new(), String::new()), "all is done");
    fs::write(folder.join("long.txt"), "a hen").unwrap();
    fs::write(folder.join("a fox.txt"), "another fox").unwrap();
    assert_eq!(once("9").0, Some(0));
    assert_eq!((seed_of(&image), seed_of(&folder.join("long.png"))), (9, 9));
    assert!(!folder.join("long.failed").exists());
    daemon.end();
}

#[test]
fn the_watcher_watches_until_it_is_stopped() {
    let daemon = Daemon::ready("");
    let folder = daemon.folder().join("prompts");
    fs::create_dir(&folder).unwrap();
    let mut watch = desktop(&daemon, "zimg-watch");
    watch.args(["--every", "0.05", "--format", "jpg"]).arg(&folder);
    let mut child = watch.args(["--", "--size", "64x64"]).stdout(Stdio::null()).spawn().unwrap();
    for name in ["one", "two"] {
        fs::write(folder.join(format!("{name}.txt")), "a fox").unwrap();
        let image = folder.join(format!("{name}.jpg"));
        wait_until("the image is there", || image.exists());
    }
    // As a service manager does it: a shell's background jobs are deaf to Ctrl-C.
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    daemon.end();
}

#[test]
fn the_watcher_waits_for_a_daemon() {
    let daemon = Daemon::ready("");
    fs::write(daemon.folder().join("fox.txt"), "a fox").unwrap();
    let mut watch = desktop(&daemon, "zimg-watch");
    watch.args(["--once", "."]).env("ZIMG_SOCKET", daemon.folder().join("no-daemon"));
    let (code, _, said) = told(&watch.output().unwrap());
    assert_eq!(code, Some(75), "{said}");
    assert!(said.starts_with("zimg-watch: fox.txt waits: zimg: no daemon runs"), "{said}");
    assert!(!daemon.folder().join("fox.failed").exists());
    let (code, _, said) = told(&desktop(&daemon, "zimg-watch").arg("nowhere").output().unwrap());
    assert_eq!((code, &*said), (Some(66), "zimg-watch: there is no folder nowhere\n"));
    daemon.end();
}

#[test]
fn a_wallpaper_is_set_as_the_desktop_has_it() {
    let daemon = Daemon::ready("");
    let bin = daemon.folder().join("bin");
    for name in ["gsettings", "plasma-apply-wallpaperimage", "swaymsg", "hyprctl", "feh"] {
        play(&bin, name);
    }
    let set = |variables: &[(&str, &str)], words: &[&str]| {
        let mut wallpaper = desktop(&daemon, "zimg-wallpaper");
        wallpaper.envs(variables.iter().copied()).args(words);
        let (code, printed, said) = told(&wallpaper.output().unwrap());
        assert_eq!(code, Some(0), "{said}");
        let path = PathBuf::from(printed.trim());
        assert!(path.is_file(), "{printed}");
        let called = called(&bin).replace(path.to_str().unwrap(), "IMAGE");
        (path, called)
    };
    let gnome = [("XDG_CURRENT_DESKTOP", "ubuntu:GNOME")];
    let (path, said) = set(&gnome, &[]);
    let key = "gsettings set org.gnome.desktop.background picture-uri";
    assert_eq!(said, format!("{key} file://IMAGE\n{key}-dark file://IMAGE\n"));
    let image = image::open(&path).unwrap();
    assert!(image.width() > image.height(), "16:9");
    let prompts = fs::read_to_string(daemon.folder().join(".config/zimg/wallpapers.txt")).unwrap();
    let shown = daemon.zimg(&["show", path.to_str().unwrap()]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let prompt = shown.lines().next().unwrap().trim_start_matches("prompt").trim();
    assert!(prompts.lines().any(|line| line == prompt), "{prompt}");

    let kde = set(&[("XDG_CURRENT_DESKTOP", "KDE")], &["--size", "64x96"]);
    assert_eq!(kde.1, "plasma-apply-wallpaperimage IMAGE\n");
    assert_eq!(image::image_dimensions(kde.0).unwrap(), (64, 96));
    assert_eq!(set(&[("SWAYSOCK", "/s")], &[]).1, "swaymsg output * background IMAGE fill\n");
    let hypr = [("HYPRLAND_INSTANCE_SIGNATURE", "x")];
    assert_eq!(set(&hypr, &[]).1, "hyprctl hyprpaper reload ,IMAGE\n");
    assert_eq!(set(&[("DISPLAY", ":0")], &[]).1, "feh --bg-fill IMAGE\n");

    let (code, _, said) = told(&desktop(&daemon, "zimg-wallpaper").output().unwrap());
    assert_eq!(code, Some(69));
    assert!(said.contains("is generated, but nothing here sets a wallpaper"), "{said}");
    // Images of the same second share a name, so there are at most two.
    let state = daemon.folder().join(".local/state/zimg");
    set(&gnome, &[]);
    assert!(fs::read_dir(state).unwrap().count() <= 2);
    daemon.end();
}

#[test]
fn an_image_is_generated_again_from_a_menu() {
    let daemon = Daemon::ready("");
    let bin = daemon.folder().join("bin");
    play(&bin, "notify-send");
    let words = ["a fox", "--size=64x64", "--seed=7", "-q", "-o", "my fox.png"];
    assert!(daemon.zimg(&words).status().unwrap().success());
    fs::write(daemon.folder().join("none.png"), "no image").unwrap();
    let mut again = desktop(&daemon, "zimg-again");
    let (code, _, _) = told(&again.args(["none.png", "my fox.png"]).output().unwrap());
    assert_eq!(code, Some(65), "the worst of all");
    let said = called(&bin);
    let (none, fox) = said.split_once('\n').unwrap();
    assert!(none.starts_with("notify-send --app-name=zimg none.png zimg: "), "{said}");
    let name = fox.trim().split_once("generated again as ").unwrap().1.to_owned();
    let seed: u32 =
        name.strip_prefix("my fox-").unwrap().strip_suffix(".png").unwrap().parse().unwrap();
    assert_eq!(seed_of(&daemon.folder().join(&name)), seed & 0xff_ffff);
    let images = fs::read_to_string(format!("{DESKTOP}/zimg-again.desktop")).unwrap();
    assert!(images.contains("MimeType=image/png;image/jpeg;image/webp;"));
    daemon.end();
}

#[test]
fn an_image_is_found_by_its_prompt() {
    let daemon = Daemon::ready("");
    for (name, prompt) in [("a.png", "a fox"), ("b.webp", "a hen")] {
        let words = [prompt, "--size=64x64", "-q", "-o", name];
        assert!(daemon.zimg(&words).status().unwrap().success());
    }
    fs::write(daemon.folder().join("c.png"), "no image").unwrap();
    let pick = || told(&desktop(&daemon, "zimg-pick").output().unwrap());
    let mut without = desktop(&daemon, "zimg-pick");
    let without = told(&without.env("PATH", "/nowhere").output().unwrap());
    assert_eq!((without.0, &*without.2), (Some(69), "zimg-pick: fzf is missing\n"));
    // One that takes the line with the hen, and notes all that it was shown.
    let bin = daemon.folder().join("bin");
    script(&bin, "fzf", "#!/bin/sh\ntee \"${0%/*}/called\" | grep hen\n");
    let (code, printed, said) = pick();
    assert_eq!((code, &*printed), (Some(0), "./b.webp\n"), "{said}");
    assert_eq!(called(&bin), "./a.png\ta fox\n./b.webp\ta hen\n");
    daemon.end();
}
