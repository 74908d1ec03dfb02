//! A scripted daemon for one client, and zimg run against it in a directory of its own.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::TO_DAEMON_BYTES;
use zimg_protocol::messages::{
    Capabilities, Counters, DaemonLimits, Event, ImageInfo, ModelInfo, Overview, Params, Request,
    Started, Status, Step, Timings, WorkerState, WorkerStatus,
};
use zimg_protocol::{Frame, FrameError, Hello};

/// A daemon's thread, and the directory that zimg runs in.
pub(crate) struct Fake {
    directory: TempDir,
    thread: JoinHandle<()>,
    /// It serves until it is told to end.
    many: bool,
}

/// The daemon's end of a connection.
pub(crate) struct Peer(pub(crate) UnixStream);

impl Fake {
    /// Plays `script` to its one client, whose hello it has not read yet.
    pub(crate) fn raw(script: impl FnOnce(Peer) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("out")).unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let thread = thread::spawn(move || script(Peer(listener.accept().unwrap().0)));
        Self { directory, thread, many: false }
    }

    /// Welcomes its one client, says how it is if that is the first question, reads the request
    /// and plays `script`.
    pub(crate) fn new(script: impl FnOnce(&mut Peer, Request) + Send + 'static) -> Self {
        Self::being(overview(), script)
    }

    /// The same, and this is how it is.
    pub(crate) fn being(
        overview: Overview,
        script: impl FnOnce(&mut Peer, Request) + Send + 'static,
    ) -> Self {
        Self::raw(|mut peer| {
            peer.welcome();
            let mut request = peer.request().unwrap();
            if request == Request::Overview {
                peer.say(Event::Overview(Box::new(overview)));
                request = peer.request().unwrap();
            }
            script(&mut peer, request);
        })
    }

    /// Plays `script` to any number of clients at a time, for as long as they come.
    pub(crate) fn many(script: impl Fn(&mut Peer, Request) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("out")).unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let script = Arc::new(script);
        let thread = thread::spawn(move || {
            let mut clients = Vec::new();
            for stream in listener.incoming() {
                let mut peer = Peer(stream.unwrap());
                let script = Arc::clone(&script);
                let mut byte = [0];
                // A client that sends no hello ends the daemon.
                if peer.0.read(&mut byte).unwrap() == 0 {
                    break;
                }
                clients.push(thread::spawn(move || {
                    peer.0.read_exact(&mut [0; 15]).unwrap();
                    peer.send(&Hello::OURS.negotiate(Hello::OURS).to_bytes());
                    while let Some(request) = peer.request() {
                        match request {
                            Request::Overview => peer.say(Event::Overview(Box::new(overview()))),
                            request => script(&mut peer, request),
                        }
                    }
                }));
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        Self { directory, thread, many: true }
    }

    /// Ends a daemon of many.
    pub(crate) fn leave(self) {
        drop(UnixStream::connect(self.directory.path().join("socket")).unwrap());
        self.thread.join().unwrap();
    }

    /// Draws what it is asked for.
    pub(crate) fn honest() -> Self {
        Self::new(|peer, request| peer.generates(&requested(request)))
    }

    /// Generates one image, which the client may have no place for.
    pub(crate) fn honest_until_image() -> Self {
        Self::new(|peer, request| {
            let draw = requested(request);
            let started = peer.starts(&draw);
            peer.image(&draw, 0, &started);
        })
    }

    /// The directory that zimg runs in.
    pub(crate) fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// zimg with these arguments, not started yet.
    pub(crate) fn zimg(&self, arguments: &[&str]) -> Command {
        let mut command = zimg(&self.out());
        command.env("ZIMG_SOCKET", self.directory.path().join("socket")).args(arguments);
        command
    }

    /// Runs zimg to its end and joins the daemon, whose assertions count.
    pub(crate) fn run(self, arguments: &[&str]) -> Ran {
        let output = self.zimg(arguments).output().unwrap();
        self.finish(output)
    }

    /// Joins the daemon of a client that has gone.
    pub(crate) fn joined(self) {
        self.thread.join().unwrap();
    }

    /// Joins the daemon.
    pub(crate) fn finish(self, output: Output) -> Ran {
        if self.many {
            drop(UnixStream::connect(self.directory.path().join("socket")).unwrap());
        }
        self.thread.join().unwrap();
        let mut files: Vec<_> = fs::read_dir(self.directory.path().join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        Ran {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
            files,
            directory: self.directory,
        }
    }
}

/// zimg in `directory`, with nothing of the tester's environment that it looks at.
pub(crate) fn zimg(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zimg"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZIMG_") {
            command.env_remove(name);
        }
    }
    command.env_remove("NO_COLOR").env_remove("XDG_RUNTIME_DIR");
    command.env("ZIMG_CONFIG", "").env("TERM", "xterm");
    // An image that cannot be saved is rescued there.
    command.env("XDG_STATE_HOME", directory.join("state"));
    command
}

/// How zimg ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// What lies in its directory, in order.
    pub(crate) files: Vec<String>,
    directory: TempDir,
}

