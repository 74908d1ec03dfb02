//! The body of `POST /v1/images/generations`.

use zimg_client::params::{ForeignSetting, Params};
use zimg_image::{Encoding, ImageFormat, InputImages};

use crate::problem::{Problem, Reason};
use crate::translate::{
    Context, Draw, Fields, Given, Ignored, Unobeyed, accept_model, is_inactive, set_size,
};

/// The most images of a request, as OpenAI has it: an answer is one body.
const IMAGES_MAX: u8 = 10;
/// The most partial images of an image, as OpenAI has it.
const PARTIAL_IMAGES_MAX: u8 = 3;

const FORMATS: [(&str, ImageFormat); 3] =
    [("png", ImageFormat::Png), ("jpeg", ImageFormat::Jpeg), ("webp", ImageFormat::WebP)];

#[derive(Clone, Copy, PartialEq)]
enum Background {
    Opaque,
    Transparent,
}

const BACKGROUNDS: [(&str, Background); 3] = [
    ("auto", Background::Opaque),
    ("opaque", Background::Opaque),
    ("transparent", Background::Transparent),
];

/// OpenAI's own settings that this model has no counterpart of.
const WITHOUT_EFFECT: [(&str, &str); 3] = [
    ("quality", "the model has one quality: `num_inference_steps` sets the denoising steps"),
    ("style", "there are no styles: write the style into the prompt"),
    ("moderation", "no prompt and no image is moderated"),
];
/// What says nothing of the image.
const BESIDE_THE_IMAGE: [&str; 1] = ["user"];

/// A request for images.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImagesRequest {
    pub(crate) draw: Draw,
    pub(crate) format: ImageFormat,
    pub(crate) encoding: Encoding,
    pub(crate) delivery: Delivery,
    /// What an edit starts from.
    pub(crate) images: Option<InputImages>,
}

/// How images are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In the answer.
    Base64,
    /// As links in the answer.
    Url,
    /// As events, with so many partial images of each.
    Stream {
        /// 0 to 3.
        partial_images: u8,
    },
}

impl ImagesRequest {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// `Invalid` for the first field that is refused, `NotFound` for another model.
    pub(crate) fn read(body: &[u8], context: &Context) -> Result<Self, Problem> {
        Self::of(Fields::of(body)?, context)
    }

    /// The same of fields without a body.
    pub(crate) fn of(mut fields: Fields, context: &Context) -> Result<Self, Problem> {
        let mut ignored = Vec::new();
        if let Some(model) = fields.text("model")? {
            accept_model(context.model.as_deref(), &model)?;
        }
        let delivery = delivery(&mut fields, &mut ignored)?;
        let format = fields.word("output_format", &FORMATS)?.unwrap_or(ImageFormat::Png);
        let compression = fields.integer("output_compression", 0, 100)?;
        if compression.is_some() && format == ImageFormat::Png {
            ignored.push(Ignored::new("output_compression", "PNG is lossless"));
        }
        // The encoders' lowest quality is 1.
        let encoding = Encoding { quality: compression.map(|quality| quality.max(1)) };
        if fields.word("background", &BACKGROUNDS)? == Some(Background::Transparent) {
            let message = "`background` is transparent, and this model's images are opaque";
            return Err(Problem::new(Reason::Invalid, message)
                .hint("leave it out, or ask for opaque")
                .param("background"));
        }
        for (name, why) in WITHOUT_EFFECT {
            if fields.take(name).is_some_and(|value| !is_inactive(&value)) {
                ignored.push(Ignored::new(name, why));
            }
        }
        for name in BESIDE_THE_IMAGE {
            fields.take(name);
        }
        let params = params(fields, &mut ignored, context)?;
        let draw = Draw { params, ignored, unobeyed: Unobeyed::default() };
        Ok(Self { draw, format, encoding, delivery, images: None })
    }
}

