//! The worker's life: load, warm up, draw until the supervisor goes away.

use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use zimg_protocol::Kind;
use zimg_protocol::messages::Report;

use crate::args::Args;
use crate::prepare::prepare;
use crate::{job, link, log};

/// Runs until the supervisor closes the socket; says why if it cannot.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Err(e) = die_with(Pid::from_raw(args.parent_pid)) {
        log::line(format_args!("zimage-worker is started by zimaged, not by hand: {e}"));
        return ExitCode::from(Kind::Usage.exit_code());
    }
    let (jobs, cancelled, reports) = match link::open() {
        Ok(link) => link,
        Err(e) => {
            log::line(format_args!("file descriptor 0 is not zimaged's socket: {e}"));
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::from(threads));
    }
    let (pipeline, info) = match prepare(args, &reports) {
        Ok(prepared) => prepared,
        Err(failure) => {
            let status = failure.kind.exit_code();
            reports.send(Report::Fatal(failure));
            reports.finish();
            return ExitCode::from(status);
        }
    };
    let model = info.name.clone();
    reports.send(Report::Ready(info));
    while let Ok(next) = jobs.recv() {
        job::run(&pipeline, &model, &next, &reports, &cancelled);
    }
    ExitCode::SUCCESS
}

/// Has the kernel kill this process when its parent dies, and checks that it has not yet.
fn die_with(parent: Pid) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| e.to_string())?;
    if getppid() == parent { Ok(()) } else { Err("the parent process is another".to_owned()) }
}
