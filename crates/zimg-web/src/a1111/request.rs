//! The bodies of `POST /sdapi/v1/txt2img` and, with images, of `img2img`.
//!
//! Clients send every switch of the web UI, most of them off, and steps, CFG scale and sampler of
//! their own: SillyTavern 20, 7 and DDIM, LibreChat 22 and 4.5. SillyTavern's body has its address
//! and its password besides: fields that are not known are dropped unread.

use serde_json::{Map, Value};
use zimg_client::params::{ForeignSetting, Params};

use super::lora_tags;
use crate::problem::{Problem, Reason};
use crate::translate::{
    Context, Draw, Fields, Given, Ignored, Unobeyed, accept_model, is_inactive,
};

/// The most images of a request: an answer is one body.
const IMAGES_MAX: u64 = 32;

/// Settings that change what an image shows and have no counterpart here.
const REFUSED: [(&str, &str); 7] = [
    ("enable_hr", "there is no upscaling: the size is `width` and `height`, up to 2048x2048"),
    ("alwayson_scripts", "there are no scripts and no extensions"),
    ("script_name", "there are no scripts and no extensions"),
    ("refiner_checkpoint", "there are no refiners"),
    ("firstpass_image", "there is no upscaling"),
    // `img2img` has taken its own before.
    ("init_images", "images are for `/sdapi/v1/img2img`"),
    ("mask", "images are for `/sdapi/v1/img2img`"),
];

/// Settings whose value is of use only beside another that is refused or ignored, or that say what
/// becomes of files on the server.
const SILENT: [&str; 9] = [
    "denoising_strength",
    "subseed",
    "seed_resize_from_h",
    "seed_resize_from_w",
    "do_not_save_samples",
    "do_not_save_grid",
    "override_settings_restore_afterwards",
    "sampler_index",
    "script_args",
];

/// Beginnings of settings that count with `enable_hr` alone.
const OF_UPSCALING: [&str; 2] = ["hr_", "firstphase_"];

/// Values that ask for what is so anyway.
const AS_IT_IS: [(&str, &[&str]); 4] = [
    ("sampler_name", &["Euler"]),
    ("scheduler", &["Automatic", "automatic"]),
    ("clip_skip", &["1"]),
    ("s_noise", &["1", "1.0"]),
];

/// A request for images.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WebUiRequest {
    pub(crate) draw: Draw,
    /// Whether the answer has the images.
    pub(crate) send_images: bool,
}

impl WebUiRequest {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// `Invalid` for the first field that is refused, `NotFound` for another model.
    pub(crate) fn read(body: &[u8], context: &Context) -> Result<Self, Problem> {
        Self::of(Fields::of(body)?, context)
    }

    /// The same of fields without a body.
    pub(super) fn of(mut fields: Fields, context: &Context) -> Result<Self, Problem> {
        let mut ignored = Vec::new();
        if let Some(model) = fields.text("model")? {
            accept_model(context.model.as_deref(), &model)?;
        }
        if let Some(Value::Object(settings)) = fields.take("override_settings") {
            override_settings(settings, &mut ignored, context)?;
        }
        for (name, why) in REFUSED {
            if fields.take(name).is_some_and(|value| !is_inactive(&value)) {
                return Err(refused(name, why));
            }
        }
        for name in SILENT {
            fields.take(name);
        }
        if fields.take("save_images").is_some_and(|value| !is_inactive(&value)) {
            ignored.push(Ignored::new("save_images", "images are in the answer alone"));
        }
        let send_images = fields.flag("send_images")?.unwrap_or(true);
        let (params, unobeyed) = params(fields, &mut ignored, context)?;
        Ok(Self { draw: Draw { params, unobeyed, ignored }, send_images })
    }
}

fn refused(name: &str, why: &str) -> Problem {
    let message = format!("`{name}` is given: {why}");
    Problem::new(Reason::Invalid, message).hint("switch it off").param(name)
}