fn delivery(fields: &mut Fields, ignored: &mut Vec<Ignored>) -> Result<Delivery, Problem> {
    let url = fields.word("response_format", &[("b64_json", false), ("url", true)])?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    let partial_images = fields.integer("partial_images", 0, PARTIAL_IMAGES_MAX)?.unwrap_or(0);
    if stream {
        if url == Some(true) {
            ignored.push(Ignored::new("response_format", "a stream has its images as base64"));
        }
        return Ok(Delivery::Stream { partial_images });
    }
    if partial_images > 0 {
        ignored.push(Ignored::new("partial_images", "they come with `stream` alone"));
    }
    Ok(if url == Some(true) { Delivery::Url } else { Delivery::Base64 })
}

/// The generation parameters: what is left of the fields, by the table's names.
fn params(
    mut fields: Fields,
    ignored: &mut Vec<Ignored>,
    context: &Context,
) -> Result<Params, Problem> {
    let invalid =
        |param: &str, message: String| Problem::new(Reason::Invalid, message).param(param);
    let mut given = Given::default();
    let size = fields.text("size")?;
    if let Some(n) = fields.integer("n", 1, IMAGES_MAX)? {
        given.set("n", &n.into())?;
    }
    for (name, value) in fields {
        if !given.set(&name, &value)? && !is_inactive(&value) {
            ignored.push(foreign(&name)?);
        }
    }
    if !given.has("prompt") {
        return Err(invalid("prompt", "`prompt` is missing, expected text".to_owned()));
    }
    if let Some(size) = size {
        if given.has("width") || given.has("height") {
            let message = "`size` is given and a side besides, expected one of them".to_owned();
            return Err(invalid("size", message));
        }
        set_size(&mut given.params, &size)?;
    }
    let params = given.finish(context.random_seed)?;
    let images = params.images();
    if images > IMAGES_MAX.into() {
        let message = format!("{images} images are asked for, expected at most {IMAGES_MAX}");
        return Err(invalid("n", message));
    }
    Ok(params)
}

