//! What interrupted pulls leave, what other programs left, and two pulls at once.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{Machine, TURBO, WEIGHTS, content, done, failed, turbo};
use crate::server::{Act, Server};

const BYTES: usize = 1_500_000;

fn weights() -> Vec<u8> {
    content(WEIGHTS, BYTES)
}

fn assert_whole(machine: &Machine) {
    let path = machine.snapshot(TURBO).join(WEIGHTS);
    assert!(fs::read(path).unwrap() == weights());
    assert!(machine.leftovers().is_empty(), "{:?}", machine.leftovers());
}

#[test]
fn a_beginning_is_continued_with_a_range() {
    for name in ["incomplete", "0f1e2d3c.incomplete"] {
        let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
        let path = machine.blob(&weights()).with_extension(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &weights()[..1_000_000]).unwrap();
        done(&machine.pull(&[]));
        assert_whole(&machine);
        assert_eq!(machine.server.asked_for(WEIGHTS), [Some(1_000_000)]);
    }
}

#[test]
fn a_wrong_beginning_is_fetched_again() {
    let mut wrong = weights()[..1_000_000].to_vec();
    wrong[7] ^= 1;
    // Wrong, too long, and whole but wrong.
    for beginning in [wrong.clone(), vec![0; BYTES + 1], vec![0; BYTES]] {
        let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
        let path = machine.blob(&weights()).with_extension("incomplete");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, beginning).unwrap();
        done(&machine.pull(&[]));
        assert_whole(&machine);
        assert_eq!(machine.server.asked_for(WEIGHTS).last(), Some(&None));
    }
}

#[test]
fn a_whole_beginning_is_not_fetched() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let path = machine.blob(&weights()).with_extension("incomplete");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, weights()).unwrap();
    done(&machine.pull(&[]));
    assert_whole(&machine);
    assert!(machine.server.asked_for(WEIGHTS).is_empty());
}

#[test]
fn a_blob_of_another_length_is_replaced() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let path = machine.blob(&weights());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "cut").unwrap();
    done(&machine.pull(&[]));
    assert_whole(&machine);
}

/// Waits until the beginning of the weights has this length.
fn wait_for_beginning(machine: &Machine, bytes: u64) {
    let path = machine.blob(&weights()).with_extension("incomplete");
    while fs::metadata(&path).map_or(0, |found| found.len()) < bytes {
        std::thread::yield_now();
    }
}

#[test]
fn a_pull_that_was_killed_or_interrupted_continues() {
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let machine = Machine::with(Server::start(turbo(), |asked| {
            let first = asked.is_file(WEIGHTS) && asked.before == 0;
            if first { Act::Stall(1_000_000) } else { Act::Serve }
        }));
        let mut command = machine.zimg(&["pull"]);
        let command = command.env("HF_HUB_DOWNLOAD_TIMEOUT", "600");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_beginning(&machine, 1_000_000);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        if signal == Signal::SIGKILL {
            assert_eq!(output.status.signal(), Some(9));
        } else {
            let (code, said) = failed(&output);
            assert_eq!(code, 128 + signal as i32, "{said}");
            let farewell =
                format!("what is fetched stays in the cache; `zimg pull {TURBO}` continues\n");
            assert!(said.ends_with(&farewell), "{said}");
        }
        // Nothing shows what is not whole.
        assert!(!machine.snapshot(TURBO).join(WEIGHTS).exists());
        assert!(!machine.folder(TURBO).join("refs/main").exists());
        done(&machine.pull(&[]));
        assert_whole(&machine);
        assert_eq!(machine.server.asked_for(WEIGHTS), [None, Some(1_000_000)]);
    }
}

#[test]
fn two_pulls_at_once_fetch_each_file_once() {
    let (asked, first) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let machine = Machine::with(Server::start(turbo(), move |request| {
        if request.is_file(WEIGHTS) && request.before == 0 {
            asked.send(()).unwrap();
            // The second pull has come to the lock by then.
            let _ = wait.lock().unwrap().recv();
        }
        Act::Serve
    }));
    let spawn = |words: &[&str]| {
        let mut command = machine.zimg(&[&["pull"], words].concat());
        let command = command.env("HF_HUB_DOWNLOAD_TIMEOUT", "600");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let one = spawn(&["-q"]);
    first.recv().unwrap();
    let mut two = spawn(&[]);
    let said = std::io::BufReader::new(two.stderr.take().unwrap());
    let waits = |line: std::io::Result<String>| {
        line.unwrap().ends_with("another program fetches it; waiting")
    };
    assert!(std::io::BufRead::lines(said).any(waits));
    go.send(()).unwrap();
    done(&one.wait_with_output().unwrap());
    done(&two.wait_with_output().unwrap());
    assert_whole(&machine);
    for (name, content) in &turbo()[0].1 {
        let times = machine.server.asked_for(name).len();
        assert!(times <= 1, "{name} of {} bytes: {times} times", content.len());
    }
}
