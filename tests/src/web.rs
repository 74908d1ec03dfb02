//! zimg-web of a test: the program on a free port of the loopback interface, and HTTP by hand, so that
//! a test also sends what no library would.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::daemon::wait_until;
use crate::programs::program;

/// An answer that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running zimg-web.
#[derive(Debug)]
pub struct Web {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<TcpStream>,
    /// How it was answered.
    pub answer: Answer,
}

impl Web {
    /// Starts it for a daemon's socket; it listens when this returns.
    pub fn start(socket: &Path, options: &[&str]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), socket, options)
    }

    fn in_folder(folder: TempDir, socket: &Path, options: &[&str]) -> Self {
        let log = folder.path().join("log");
        let child = Command::new(program("zimg-web"))
            .env("HOME", folder.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env("RUST_LOG", "info")
            .args(["--listen", "127.0.0.1:0", "--socket"])
            .arg(socket)
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("out")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut address = None;
        wait_until("zimg-web listens", || {
            let said = fs::read_to_string(&log).unwrap();
            assert!(!said.contains("start_failed"), "{said}");
            let at = said.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
            address = at.and_then(|at| at.parse().ok());
            address.is_some()
        });
        Self { folder, child, address: address.unwrap() }
    }

    /// Kills it and starts another with its state.
    #[must_use]
    pub fn restarted(mut self, socket: &Path, options: &[&str]) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::in_folder(folder, socket, options)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, for a test's own files.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    /// The memory it has, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }

    /// Ends it and checks that it ends well.
    pub fn end(mut self) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// A request with these lines instead of the usual headers.
    pub fn raw(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses a body closes before it has read it.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        read_answer(&mut BufReader::new(stream))
    }

    /// A request as a program sends it; further headers are lines.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
            if !headers.iter().any(|line| line.starts_with("Content-Type:")) {
                head += "Content-Type: application/json\r\n";
            }
        }
        for line in headers {
            head += &format!("{line}\r\n");
        }
        self.raw(&(head + "\r\n"), body)
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// A POST of JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body.as_bytes())
    }

    /// The events at a path.
    pub fn events(&self, path: &str, headers: &[&str]) -> Events {
        let mut stream = self.connect();
        let mut head =
            format!("GET {path} HTTP/1.1\r\nConnection: close\r\nHost: {}\r\n", self.address);
        headers.iter().for_each(|line| head += &format!("{line}\r\n"));
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let answer = read_head(&mut lines);
        Events { lines, answer }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("zimg-web's log:\n{}", self.log());
        }
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A field of a flat JSON object, as it is written, without quotes.
pub fn field(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let rest = rest.trim_start();
    let end = match rest.strip_prefix('"') {
        Some(text) => return Some(text[..text.find('"')?].to_owned()),
        None => rest.find([',', '}', ']'])?,
    };
    Some(rest[..end].to_owned())
}

impl Iterator for Events {
    type Item = Event;

    /// None at the end, or after a while without an event: comments come for ever.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        let begun = Instant::now();
        while begun.elapsed() < 2 * TIMEOUT {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" if !event.name.is_empty() => return Some(event),
                "" => {}
                line => match line.split_once(": ") {
                    Some(("id", id)) => event.id = Some(id.to_owned()),
                    Some(("event", name)) => event.name = name.to_owned(),
                    Some(("data", data)) => event.data = data.to_owned(),
                    // Comments, and the lengths of chunks.
                    _ => {}
                },
            }
        }
        None
    }
}

impl Events {
    /// The next event with this name.
    pub fn wait_for(&mut self, name: &str) -> Event {
        let mut seen = Vec::new();
        for event in self.by_ref() {
            if event.name == name {
                return event;
            }
            seen.push(event.name);
        }
        panic!("no {name} after {seen:?}");
    }
}

fn read_head(from: &mut impl BufRead) -> Answer {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read = from.read_line(&mut line).unwrap_or(0);
        if read == 0 || line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let first = lines.first().map(String::as_str).unwrap_or_default();
    let mut words = first.splitn(3, ' ').skip(1);
    let status = words.next().and_then(|status| status.parse().ok()).unwrap_or(0);
    let reason = words.next().unwrap_or_default().to_owned();
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Answer { status, reason, headers, body: Vec::new() }
}

/// Status 0: the server closed the connection without an answer.
fn read_answer(from: &mut impl BufRead) -> Answer {
    let mut answer = read_head(from);
    match answer.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => {
            let mut body = vec![0; length];
            if from.read_exact(&mut body).is_ok() {
                answer.body = body;
            }
        }
        None => {
            let _ = from.read_to_end(&mut answer.body);
        }
    }
    answer
}
