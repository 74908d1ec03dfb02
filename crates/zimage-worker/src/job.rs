//! One job: pictures from a request, with a look at the cancel flag between steps.

use std::time::{Duration, Instant};

use zimage::{Params, Pipeline};
use zimg_protocol::messages::{Draw, Picture, Report, Started, Step, Timings};
use zimg_protocol::{Failure, Kind};

use crate::failure::from_model;
use crate::link::{Cancelled, Job, Reports};

/// Draws a job and reports it, to its `Done` or `Failed`.
pub(crate) fn run(
    pipeline: &Pipeline,
    model: &str,
    job: &Job,
    reports: &Reports,
    cancelled: &Cancelled,
) {
    let report = match draw(pipeline, model, job, reports, cancelled) {
        Ok(timings) => Report::Done { job: job.id, timings },
        Err(failure) => Report::Failed { job: job.id, failure },
    };
    reports.send(report);
}

fn draw(
    pipeline: &Pipeline,
    model: &str,
    job: &Job,
    reports: &Reports,
    cancelled: &Cancelled,
) -> Result<Timings, Failure> {
    let arrived = Instant::now();
    job.draw.check()?;
    let stop_if_cancelled = || {
        if cancelled.is(job.id) {
            return Err(Failure::new(Kind::Cancelled, "the job was cancelled"));
        }
        Ok(())
    };
    let plan = pipeline.plan(&params(&job.draw)).map_err(|e| from_model(&e))?;
    let started = Started {
        model: model.to_owned(),
        width: plan.width,
        height: plan.height,
        steps: plan.steps,
        guidance: plan.guidance,
    };
    reports.send(Report::Started { job: job.id, started });
    let (conditioning, text) = timed(|| pipeline.encode(&plan))?;
    let mut timings = Timings { text: ms(text), ..Timings::default() };
    for picture in 0..job.draw.count {
        let seed = job.draw.seed.wrapping_add(u64::from(picture));
        let mut drawing = pipeline.start(&plan, seed).map_err(|e| from_model(&e))?;
        while !drawing.is_done() {
            stop_if_cancelled()?;
            let ((), took) = timed(|| pipeline.step(&mut drawing, &conditioning))?;
            timings.steps += ms(took);
            let step = drawing.steps_done() as u32;
            let step = Step { picture, step, of: plan.steps, ms: ms(took) };
            reports.send(Report::Step { job: job.id, step });
        }
        stop_if_cancelled()?;
        reports.send(Report::Decoding { job: job.id, picture });
        let (image, took) = timed(|| pipeline.decode(&drawing))?;
        timings.decode += ms(took);
        let (width, height, bytes) = (image.width, image.height, image.rgb.len() as u64);
        let picture = Picture { index: picture, seed, width, height, bytes };
        reports.send(Report::Picture { job: job.id, picture });
        reports.send_pixels(image.rgb);
    }
    timings.total = ms(arrived.elapsed());
    Ok(timings)
}

/// The model's words for a request.
fn params(draw: &Draw) -> Params {
    Params {
        prompt: draw.prompt.clone(),
        negative: draw.negative.clone(),
        width: draw.width,
        height: draw.height,
        steps: draw.steps,
        guidance: draw.guidance,
        guidance_normalization: draw.guidance_normalization,
        guidance_truncation: Some(draw.guidance_truncation),
    }
}

fn timed<T>(work: impl FnOnce() -> zimage::Result<T>) -> Result<(T, Duration), Failure> {
    let begun = Instant::now();
    let result = work().map_err(|e| from_model(&e))?;
    Ok((result, begun.elapsed()))
}

fn ms(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1000.0
}
