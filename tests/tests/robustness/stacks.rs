//! `ulimit -s`: programs on short stacks, as some containers and cluster jobs have them.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::Client;
use zimg_tests::{built_worker, program, wait_until};

/// In KiB, both limits: the soft one cannot be raised again. On less than 64 the initialisers of the
/// worker's libraries, which run before it does, find no room.
const STACKS: [u32; 4] = [64, 128, 256, 1024];

/// The program with this stack.
fn on_stack(kib: u32, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -s {kib} && exec \"$0\" \"$@\"")]).arg(program);
    command
}

#[test]
fn programs_parse_their_command_lines_on_a_short_stack() {
    let programs = [program("zimg"), program("zimaged"), built_worker()];
    for program in &programs {
        for kib in STACKS {
            for (word, status) in [("--version", 0), ("--help", 0), ("--no-such-option", 64)] {
                let output = on_stack(kib, program).arg(word).output().unwrap();
                let name = program.display();
                assert_eq!(output.status.code(), Some(status), "{name} {word} {kib}: {output:?}");
            }
        }
    }
}

/// An image through all three programs, and an orderly end by a signal.
#[test]
fn an_image_is_generated_on_a_short_stack() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let socket = at("socket");
    std::fs::write(at("zimaged.toml"), "").unwrap();
    let mut daemon = on_stack(64, &program("zimaged"))
        .env("HOME", folder.path())
        .arg("--config")
        .arg(at("zimaged.toml"))
        .arg("--worker")
        .arg(built_worker())
        .args(["--state-dir", "off", "--device", "cpu", "--warmup", "64x64", "--socket"])
        .arg(&socket)
        .stderr(std::fs::File::create(at("log")).unwrap())
        .spawn()
        .unwrap();
    wait_until("zimaged listens", || Client::connect("test", &socket).is_ok());
    let output = on_stack(64, &program("zimg"))
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("ZIMG_CONFIG", "")
        .env("ZIMG_SOCKET", &socket)
        .args(["a fox", "--size", "64x64", "--seed", "7", "-o", "a.png"])
        .output()
        .unwrap();
    let log = std::fs::read_to_string(at("log")).unwrap();
    assert!(output.status.success() && at("a.png").exists(), "{output:?}\n{log}");
    kill(Pid::from_raw(i32::try_from(daemon.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

/// The thread that does the work hears the signal, and not the one that waits for it.
#[test]
fn zimg_on_a_short_stack_is_cancelled_by_a_signal() {
    let daemon = zimg_tests::Daemon::ready("hold@step:1");
    let zimg = daemon.zimg(&[]);
    let mut command = on_stack(64, Path::new(zimg.get_program()));
    for (name, value) in zimg.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(daemon.folder()).args(["a fox", "--size", "64x64", "-o", "a.png"]);
    let mut zimg = command.spawn().unwrap();
    assert!(daemon.held().starts_with("step"));
    kill(Pid::from_raw(i32::try_from(zimg.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(zimg.wait().unwrap().code(), Some(130));
    daemon.end();
}
