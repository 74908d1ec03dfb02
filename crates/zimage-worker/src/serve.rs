//! The worker's life: load, warm up, draw until the supervisor goes away.

use std::fs;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use zimg_protocol::messages::Report;
use zimg_protocol::{Failure, Kind};

use crate::args::Args;
use crate::commands::Job;
use crate::reports::Reports;
use crate::startup::{self, prepare};
use crate::{exit, job, link, log, memory};

/// proc_pid_oom_score_adj(5)
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
/// Half of what the whole memory counts, added to what this process uses.
const OOM_CHOSEN: i32 = 500;
/// For so long nothing was asked for before something else is done.
const QUIET: Duration = Duration::from_secs(1);

/// Runs until the supervisor closes the socket; says why if it cannot.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Err(e) = die_with(Pid::from_raw(args.parent_pid)) {
        log::line(format_args!("zimage-worker is started by zimaged, not by hand: {e}"));
        exit::now(Kind::Usage.exit_code())
    }
    let (jobs, reports) = match link::open() {
        Ok(link) => link,
        Err(e) => {
            log::line(format_args!("file descriptor 0 is not zimaged's socket: {e}"));
            exit::now(Kind::Usage.exit_code())
        }
    };
    die_first();
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::from(threads));
    }
    let (pipeline, info) = match prepare(args, &reports) {
        Ok(prepared) => prepared,
        Err(failure) => {
            let status = failure.kind.exit_code();
            give_up(failure, reports, status)
        }
    };
    let model = info.clone();
    reports.send(Report::Ready(info));
    memory::report(pipeline.device(), &reports);
    let mut later = startup::later(args);
    while let Some(next) = next(&jobs, || {
        let Some(later) = later.next() else { return false };
        if let Err(e) = later.run(&pipeline) {
            log::line(format_args!("some first images will wait a little: {e}"));
        }
        true
    }) {
        if let Err(failure) = job::run(&pipeline, &model, &next, &reports) {
            give_up(failure, reports, exit::BEYOND_HELP)
        }
        memory::report(pipeline.device(), &reports);
        for remark in pipeline.remarks() {
            log::line(format_args!("{remark}"));
        }
    }
    ExitCode::SUCCESS
}

/// Says why this process can do no more, and ends it.
fn give_up(failure: Failure, reports: Reports, status: u8) -> ! {
    log::line(&failure);
    reports.send(Report::Fatal(failure));
    reports.finish();
    exit::now(status)
}

/// The next job; if none comes for a while, does what else there is, a little at a time, for as
/// long as there is something: a job that comes just then waits for no more than that.
fn next(jobs: &Receiver<Job>, mut meanwhile: impl FnMut() -> bool) -> Option<Job> {
    let mut wait = QUIET;
    loop {
        match jobs.recv_timeout(wait) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if meanwhile() => wait = Duration::ZERO,
            Err(RecvTimeoutError::Timeout) => return jobs.recv().ok(),
        }
    }
}

/// Has the kernel, when the machine's memory runs out, choose this process rather than others: it
/// is large, and it is started again.
fn die_first() {
    let chosen = fs::read_to_string(OOM_SCORE).ok().and_then(|now| now.trim().parse().ok());
    if chosen.is_none_or(|now: i32| now < OOM_CHOSEN)
        && let Err(e) = fs::write(OOM_SCORE, OOM_CHOSEN.to_string())
    {
        log::line(format_args!("{OOM_SCORE} cannot be written: {e}"));
    }
}

/// Has the kernel kill this process when its parent dies, and checks that it has not yet.
fn die_with(parent: Pid) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| e.to_string())?;
    if getppid() == parent { Ok(()) } else { Err("the parent process is another".to_owned()) }
}
