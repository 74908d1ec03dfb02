//! Measures how long it takes to encode an image: `encode [WxH]`, 1024x1024 without.
//!
//! One line for each format and kind of image: the best and the median of many runs in
//! milliseconds, and the file's size. "photo" is made to be like one: smooth shapes, edges and a
//! little grain; "noise" is the worst there is.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use zimg_image::{Encoding, ImageFormat, Pixels};

/// Runs of each.
const RUNS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let size = std::env::args().nth(1).unwrap_or_else(|| "1024x1024".to_owned());
    let (width, height) = size.split_once('x').ok_or("a size is WxH")?;
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    let mut out = io::stdout().lock();
    for (kind, rgb) in [("photo", photo(width, height)), ("noise", noise(width, height))] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let pixels = Pixels { width, height, rgb: &rgb };
            let mut times = Vec::with_capacity(RUNS);
            let mut bytes = 0;
            for _ in 0..RUNS {
                let began = Instant::now();
                bytes = format.encode(pixels, Encoding::default(), None)?.len();
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            let (best, median) = (times[0], times[RUNS / 2]);
            let kilobytes = bytes / 1000;
            writeln!(
                out,
                "{:<5} {kind}  best {best:6.1} ms  median {median:6.1} ms  {kilobytes:5} kB",
                format.extension()
            )?;
        }
    }
    Ok(())
}

/// xorshift64*: the same image in every run.
fn random(state: &mut u64) -> u8 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
}

fn noise(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1;
    (0..3 * width * height).map(|_| random(&mut state)).collect()
}

/// A sky, a hill with a hard edge, a soft light, and grain of two levels.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1;
    let mut rgb = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let hill = 0.6 + 0.1 * (9.0 * u).sin() + 0.03 * (41.0 * u).sin();
            let light = (-((u - 0.7).powi(2) + (v - 0.3).powi(2)) * 12.0).exp();
            let texture = (70.0 * u + 13.0 * v).sin() * (50.0 * v).cos();
            let colour = if v < hill {
                [90.0 + 60.0 * v + 90.0 * light, 130.0 + 50.0 * v + 80.0 * light, 210.0 - 30.0 * v]
            } else {
                [60.0 + 18.0 * texture, 95.0 + 25.0 * texture, 45.0 + 12.0 * texture]
            };
            for value in colour {
                let grain = f64::from(random(&mut state) % 5) - 2.0;
                rgb.push((value + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    rgb
}
