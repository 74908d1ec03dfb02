//! Terminal previews, from the worker's latents to the terminal's escape sequences.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use nix::pty::{Winsize, openpty};
use zimg_tests::{Daemon, Options, built_worker, written_to};

/// The images that kitty is sent, in their order.
fn images(text: &str) -> Vec<RgbImage> {
    let (mut found, mut data) = (Vec::new(), String::new());
    for part in text.split("\x1b_G").skip(1) {
        let Some((control, rest)) = part.split_once(';') else { continue };
        data += rest.split_once("\x1b\\").unwrap().0;
        if control.contains("m=0") {
            let png = BASE64_STANDARD.decode(std::mem::take(&mut data)).unwrap();
            found.push(image::load_from_memory(&png).unwrap().into_rgb8());
        }
    }
    found
}

/// The mean difference of two images of one size.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u32 = a.iter().zip(b.iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    f64::from(sum) / a.len() as f64
}

#[test]
fn previews_look_like_the_image() {
    let mut daemon = Daemon::with(Options { worker: Some(built_worker()), ..Options::default() });
    daemon.wait_for("READY=1");
    // Room for the image as it is: 26 columns of 13 rows.
    let window = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 1000, ws_ypixel: 800 };
    let pty = openpty(Some(&window), None).unwrap();
    let words = ["a red circle on a white background", "--seed=1", "-o", "a.png"];
    let mut zimg = daemon.zimg(&[&words[..], &["--preview=kitty", "--show=kitty"]].concat());
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(pty.master);
    assert!(child.wait().unwrap().success(), "{text}\n{}", daemon.log());
    let mut images = images(&text);
    let shown = images.pop().unwrap();
    let saved = image::open(daemon.folder().join("a.png")).unwrap().into_rgb8();
    assert!(shown == saved, "what is shown is what is saved");
    assert!(!images.is_empty(), "no previews: {}", daemon.log());
    let small = resize(&saved, 32, 32, FilterType::Triangle);
    let far: Vec<_> = images
        .iter()
        .map(|preview| {
            assert_eq!(preview.dimensions(), (32, 32), "an eighth of the image");
            difference(preview, &small)
        })
        .collect();
    println!("mean differences of the previews: {far:?}");
    // One matrix product is not the decoder, but shows the same image.
    let mut other = small.clone();
    image::imageops::invert(&mut other);
    let last = far[far.len() - 1];
    assert!(last < 30.0, "{far:?}");
    assert!(difference(images.last().unwrap(), &other) > 3.0 * last, "{far:?}");
}
