//! What happens, as lines of JSON on standard output: `{"v":1,"event":…}`. `docs/cli.md` is the
//! reference, `docs/zimg-json.schema.json` the schema that a test holds it to. Images count from
//! 1, as in file names. Fields are added, never changed.

mod status;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use zimg_client::{Failure, JobInfo, JobState, Kind, Priority, Update, Waiting, WorkerState};

use self::status::Daemon;
pub(crate) use self::status::status;

use crate::doctor::{Finding, Level};
use crate::drawing::Saved;
use crate::recipe::Recipe;
use crate::stop::Stop;

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    event: Event<'a>,
}

/// The field "event" and what belongs to each.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    Accepted {
        job: u64,
        position: u32,
    },
    Waiting(State<'a>),
    Started {
        model: &'a str,
        width: u32,
        height: u32,
        steps: u32,
        guidance: f32,
    },
    Step {
        image: u64,
        step: u32,
        of: u32,
        ms: f32,
    },
    Decoding {
        image: u64,
    },
    Saved {
        image: u64,
        path: String,
        seed: u64,
        width: u32,
        height: u32,
        bytes: Option<usize>,
    },
    Sheet {
        path: String,
        width: u32,
        height: u32,
        bytes: usize,
    },
    Warning {
        message: &'a str,
    },
    Busy {
        wait_ms: u64,
        message: &'a str,
    },
    Recipe(Made<'a>),
    Skipped {
        image: u64,
        path: String,
    },
    ItemFailed {
        line: u64,
        image: u64,
        #[serde(flatten)]
        reason: Reason<'a>,
    },
    Summary {
        drawn: u64,
        skipped: u64,
        failed: u64,
        ms: u64,
    },
    Resumed {
        image: u64,
        step: u32,
    },
    Done {
        ms: Milliseconds,
    },
    Job(Box<Known<'a>>),
    Cancelled {
        job: u64,
    },
    Status(Box<Daemon<'a>>),
    Lost(Reason<'a>),
    Check {
        topic: &'static str,
        level: &'static str,
        message: &'a str,
        fix: Option<&'a str>,
    },
    Setting {
        key: &'a str,
        value: Option<serde_json::Value>,
        origin: Option<&'a str>,
    },
    Failed(Reason<'a>),
}

/// The field "state": why a job waits, or what the worker does.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State<'a> {
    Queued { position: u32 },
    Overtaken { position: u32 },
    Disk { message: &'a str },
    Starting,
    Loading { done: u64, total: u64 },
    Warming,
    Ready,
    Busy { job: u64, step: u32, of: u32 },
    Draining,
    Restarting { in_ms: u64, reason: &'a str },
    Failed(Reason<'a>),
    Asleep,
}

/// How an image was made.
#[derive(Serialize)]
pub(crate) struct Made<'a> {
    path: String,
    #[serde(flatten)]
    recipe: &'a Recipe,
}

#[derive(Serialize)]
pub(crate) struct Reason<'a> {
    kind: &'static str,
    code: u8,
    message: &'a str,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct Milliseconds {
    queued: f32,
    text: f32,
    steps: f32,
    decode: f32,
    total: f32,
}

/// A job in a list.
#[derive(Serialize)]
pub(crate) struct Known<'a> {
    job: u64,
    uid: u32,
    #[serde(flatten)]
    state: Stage<'a>,
    priority: &'static str,
    detached: bool,
    width: Option<u32>,
    height: Option<u32>,
    seed: u64,
    count: u32,
    drawn: u32,
    accepted_unix_s: u64,
    prompt: &'a str,
}

/// The field "state" of a job in a list.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Stage<'a> {
    Waiting { position: u32 },
    Running { image: u64, step: u32, of: u32 },
    Done,
    Failed(Reason<'a>),
    Held(Reason<'a>),
}

/// Prints one line.
///
/// # Errors
///
/// Standard output is closed or full.
pub(crate) fn print(event: Event<'_>) -> Result<(), Stop> {
    let mut line = serde_json::to_string(&Line { v: 1, event })
        .map_err(|error| Stop::writing(&error.into()))?;
    line.push('\n');
    io::stdout().lock().write_all(line.as_bytes()).map_err(|error| Stop::writing(&error))
}

/// A job's update; none for an image, which is told when it is saved.
pub(crate) fn update(update: &Update) -> Option<Event<'_>> {
    Some(match update {
        &Update::Accepted { job, position } => Event::Accepted { job, position },
        Update::Waiting(Waiting::Queue { position }) => {
            Event::Waiting(State::Queued { position: *position })
        }
        Update::Waiting(Waiting::Worker(worker)) => Event::Waiting(state(worker)),
        Update::Waiting(Waiting::Overtaken { position }) => {
            Event::Waiting(State::Overtaken { position: *position })
        }
        Update::Waiting(Waiting::Disk(failure)) => {
            Event::Waiting(State::Disk { message: &failure.message })
        }
        Update::Started(started) => Event::Started {
            model: &started.model,
            width: started.width,
            height: started.height,
            steps: started.steps,
            guidance: started.guidance,
        },
        Update::Step(step) => {
            Event::Step { image: from_one(step.image), step: step.step, of: step.of, ms: step.ms }
        }
        Update::Decoding { image } => Event::Decoding { image: from_one(*image) },
        &Update::Resumed { image, step } => Event::Resumed { image: from_one(image), step },
        Update::Image(_) | Update::Preview(_) => return None,
        Update::Done(timings) => Event::Done {
            ms: Milliseconds {
                queued: timings.queued,
                text: timings.text,
                steps: timings.steps,
                decode: timings.decode,
                total: timings.total,
            },
        },
    })
}

/// An image is on the disk.
pub(crate) fn saved<'a>(saved: &Saved<'a>) -> Event<'a> {
    let info = &saved.image.info;
    Event::Saved {
        image: from_one(info.index),
        path: shown(saved.path),
        seed: info.seed,
        width: info.width,
        height: info.height,
        bytes: saved.bytes,
    }
}

/// The sheet is on the disk.
pub(crate) fn sheet(path: Option<&Path>, width: u32, height: u32, bytes: usize) -> Event<'static> {
    Event::Sheet { path: shown(path), width, height, bytes }
}

/// Something the user would rather know.
pub(crate) fn warning(message: &str) -> Event<'_> {
    Event::Warning { message }
}