impl Ran {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("out").join(name)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    /// That the image in `name` is the one with this seed.
    pub(crate) fn assert_image(&self, name: &str, seed: u64, width: u32, height: u32) {
        let read = image::open(self.path(name)).unwrap().into_rgb8();
        assert_eq!(read.dimensions(), (width, height));
        assert!(read.into_raw() == pixels(seed, width, height), "{name} is another image");
    }
}

/// What the fake daemon generates.
pub(crate) fn pixels(seed: u64, width: u32, height: u32) -> Vec<u8> {
    (0..3 * width * height)
        .map(|i| u64::from(i / 7).wrapping_add(seed.wrapping_mul(31)) as u8)
        .collect()
}

/// What the request, which must be to draw, wants generated.
pub(crate) fn requested(request: Request) -> Params {
    match request {
        Request::Generate(submit) => submit.params,
        other => panic!("{other:?}"),
    }
}

/// How the fake daemon is: ready, with a model that generates 64x64 in 2 steps.
pub(crate) fn overview() -> Overview {
    let model = ModelInfo {
        name: "fake".to_owned(),
        device: "cpu".to_owned(),
        dtype: "float32".to_owned(),
        width: 64,
        height: 64,
        steps: 2,
        guidance: 0.0,
        max_tokens: 100,
        capabilities: Capabilities::default(),
    };
    let status = Status {
        version: "9.9.9".to_owned(),
        pid: 7,
        uptime_s: 3661,
        workers: vec![WorkerStatus {
            state: WorkerState::Ready,
            pid: Some(8),
            model: Some(model),
            ..WorkerStatus::default()
        }],
        queued: 0,
        done: 3,
        failed: 1,
    };
    Overview {
        status,
        limits: DaemonLimits { jobs: 64, jobs_per_user: 8, connections: 32 },
        unfinished: 0,
        connections: 1,
        detached: 0,
        wait_ms: None,
        counters: Counters::default(),
        store_failure: None,
    }
}

/// [`overview`] with another worker.
pub(crate) fn with_worker(change: impl FnOnce(&mut WorkerStatus)) -> Overview {
    let mut overview = overview();
    change(&mut overview.status.workers[0]);
    overview
}

impl Peer {
    /// The hello, answered.
    pub(crate) fn welcome(&mut self) {
        let hello = self.hello();
        self.send(&Hello::OURS.negotiate(hello).to_bytes());
    }

    pub(crate) fn hello(&mut self) -> Hello {
        let mut bytes = [0; 16];
        self.0.read_exact(&mut bytes).unwrap();
        Hello::from_bytes(bytes).unwrap()
    }

    /// The next request, or none when the client has gone.
    pub(crate) fn request(&mut self) -> Option<Request> {
        match Frame::read(&mut self.0, TO_DAEMON_BYTES) {
            Ok(None) => None,
            Ok(Some(Frame::Request(request))) => Some(request),
            // It went without having read all.
            Err(FrameError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => None,
            other => panic!("{other:?}"),
        }
    }

    /// What a client that has gone does not take is no matter here: what it printed and its exit
    /// code are looked at.
    fn send(&mut self, bytes: &[u8]) {
        match self.0.write_all(bytes) {
            Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{e}")
            }
            _ => {}
        }
    }

    pub(crate) fn say(&mut self, event: Event) {
        let mut bytes = Vec::new();
        Frame::Event(event).write(&mut bytes).unwrap();
        self.send(&bytes);
    }

    /// Accepts and starts: 64x64 in 2 steps unless asked otherwise.
    pub(crate) fn starts(&mut self, draw: &Params) -> Started {
        let started = Started {
            model: overview().status.model().unwrap().clone(),
            width: draw.width.unwrap_or(64),
            height: draw.height.unwrap_or(64),
            steps: draw.steps.unwrap_or(2),
            guidance: draw.guidance.unwrap_or(0.0),
        };
        // At once: a test may end zimg as soon as it has told the first.
        let mut both = Vec::new();
        for event in [Event::Accepted { job: 1, position: 0 }, Event::Started(started.clone())] {
            Frame::Event(event).write(&mut both).unwrap();
        }
        self.send(&both);
        started
    }

    /// A whole job.
    pub(crate) fn generates(&mut self, draw: &Params) {
        let started = self.starts(draw);
        for index in 0..draw.images() {
            for step in 1..=started.steps {
                let of = started.steps;
                self.say(Event::Step(Step { image: index, step, of, ms: 250.5 }));
            }
            self.say(Event::Decoding { image: index });
            self.image(draw, index, &started);
        }
        let timings = Timings { queued: 0.0, text: 1.5, steps: 501.0, decode: 2.0, total: 504.5 };
        self.say(Event::Done(timings));
    }

    /// One image, as announced by what started.
    pub(crate) fn image(&mut self, draw: &Params, index: u32, started: &Started) {
        let (seed, width, height) =
            (draw.first_seed() + u64::from(index), started.width, started.height);
        let pixels = pixels(seed, width, height);
        let bytes = pixels.len() as u64;
        self.say(Event::Image(ImageInfo { index, seed, width, height, bytes }));
        let mut frames = Vec::new();
        write_pixels(&mut frames, &pixels).unwrap();
        self.send(&frames);
    }
}
