//! Lists of what there is: one model, one sampler, one schedule, and much of which there is none.

use serde_json::{Value, json};
use zimg_client::{DeviceMemory, LoraInfo, Loras};

/// The one sampler: Euler's method on the model's own schedule.
pub(crate) const SAMPLER: &str = "Euler";
/// What A1111 calls a model's own schedule.
pub(crate) const SCHEDULER: &str = "Automatic";

/// The routes whose answer never changes.
pub(crate) const CONSTANT: [&str; 17] = [
    "samplers",
    "schedulers",
    "upscalers",
    "latent-upscale-modes",
    "sd-vae",
    "sd-modules",
    "hypernetworks",
    "face-restorers",
    "realesrgan-models",
    "prompt-styles",
    "embeddings",
    "scripts",
    "script-info",
    "extensions",
    "cmd-flags",
    "artists",
    "artist-categories",
];

/// The body of a constant route.
pub(crate) fn constant(name: &str) -> Value {
    match name {
        "samplers" => json!([{"name": SAMPLER, "aliases": ["k_euler"], "options": {}}]),
        "schedulers" => json!([{
            "name": "automatic", "label": SCHEDULER, "aliases": null, "default_rho": -1.0,
            "need_inner_model": false,
        }]),
        "upscalers" => json!([{
            "name": "None", "model_name": null, "model_path": null, "model_url": null, "scale": 1.0,
        }]),
        "latent-upscale-modes" => json!([{"name": "None"}]),
        "embeddings" => json!({"loaded": {}, "skipped": {}}),
        "scripts" => json!({"txt2img": [], "img2img": []}),
        "cmd-flags" => json!({}),
        _ => json!([]),
    }
}

/// The body of `sd-models`. No path of the server is in it.
pub(crate) fn models(model: &str) -> Value {
    json!([{
        "title": model, "model_name": model, "hash": null, "sha256": null, "filename": model,
        "config": null,
    }])
}

/// The body of `loras`: those that can be used. No path of the server is in it.
pub(crate) fn loras(loras: &Loras) -> Value {
    let usable = loras.loras.iter().filter(|lora| lora.problem.is_none());
    let of = |lora: &LoraInfo| {
        let words = lora.trigger_words.join(", ");
        json!({
            "name": lora.name, "alias": lora.title.as_ref().unwrap_or(&lora.name),
            "path": lora.name, "metadata": {"trigger_words": words},
        })
    };
    usable.map(of).collect()
}

/// The body of `memory`: of the device, if it has memory of its own.
pub(crate) fn memory(device: Option<DeviceMemory>) -> Value {
    let cuda = match device {
        Some(DeviceMemory { used, total }) => json!({
            "system": {"free": total.saturating_sub(used), "used": used, "total": total},
        }),
        None => json!({"error": "unavailable"}),
    };
    json!({"ram": {"error": "unavailable"}, "cuda": cuda})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_the_names_that_clients_read() {
        for name in CONSTANT {
            let body = constant(name);
            assert!(body.is_array() || body.is_object(), "{name}");
        }
        for name in ["samplers", "schedulers", "upscalers", "latent-upscale-modes"] {
            assert!(constant(name)[0]["name"].is_string(), "{name}");
        }
        let models = models("tiny");
        assert_eq!((&models[0]["title"], &models[0]["filename"]), (&json!("tiny"), &json!("tiny")));
    }
}