/// There is no place, and zimg waits for one.
pub(crate) fn busy(failure: &Failure, pause: Duration) -> Event<'_> {
    let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Event::Busy { wait_ms, message: &failure.message }
}

/// How the image in a file was made.
pub(crate) fn recipe<'a>(path: &Path, recipe: &'a Recipe) -> Event<'a> {
    Event::Recipe(Made { path: shown(Some(path)), recipe })
}

/// An image of a batch is on the disk.
pub(crate) fn drawn(
    image: u64,
    path: &Path,
    seed: u64,
    (width, height): (u32, u32),
    bytes: usize,
) -> Event<'static> {
    Event::Saved { image, path: shown(Some(path)), seed, width, height, bytes: Some(bytes) }
}

/// An image of a batch was there.
pub(crate) fn skipped(image: u64, path: &Path) -> Event<'static> {
    Event::Skipped { image, path: shown(Some(path)) }
}

/// An image of a batch failed, and the batch goes on.
pub(crate) fn item_failed(line: u64, image: u64, failure: &Failure) -> Event<'_> {
    Event::ItemFailed { line, image, reason: reason(failure) }
}

/// What became of a batch.
pub(crate) fn summary(drawn: u64, skipped: u64, failed: u64, took: Duration) -> Event<'static> {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Event::Summary { drawn, skipped, failed, ms }
}

/// A job in a list.
pub(crate) fn job(info: &JobInfo) -> Event<'_> {
    Event::Job(Box::new(Known {
        job: info.job,
        uid: info.uid,
        state: match &info.state {
            &JobState::Waiting { position } => Stage::Waiting { position },
            &JobState::Running { image, step, of } => {
                Stage::Running { image: from_one(image), step, of }
            }
            JobState::Done => Stage::Done,
            JobState::Failed(failure) => Stage::Failed(reason(failure)),
            JobState::Held(failure) => Stage::Held(reason(failure)),
        },
        priority: match info.priority {
            Priority::Interactive => "interactive",
            Priority::Batch => "batch",
        },
        detached: info.detached,
        width: info.width,
        height: info.height,
        seed: info.seed,
        count: info.count,
        drawn: info.drawn,
        accepted_unix_s: info.accepted_unix_s,
        prompt: &info.prompt,
    }))
}

/// A job is stopped, or what was kept of it is dropped.
pub(crate) fn cancelled(job: u64) -> Event<'static> {
    Event::Cancelled { job }
}

/// The last line of a command that failed.
pub(crate) fn failed(failure: &Failure) -> Event<'_> {
    Event::Failed(reason(failure))
}

/// A key of the settings, what it is set to, in the form of the file, and where.
pub(crate) fn setting<'a>(key: &'a str, value: Option<&str>, origin: Option<&'a str>) -> Event<'a> {
    // What the file has is JSON, but for floats such as `1.`.
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    Event::Setting { key, value: value.map(parsed), origin }
}

/// What the doctor found of one thing.
pub(crate) fn check(finding: &Finding) -> Event<'_> {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "fail",
    };
    let Finding { topic, text, fix, .. } = finding;
    Event::Check { topic, level, message: text, fix: fix.as_deref() }
}

/// The daemon that is watched has gone.
pub(crate) fn lost(failure: &Failure) -> Event<'_> {
    Event::Lost(reason(failure))
}

/// Empty for standard output.
fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn from_one(image: u32) -> u64 {
    u64::from(image) + 1
}

fn state(state: &WorkerState) -> State<'_> {
    match state {
        WorkerState::Starting => State::Starting,
        &WorkerState::Loading { done, total } => State::Loading { done, total },
        WorkerState::Warming => State::Warming,
        WorkerState::Ready => State::Ready,
        &WorkerState::Busy { job, step, of } => State::Busy { job, step, of },
        WorkerState::Draining => State::Draining,
        WorkerState::Restarting { in_ms, reason } => State::Restarting { in_ms: *in_ms, reason },
        WorkerState::Failed(failure) => State::Failed(reason(failure)),
        WorkerState::Asleep => State::Asleep,
    }
}

fn reason(failure: &Failure) -> Reason<'_> {
    let kind = match failure.kind {
        Kind::Usage => "usage",
        Kind::Refused => "refused",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal",
        Kind::CannotCreate => "cannot_create",
        Kind::Io => "io",
        Kind::Busy => "busy",
        Kind::Version => "version",
        Kind::Permission => "permission",
        Kind::Config => "config",
        Kind::Cancelled => "cancelled",
    };
    let code = failure.kind.exit_code();
    Reason { kind, code, message: &failure.message, hint: failure.hint.as_deref() }
}