/// The web UI's options for this request alone.
fn override_settings(
    settings: Map<String, Value>,
    ignored: &mut Vec<Ignored>,
    context: &Context,
) -> Result<(), Problem> {
    for (name, value) in settings {
        match (&*name, &value) {
            ("sd_model_checkpoint", Value::String(model)) => {
                accept_model(context.model.as_deref(), model)?
            }
            // 1 is no layer.
            ("CLIP_stop_at_last_layers", value) if value.as_f64() == Some(1.0) => {}
            (name, value) if !is_inactive(value) => {
                ignored.push(Ignored::new(name, "there is no such option"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn params(
    mut fields: Fields,
    ignored: &mut Vec<Ignored>,
    context: &Context,
) -> Result<(Params, Unobeyed), Problem> {
    let mut given = Given::default();
    let mut unobeyed = Unobeyed::default();
    if !context.obey {
        let number = |value: Option<Value>| value.as_ref().and_then(Value::as_f64);
        unobeyed.steps = number(fields.take("steps")).map(|steps| steps as u32);
        unobeyed.cfg_scale = number(fields.take("cfg_scale")).map(|scale| scale as f32);
    }
    if let Some(prompt) = fields.text("prompt")? {
        let (prompt, loras) = lora_tags::taken(&prompt)?;
        given.set("prompt", &prompt.into())?;
        if let Some(loras) = loras {
            given.set("lora", &loras.into())?;
        }
    }
    let count = count(&mut fields)?;
    given.set("batch_size", &count.into())?;
    for (name, value) in fields {
        if given.set(&name, &value)?
            || is_inactive(&value)
            || is_as_it_is(&name, &value)
            || OF_UPSCALING.iter().any(|beginning| name.starts_with(beginning))
        {
            continue;
        }
        match ForeignSetting::named(&name) {
            Some(setting) if setting.is_harmless => {
                ignored.push(Ignored::new(&name, setting.why));
            }
            Some(setting) => return Err(refused(&name, setting.why)),
            // Not known, not repeated: it may be a password.
            None => {}
        }
    }
    Ok((given.finish(context.random_seed)?, unobeyed))
}

/// Images in all: batches times their size.
fn count(fields: &mut Fields) -> Result<u64, Problem> {
    let mut factor = |name: &str| match fields.take(name) {
        None => Ok(1),
        Some(value) => value.as_u64().filter(|count| *count > 0).ok_or_else(|| {
            let message = format!("`{name}` is no number of images, expected an integer from 1");
            Problem::new(Reason::Invalid, message).param(name)
        }),
    };
    let (size, batches) = (factor("batch_size")?, factor("n_iter")?);
    let count = size.saturating_mul(batches);
    if count > IMAGES_MAX {
        let message = format!("{count} images are asked for, expected at most {IMAGES_MAX}");
        return Err(Problem::new(Reason::Invalid, message).param("n_iter"));
    }
    Ok(count)
}

fn is_as_it_is(name: &str, value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    AS_IT_IS.iter().any(|(known, values)| *known == name && values.contains(&&*text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context(obey: bool) -> Context {
        Context { model: Some("Z-Image-Turbo".to_owned()), random_seed: 9, obey }
    }

    fn read(body: Value) -> Result<WebUiRequest, Problem> {
        WebUiRequest::read(body.to_string().as_bytes(), &context(false))
    }

    fn names(request: &WebUiRequest) -> Vec<&str> {
        request.draw.ignored.iter().map(|ignored| &*ignored.name).collect()
    }

    /// As `public/scripts/extensions/stable-diffusion/index.js` of SillyTavern 1.19 sends it.
    fn silly_tavern() -> Value {
        json!({
            "url": "http://127.0.0.1:7860", "auth": "user:hunter2",
            "prompt": "a fox", "negative_prompt": "", "sampler_name": "DDIM",
            "scheduler": "normal", "steps": 20, "cfg_scale": 7, "width": 512, "height": 512,
            "restore_faces": false, "enable_hr": false, "hr_upscaler": "Latent", "hr_scale": 2,
            "hr_additional_modules": [], "denoising_strength": 0.7, "hr_second_pass_steps": 0,
            "override_settings": {"CLIP_stop_at_last_layers": 1},
            "override_settings_restore_afterwards": true, "clip_skip": 1, "save_images": true,
            "send_images": true, "do_not_save_grid": false, "do_not_save_samples": false,
        })
    }

    /// As `webuiapi.py` 0.9.17 sends it.
    fn webuiapi() -> Value {
        let body = r#"{
            "enable_hr": false, "hr_scale": 2, "hr_upscaler": "Latent", "hr_second_pass_steps": 0,
            "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": null, "hr_sampler_name": null,
            "hr_scheduler": null, "hr_prompt": "", "hr_negative_prompt": "",
            "denoising_strength": 0.7, "firstphase_width": 0, "firstphase_height": 0,
            "prompt": "a fox", "styles": [], "seed": -1, "subseed": -1, "subseed_strength": 0.0,
            "seed_resize_from_h": 0, "seed_resize_from_w": 0, "batch_size": 2, "n_iter": 3,
            "steps": 20, "cfg_scale": 7.0, "width": 512, "height": 768, "restore_faces": false,
            "tiling": false, "do_not_save_samples": false, "do_not_save_grid": false,
            "negative_prompt": "blur", "eta": 1.0, "s_churn": 0, "s_tmax": 0, "s_tmin": 0,
            "s_noise": 1, "override_settings": {}, "override_settings_restore_afterwards": true,
            "sampler_name": "Euler a", "scheduler": "automatic", "sampler_index": "Euler a",
            "script_name": null, "script_args": [], "send_images": true, "save_images": false,
            "alwayson_scripts": {}
        }"#;
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn clients_get_the_models_steps_and_guidance_and_their_own_size() {
        let request = read(silly_tavern()).unwrap();
        let params = &request.draw.params;
        assert_eq!((params.width, params.height, params.count), (Some(512), Some(512), Some(1)));
        assert_eq!((params.steps, params.guidance, params.seed), (None, None, Some(9)));
        assert_eq!(request.draw.unobeyed, Unobeyed { steps: Some(20), cfg_scale: Some(7.0) });
        let mut ignored = names(&request);
        ignored.sort_unstable();
        assert_eq!(ignored, ["sampler_name", "save_images", "scheduler"]);
        assert!(!format!("{request:?}").contains("hunter2"));

        let request = read(webuiapi()).unwrap();
        assert_eq!((request.draw.params.count, request.draw.params.seed), (Some(6), Some(9)));
        assert_eq!(request.draw.params.negative.as_deref(), Some("blur"));
        assert_eq!(names(&request), ["eta", "sampler_name"]);

        let zero = json!({"prompt": "", "seed": 0});
        assert_eq!(read(zero).unwrap().draw.params.seed, Some(0));

        let libre_chat = json!({"prompt": "a fox", "negative_prompt": "x", "cfg_scale": 4.5,
            "steps": 22, "width": 1024, "height": 1024});
        assert_eq!(names(&read(libre_chat).unwrap()), [""; 0]);
    }

    #[test]
    fn steps_and_cfg_scale_count_where_it_is_configured() {
        let body = json!({"prompt": "a", "steps": 20, "cfg_scale": 7}).to_string();
        let request = WebUiRequest::read(body.as_bytes(), &context(true)).unwrap();
        assert_eq!(
            (request.draw.params.steps, request.draw.params.guidance),
            (Some(20), Some(6.0))
        );
        assert_eq!(request.draw.unobeyed, Unobeyed::default());
        let body = json!({"prompt": "a", "steps": 200}).to_string();
        assert!(WebUiRequest::read(body.as_bytes(), &context(true)).is_err());
    }

    #[test]
    fn what_would_be_another_image_is_refused_by_name() {
        for (name, value) in [
            ("enable_hr", json!(true)),
            ("alwayson_scripts", json!({"ControlNet": {"args": [{"image": "x"}]}})),
            ("script_name", json!("X/Y/Z plot")),
            ("refiner_checkpoint", json!("x")),
            ("init_images", json!(["aGVsbG8="])),
            ("mask", json!("aGVsbG8=")),
            ("styles", json!(["anime"])),
            ("width", json!(100)),
            ("height", json!(0)),
            ("batch_size", json!(33)),
            ("n_iter", json!(0)),
            ("seed", json!("x")),
            ("prompt", json!(7)),
            ("send_images", json!("yes")),
        ] {
            let mut body = webuiapi();
            body["batch_size"] = json!(1);
            body["n_iter"] = json!(1);
            body[name] = value;
            let problem = read(body).expect_err(name);
            let param = problem.parameter();
            assert!(param == Some(name) || param == Some("n_iter"), "{name}: {problem:?}");
        }
        let other = json!({"prompt": "a", "override_settings": {"sd_model_checkpoint": "sdxl"}});
        assert_eq!(read(other).unwrap_err().reason(), Reason::NotFound);
        let ours = json!({"prompt": "a", "override_settings":
            {"sd_model_checkpoint": "Z-Image-Turbo", "sd_vae": "Automatic"}});
        assert_eq!(names(&read(ours).unwrap()), ["sd_vae"]);
    }
}
