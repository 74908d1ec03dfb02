//! `zimg wait`: saves the images of detached jobs, and lets the daemon forget them then.

use std::time::Duration;

use zimg_client::{Client, Failure, JobId, JobState, Kind, Priority, Update};

use super::PROGRAM;
use super::draw::check;
use crate::drawing::{self, Session, Teller};
use crate::interrupt::Interrupt;
use crate::output::Now;
use crate::plan::{Plan, Setting};
use crate::report::{Report, Style};
use crate::screen::Screen;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::{Common, Options, Wait};

/// Waits for each job and saves its images.
///
/// # Errors
///
/// Whatever went wrong first: a job's own failure, too. Images saved before stay, and jobs that
/// are not all saved stay with the daemon.
pub(crate) fn run(typed: &Wait, common: &Common) -> Result<(), Stop> {
    let interrupt = Interrupt::install()?;
    let settings = Settings::read()?;
    let said = typed.options();
    let options = said.clone().or(settings.options().beside_the_image());
    check(&said, &options, common)?;
    let style = Style::choose(common.json, options.quiet);
    let socket = common.find_socket(&settings)?;
    let (line, absence) = (style == Style::Line, Duration::ZERO);
    let session = Session { socket, interrupt, line, absence };
    let (now, mut index) = (Now::local(), 1);
    for job in &typed.jobs {
        if matches!(style, Style::Line | Style::Plain) {
            session.interrupt.says(format!("job {job} goes on; `zimg wait {job}` saves it\n"));
        }
        let setting =
            Setting { default: "zimg-{seed}", index, now: &now, priority: Priority::default() };
        let screen = if common.json { None } else { Screen::choose(&options, &session.interrupt) };
        let paths = said.output.is_none();
        let fetched = fetch(*job, &options, setting, &session, |count| {
            Report::new(style, count, paths, screen)
        });
        if !typed.keep {
            forget(*job, &fetched, &session)?;
        }
        index += u64::from(fetched?);
    }
    Ok(())
}

/// Saves a job's images: how many there are.
fn fetch(
    job: JobId,
    options: &Options,
    setting: Setting<'_>,
    session: &Session,
    report: impl FnOnce(u32) -> Report,
) -> Result<u32, Stop> {
    let mut job = Client::connect(PROGRAM, &session.socket)?.wait(job)?;
    let accepted = job.next().unwrap_or_else(|| Err(unasked()))?;
    let draw = job.asked().cloned().ok_or_else(unasked)?;
    let count = draw.count;
    let plan = Plan::of_job(draw, options, setting)?;
    let mut report = report(count);
    // It is accepted long since; how many jobs are before it comes again if it waits.
    if matches!(accepted, Update::Accepted { .. }) {
        report.update(&accepted)?;
    }
    drawing::fetch(&plan, job, session, &mut report)?;
    Ok(count)
}

/// Lets the daemon forget a job that is saved, or whose failure was told.
fn forget(job: JobId, fetched: &Result<u32, Stop>, session: &Session) -> Result<(), Failure> {
    let connect = || Client::connect(PROGRAM, &session.socket);
    if fetched.is_ok() {
        return match connect()?.forget(job) {
            // Somebody else has waited for it, too, and was quicker.
            Err(failure) if failure.kind == Kind::Refused => Ok(()),
            other => other,
        };
    }
    let failed = |client: &mut Client| {
        let infos = client.jobs().unwrap_or_default();
        infos.iter().any(|info| info.job == job && matches!(info.state, JobState::Failed(_)))
    };
    // The failure is what counts now: one more of the same connection says nothing new.
    if let Ok(mut client) = connect()
        && failed(&mut client)
    {
        let _ = client.forget(job);
    }
    Ok(())
}

fn unasked() -> Failure {
    Failure::new(Kind::Internal, "the daemon does not say what the job draws")
}
