//! `zimg wait`: saves the images of detached jobs, then deletes them in the daemon.

use std::time::Duration;

use zimg_client::{Client, Failure, JobId, JobState, Kind, Priority, Update};

use super::draw::check;
use crate::cli::{CommonArgs, DrawOptions, WaitArgs};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::job_spec::{JobSpec, SpecContext};
use crate::output::LocalTime;
use crate::progress::{JobReporter, ReportStyle};
use crate::run_job::{self, JobObserver, RunContext};
use crate::settings::UserSettings;
use crate::terminal_image::TerminalImage;
use crate::version::PROGRAM;

/// Waits for each job and saves its images.
///
/// # Errors
///
/// The first failure, which may be that of a job. Images that were saved before stay, and so do
/// jobs in the daemon whose images are not all saved.
pub(crate) fn run(args: &WaitArgs, common: &CommonArgs) -> Result<(), Exit> {
    let interrupt = Interrupt::install()?;
    let settings = UserSettings::read()?;
    let said = args.options();
    let options = said.clone().or(settings.options().beside_the_image());
    check(&said, &options, common)?;
    let style = ReportStyle::choose(common.json, options.quiet);
    let socket = settings.find_socket(common.socket.as_deref())?;
    let (line, absence) = (style == ReportStyle::Line, Duration::ZERO);
    let session = RunContext { socket, interrupt, line, absence };
    let (now, mut index) = (LocalTime::local(), 1);
    for job in &args.jobs {
        if matches!(style, ReportStyle::Line | ReportStyle::Plain) {
            session
                .interrupt
                .set_farewell(format!("job {job} continues; `zimg wait {job}` saves its images\n"));
        }
        let context = SpecContext {
            default: "zimg-{seed}".as_ref(),
            index,
            now: &now,
            priority: Priority::default(),
        };
        let screen =
            if common.json { None } else { TerminalImage::choose(&options, &session.interrupt) };
        let paths = said.output.is_none();
        let fetched = fetch(*job, &options, context, &session, |count| {
            JobReporter::new(style, count, paths, screen)
        });
        if !args.keep {
            forget(*job, &fetched, &session)?;
        }
        index += u64::from(fetched?);
    }
    Ok(())
}

/// Saves the images of a job and returns their number.
fn fetch(
    job: JobId,
    options: &DrawOptions,
    context: SpecContext<'_>,
    session: &RunContext,
    report: impl FnOnce(u32) -> JobReporter,
) -> Result<u32, Exit> {
    let mut job = Client::connect(PROGRAM, &session.socket)?.wait(job)?;
    let accepted = job.next().unwrap_or_else(|| Err(unasked()))?;
    let draw = job.asked().cloned().ok_or_else(unasked)?;
    let count = draw.images();
    let plan = JobSpec::of_job(draw, options, context)?;
    let mut report = report(count);
    // The job was accepted long ago; if it waits, its position is reported again.
    if matches!(accepted, Update::Accepted { .. }) {
        report.update(&accepted)?;
    }
    run_job::fetch(&plan, job, session, &mut report)?;
    Ok(count)
}

/// Deletes a job in the daemon after its images are saved or its failure is reported.
fn forget(job: JobId, fetched: &Result<u32, Exit>, session: &RunContext) -> Result<(), Failure> {
    let connect = || Client::connect(PROGRAM, &session.socket);
    if fetched.is_ok() {
        return match connect()?.forget(job) {
            // Another `zimg wait` has fetched and deleted it first.
            Err(failure) if failure.kind == Kind::Refused => Ok(()),
            other => other,
        };
    }
    let failed = |client: &mut Client| {
        let infos = client.jobs().unwrap_or_default();
        infos.iter().any(|info| info.job == job && matches!(info.state, JobState::Failed(_)))
    };
    // Errors are ignored: the failure of the job is the one to report.
    if let Ok(mut client) = connect()
        && failed(&mut client)
    {
        let _ = client.forget(job);
    }
    Ok(())
}

fn unasked() -> Failure {
    Failure::new(Kind::Internal, "the daemon did not send the job's parameters")
}
