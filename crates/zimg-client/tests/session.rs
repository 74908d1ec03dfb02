//! Sessions against scripted daemons that are busy, restarted or missing.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zimg_client::session::{RetryPolicy, Session, SessionObserver, SessionWait};
use zimg_client::{
    Busy, Capabilities, Failure, Generate, ImageInfo, Kind, ModelInfo, Overview, Params, Priority,
    Status, Update, Waiting, WorkerState, WorkerStatus,
};
use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::TO_DAEMON_BYTES;
use zimg_protocol::messages::{Event, Request, Timings};
use zimg_protocol::{Frame, Hello};

/// One connection of a scripted daemon: the events after its `Accepted`, or instead of it.
type Answers = Vec<Event>;

fn status(model: Option<ModelInfo>) -> Status {
    Status {
        version: "1".into(),
        pid: 1,
        uptime_s: 1,
        workers: vec![WorkerStatus {
            state: WorkerState::Starting,
            model,
            ..WorkerStatus::default()
        }],
        queued: 0,
        done: 0,
        failed: 0,
    }
}

fn overview() -> Event {
    Event::Overview(Box::new(Overview {
        status: status(None),
        limits: zimg_client::DaemonLimits::default(),
        unfinished: 0,
        connections: 1,
        detached: 0,
        wait_ms: Some(10),
        counters: zimg_client::Counters::default(),
        store_failure: None,
    }))
}

fn say(stream: &mut UnixStream, event: Event) {
    Frame::Event(event).write(stream).unwrap();
}

/// Serves one connection up to the submission, whose answers are `answers`.
fn serve(mut stream: UnixStream, models: &mut Vec<Option<ModelInfo>>, answers: Answers) {
    let mut hello = [0; 16];
    stream.read_exact(&mut hello).unwrap();
    stream.write_all(&Hello::OURS.negotiate(Hello::OURS).to_bytes()).unwrap();
    loop {
        match Frame::read(&mut stream, TO_DAEMON_BYTES).unwrap() {
            Some(Frame::Request(Request::Overview)) => say(&mut stream, overview()),
            Some(Frame::Request(Request::Status)) => {
                let answer = status(models.remove(0));
                say(&mut stream, Event::Status(Box::new(answer)));
            }
            Some(Frame::Request(Request::Generate(_))) => break,
            other => panic!("{other:?}"),
        }
    }
    for event in answers {
        let image = match &event {
            Event::Image(image) => usize::try_from(image.bytes).unwrap(),
            _ => 0,
        };
        say(&mut stream, event);
        if image > 0 {
            write_pixels(&mut stream, &vec![7; image]).unwrap();
        }
    }
}

/// A daemon at `path` that serves one connection for each script, then ends.
fn daemon(path: &Path, scripts: Vec<Answers>) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for script in scripts {
            serve(listener.accept().unwrap().0, &mut Vec::new(), script);
        }
    })
}

fn accepted(job: u64) -> Event {
    Event::Accepted { job, position: 0 }
}

fn done() -> Event {
    Event::Done(Timings::default())
}

fn image() -> Event {
    Event::Image(ImageInfo { index: 0, seed: 0, width: 64, height: 64, bytes: 12_288 })
}

fn busy(message: &str, wait_ms: Option<u64>) -> Event {
    Event::Busy(Busy { failure: Failure::new(Kind::Busy, message), depth: 1, wait_ms })
}

fn returned() -> Event {
    Event::Failed(Failure::new(Kind::Busy, "zimaged is shutting down"))
}

/// Notes what the session tells, one word each.
#[derive(Default)]
struct Notes {
    words: Vec<String>,
    pauses: Vec<Duration>,
    needs_model: bool,
    interrupt_at_busy: bool,
    interrupted: bool,
}

impl SessionObserver for Notes {
    type Error = Failure;

    fn needs_model(&self) -> bool {
        self.needs_model
    }

    fn prepare(
        &mut self,
        model: Option<&ModelInfo>,
        begin: Option<Instant>,
    ) -> Result<Generate, Failure> {
        assert!(begin.is_some());
        let model = model.map_or("no model", |model| &model.name);
        self.words.push(format!("prepare with {model}"));
        let params = Params::new("a fox");
        Ok(Generate {
            params,
            priority: Priority::Interactive,
            detach: false,
            previews: false,
            ..Generate::default()
        })
    }

    fn update(&mut self, update: Update) -> Result<(), Failure> {
        self.words.push(match update {
            Update::Accepted { job, .. } => format!("accepted {job}"),
            Update::Waiting(Waiting::Worker(_)) => "waiting for the worker".to_owned(),
            Update::Image(_) => "image".to_owned(),
            Update::Done(_) => "done".to_owned(),
            other => panic!("{other:?}"),
        });
        Ok(())
    }

    fn waiting(&mut self, wait: &SessionWait<'_>) -> Result<(), Failure> {
        match wait {
            SessionWait::Absent(_) => self.words.push("absent".to_owned()),
            SessionWait::Unanswered => self.words.push("unanswered".to_owned()),
            SessionWait::Busy { pause, .. } => {
                self.words.push("busy".to_owned());
                self.pauses.push(*pause);
                self.interrupted = self.interrupt_at_busy;
            }
        }
        Ok(())
    }

    fn disconnected(&mut self) {
        self.words.push("disconnected".to_owned());
    }

