//! The answer of `txt2img`: images, what was generated, and `info`, a text that is JSON.
//!
//! LibreChat parses `info` and reads `infotexts[0]`, `seed`, `width` and `height`; webuiapi parses it.

use serde_json::{Value, json};
use zimg_client::Started;
use zimg_client::params::cfg_of_guidance;
use zimg_image::GenerationMetadata;

use super::lists::{SAMPLER, SCHEDULER};
use crate::translate::{Draw, Ignored};

/// The body of an answer: `images` are files as base64, or the texts that stand for them, in the order of `metadata`.
pub(crate) fn answer(
    draw: &Draw,
    started: &Started,
    images: &[String],
    metadata: &[GenerationMetadata],
    job_timestamp: &str,
) -> Value {
    let params = &draw.params;
    let negative = params.negative.as_deref().unwrap_or_default();
    let cfg_scale = cfg_of_guidance(started.guidance);
    let count = metadata.len();
    let seeds: Vec<_> = (0..params.images()).map(|image| params.seed_of(image)).collect();
    let infotexts: Vec<_> = metadata.iter().map(GenerationMetadata::to_parameters).collect();
    let ignored: Vec<Ignored> = draw.ignored(started);
    let generated = json!({
        "prompt": params.prompt,
        "negative_prompt": negative,
        "seed": params.first_seed(),
        "steps": started.steps,
        "cfg_scale": cfg_scale,
        "width": started.width,
        "height": started.height,
        "sampler_name": SAMPLER,
        "scheduler": SCHEDULER,
        "batch_size": count,
        "n_iter": 1,
    });
    let info = json!({
        "prompt": params.prompt,
        "all_prompts": vec![&params.prompt; count],
        "negative_prompt": negative,
        "all_negative_prompts": vec![negative; count],
        "seed": params.first_seed(),
        "all_seeds": seeds,
        "subseed": 0,
        "all_subseeds": vec![0; count],
        "subseed_strength": 0,
        "width": started.width,
        "height": started.height,
        "sampler_name": SAMPLER,
        "cfg_scale": cfg_scale,
        "steps": started.steps,
        "batch_size": count,
        "restore_faces": false,
        "face_restoration_model": null,
        "sd_model_name": started.model.name,
        "sd_model_hash": "",
        "sd_vae_name": null,
        "sd_vae_hash": null,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": null,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": infotexts,
        "styles": [],
        "job_timestamp": job_timestamp,
        "clip_skip": 1,
        "is_using_inpainting_conditioning": false,
        "version": concat!("zimg ", env!("CARGO_PKG_VERSION")),
    });
    json!({
        "images": images,
        "parameters": generated,
        "info": info.to_string(),
        "zimg_ignored": ignored,
    })
}

#[cfg(test)]
mod tests {
    use zimg_client::{ModelInfo, Params};

    use super::*;
    use crate::translate::Unobeyed;

    #[test]
    fn info_is_text_that_is_json_and_says_what_was_generated() {
        let params = Params { seed: Some(7), count: Some(2), ..Params::new("a \"fox\"") };
        let started = Started {
            model: ModelInfo { name: "tiny".into(), ..ModelInfo::default() },
            width: 64,
            height: 80,
            steps: 8,
            guidance: 0.0,
        };
        let unobeyed = Unobeyed { steps: Some(20), cfg_scale: Some(7.0) };
        let draw = Draw { params: params.clone(), unobeyed, ignored: vec![] };
        let metadata = [7, 8].map(|seed| GenerationMetadata {
            params: Params { seed: Some(seed), ..params.clone() },
            ..GenerationMetadata::default()
        });
        let images = ["aa".to_owned(), "bb".to_owned()];
        let body = answer(&draw, &started, &images, &metadata, "20261130120000");
        let info: Value = serde_json::from_str(body["info"].as_str().unwrap()).unwrap();
        assert_eq!(info["all_seeds"], json!([7, 8]));
        assert_eq!((&info["steps"], &info["cfg_scale"]), (&json!(8), &json!(1.0)));
        assert_eq!(info["infotexts"].as_array().unwrap().len(), 2);
        assert!(info["infotexts"][1].as_str().unwrap().contains("Seed: 8"));
        assert_eq!(body["images"], json!(["aa", "bb"]));
        let ignored: Vec<_> = body["zimg_ignored"].as_array().unwrap().iter().collect();
        assert_eq!(
            (&ignored[0]["name"], &ignored[1]["name"]),
            (&json!("steps"), &json!("cfg_scale"))
        );
    }
}
