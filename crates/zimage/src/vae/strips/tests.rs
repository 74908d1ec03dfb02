//! Tests: strips give the whole to the bit, for every model, size, cut, kind and layout of the fixtures.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::*;
use crate::checkpoint::{Checkpoint, Component};
use crate::error::Error;
use crate::ops::{MapShape, to_nhwc};
use crate::vae::Vae;
use crate::vae::encoder::halved;
use crate::vae::layers::Ends;
use crate::weights::{Loader, Target};

/// Every map in strips of single rows.
const ROWS: Cut = Cut { from: 1, least: 1, most: i64::MAX, beside: 0 };

fn vae(name: &str, kind: Kind) -> (Vae, i64) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
    let checkpoint = Checkpoint::open(&fixtures.join(name)).unwrap();
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind };
    let weights = loader.weights(&checkpoint, Component::Vae, target).unwrap();
    let vae = Vae::load(weights, &checkpoint.vae).unwrap();
    loader.run(&mut |_| {}).unwrap();
    (vae, checkpoint.vae.latent_channels)
}

fn latents(channels: i64, (h, w): (i64, i64), kind: Kind) -> Tensor {
    Tensor::randn([1, channels, h, w], (Kind::Float, Device::Cpu)).to_kind(kind)
}

/// Strips of single rows, of some rows, and of a few strips; from the first level on and later.
fn cuts() -> [Cut; 5] {
    [
        ROWS,
        Cut { most: 3, ..ROWS },
        Cut { least: 100, ..ROWS },
        Cut { from: 200, ..ROWS },
        Cut { from: 1000, least: 700, most: 5, beside: 2 },
    ]
}

fn check(decoder: &Decoder, z: &Tensor, cut: Cut, name: &str) {
    let whole = decoder.forward(z).unwrap();
    let strips = decoder.forward_in_strips(z, cut).unwrap();
    assert!(strips == whole, "{name}, {:?}, {cut:?}", z.size());
}

#[test]
fn strips_give_the_whole_to_the_bit() {
    for name in ["plain", "broad", "odd"] {
        let (vae, channels) = vae(name, Kind::Float);
        // Square, one row, one column, wide, tall, odd.
        for size in [(4, 4), (1, 5), (6, 1), (2, 11), (13, 3), (5, 7)] {
            let z = latents(channels, size, Kind::Float);
            for cut in cuts() {
                check(&vae.decoder, &z, cut, name);
                let bytes = vae.decoder.bytes_in_strips(&z, cut).unwrap();
                assert!(bytes == vae.decoder.bytes(&z).unwrap(), "{name}, {size:?}, {cut:?}");
            }
        }
    }
}

#[test]
fn strips_of_reduced_kinds_give_the_whole_to_the_bit() {
    for kind in [Kind::BFloat16, Kind::Half] {
        for name in ["plain", "odd"] {
            let (vae, channels) = vae(name, kind);
            for size in [(4, 6), (3, 5)] {
                let z = latents(channels, size, kind);
                for cut in [ROWS, Cut { most: 3, ..ROWS }] {
                    check(&vae.decoder, &z, cut, name);
                }
            }
        }
    }
}

/// NHWC and pending biases, as the fused kernels have them, with libtorch's operations.
#[test]
fn strips_in_the_layout_of_the_kernels_give_the_whole_to_the_bit() {
    for name in ["plain", "broad", "odd"] {
        let (mut vae, channels) = vae(name, Kind::Float);
        vae.decoder.lay_out().unwrap();
        for size in [(6, 4), (3, 5)] {
            let z = to_nhwc(&latents(channels, size, Kind::Float)).unwrap();
            for cut in cuts() {
                check(&vae.decoder, &z, cut, name);
            }
        }
    }
}

