//! The worker's main loop: load, warm up, run jobs until the supervisor closes the socket.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{env, fs};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use zimage::checkpoint::adapter::AdapterDirectories;
use zimage::checkpoint::control::ControlDirectories;
use zimage_ipc::Report;
use zimg_protocol::Kind;
use zimg_system::cpus::Cpus;
use zimg_system::processes;

use crate::args::Args;
use crate::commands::Job;
use crate::link::LinkError;
use crate::loras::{LoraFolders, SharedLoras};
use crate::planner::End;
use crate::reports::Reports;
use crate::startup::{self, Ready};
use crate::{exit, job, link, log, memory};

/// proc_pid_oom_score_adj(5)
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
/// Half of what the whole memory counts, added to what this process uses.
const OOM_SCORE_ADJ: i32 = 500;
/// No job came for this long before warm-up goes on.
const IDLE: Duration = Duration::from_secs(1);

/// Runs until the supervisor closes the socket; logs why if it cannot.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Err(e) = end_with(Pid::from_raw(args.parent_pid)) {
        log::line(format_args!("zimage-worker is started by zimaged, not by hand: {e}"));
        exit::now(Kind::Usage.exit_code())
    }
    let loras = SharedLoras::default();
    let (jobs, reports) = match link::open(&loras) {
        Ok(link) => link,
        Err(LinkError::Socket(e)) => {
            log::line(format_args!("file descriptor 0 is not zimaged's socket: {e}"));
            exit::now(Kind::Usage.exit_code())
        }
        Err(LinkError::Thread(e)) => {
            log::line(format_args!("cannot start a thread: {}", processes::explain(&e)));
            exit::now(Kind::Internal.exit_code())
        }
    };
    prefer_for_oom_kill();
    set_threads(args.threads);
    let Ready { pipeline, info, planner, when_idle } = match startup::start(args, &reports) {
        Ok(ready) => ready,
        Err(End::Failed(failure)) => {
            let status = failure.kind.exit_code();
            give_up(End::Failed(failure), reports, status)
        }
        Err(end) => give_up(end, reports, exit::REPLAN),
    };
    let directories = AdapterDirectories::new(args.lora_dir.clone());
    let folders = LoraFolders::new(directories, pipeline.linear_maps().clone(), reports.sender());
    let _ = loras.set(folders);
    let controls = ControlDirectories::new(args.control_dir.clone());
    let model = info.clone();
    reports.send(Report::Ready(info));
    memory::report(pipeline.device(), &reports);
    let limits = pipeline.limits();
    let mut when_idle = when_idle.into_iter().filter(|step| !step.exceeds(&limits));
    while let Some(next) = next(&jobs, || {
        let Some(step) = when_idle.next() else { return false };
        if let Err(e) = pipeline.warm_up(&step) {
            log::line(format_args!("idle warm-up failed, some first images will be slower: {e}"));
        }
        true
    }) {
        match job::run(&pipeline, planner.as_ref(), (&model, &loras, &controls), &next, &reports) {
            Ok(()) => {}
            Err(end @ End::Failed(_)) => give_up(end, reports, exit::DEVICE_LOST),
            Err(end @ End::Replan { .. }) => give_up(end, reports, exit::REPLAN),
        }
        memory::report(pipeline.device(), &reports);
        for remark in pipeline.remarks() {
            log::line(format_args!("{remark}"));
        }
    }
    ExitCode::SUCCESS
}

/// Sets how many threads compute: as configured, or as the administrator's `OMP_NUM_THREADS` says, or
/// no more than the CPU quota allows. OpenMP heeds the affinity and knows no quota: with a thread on
/// each CPU, all of them wait while the quota is used up.
fn set_threads(configured: Option<u16>) {
    if let Some(threads) = configured {
        tch::set_num_threads(i32::from(threads));
        return;
    }
    let cpus = Cpus::of_this_process();
    let threads = cpus.threads();
    if let (Some(quota), None) = (cpus.quota, env::var_os("OMP_NUM_THREADS"))
        && (threads as i32) < tch::get_num_threads()
    {
        tch::set_num_threads(threads as i32);
        log::line(format_args!("threads: {threads}, as the CPU quota is {quota:.2} CPUs"));
    }
}

/// Reports why this process can do no more, and ends it.
fn give_up(end: End, reports: Reports, status: u8) -> ! {
    reports.send(match end {
        End::Failed(failure) => {
            log::line(&failure);
            Report::Fatal(failure)
        }
        End::Replan { basis, reason } => Report::Replan { basis, reason },
    });
    reports.finish();
    exit::now(status)
}

/// The next job. While none comes, runs `idle` again and again, until it returns false: a job that
/// comes just then waits for one such call at most.
fn next(jobs: &Receiver<Job>, mut idle: impl FnMut() -> bool) -> Option<Job> {
    let mut wait = IDLE;
    loop {
        match jobs.recv_timeout(wait) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if idle() => wait = Duration::ZERO,
            Err(RecvTimeoutError::Timeout) => return jobs.recv().ok(),
        }
    }
}

/// Makes the kernel kill this process before others when the machine's memory runs out: it is
/// large, and it is started again.
fn prefer_for_oom_kill() {
    let chosen = fs::read_to_string(OOM_SCORE).ok().and_then(|now| now.trim().parse().ok());
    if chosen.is_none_or(|now: i32| now < OOM_SCORE_ADJ)
        && let Err(e) = fs::write(OOM_SCORE, OOM_SCORE_ADJ.to_string())
    {
        log::line(format_args!("{OOM_SCORE} cannot be written: {e}"));
    }
}

/// Makes the kernel kill this process when its parent ends, and checks that the parent still runs.
fn end_with(parent: Pid) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| e.to_string())?;
    if getppid() == parent {
        Ok(())
    } else {
        Err("its parent is not the process --parent-pid".to_owned())
    }
}
