//! Walkthroughs: runs blocks of `console` as a reader at a terminal does: types what stands behind `$`,
//! and compares what a terminal then shows with what stands below.
//!
//! A page is one session: one shell, one home that is empty at first, the real programs and the
//! built-in model. In what is shown `…` stands for any text of a line, and a line of `…` alone for
//! any lines. A command must end with 0 unless `echo $?` follows it, which then shows its code.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::libc::EIO;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use zimg_tests::{built_worker, program, wait_until};

use crate::markdown::{Page, pages};

/// Reads commands, each ended by a zero byte, from what was its standard input, and says behind
/// each how it ended.
const LOOP: &str = r#"
exec 3<&0 0</dev/null
code=0
while IFS= read -r -d '' command <&3; do
  eval "(exit $code)
$command"
  code=$?
  printf '\036%d\036' "$code"
done"#;

/// A shell at a terminal.
struct Shell {
    bash: Child,
    terminal: File,
    /// Shown, and not compared yet.
    shown: Vec<u8>,
    home: TempDir,
}

impl Shell {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let runtime = home.path().join(".run");
        DirBuilder::new().mode(0o700).create(&runtime).unwrap();
        let socket = runtime.join("zimaged/zimaged.sock");
        // Lines are never broken.
        let size = Winsize { ws_row: 50, ws_col: 500, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let bin = built_worker().parent().unwrap().to_owned();
        assert!(program("zimg").starts_with(&bin));
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["ZIMG_", "ZIMAGED_", "XDG_"].iter().any(|of| name.starts_with(of)) {
                command.env_remove(name);
            }
        }
        let bash = command
            .args(["--noprofile", "--norc", "-c", LOOP])
            .current_dir(home.path())
            .env("HOME", home.path())
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("XDG_RUNTIME_DIR", &runtime)
            // Where a user's own are anyway; root's would be the machine's.
            .env("ZIMG_SOCKET", &socket)
            .env("ZIMAGED_SOCKET", &socket)
            .env("ZIMAGED_STATE_DIR", home.path().join(".local/state/zimaged"))
            .env("ZIMAGED_DEVICE", "cpu")
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(pty.slave.try_clone().unwrap())
            .stderr(pty.slave)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { bash, terminal: File::from(pty.master), shown: Vec::new(), home }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join(".run/zimaged/zimaged.sock")
    }

    /// Types a command: its exit code, and the lines that are on the screen afterwards.
    fn types(&mut self, command: &str) -> (i32, Vec<String>) {
        let stdin = self.bash.stdin.as_mut().unwrap();
        stdin.write_all(format!("{command}\0").as_bytes()).unwrap();
        let (code, shown) = self.reads();
        if command.ends_with('&') {
            let socket = self.socket();
            wait_until("zimaged listens", || socket.exists());
        }
        (code, screen(&shown))
    }

    /// What is shown until the shell says how the command ended.
    fn reads(&mut self) -> (i32, String) {
        let mut buffer = [0; 4096];
        loop {
            let marks: Vec<_> =
                self.shown.iter().enumerate().filter(|(_, b)| **b == 0x1e).collect();
            if let [(begin, _), (end, _), ..] = marks[..] {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let code = text(&self.shown[begin + 1..end]).parse().unwrap();
                let shown = text(&self.shown[..begin]);
                self.shown.drain(..=end);
                return (code, shown);
            }
            match self.terminal.read(&mut buffer) {
                Ok(n) if n > 0 => self.shown.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() != Some(EIO) => panic!("{error}"),
                _ => panic!("the shell ended: {}", String::from_utf8_lossy(&self.shown)),
            }
        }
    }

    /// Ends the shell as a reader does at logout: a daemon that was left would go on.
    fn ends(&mut self) {
        drop(self.bash.stdin.take());
        assert!(self.bash.wait().unwrap().success());
        assert!(!self.socket().exists(), "the walkthrough leaves a daemon behind");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.bash.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.bash.wait();
    }
}