#[test]
fn the_encoder_in_strips_gives_the_whole_to_the_bit() {
    for kind in [Kind::Float, Kind::BFloat16] {
        for name in ["plain", "broad", "odd"] {
            let (vae, _) = vae(name, kind);
            for size in [(32, 48), (64, 16), (16, 80)] {
                let pixels = latents(3, size, kind);
                let whole = vae.encoder.forward(&pixels).unwrap();
                for cut in cuts() {
                    let strips = vae.encoder.forward_in_strips(&pixels, cut).unwrap();
                    assert!(strips == whole, "{name}, {kind:?}, {size:?}, {cut:?}");
                }
            }
        }
    }
}

/// A map is halved some rows at a time where it is large, and the rows meet.
#[test]
fn an_image_that_is_cut_as_usual_is_encoded_as_its_parts_are() {
    let (vae, _) = vae("plain", Kind::Float);
    let pixels = latents(3, (560, 480), Kind::Float);
    let whole = vae.encode(&pixels).unwrap();
    let strips = vae.posterior_in_strips(&pixels).unwrap();
    assert!(strips.scaled(&strips.mean).unwrap() == whole);
    let [level, ..] = &vae.encoder.down[..] else { panic!("no level") };
    let conv = level.downsampler.as_ref().unwrap();
    let map = latents(8, (560, 488), Kind::Float);
    let once = conv.forward(&map.constant_pad_nd([0, 1, 0, 1])).unwrap().complete().unwrap();
    let halved = halved(conv, &Map::new(map, None)).unwrap().complete().unwrap();
    assert_eq!(halved.size(), once.size());
    assert!(halved.allclose(&once, 1e-5, 1e-6, false));
}

/// Maps of many pieces, whose moments are joined; and the cut that is used.
#[test]
fn an_image_that_is_cut_as_usual_is_the_whole_to_the_bit() {
    let (vae, channels) = vae("plain", Kind::Float);
    let z = latents(channels, (70, 61), Kind::Float);
    let largest = MapShape { channels: 8, h: 560, w: 488 };
    assert!(Cut::USUAL.is_in_strips(largest) && Cut::USUAL.count(largest) > 4);
    assert!(Ops::Eager.pieces(largest, Device::Cpu).count() > 4);
    check(&vae.decoder, &z, Cut::USUAL, "plain");
    check(&vae.decoder, &z, Cut { from: 1, least: 1 << 12, most: 9, beside: 0 }, "plain");
    assert!(vae.image_in_strips(&z).unwrap() == vae.image(&z).unwrap());
    assert!(vae.decode_in_strips(&z).unwrap() == vae.decode(&z).unwrap());
}

/// The rows of a map, convolved any number at a time, in the middle and at the ends.
#[test]
fn rows_convolved_some_at_a_time_are_those_convolved_at_once() {
    let (vae, _) = vae("plain", Kind::Float);
    let conv = &vae.decoder.conv_out;
    let (h, w) = (13, 9);
    let x = latents(8, (h, w), Kind::Float);
    let whole = conv.forward(&x).unwrap().complete().unwrap();
    for height in [1, 2, 3, 5, 6, 12, 13, 14, 40] {
        for (start, end) in [(0, h), (0, 1), (0, 6), (3, 4), (2, 11), (12, h), (5, h)] {
            let inside = (start - 1).max(0)..(end + 1).min(h);
            let ends = Ends { above: i64::from(start == 0), below: i64::from(end == h) };
            let rows = x.narrow(2, inside.start, inside.end - inside.start);
            let rows = conv.forward_rows(&rows, ends, Some(height)).unwrap().complete().unwrap();
            assert!(
                rows == whole.narrow(2, start, end - start),
                "{height} at a time, {start}..{end}"
            );
        }
    }
}

#[test]
fn nan_is_an_error_in_strips_too() {
    let (vae, channels) = vae("plain", Kind::Float);
    let z = latents(channels, (8, 8), Kind::Float);
    let _ = z.narrow(2, 7, 1).fill_(f64::NAN);
    for cut in [ROWS, Cut::USUAL] {
        let bytes = vae.decoder.bytes_in_strips(&z, cut);
        assert!(matches!(bytes, Err(Error::NotFinite(_))), "{cut:?}");
    }
}
