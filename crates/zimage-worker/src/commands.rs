//! The supervisor's commands, read from the socket: jobs, and control of the running one.

use std::io::Read;
use std::sync::mpsc::Sender;

use zimage_ipc::WorkerFrame;
use zimage_ipc::{Command, Point};
use zimg_protocol::FrameError;
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{JobId, Params};

use crate::control::{Control, ControlFlag};

/// The most bytes of latents: four times those of the largest image with 64 channels.
const LATENTS_MAX: usize = 64 << 20;

/// A job from the supervisor.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) params: Params,
    /// Whether previews are asked for.
    pub(crate) previews: bool,
    /// Where to resume it.
    pub(crate) from: Option<ResumePoint>,
    /// Set by later commands.
    pub(crate) control: ControlFlag,
}

/// Where a job that had begun is resumed.
#[derive(Debug)]
pub(crate) struct ResumePoint {
    pub(crate) point: Point,
    /// As many bytes as the point announces.
    pub(crate) latents: Vec<u8>,
}

/// Reads until the supervisor goes away; jobs go to `jobs`, and `list_loras` answers at once.
///
/// # Errors
/// When the supervisor violates the protocol.
pub(crate) fn read(
    from: &mut impl Read,
    jobs: &Sender<Job>,
    list_loras: &dyn Fn(),
) -> Result<(), FrameError> {
    // The supervisor sends a job once the one before has ended.
    let mut latest: Option<(JobId, ControlFlag)> = None;
    let raise = |latest: &Option<(JobId, ControlFlag)>, job, request| match latest {
        Some((id, control)) if *id == job => control.raise(request),
        _ => {}
    };
    while let Some(frame) = WorkerFrame::read(from, TO_CLIENT_BYTES)? {
        match frame {
            WorkerFrame::Command(Command::Generate { job: id, params, previews, from: point }) => {
                let control = ControlFlag::default();
                latest = Some((id, control.clone()));
                let at = point
                    .map(|point| {
                        Ok::<_, FrameError>(ResumePoint { point, latents: latents(from, point)? })
                    })
                    .transpose()?;
                // The model thread ends only with the process.
                let _ = jobs.send(Job { id, params: *params, previews, from: at, control });
            }
            WorkerFrame::Command(Command::Cancel { job }) => raise(&latest, job, Control::Cancel),
            WorkerFrame::Command(Command::Pause { job }) => raise(&latest, job, Control::Pause),
            WorkerFrame::Command(Command::Loras) => list_loras(),
            other => return Err(FrameError::Kind(other.kind())),
        }
    }
    Ok(())
}

