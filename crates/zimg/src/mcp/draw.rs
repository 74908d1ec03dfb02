//! The tool `draw`: generates images, reports steps as progress, and answers with the images.

use std::path::Path;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zimg_client::session::{RetryPolicy, Session, SessionObserver, SessionWait};
use zimg_client::{
    Canceller, Failure, Generate, Image, ImageUpload, Kind, ModelInfo, Started, Update, Waiting,
};
use zimg_image::{Encoding, GenerationMetadata, ImageFormat, Pixels};

use super::arguments::{DrawArguments, JsonObject};
use super::result::ToolResult;
use super::saved;
use super::tool_call::ToolCall;
use crate::image_inputs::ImageInputs;
use crate::job_spec::random_seed;
use crate::metadata;
use crate::version::PROGRAM;

/// Runs a job to its end, or to that of the call.
///
/// # Errors
///
/// A refused argument, or the daemon's failure.
pub(super) fn call(
    socket: &Path,
    save: Option<&Path>,
    arguments: &JsonObject,
    call: &ToolCall,
) -> Result<ToolResult, Failure> {
    let asked = DrawArguments::read(arguments, random_seed()?, save)?;
    let (program, socket) = (PROGRAM.to_owned(), socket.to_owned());
    let session = Session { program, socket, policy: RetryPolicy::FAIL };
    let mut run = DrawCall { save, call, asked, started: None, told: -1.0, generated: vec![] };
    session.run(&mut run)?;
    let DrawCall { started, generated, .. } = run;
    let Started { model, steps, guidance, .. } = started.ok_or_else(unbegun)?;
    let (files, images): (Vec<_>, Vec<_>) = generated.into_iter().unzip();
    let said = json!({"images": images, "model": model.name, "steps": steps, "guidance": guidance});
    Ok(ToolResult::said(said).with_images(files))
}

fn unbegun() -> Failure {
    Failure::new(Kind::Internal, "the daemon violates the protocol: it sent an image of no job")
}

/// A call that runs.
struct DrawCall<'a> {
    /// The folder where images are saved, too.
    save: Option<&'a Path>,
    call: &'a ToolCall,
    asked: DrawArguments,
    started: Option<Started>,
    /// The progress that was reported: it only grows.
    told: f64,
    /// Each image as a file in base64 with its media type, and its description.
    generated: Vec<((String, &'static str), Value)>,
}

impl DrawCall<'_> {
    /// Encodes an image, and saves it.
    fn image(&mut self, image: &Image) -> Result<(), Failure> {
        let DrawArguments { params, format, media_type, .. } = &self.asked;
        let started = self.started.as_ref().ok_or_else(unbegun)?;
        let Image { info, pixels } = image;
        let metadata = GenerationMetadata::of_image(params, started, info, PROGRAM);
        let encode = |format: ImageFormat| {
            let pixels = Pixels { width: info.width, height: info.height, rgb: pixels };
            let encoded = format.encode(pixels, Encoding::default(), Some(&metadata));
            encoded.map_err(|error| metadata::failure(&error))
        };
        let file = encode(*format)?;
        let mut said = json!({"seed": info.seed, "width": info.width, "height": info.height});
        if let Some(folder) = self.save {
            let path = if *format == ImageFormat::Png {
                saved::save(folder, info.seed, &file)?
            } else {
                saved::save(folder, info.seed, &encode(ImageFormat::Png)?)?
            };
            said["file"] = path.display().to_string().into();
        }
        self.generated.push(((STANDARD.encode(file), media_type), said));
        Ok(())
    }

    /// The steps done of those there are, and a sentence; none if the update says nothing of them.
    fn progress(&self, update: &Update) -> Option<(f64, Option<f64>, String)> {
        let count = self.asked.params.images();
        let waits = |position| match position {
            0 => "accepted".to_owned(),
            1 => "waiting behind 1 job".to_owned(),
            jobs => format!("waiting behind {jobs} jobs"),
        };
        match update {
            Update::Accepted { position, .. } | Update::Waiting(Waiting::Queue { position }) => {
                Some((0.0, None, waits(*position)))
            }
            Update::Waiting(_) => Some((0.0, None, "waiting for the model".to_owned())),
            Update::Step(step) => {
                let done = f64::from(step.image) * f64::from(step.of) + f64::from(step.step);
                let all = f64::from(count) * f64::from(step.of);
                let image = step.image + 1;
                let sentence =
                    format!("image {image} of {count}: step {} of {}", step.step, step.of);
                Some((done, Some(all), sentence))
            }
            // The daemon leaves out steps that come faster than they are read, the last one too.
            Update::Image(image) => {
                let of = f64::from(self.started.as_ref()?.steps);
                let image = image.info.index + 1;
                let sentence = format!("image {image} of {count} is there");
                Some((f64::from(image) * of, Some(f64::from(count) * of), sentence))
            }
            _ => None,
        }
    }
}

impl SessionObserver for DrawCall<'_> {
    type Error = Failure;

    fn prepare(&mut self, _: Option<&ModelInfo>, _: Option<Instant>) -> Result<Generate, Failure> {
        if self.call.call.is_stopped() {
            return Err(Failure::new(Kind::Cancelled, "the call is cancelled"));
        }
        self.generated.clear();
        Ok(Generate::new(self.asked.params.clone()))
    }

    fn images(&self) -> Vec<ImageUpload<'_>> {
        self.asked.inputs.as_ref().map(ImageInputs::uploads).unwrap_or_default()
    }

    fn submitted(&mut self, canceller: Canceller) {
        self.call.call.set_job(Some(canceller));
    }

    fn update(&mut self, update: Update) -> Result<(), Failure> {
        if let Some((done, all, sentence)) = self.progress(&update)
            && done > self.told
        {
            self.told = done;
            self.call.progress(done, all, &sentence);
        }
        match update {
            Update::Started(started) => self.started = Some(started),
            Update::Image(image) => self.image(&image)?,
            _ => {}
        }
        Ok(())
    }

    fn waiting(&mut self, _: &SessionWait<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn disconnected(&mut self) {
        self.call.call.set_job(None);
    }

    fn interrupted(&self) -> bool {
        self.call.call.is_stopped()
    }
}
