//! The body of `POST /sdapi/v1/img2img`: that of `txt2img` with an image, and with a mask whose white
//! parts are to change.

use serde_json::Value;
use zimg_image::{InputFit, InputRequest, MaskChoice};

use super::request::WebUiRequest;
use crate::daemon::InputFiles;
use crate::problem::Problem;
use crate::translate::{Context, Fields, Ignored, file_of, is_inactive};

/// The web UI's own defaults.
const STRENGTH: f64 = 0.75;
const MASK_BLUR: f64 = 4.0;

/// Settings that say nothing of the image, or nothing that is not so anyway.
const SILENT: [&str; 5] = [
    "include_init_images",
    "inpaint_full_res_padding",
    "image_cfg_scale",
    "latent_mask",
    "initial_noise_multiplier",
];

/// Reads a body: the request, and its files.
///
/// # Errors
///
/// As [`WebUiRequest::read`], or there is not one image.
pub(super) fn read(body: &[u8], context: &Context) -> Result<(WebUiRequest, InputFiles), Problem> {
    let mut fields = Fields::of(body)?;
    let initial = match fields.take("init_images") {
        Some(Value::Array(images)) if images.len() == 1 => file_of("init_images", &images[0])?,
        found => {
            let count = found.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
            let message = format!("`init_images` has {count} images, expected a list of one");
            return Err(Problem::invalid(message).param("init_images"));
        }
    };
    let mask = fields.take("mask").map(|mask| file_of("mask", &mask)).transpose()?;
    let mut number = |name: &str, usual: f64| match fields.take(name) {
        None => Ok(usual),
        Some(value) => value.as_f64().ok_or_else(|| {
            Problem::invalid(format!("`{name}` is no number, expected one")).param(name)
        }),
    };
    let strength = number("denoising_strength", STRENGTH)?;
    let blur = number("mask_blur", MASK_BLUR)?;
    // The sides' own blurs, of which the web UI knows two.
    let blur = blur.max(number("mask_blur_x", 0.0)?).max(number("mask_blur_y", 0.0)?);
    let fit = match number("resize_mode", 0.0)? as i64 {
        1 => InputFit::Crop,
        2 => InputFit::Pad,
        _ => InputFit::Stretch,
    };
    let invert_mask = number_or_flag(&mut fields, "inpainting_mask_invert");
    let mut ignored = Vec::new();
    if mask.is_some() {
        if fields.take("inpainting_fill").is_some_and(|fill| fill.as_u64() != Some(1)) {
            let why = "what is masked begins as it is in the image, with noise";
            ignored.push(Ignored::new("inpainting_fill", why));
        }
        if fields.take("inpaint_full_res").is_some_and(|whole| !is_inactive(&whole)) {
            let why = "the whole image is generated, of which the masked parts are taken";
            ignored.push(Ignored::new("inpaint_full_res", why));
        }
    }
    for name in SILENT.into_iter().chain(["inpainting_fill", "inpaint_full_res"]) {
        fields.take(name);
    }
    let mut request = WebUiRequest::of(fields, context)?;
    let params = &mut request.draw.params;
    params
        .set("strength", zimg_client::params::Value::Real(strength as f32))
        .and_then(|()| params.check())
        .map_err(|error| Problem::from(error).param("denoising_strength"))?;
    request.draw.ignored.extend(ignored);
    let choice = if mask.is_some() { MaskChoice::File } else { MaskChoice::None };
    let request_of_files = InputRequest {
        fit,
        mask: choice,
        invert_mask,
        mask_blur: if mask.is_some() { blur.clamp(0.0, 64.0) as f32 } else { 0.0 },
        ..InputRequest::default()
    };
    Ok((request, InputFiles { initial, mask, request: request_of_files }))
}

/// The web UI has 0 and 1 where others have a switch.
fn number_or_flag(fields: &mut Fields, name: &str) -> bool {
    fields.take(name).is_some_and(|value| !is_inactive(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(more: Value) -> Result<(WebUiRequest, InputFiles), Problem> {
        // As `webuiapi.py` 0.9.17 sends it, without what txt2img has, too.
        let mut body = json!({
            "init_images": ["data:image/png;base64,QUI="], "resize_mode": 0,
            "denoising_strength": 0.75, "mask_blur": 4, "inpainting_fill": 0,
            "inpaint_full_res": true, "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0,
            "initial_noise_multiplier": 1, "prompt": "a fox", "styles": [], "seed": -1,
            "width": 512, "height": 512, "include_init_images": false,
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let context = Context { model: None, random_seed: 9, obey: false };
        read(body.to_string().as_bytes(), &context)
    }

    #[test]
    fn the_web_uis_settings_are_ours() {
        let (request, files) = of(json!({})).unwrap();
        let params = &request.draw.params;
        assert_eq!((params.strength, params.width, params.seed), (Some(0.75), Some(512), Some(9)));
        assert!(request.draw.ignored.is_empty(), "{:?}", request.draw.ignored);
        assert_eq!((&*files.initial.bytes, files.mask.is_none()), (&b"AB"[..], true));
        assert_eq!((files.request.fit, files.request.mask), (InputFit::Stretch, MaskChoice::None));
        let masked = json!({"mask": "QUI=", "inpainting_mask_invert": 1, "resize_mode": 1});
        let (request, files) = of(masked).unwrap();
        let names: Vec<_> = request.draw.ignored.iter().map(|ignored| &*ignored.name).collect();
        assert_eq!(names, ["inpainting_fill", "inpaint_full_res"]);
        assert!(files.request.invert_mask && files.request.mask_blur == 4.0);
        assert_eq!((files.request.fit, files.request.mask), (InputFit::Crop, MaskChoice::File));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        for (more, param) in [
            (json!({"init_images": []}), "init_images"),
            (json!({"init_images": ["QUI=", "QUI="]}), "init_images"),
            (json!({"init_images": ["http://x/y.png"]}), "init_images"),
            (json!({"init_images": "QUI="}), "init_images"),
            (json!({"mask": "?"}), "mask"),
            (json!({"denoising_strength": 1.5}), "denoising_strength"),
            (json!({"denoising_strength": 0}), "denoising_strength"),
            (json!({"denoising_strength": "x"}), "denoising_strength"),
        ] {
            assert_eq!(of(more.clone()).unwrap_err().parameter(), Some(param), "{more}");
        }
    }
}
