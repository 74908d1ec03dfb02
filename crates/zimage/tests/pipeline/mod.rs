//! Pipelines of small checkpoints on the CPU, and generation with them, for several tests.

use std::path::{Path, PathBuf};

use tch::{Device, Tensor};
use zimage::{Checkpoint, DType, Image, LoadingPipeline, Options, Params, Pipeline, Residency};

/// What may be resident: all, a part, nothing.
pub const PARTS: [Residency; 3] =
    [Residency::All, Residency::part(1, true), Residency::part(0, false)];

/// A file or folder of `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

/// Options with everything resident and expanded.
pub fn options(dtype: DType) -> Options {
    Options {
        device: Device::Cpu,
        dtype,
        eager: false,
        residency: Residency::All,
        packed: false,
        pinned: false,
    }
}

/// A pipeline of a folder or file.
pub fn load(model: &Path, options: Options) -> Pipeline {
    loaded(&Checkpoint::open(model).unwrap(), options)
}

/// A pipeline of a checkpoint.
pub fn loaded(checkpoint: &Checkpoint, options: Options) -> Pipeline {
    Pipeline::load(checkpoint, &options, &mut |_| {}).unwrap()
}

/// A pipeline of the weights that another one leaves; nothing may be read.
pub fn retained(checkpoint: &Checkpoint, options: Options, earlier: Pipeline) -> Pipeline {
    let weights = earlier.retain().unwrap();
    drop(earlier);
    let (loading, mut loader) =
        LoadingPipeline::from_retained(checkpoint, &options, weights).unwrap();
    let mut reads = 0;
    loader.run(&mut |_| reads += 1).unwrap();
    assert_eq!(reads, 0, "nothing is read");
    loading.complete(loader).unwrap()
}

/// A request for a small image of so many steps.
pub fn params(steps: u32) -> Params {
    Params {
        prompt: "a red fox in the snow".into(),
        width: Some(96),
        height: Some(64),
        steps: Some(steps),
        ..Params::default()
    }
}

/// The final latents of a request.
pub fn latents(pipeline: &Pipeline, params: &Params) -> Tensor {
    generate(pipeline, params).unwrap().0
}

/// The final latents and the image of a request.
pub fn generate(pipeline: &Pipeline, params: &Params) -> zimage::Result<(Tensor, Image)> {
    let plan = pipeline.resolve(params)?;
    let conditioning = pipeline.encode(&plan)?;
    let mut generation = pipeline.start(&plan, 7, None)?;
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning)?;
    }
    Ok((generation.latents().copy(), pipeline.decode(&generation)?))
}

/// How far latents are from others, by norm.
pub fn distance(ours: &Tensor, theirs: &Tensor) -> f64 {
    ((ours - theirs).norm() / theirs.norm()).double_value(&[])
}