/// The latents that a point announces. The announced length is not trusted: memory is allocated
/// for what has arrived.
fn latents(from: &mut impl Read, point: Point) -> Result<Vec<u8>, FrameError> {
    let length = usize::try_from(point.bytes).unwrap_or(usize::MAX);
    if length > LATENTS_MAX {
        return Err(FrameError::Length { length, limit: LATENTS_MAX });
    }
    let mut latents = Vec::new();
    while latents.len() < length {
        match WorkerFrame::read(from, TO_CLIENT_BYTES)? {
            Some(WorkerFrame::Latents(bytes)) if latents.len() + bytes.len() <= length => {
                latents.extend_from_slice(&bytes);
            }
            Some(WorkerFrame::Latents(bytes)) => {
                let length = latents.len() + bytes.len();
                return Err(FrameError::Length { length, limit: latents.capacity() });
            }
            Some(other) => return Err(FrameError::Kind(other.kind())),
            None => return Err(FrameError::Truncated),
        }
    }
    Ok(latents)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use zimage_ipc::{kind, write_latents};
    use zimg_protocol::limits::CHUNK_BYTES;
    use zimg_protocol::messages::Timings;

    use super::*;

    fn draw(job: JobId, from: Option<Point>) -> Command {
        Command::Generate { job, params: Box::new(Params::new("a fox")), previews: true, from }
    }

    fn point(bytes: u64) -> Option<Point> {
        Some(Point { image: 1, step: 2, bytes, timings: Timings::default() })
    }

    fn bytes(commands: &[Command]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for command in commands {
            WorkerFrame::Command(command.clone()).write(&mut bytes).unwrap();
        }
        bytes
    }

    fn jobs(bytes: &[u8]) -> (Vec<Job>, Result<(), FrameError>) {
        let (sender, jobs) = mpsc::channel();
        let result = read(&mut &*bytes, &sender, &|| ());
        drop(sender);
        (jobs.iter().collect(), result)
    }

    #[test]
    fn control_is_for_the_run_that_it_meets() {
        let (cancel, pause) = (|job| Command::Cancel { job }, |job| Command::Pause { job });
        let cases = [
            (vec![draw(7, None)], vec![Control::Continue]),
            (vec![draw(7, None), pause(7)], vec![Control::Pause]),
            (vec![draw(7, None), pause(7), cancel(7)], vec![Control::Cancel]),
            // For a job that is not there, or not there yet.
            (vec![pause(7), cancel(8), draw(7, None), pause(6)], vec![Control::Continue]),
            // The second run of a paused job is not paused, and nor is the job after it.
            (vec![draw(7, None), pause(7), draw(7, None)], vec![Control::Pause, Control::Continue]),
            (
                vec![draw(7, None), draw(8, None), cancel(7)],
                vec![Control::Continue, Control::Continue],
            ),
        ];
        for (commands, control) in cases {
            let (jobs, result) = jobs(&bytes(&commands));
            result.unwrap();
            let found: Vec<_> = jobs.iter().map(|job| job.control.get()).collect();
            assert_eq!(found, control, "{commands:?}");
        }
    }

    #[test]
    fn latents_follow_their_point() {
        let latents: Vec<u8> = (0..2 * CHUNK_BYTES + 4).map(|i| (i % 251) as u8).collect();
        let mut sent = bytes(&[draw(7, point(latents.len() as u64))]);
        write_latents(&mut sent, &latents).unwrap();
        sent.extend(bytes(&[Command::Pause { job: 7 }, draw(8, point(0))]));
        let (jobs, result) = jobs(&sent);
        result.unwrap();
        let at = jobs[0].from.as_ref().unwrap();
        assert!(at.latents == latents && at.point == point(latents.len() as u64).unwrap());
        assert_eq!((jobs[0].id, jobs[0].control.get()), (7, Control::Pause));
        assert!(jobs[1].from.as_ref().unwrap().latents.is_empty() && jobs[1].previews);
    }

    #[test]
    fn latents_that_are_not_as_announced_end_the_connection() {
        let with = |announced: u64, follows: &[u8]| {
            let mut sent = bytes(&[draw(7, point(announced))]);
            sent.extend_from_slice(follows);
            let (jobs, result) = jobs(&sent);
            assert!(jobs.is_empty());
            result.unwrap_err()
        };
        let frame = |length: usize| {
            let mut frame = Vec::new();
            write_latents(&mut frame, &vec![0; length]).unwrap();
            frame
        };
        assert!(matches!(with(u64::MAX, &[]), FrameError::Length { .. }));
        assert!(matches!(with(1 << 40, &[]), FrameError::Length { .. }));
        assert!(matches!(with(8, &[]), FrameError::Truncated));
        assert!(matches!(with(8, &frame(4)), FrameError::Truncated));
        assert!(matches!(with(8, &frame(12)), FrameError::Length { .. }));
        let pause = bytes(&[Command::Pause { job: 7 }]);
        assert!(matches!(with(8, &pause), FrameError::Kind(kind::COMMAND)));
        let stray = jobs(&frame(4)).1.unwrap_err();
        assert!(matches!(stray, FrameError::Kind(kind::LATENTS)));
    }
}
