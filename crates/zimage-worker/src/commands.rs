//! The supervisor's commands, read from the socket: jobs, and control of the running one.

use std::io::Read;
use std::sync::mpsc::Sender;

use zimage_ipc::{Command, JobImage, Point, WorkerFrame, kind};
use zimg_protocol::FrameError;
use zimg_protocol::limits::{IMAGES_MAX, SIZE_MAX, TO_CLIENT_BYTES};
use zimg_protocol::messages::{ImageRole, JobId, Params};

use crate::control::{Control, ControlFlag};

/// The most bytes of latents: four times those of the largest image with 64 channels.
const LATENTS_MAX: usize = 64 << 20;
/// The most bytes of an image input: the largest image.
const IMAGE_MAX: usize = 3 * (SIZE_MAX as usize) * (SIZE_MAX as usize);

/// A job from the supervisor.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) params: Params,
    /// Whether previews are asked for.
    pub(crate) previews: bool,
    /// Where to resume it.
    pub(crate) from: Option<ResumePoint>,
    /// The pixels of its image inputs.
    pub(crate) images: Vec<(ImageRole, Vec<u8>)>,
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
            WorkerFrame::Command(Command::Generate {
                job: id,
                params,
                previews,
                from: point,
                images,
            }) => {
                let control = ControlFlag::default();
                latest = Some((id, control.clone()));
                let at = point
                    .map(|point| {
                        Ok::<_, FrameError>(ResumePoint { point, latents: latents(from, point)? })
                    })
                    .transpose()?;
                let images = image_inputs(from, &images)?;
                // The model thread ends only with the process.
                let _ = jobs.send(Job { id, params: *params, previews, from: at, images, control });
            }
            WorkerFrame::Command(Command::Cancel { job }) => raise(&latest, job, Control::Cancel),
            WorkerFrame::Command(Command::Pause { job }) => raise(&latest, job, Control::Pause),
            WorkerFrame::Command(Command::Loras) => list_loras(),
            other => return Err(FrameError::Kind(other.kind())),
        }
    }
    Ok(())
}

/// The latents that a point announces.
fn latents(from: &mut impl Read, point: Point) -> Result<Vec<u8>, FrameError> {
    announced(from, kind::LATENTS, point.bytes, LATENTS_MAX)
}

/// The pixels of image inputs.
fn image_inputs(
    from: &mut impl Read,
    images: &[JobImage],
) -> Result<Vec<(ImageRole, Vec<u8>)>, FrameError> {
    if images.len() > IMAGES_MAX {
        return Err(FrameError::Length { length: images.len(), limit: IMAGES_MAX });
    }
    let mut pixels = Vec::new();
    for &JobImage { role, bytes } in images {
        pixels.push((role, announced(from, kind::IMAGE, bytes, IMAGE_MAX)?));
    }
    Ok(pixels)
}

/// So many bytes from frames of one kind. The announced length is not trusted: memory is allocated
/// for what has arrived.
fn announced(
    from: &mut impl Read,
    kind: u8,
    length: u64,
    limit: usize,
) -> Result<Vec<u8>, FrameError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::Length { length, limit });
    }
    let mut found = Vec::new();
    while found.len() < length {
        let frame = WorkerFrame::read(from, TO_CLIENT_BYTES)?.ok_or(FrameError::Truncated)?;
        let bytes = match frame {
            WorkerFrame::Latents(bytes) if kind == kind::LATENTS => bytes,
            WorkerFrame::Image(bytes) if kind == kind::IMAGE => bytes,
            other => return Err(FrameError::Kind(other.kind())),
        };
        if found.len() + bytes.len() > length {
            return Err(FrameError::Length { length: found.len() + bytes.len(), limit: length });
        }
        found.extend_from_slice(&bytes);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use zimage_ipc::{write_images, write_latents};
    use zimg_protocol::limits::CHUNK_BYTES;
    use zimg_protocol::messages::Timings;

    use super::*;

    fn draw(job: JobId, from: Option<Point>) -> Command {
        with_images(job, from, Vec::new())
    }

    fn with_images(job: JobId, from: Option<Point>, images: Vec<JobImage>) -> Command {
        let params = Box::new(Params::new("a fox"));
        Command::Generate { job, params, previews: true, from, images }
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

    #[test]
    fn image_inputs_follow_the_latents() {
        let latents = [1; 8];
        let initial: Vec<u8> = (0..CHUNK_BYTES + 7).map(|i| (i % 251) as u8).collect();
        let mask = vec![9; 40];
        let roles = [ImageRole::Initial, ImageRole::Mask];
        let heads = roles.into_iter().zip([&initial, &mask]);
        let heads = heads.map(|(role, pixels)| JobImage { role, bytes: pixels.len() as u64 });
        let mut sent = bytes(&[with_images(7, point(8), heads.collect())]);
        write_latents(&mut sent, &latents).unwrap();
        write_images(&mut sent, &[&initial, &mask]).unwrap();
        sent.extend(bytes(&[draw(8, None)]));
        let (jobs, result) = jobs(&sent);
        result.unwrap();
        assert_eq!(jobs[0].from.as_ref().unwrap().latents, latents);
        assert_eq!(jobs[0].images, [(roles[0], initial), (roles[1], mask)]);
        assert!(jobs[1].images.is_empty());
    }

    #[test]
    fn image_inputs_that_are_not_as_announced_end_the_connection() {
        let with = |announced: &[u64], follows: &[&[u8]]| {
            let image = |bytes: &u64| JobImage { role: ImageRole::Initial, bytes: *bytes };
            let mut sent = bytes(&[with_images(7, None, announced.iter().map(image).collect())]);
            write_images(&mut sent, follows).unwrap();
            let (jobs, result) = jobs(&sent);
            assert!(jobs.is_empty());
            result.unwrap_err()
        };
        assert!(matches!(with(&[u64::MAX], &[]), FrameError::Length { .. }));
        assert!(matches!(with(&[1; IMAGES_MAX + 1], &[]), FrameError::Length { .. }));
        assert!(matches!(with(&[8], &[&[0; 4]]), FrameError::Truncated));
        // A frame has bytes of one image only.
        assert!(matches!(with(&[8, 4], &[&[0; 12]]), FrameError::Length { .. }));
        let mut latents =
            bytes(&[with_images(7, None, vec![JobImage { role: ImageRole::Mask, bytes: 4 }])]);
        write_latents(&mut latents, &[0; 4]).unwrap();
        assert!(matches!(jobs(&latents).1.unwrap_err(), FrameError::Kind(kind::LATENTS)));
    }
}