    fn interrupted(&self) -> bool {
        self.interrupted
    }

    fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        if self.interrupted {
            return Err(Failure::new(Kind::Cancelled, "interrupted"));
        }
        thread::sleep(time.min(Duration::from_millis(20)));
        Ok(())
    }
}

fn session(path: &Path, policy: RetryPolicy) -> Session {
    Session { program: "test 1.0".to_owned(), socket: path.to_owned(), policy }
}

#[test]
fn a_full_daemon_is_asked_again_if_the_caller_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let scripts = vec![
        vec![busy("the queue is full", Some(250))],
        vec![busy("the queue is full", Some(60_000))],
        vec![busy("the queue is full", None)],
        vec![accepted(4), image(), done()],
    ];
    let daemon = daemon(&path, scripts);
    let mut notes = Notes::default();
    session(&path, RetryPolicy::WAIT).run(&mut notes).unwrap();
    daemon.join().unwrap();
    let attempt = ["prepare with no model", "disconnected", "busy"];
    let last = ["prepare with no model", "accepted 4", "image", "done", "disconnected"];
    assert_eq!(notes.words, [&attempt[..], &attempt, &attempt, &last].concat());
    // As the daemon estimates it, at most ten seconds, and one second without an estimate.
    assert_eq!(notes.pauses, [250, 10_000, 1000].map(Duration::from_millis));
}

#[test]
fn a_refusal_is_final_if_the_caller_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let daemon = daemon(&path, vec![vec![busy("the queue is full", Some(250))]]);
    let mut notes = Notes::default();
    let failure = session(&path, RetryPolicy::FAIL).run(&mut notes).unwrap_err();
    daemon.join().unwrap();
    assert_eq!((failure.kind, &*failure.message), (Kind::Busy, "the queue is full"));
}

#[test]
fn a_returned_job_is_submitted_to_the_next_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let scripts = vec![vec![accepted(1), returned()], vec![accepted(2), image(), done()]];
    let daemon = daemon(&path, scripts);
    let mut notes = Notes::default();
    session(&path, RetryPolicy::FAIL).run(&mut notes).unwrap();
    daemon.join().unwrap();
    assert!(notes.words.contains(&"accepted 2".to_owned()), "{:?}", notes.words);
}

#[test]
fn a_job_with_an_image_is_not_submitted_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let daemon = daemon(&path, vec![vec![accepted(1), image(), returned()]]);
    let failure = session(&path, RetryPolicy::FAIL).run(&mut Notes::default()).unwrap_err();
    daemon.join().unwrap();
    assert_eq!(failure.message, "zimaged is shutting down");
}

#[test]
fn without_a_next_daemon_the_first_ones_reason_is_returned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let daemon = daemon(&path, vec![vec![accepted(1), returned()]]);
    let policy = RetryPolicy { absence: Duration::from_millis(50), ..RetryPolicy::FAIL };
    let failure = session(&path, policy).run(&mut Notes::default()).unwrap_err();
    daemon.join().unwrap();
    assert_eq!(failure.message, "zimaged is shutting down");
}

#[test]
fn a_daemon_that_is_about_to_listen_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let late = path.clone();
    let started = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        daemon(&late, vec![vec![accepted(1), image(), done()]]).join().unwrap();
    });
    session(&path, RetryPolicy::FAIL).run(&mut Notes::default()).unwrap();
    started.join().unwrap();
}

#[test]
fn a_missing_daemon_is_an_error_after_the_time_of_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let asked = Instant::now();
    let path = directory.path().join("s");
    let failure = session(&path, RetryPolicy::FAIL).run(&mut notes).unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(asked.elapsed() >= RetryPolicy::FAIL.absence);
    assert_eq!(notes.words, ["disconnected"]);
}

#[test]
fn the_search_for_a_restarted_daemon_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let policy = RetryPolicy { absence: Duration::from_millis(800), ..RetryPolicy::WAIT };
    let path = directory.path().join("s");
    session(&path, policy).run(&mut notes).unwrap_err();
    assert_eq!(notes.words, ["absent", "disconnected"]);
}

#[test]
fn an_interrupted_session_submits_nothing_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let daemon = daemon(&path, vec![vec![busy("the queue is full", None)]]);
    let mut notes = Notes { interrupt_at_busy: true, ..Notes::default() };
    let failure = session(&path, RetryPolicy::WAIT).run(&mut notes).unwrap_err();
    daemon.join().unwrap();
    assert_eq!(failure.kind, Kind::Cancelled);
}

#[test]
fn a_request_that_depends_on_the_model_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let model = ModelInfo {
        name: "tiny".into(),
        device: "cpu".into(),
        dtype: "float32".into(),
        width: 64,
        height: 64,
        steps: 8,
        guidance: 0.0,
        max_tokens: 512,
        capabilities: Capabilities::default(),
    };
    let daemon = thread::spawn(move || {
        let mut models = vec![None, Some(model)];
        let answers = vec![accepted(1), image(), done()];
        serve(listener.accept().unwrap().0, &mut models, answers);
    });
    let mut notes = Notes { needs_model: true, ..Notes::default() };
    session(&path, RetryPolicy::FAIL).run(&mut notes).unwrap();
    daemon.join().unwrap();
    assert_eq!(notes.words[..2], ["waiting for the worker", "prepare with tiny"]);
}
