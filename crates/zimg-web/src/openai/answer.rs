//! Answers: the body of an answer with all images, and the events of a stream.

use serde_json::{Value, json};
use zimg_client::Started;
use zimg_image::ImageFormat;

use crate::translate::Draw;

/// An image of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnsweredImage {
    pub(crate) seed: u64,
    pub(crate) content: Content,
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the answer, a file as base64, or the text that stands for it.
    Base64(String),
    /// Behind this address.
    Url(String),
}

/// What all answers and events of a job say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers<'a> {
    pub(crate) draw: &'a Draw,
    pub(crate) started: &'a Started,
    pub(crate) format: ImageFormat,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// The names of a stream's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventNames {
    /// With a preview.
    pub(crate) partial: &'static str,
    /// With a finished image.
    pub(crate) completed: &'static str,
}

impl EventNames {
    /// Of `images/generations`.
    pub(crate) const GENERATION: Self =
        Self { partial: "image_generation.partial_image", completed: "image_generation.completed" };
    /// Of `images/edits`.
    pub(crate) const EDIT: Self =
        Self { partial: "image_edit.partial_image", completed: "image_edit.completed" };
}

impl Answers<'_> {
    /// The body with all images.
    pub(crate) fn body(&self, images: &[AnsweredImage]) -> Value {
        let data: Vec<_> = images
            .iter()
            .map(|AnsweredImage { seed, content }| match content {
                Content::Base64(file) => json!({"b64_json": file, "seed": seed}),
                Content::Url(url) => json!({"url": url, "seed": seed}),
            })
            .collect();
        let seeds: Vec<_> = images.iter().map(|image| image.seed).collect();
        json!({
            "created": self.created,
            "data": data,
            "background": "opaque",
            "output_format": self.name(),
            "size": self.size(),
            "zimg": self.zimg(&seeds),
        })
    }

    /// The event of a preview, which is the `index`-th of its image. `image` counts from 0.
    pub(crate) fn partial(&self, names: EventNames, file: &str, index: u32, image: u32) -> Value {
        self.event(names.partial, file, image, json!({"partial_image_index": index}))
    }

    /// The event of a finished image.
    pub(crate) fn completed(&self, names: EventNames, file: &str, image: u32, seed: u64) -> Value {
        let more = json!({"seed": seed, "zimg": self.zimg(&[seed])});
        self.event(names.completed, file, image, more)
    }

    fn event(&self, name: &str, file: &str, image: u32, more: Value) -> Value {
        let mut event = json!({
            "type": name,
            "b64_json": file,
            "created_at": self.created,
            "background": "opaque",
            "output_format": self.name(),
            "quality": "auto",
            "size": self.size(),
            "image_index": image,
        });
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event
    }

    /// What zimg says besides.
    fn zimg(&self, seeds: &[u64]) -> Value {
        let Started { model, steps, guidance, .. } = self.started;
        json!({
            "model": model.name,
            "seeds": seeds,
            "steps": steps,
            "guidance": guidance,
            "ignored": self.draw.ignored(self.started),
        })
    }

    fn size(&self) -> String {
        format!("{}x{}", self.started.width, self.started.height)
    }

    fn name(&self) -> &'static str {
        match self.format {
            ImageFormat::Jpeg => "jpeg",
            other => other.extension(),
        }
    }
}

#[cfg(test)]
mod tests {
    use zimg_client::{ModelInfo, Params};

    use super::*;
    use crate::translate::{Ignored, Unobeyed};

    #[test]
    fn fields_are_those_that_clients_read() {
        let draw = Draw {
            params: Params::new("a fox"),
            unobeyed: Unobeyed::default(),
            ignored: vec![Ignored::new("style", "x")],
        };
        let model = ModelInfo { name: "tiny".into(), ..ModelInfo::default() };
        let started = Started { model, width: 64, height: 80, steps: 8, guidance: 0.0 };
        let answers =
            Answers { draw: &draw, started: &started, format: ImageFormat::Jpeg, created: 5 };
        let image = |seed, content| AnsweredImage { seed, content };
        let body = answers.body(&[
            image(7, Content::Base64("aa".into())),
            image(8, Content::Url("http://x/y".into())),
        ]);
        assert_eq!((&body["created"], &body["data"][0]["b64_json"]), (&json!(5), &json!("aa")));
        assert_eq!(
            (&body["data"][1]["url"], &body["size"]),
            (&json!("http://x/y"), &json!("64x80"))
        );
        assert_eq!(body["output_format"], "jpeg");
        assert_eq!(body["zimg"]["seeds"], json!([7, 8]));
        assert_eq!(body["zimg"]["ignored"][0]["name"], "style");

        let partial = answers.partial(EventNames::EDIT, "aa", 2, 0);
        assert_eq!(partial["type"], "image_edit.partial_image");
        assert_eq!(partial["partial_image_index"], 2);
        let completed = answers.completed(EventNames::GENERATION, "bb", 1, 8);
        assert_eq!(completed["type"], "image_generation.completed");
        assert_eq!((&completed["b64_json"], &completed["seed"]), (&json!("bb"), &json!(8)));
    }
}
