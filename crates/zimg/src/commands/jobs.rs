//! `zimg jobs`: lists the user's jobs, one line each; for root the jobs of all users.

use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use zimg_client::{Client, JobInfo, JobState, Priority};

use crate::cli::CommonArgs;
use crate::exit::Exit;
use crate::json::FailureFields;
use crate::settings::UserSettings;
use crate::version::PROGRAM;
use crate::{format, json};

const HEAD: [&str; 7] = ["JOB", "USER", "STATE", "IMAGES", "SIZE", "SEED", "SINCE"];
/// Columns that a narrow terminal omits, since the prompt identifies a job.
const WIDE: [&str; 3] = ["IMAGES", "SIZE", "SEED"];
/// The width of a terminal that is not narrow.
const NARROW: usize = 60;

/// The `--json` event of a job in the list.
#[derive(Serialize)]
#[serde(tag = "event", rename = "job")]
struct JobListEvent<'a> {
    job: u64,
    uid: u32,
    #[serde(flatten)]
    state: JobStateFields<'a>,
    priority: &'static str,
    detached: bool,
    width: Option<u32>,
    height: Option<u32>,
    seed: u64,
    count: u32,
    generated: u32,
    accepted_unix_s: u64,
    prompt: &'a str,
}

/// The field "state" of a job in a list.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum JobStateFields<'a> {
    Waiting { position: u32 },
    Running { image: u64, step: u32, of: u32 },
    Done,
    Failed(FailureFields<'a>),
    Blocked(FailureFields<'a>),
}

impl<'a> From<&'a JobInfo> for JobListEvent<'a> {
    fn from(info: &'a JobInfo) -> Self {
        Self {
            job: info.job,
            uid: info.uid,
            state: match &info.state {
                &JobState::Waiting { position } => JobStateFields::Waiting { position },
                &JobState::Running { image, step, of } => {
                    JobStateFields::Running { image: u64::from(image) + 1, step, of }
                }
                JobState::Done => JobStateFields::Done,
                JobState::Failed(failure) => JobStateFields::Failed(failure.into()),
                JobState::Blocked(failure) => JobStateFields::Blocked(failure.into()),
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
            generated: info.generated,
            accepted_unix_s: info.accepted_unix_s,
            prompt: &info.prompt,
        }
    }
}

/// Prints the list of jobs.
///
/// # Errors
///
/// No daemon answers, or standard output is closed or full.
pub(crate) fn run(common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let jobs = Client::connect(PROGRAM, &socket)?.jobs()?;
    if common.json {
        return jobs.iter().try_for_each(|info| json::print(&JobListEvent::from(info)));
    }
    let width = io::stdout().is_terminal().then(columns).flatten();
    let text = table_now(&jobs, width);
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Exit::stdout(&error))
}

/// The table at the current time.
pub(super) fn table_now(jobs: &[JobInfo], width: Option<usize>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    table(jobs, now, nix::unistd::getuid().as_raw(), width)
}

/// The width of the terminal of standard output.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The table, or a sentence if there are no jobs. The column of users is shown if there are others
/// than `me`; lines are cut to `width`.
fn table(jobs: &[JobInfo], now: u64, me: u32, width: Option<usize>) -> String {
    if jobs.is_empty() {
        return "no jobs\n".to_owned();
    }
    let users = jobs.iter().any(|info| info.uid != me);
    let rows: Vec<[String; 7]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(jobs.iter().map(|i| row(i, now))).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let prompts = std::iter::once("PROMPT").chain(jobs.iter().map(|info| &*info.prompt));
    let mut text = String::new();
    for (row, prompt) in rows.iter().zip(prompts) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let room = width.is_none_or(|width| width >= NARROW);
            if (users || HEAD[column] != "USER") && (room || !WIDE.contains(&HEAD[column])) {
                line += &format!("{cell:<width$}  ", width = widths[column]);
            }
        }
        line += &format::printable(prompt);
        text += format::cut(line.trim_end(), width.unwrap_or(usize::MAX));
        text.push('\n');
    }
    text
}

fn row(info: &JobInfo, now: u64) -> [String; 7] {
    let size = match (info.width, info.height) {
        (Some(width), Some(height)) => format!("{width}x{height}"),
        _ => String::new(),
    };
    let state = match &info.state {
        JobState::Waiting { position: 0 } => "next".to_owned(),
        JobState::Waiting { position } => format!("after {position} more"),
        JobState::Running { step, of, .. } => format!("step {step} of {of}"),
        JobState::Done => "done".to_owned(),
        JobState::Blocked(_) => "disk".to_owned(),
        JobState::Failed(failure) => format!("failed ({})", failure.kind.exit_code()),
    };
    [
        info.job.to_string(),
        info.uid.to_string(),
        state,
        format!("{} of {}", info.generated, info.count),
        size,
        info.seed.to_string(),
        format::uptime(now.saturating_sub(info.accepted_unix_s)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::{Failure, Kind, Priority};

    fn job(job: u64, state: JobState, prompt: &str) -> JobInfo {
        JobInfo {
            job,
            uid: 1000,
            on_behalf_of: None,
            state,
            priority: Priority::Batch,
            detached: true,
            width: (job > 7).then_some(1024),
            height: (job > 7).then_some(768),
            seed: 42,
            count: 2,
            generated: 1,
            accepted_unix_s: 1000,
            prompt: prompt.into(),
        }
    }

    #[test]
    fn jobs_are_a_line_each() {
        let failed = JobState::Failed(Failure::new(Kind::Refused, "no"));
        let jobs = [
            job(7, JobState::Waiting { position: 3 }, "a fox\nin the snow"),
            job(12, JobState::Running { image: 1, step: 3, of: 8 }, "a hen"),
            job(13, JobState::Done, ""),
            job(14, failed, "a cat"),
            job(15, JobState::Blocked(Failure::new(Kind::Io, "it is full")), "a dog"),
        ];
        assert_eq!(
            table(&jobs, 1065, 1000, None),
            "JOB  STATE         IMAGES  SIZE      SEED  SINCE  PROMPT\n\
             7    after 3 more  1 of 2            42    1 min  a fox\\nin the snow\n\
             12   step 3 of 8   1 of 2  1024x768  42    1 min  a hen\n\
             13   done          1 of 2  1024x768  42    1 min\n\
             14   failed (65)   1 of 2  1024x768  42    1 min  a cat\n\
             15   disk          1 of 2  1024x768  42    1 min  a dog\n"
        );
        assert_eq!(
            table(&jobs[1..2], 999, 0, Some(40)),
            "JOB  USER  STATE        SINCE  PROMPT\n12   1000  step 3 of 8  0 s    a hen\n"
        );
        assert_eq!(
            table(&jobs[..1], 1065, 1000, Some(39)),
            "JOB  STATE         SINCE  PROMPT\n7    after 3 more  1 min  a fox\\nin the\n"
        );
        assert_eq!(table(&[], 0, 0, None), "no jobs\n");
    }
}