/// What a terminal shows of this text: lines that were wiped or written over are gone.
fn screen(text: &str) -> Vec<String> {
    let (mut lines, mut line, mut column) = (Vec::new(), Vec::new(), 0);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\n' => lines.push(std::mem::take(&mut line).into_iter().collect::<String>()),
            '\r' => column = 0,
            '\x1b' => {
                let sequence: String = characters.by_ref().take_while(|c| *c != 'K').collect();
                assert_eq!(sequence, "[", "an escape sequence that is not known here");
                line.truncate(column);
            }
            other => {
                line.splice(column..line.len().min(column + 1), [other]);
                column += 1;
            }
        }
    }
    lines.extend((!line.is_empty()).then(|| line.into_iter().collect()));
    lines.iter().map(|line: &String| line.trim_end().to_owned()).collect()
}

/// Whether a line is as the pattern has it.
fn is_like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn are_like(patterns: &[&str], lines: &[String]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, line) => line.is_none(),
        (Some((&"…", rest)), _) => (0..=lines.len()).any(|n| are_like(rest, &lines[n..])),
        (Some((pattern, rest)), Some((line, lines))) => {
            is_like(pattern, line) && are_like(rest, lines)
        }
        (Some(_), None) => false,
    }
}

/// A command, and what it shows.
struct Step<'a> {
    line: usize,
    command: String,
    shows: Vec<&'a str>,
}

fn steps(text: &str, line: usize) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (text, line) in text.lines().zip(line + 1..) {
        match (text.strip_prefix("$ "), text.strip_prefix("> "), steps.last_mut()) {
            (Some(command), ..) => {
                steps.push(Step { line, command: command.to_owned(), shows: Vec::new() });
            }
            (_, Some(more), Some(step)) if step.shows.is_empty() => {
                step.command += &format!("\n{more}");
            }
            (.., Some(step)) => step.shows.push(text),
            (.., None) => panic!("line {line}: a block of console begins with a command"),
        }
    }
    steps
}

/// Runs a page: how many commands were typed.
fn run_page(page: &Page) -> usize {
    let blocks = page.blocks();
    let blocks = blocks.iter().filter(|block| block.language == "console");
    let steps: Vec<_> = blocks.flat_map(|block| steps(&block.text, block.line)).collect();
    if steps.is_empty() {
        return 0;
    }
    let mut shell = Shell::start();
    let mut wrong = String::new();
    for (step, next) in steps.iter().zip(steps.iter().skip(1).map(Some).chain([None])) {
        let (code, lines) = shell.types(&step.command);
        let place = format!("{}:{}: {}", page.name, step.line, step.command);
        let shown = lines.join("\n");
        let is_asked = next.is_some_and(|next| next.command == "echo $?");
        if !are_like(&step.shows, &lines) || code != 0 && !is_asked {
            wrong += &format!("{place}\nends with {code} and shows\n{shown}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    shell.ends();
    steps.len()
}

#[test]
fn every_walkthrough_runs_as_written() {
    let ran: Vec<_> = pages().iter().map(|page| (page.name.clone(), run_page(page))).collect();
    let through = ran.iter().find(|(name, _)| name == "docs/walkthrough.md").unwrap();
    assert!(through.1 > 40, "only {} commands were ran through", through.1);
}

#[test]
fn what_differs_is_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |patterns: &str, text| are_like(&patterns.lines().collect::<Vec<_>>(), &lines(text));
    assert!(same("a …, … s\n…\nd", "a b, 2 s\nc\nc\nd"));
    assert!(same("…\nd", "d"));
    assert!(!same("a …, … s", "a b, 2 ms"));
    assert!(!same("a\n…\nd", "a\nb"));
    assert!(!same("a", "a\nb"));
    assert!(!same("", "b"));
    assert_eq!(screen("one\r\x1b[Ktwo\r\nabc\rx\r\n"), ["two", "xbc"]);
}

#[test]
fn a_shell_says_how_commands_end() {
    let mut shell = Shell::start();
    assert_eq!(shell.types("echo a; (exit 3)"), (3, vec!["a".to_owned()]));
    assert_eq!(shell.types("echo $?"), (0, vec!["3".to_owned()]));
    assert_eq!(shell.types("b=c"), (0, vec![]));
    assert_eq!(shell.types("cat; echo $b >&2"), (0, vec!["c".to_owned()]));
    let left = fs::read_dir(shell.home.path()).unwrap().count();
    assert_eq!(left, 1, "the home is empty");
    shell.ends();
}
