//! Previews are near the image that comes of them: the built-in model.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use tch::Device;
use zimage::{Checkpoint, DType, Image, Options, Params, Pipeline};

fn built_in() -> Pipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zimage-worker/tiny");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let options = Options {
        device: Device::Cpu,
        dtype: DType::Float32,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
}

/// The image at an eighth of its size: the mean of each 8×8 pixels.
fn small(image: &Image) -> Vec<f64> {
    let (width, height) = (image.width as usize, image.height as usize);
    let mut means = Vec::new();
    for y in 0..height / 8 {
        for x in 0..width / 8 {
            for colour in 0..3 {
                let pixel = |i: usize| 3 * ((8 * y + i / 8) * width + 8 * x + i % 8) + colour;
                means.push((0..64).map(|i| f64::from(image.rgb[pixel(i)])).sum::<f64>() / 64.0);
            }
        }
    }
    means
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

#[test]
fn a_preview_looks_like_its_image_early_and_costs_nothing_of_it() {
    let pipeline = built_in();
    for prompt in ["a red circle on a white background", "a house under a night sky with a moon"] {
        let params = Params { prompt: prompt.into(), width: Some(192), ..Params::default() };
        let plan = pipeline.resolve(&params).unwrap();
        let conditioning = pipeline.encode(&plan).unwrap();
        let mut generation = pipeline.start(&plan, 1, None).unwrap();
        let mut plain = pipeline.start(&plan, 1, None).unwrap();
        let mut previews = Vec::new();
        while !generation.is_done() {
            let saved = pipeline.step_with_snapshot(&mut generation, &conditioning, true).unwrap();
            let preview = saved.preview().unwrap().unwrap();
            assert_eq!((preview.width, preview.height), (plan.width / 8, plan.height / 8));
            previews.push(preview);
            let saved = pipeline.step_with_snapshot(&mut plain, &conditioning, false).unwrap();
            assert_eq!(saved.preview().unwrap(), None);
        }
        let image = pipeline.decode(&generation).unwrap();
        assert_eq!(pipeline.decode(&plain).unwrap(), image);
        let small = small(&image);
        let near: Vec<f64> = previews
            .iter()
            .map(|preview| {
                let bytes: Vec<f64> = preview.rgb.iter().map(|&byte| f64::from(byte)).collect();
                correlation(&bytes, &small)
            })
            .collect();
        println!("{prompt}: {near:.3?}");
        assert!(near[7] > 0.95, "the last one: {near:?}");
        assert!(near[3] > 0.8, "half-way: {near:?}");
    }
}