/// A field that is no parameter: without effect, or refused if the image would be another one.
fn foreign(name: &str) -> Result<Ignored, Problem> {
    match ForeignSetting::named(name) {
        Some(setting) if !setting.is_harmless => {
            let message = format!("`{name}` is given: {}", setting.why);
            Err(Problem::new(Reason::Invalid, message).hint("leave it out").param(name))
        }
        Some(setting) => Ok(Ignored::new(name, setting.why)),
        None => Ok(Ignored::new(name, "there is no such parameter")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<ImagesRequest, Problem> {
        let context =
            Context { model: Some("Z-Image-Turbo".to_owned()), random_seed: 9, obey: false };
        ImagesRequest::read(body.to_string().as_bytes(), &context)
    }

    fn with(fields: Value) -> Value {
        let mut body = json!({"prompt": "a fox"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    fn names(request: &ImagesRequest) -> Vec<&str> {
        request.draw.ignored.iter().map(|ignored| &*ignored.name).collect()
    }

    /// The bodies that clients send by themselves (`docs/api.md`).
    #[test]
    fn clients_bodies_are_understood() {
        let open_webui = with(json!({"model": "zimg", "n": 1, "size": "1024x1024",
            "response_format": "b64_json"}));
        let request = read(&open_webui).unwrap();
        assert_eq!(
            (request.draw.params.width, request.draw.params.height),
            (Some(1024), Some(1024))
        );
        assert_eq!((request.delivery, names(&request)), (Delivery::Base64, vec![]));

        let libre_chat = with(json!({"model": "gpt-image-1", "background": "auto", "quality":
            "auto", "size": "auto", "output_format": "webp", "n": 1}));
        let request = read(&libre_chat).unwrap();
        assert_eq!((request.format, request.draw.params.width), (ImageFormat::WebP, None));
        assert_eq!(names(&request), [""; 0]);

        let n8n = with(json!({"model": "dall-e-3", "response_format": "url", "size": "1024x1024",
            "quality": "hd", "style": "vivid"}));
        let request = read(&n8n).unwrap();
        assert_eq!(request.delivery, Delivery::Url);
        assert_eq!(names(&request), ["quality", "style"]);
    }

    #[test]
    fn parameters_have_their_own_names_and_those_of_other_servers() {
        let request =
            read(&with(json!({"seed": 7, "negative_prompt": "x", "num_inference_steps": 4,
            "guidance_scale": 2.5, "guidance_rescale": 0.5, "n": 3, "user": "u"})))
            .unwrap();
        let expected = Params {
            seed: Some(7),
            negative: Some("x".to_owned()),
            steps: Some(4),
            guidance: Some(2.5),
            guidance_rescale: Some(0.5),
            count: Some(3),
            ..Params::new("a fox")
        };
        assert_eq!(request.draw.params, expected);
        let cfg = read(&with(json!({"cfg_scale": 5, "width": 64, "height": 128}))).unwrap();
        assert_eq!((cfg.draw.params.guidance, cfg.draw.params.height), (Some(4.0), Some(128)));
        assert_eq!(read(&with(json!({}))).unwrap().draw.params.seed, Some(9));
    }

    #[test]
    fn delivery_and_format_are_read() {
        let delivery = |fields| read(&with(fields)).unwrap().delivery;
        assert_eq!(delivery(json!({})), Delivery::Base64);
        assert_eq!(delivery(json!({"response_format": null})), Delivery::Base64);
        assert_eq!(delivery(json!({"stream": true})), Delivery::Stream { partial_images: 0 });
        let stream = json!({"stream": true, "partial_images": 3, "response_format": "url"});
        assert_eq!(delivery(stream), Delivery::Stream { partial_images: 3 });
        for (format, compression, quality) in
            [("jpeg", 0, Some(1)), ("jpeg", 100, Some(100)), ("webp", 50, Some(50))]
        {
            let fields = json!({"output_format": format, "output_compression": compression});
            assert_eq!(read(&with(fields)).unwrap().encoding.quality, quality);
        }
        let png = read(&with(json!({"output_compression": 50, "partial_images": 2}))).unwrap();
        assert_eq!(names(&png), ["partial_images", "output_compression"]);
    }

    #[test]
    fn what_is_refused_is_named() {
        for (fields, param) in [
            (json!({"prompt": null}), "prompt"),
            (json!({"prompt": ["a"]}), "prompt"),
            (json!({"prompt": "x".repeat(65_537)}), "prompt"),
            (json!({"n": 0}), "n"),
            (json!({"n": 11}), "n"),
            (json!({"n": "2"}), "n"),
            (json!({"count": 11}), "n"),
            (json!({"n": 2, "batch_size": 2}), "batch_size"),
            (json!({"size": "big"}), "size"),
            (json!({"size": "1000x1000"}), "size"),
            (json!({"size": "64x64", "width": 64}), "size"),
            (json!({"width": 100}), "width"),
            (json!({"response_format": "b64"}), "response_format"),
            (json!({"output_format": "gif"}), "output_format"),
            (json!({"output_compression": 101}), "output_compression"),
            (json!({"background": "transparent"}), "background"),
            (json!({"stream": "true"}), "stream"),
            (json!({"stream": true, "partial_images": 4}), "partial_images"),
            (json!({"seed": -2}), "seed"),
            (json!({"num_inference_steps": 101}), "num_inference_steps"),
            (json!({"guidance_scale": -1}), "guidance_scale"),
            (json!({"loras": [7]}), "loras"),
            (json!({"image": "aGVsbG8="}), "image"),
            (json!({"model": 7}), "model"),
        ] {
            let problem = read(&with(fields.clone())).unwrap_err();
            assert_eq!(problem.parameter(), Some(param), "{fields}: {}", problem.message());
        }
        let problem = read(&with(json!({"model": "flux"}))).unwrap_err();
        assert_eq!(problem.reason(), Reason::NotFound);
    }

    #[test]
    fn what_is_unknown_is_named_without_its_value() {
        let body = with(json!({"sede": 7, "password": "hunter2", "sampler": "DDIM", "off": false}));
        let request = read(&body).unwrap();
        assert_eq!(names(&request), ["password", "sampler", "sede"]);
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
