//! Image to image with the built-in model: the prompt decides what is drawn again, strength how much, and
//! a mask where.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use tch::Device;
use zimage::{
    Checkpoint, DType, Image, ImageInputs, InputImages, Options, Params, Pipeline, Residency,
};

const SIDE: u32 = 256;

fn pipeline() -> Pipeline {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zimage-worker/tiny");
    let options = Options {
        device: Device::Cpu,
        dtype: DType::Float32,
        eager: false,
        residency: Residency::All,
        packed: false,
        pinned: false,
    };
    Pipeline::load(&Checkpoint::open(&tiny).unwrap(), &options, &mut |_| {}).unwrap()
}

fn draw(
    pipeline: &Pipeline,
    prompt: &str,
    strength: Option<f32>,
    inputs: Option<&ImageInputs>,
) -> Image {
    let params = Params {
        width: Some(SIDE),
        height: Some(SIDE),
        steps: Some(8),
        strength,
        ..Params::new(prompt)
    };
    let images = inputs.map_or(InputImages::NONE, ImageInputs::images);
    let params = pipeline.resolve_with(&params, images).unwrap();
    let conditioning = pipeline.encode(&params).unwrap();
    let images = inputs.map(|inputs| pipeline.encode_images(&params, inputs).unwrap());
    let mut generation = pipeline.start(&params, 42, images.as_ref()).unwrap();
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning).unwrap();
    }
    assert_eq!(generation.has_initial_image(), inputs.is_some());
    pipeline.decode(&generation).unwrap()
}

/// The mean colour of a square of 16 pixels about a place.
fn colour(image: &Image, (x, y): (usize, usize)) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for row in y - 8..y + 8 {
        for column in x - 8..x + 8 {
            let at = 3 * (row * SIDE as usize + column);
            for (sum, value) in sum.iter_mut().zip(&image.rgb[at..at + 3]) {
                *sum += f64::from(*value) / 256.0;
            }
        }
    }
    sum
}

/// The mean distance of the colour values of some columns.
fn distance(a: &Image, b: &Image, columns: std::ops::Range<usize>) -> f64 {
    let side = SIDE as usize;
    let values = |image: &Image| {
        let rows = image.rgb.chunks_exact(3 * side).map(<[u8]>::to_vec);
        rows.flat_map(|row| row[3 * columns.start..3 * columns.end].to_vec()).collect::<Vec<_>>()
    };
    let (a, b) = (values(a), values(b));
    let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.len() as f64
}

#[test]
fn strength_says_how_much_of_the_initial_image_is_drawn_again() {
    let pipeline = pipeline();
    let first = draw(&pipeline, "a red circle on a white background", None, None);
    let [red, green, blue] = colour(&first, (128, 128));
    assert!(red > 150.0 && green < 110.0 && blue < 110.0, "{red} {green} {blue}");
    let inputs = ImageInputs { initial: Some(first.rgb.clone()), ..ImageInputs::default() };
    let again = |strength| {
        draw(&pipeline, "a blue star on a black background", Some(strength), Some(&inputs))
    };
    let [faint, half, whole] = [0.1, 0.4, 1.0].map(again);
    let far = [&faint, &half, &whole].map(|image| distance(image, &first, 0..256));
    assert!(far[0] < 10.0 && far[0] < far[1] && far[1] < far[2], "{far:?}");
    let [red, _, blue] = colour(&faint, (128, 128));
    assert!(red > blue + 50.0, "{red} {blue}");
    for image in [half, whole] {
        let [red, _, blue] = colour(&image, (128, 128));
        assert!(blue > red + 50.0, "{red} {blue}");
    }
}

#[test]
fn a_mask_says_where() {
    let pipeline = pipeline();
    let first = draw(&pipeline, "a red circle on a white background", None, None);
    // The right half may change.
    let mask = (0..SIDE * SIDE).map(|i| if i % SIDE >= SIDE / 2 { 255 } else { 0 }).collect();
    let inputs = ImageInputs { initial: Some(first.rgb.clone()), mask: Some(mask), control: None };
    let image = draw(&pipeline, "a green circle on a white background", None, Some(&inputs));
    let (left, right) = (distance(&image, &first, 0..112), distance(&image, &first, 144..256));
    assert!(left < 5.0 && right > 10.0, "{left} {right}");
    let ([red, green, _], [new_red, new_green, _]) =
        (colour(&image, (100, 128)), colour(&image, (160, 128)));
    assert!(
        red > green + 100.0 && new_green > new_red + 30.0,
        "{red} {green} {new_red} {new_green}"
    );
}
