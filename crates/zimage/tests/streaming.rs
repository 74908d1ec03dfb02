//! Streamed weights: whatever part of the model is resident, the image is the same to the bit.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use tch::Tensor;
use zimage::{DType, Image, Options, Params, Pipeline, Residency};

#[path = "../../../tests/src/folder.rs"]
pub mod folder;
pub mod pipeline;
use folder::copied;
use pipeline::{fixture, generate, load, options, params};

/// Three images: the second of another prompt, with guidance, the third of the first one's again.
fn images(pipeline: &Pipeline) -> Vec<(Tensor, Image)> {
    let requests = [("a red fox in the snow", None), ("a boat", Some("fog")), ("a red fox", None)];
    let image = |(prompt, negative): (&str, Option<&str>)| {
        let params = Params {
            prompt: prompt.into(),
            negative: negative.map(Into::into),
            guidance: negative.map(|_| 2.0),
            ..params(3)
        };
        generate(pipeline, &params).unwrap()
    };
    requests.into_iter().map(image).collect()
}

#[test]
fn whatever_is_resident_the_image_is_the_same() {
    for (name, dtype) in
        [("plain", DType::Float32), ("odd", DType::BFloat16), ("broad", DType::Float16)]
    {
        let folder = fixture(&format!("reference/{name}"));
        let expected = images(&load(&folder, options(dtype)));
        assert_ne!(expected[0].0, expected[1].0);
        for (denoising_parts, text_parts, slots) in
            [(0, 0, 2), (1, 99, 3), (2, 1, 2), (5, 4, 2), (99, 2, 5), (99, 0, 2)]
        {
            let residency = Residency::Part { denoising_parts, text_parts, slots };
            let found = images(&load(&folder, Options { residency, ..options(dtype) }));
            for ((latents, image), (expected, expected_image)) in found.iter().zip(&expected) {
                assert_eq!(latents, expected, "{name} {dtype} {residency:?}");
                assert!(image.rgb == expected_image.rgb, "{name} {dtype} {residency:?}");
            }
        }
    }
}

/// Streamed blocks are read from their files each time, so a file that is gone is an error, and one
/// that is back is used again.
#[test]
fn a_file_that_became_shorter_is_an_error_and_not_an_image() {
    let folder = copied(&fixture("reference/plain"));
    let residency = Residency::part(1, true);
    let pipeline = load(folder.path(), Options { residency, ..options(DType::Float32) });
    let params = Params { prompt: "a cat".into(), steps: Some(1), ..Params::default() };
    let params = pipeline.resolve(&params).unwrap();
    let conditioning = pipeline.encode(&params).unwrap();
    let mut generation = pipeline.start(&params, 7, None).unwrap();
    let mut weights = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("transformer")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            weights.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    assert!(!weights.is_empty());
    for (path, _) in &weights {
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    }
    // What was on its way before may still be right; the step after it is not.
    let failed = (0..2).any(|_| {
        let mut again = pipeline.start(&params, 7, None).unwrap();
        pipeline.step(&mut again, &conditioning).is_err()
    });
    assert!(failed);
    for (path, bytes) in &weights {
        std::fs::write(path, bytes).unwrap();
    }
    pipeline.step(&mut generation, &conditioning).unwrap();
    let expected = load(&fixture("reference/plain"), options(DType::Float32));
    let mut reference = expected.start(&params, 7, None).unwrap();
    expected.step(&mut reference, &expected.encode(&params).unwrap()).unwrap();
    assert_eq!(generation.latents(), reference.latents());
}
