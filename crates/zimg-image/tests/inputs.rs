//! Images to start from, as other programs save them: orientation, colours, transparency, depth and
//! format, against what Pillow shows of the same files; and files that are no images.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;
use zimg_image::{
    FileKind, InputError, InputFault, InputFit, InputImages, InputMargins, InputRequest, InputRole,
    InputSize, MaskChoice, read_input,
};

/// How far a colour may be from Pillow's: another rounding, and other interpolation in tables.
const NEAR: u8 = 4;

#[derive(Deserialize)]
struct Shown {
    size: (u32, u32),
    colours: [[u8; 4]; 4],
}

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/inputs")).to_owned()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn expected() -> BTreeMap<String, Shown> {
    serde_json::from_slice(&file("expected.json")).unwrap()
}

/// In the file's own shape, twice as large.
fn request() -> InputRequest {
    InputRequest { size: InputSize::Exact(128, 96), ..InputRequest::default() }
}

fn read(name: &str) -> InputImages {
    read_input(&file(name), None, &request()).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// The middle of each quarter.
fn places(width: u32, height: u32) -> [usize; 4] {
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| (y * height / 4 * width + x * width / 4) as usize)
}

#[test]
fn files_look_as_other_programs_show_them() {
    let all = expected();
    assert!(all.len() >= 40);
    for (name, shown) in &all {
        let found = read(name);
        let (width, height) = shown.size;
        assert!(found.done.contains(&format!("{width}x{height}")), "{name}: {}", found.done);
        for (at, colour) in places(128, 96).into_iter().zip(shown.colours) {
            let own = &found.rgb[3 * at..3 * at + 3];
            if colour[3] == 0 {
                assert_eq!(found.mask.as_ref().unwrap()[at], 255, "{name}");
                continue;
            }
            assert_eq!(found.mask.as_ref().map_or(0, |mask| mask[at]), 0, "{name}");
            let far = own.iter().zip(&colour).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(far <= NEAR, "{name}: {own:?} in place of {colour:?}");
        }
    }
}

#[test]
fn what_was_done_is_said() {
    for (name, said) in [
        ("orientation-6.jpg", "turned as its EXIF orientation 6 says, 64x48, scaled to 128x96"),
        ("orientation-1.jpg", "64x48, scaled to 128x96"),
        ("p3.png", "the profile Wide as P3 converted to sRGB, 64x48, scaled to 128x96"),
        ("deep.png", "reduced to 8 bits, 64x48, scaled to 128x96"),
        ("inks.jpg", "CMYK converted to sRGB without a profile, 64x48, scaled to 128x96"),
        (
            "inks-profile.jpg",
            "CMYK of the profile Inks of a test converted to sRGB, 64x48, scaled to 128x96",
        ),
        (
            "profile-broken.png",
            "its colour profile is not understood and ignored, 64x48, scaled to 128x96",
        ),
        ("moving.gif", "the first of its frames, 64x48, scaled to 128x96"),
        ("moving.png", "the first of its frames, 64x48, scaled to 128x96"),
        ("moving.webp", "the first of its frames, 64x48, scaled to 128x96"),
        ("palette.gif", "64x48, scaled to 128x96"),
        ("transparent.png", "64x48, scaled to 128x96, its transparent parts are the mask"),
    ] {
        assert_eq!(read(name).done, said, "{name}");
    }
}

#[test]
fn transparency_is_the_mask_unless_it_is_told_otherwise() {
    let bytes = file("transparent.png");
    let with = |mask, invert_mask| {
        read_input(&bytes, None, &InputRequest { mask, invert_mask, ..request() }).unwrap()
    };
    let [first, .., last] = places(128, 96);
    let alpha = with(MaskChoice::Alpha, false);
    assert_eq!(alpha, with(MaskChoice::TransparentParts, false));
    // Magenta that nothing shows does not come through.
    assert_ne!(alpha.rgb[3 * last..3 * last + 3], [255, 0, 255]);
    let inverted = with(MaskChoice::Alpha, true).mask.unwrap();
    assert_eq!((inverted[first], inverted[last]), (255, 0));
    let none = with(MaskChoice::None, false);
    assert_eq!((none.mask, &none.rgb[3 * last..3 * last + 3]), (None, &[255; 3][..]));
    assert!(none.done.ends_with("white behind its transparent parts"), "{}", none.done);
    let opaque = InputRequest { mask: MaskChoice::Alpha, ..request() };
    let refused = read_input(&file("grey.png"), None, &opaque).unwrap_err();
    assert_eq!(refused, InputError { role: InputRole::Initial, fault: InputFault::Opaque });
}

/// A PGM of a size, white on the right of `edge`.
fn half(width: u32, height: u32, edge: u32) -> Vec<u8> {
    let row: Vec<u8> = (0..width).map(|x| if x < edge { 0 } else { 255 }).collect();
    [format!("P5\n{width} {height}\n255\n").into_bytes(), row.repeat(height as usize)].concat()
}

#[test]
fn masks_go_where_the_image_goes() {
    let image = file("picture.ppm");
    let made = |mask: &[u8], request: InputRequest| {
        read_input(&image, Some(mask), &InputRequest { mask: MaskChoice::File, ..request })
    };
    let row = |mask: Vec<u8>, width: usize| mask[..width].iter().filter(|v| **v > 127).count();
    // Half as large as the image: it is of the same shape.
    for mask in [half(64, 48, 16), half(32, 24, 8)] {
        let found = made(&mask, request()).unwrap().mask.unwrap();
        assert_eq!((found[0], found[127], row(found.clone(), 128)), (0, 255, 96));
    }
    let inverted = made(&half(64, 48, 16), InputRequest { invert_mask: true, ..request() });
    assert_eq!(row(inverted.unwrap().mask.unwrap(), 128), 32);
    let blurred = made(&half(64, 48, 32), InputRequest { mask_blur: 4.0, ..request() });
    let blurred = blurred.unwrap().mask.unwrap();
    assert_eq!((blurred[0], blurred[127]), (0, 255));
    assert!(blurred[..128].iter().any(|value| (1..128).contains(value)));
    // A line of one pixel, and then all of its cells.
    let mut line = half(64, 48, 64);
    let start = line.len() - 64 * 48;
    line[start + 9] = 255;
    let found = made(&line, InputRequest::default()).unwrap();
    let cells: Vec<usize> =
        (0..found.width as usize).filter(|x| found.mask.as_ref().unwrap()[*x] == 255).collect();
    assert_eq!(cells.len() % 8, 0, "{cells:?}");
    assert!((8..=16).contains(&cells.len()), "{cells:?}");
    // What is added may change, inverted or not.
    for invert_mask in [false, true] {
        let margins = InputMargins { right: 64, ..InputMargins::default() };
        let size = InputSize::Exact(256, 96);
        let wide = InputRequest { size, margins, invert_mask, ..request() };
        let found = made(&half(64, 48, 64), wide).unwrap().mask.unwrap();
        assert_eq!((found[255], found[0]), (255, if invert_mask { 255 } else { 0 }));
    }
    let refused = made(&half(48, 64, 8), request()).unwrap_err();
    assert_eq!(refused.fault, InputFault::MaskSize((48, 64), (64, 48)));
    assert_eq!(refused.role, InputRole::Mask);
    let refused = made(&file("transparent.png"), request()).unwrap_err();
    assert_eq!(refused.fault, InputFault::ColouredMask);
    let openai = InputRequest { mask: MaskChoice::FileAlpha, ..request() };
    let found = read_input(&image, Some(&file("transparent.png")), &openai).unwrap().mask.unwrap();
    let [first, .., last] = places(128, 96);
    assert_eq!((found[first], found[last]), (0, 255));
}

#[test]
fn an_extended_image_stays_and_what_is_added_is_the_mask() {
    let margins = InputMargins { left: 64, bottom: 16, ..InputMargins::default() };
    let request = InputRequest { margins, ..InputRequest::default() };
    let found = read_input(&file("picture.ppm"), None, &request).unwrap();
    assert_eq!((found.width, found.height, &*found.done), (128, 64, "64x48, extended to 128x64"));
    let mask = found.mask.unwrap();
    let stays = |x: usize, y: usize| mask[y * 128 + x] == 0;
    assert!(stays(64, 0) && stays(127, 47) && !stays(63, 0) && !stays(64, 48));
    let odd = InputMargins { right: 100, ..InputMargins::default() };
    let odd = InputRequest { margins: odd, ..InputRequest::default() };
    let odd = read_input(&half(100, 64, 0), None, &odd).unwrap();
    // All that is added may change, with the cell in which the image ends.
    let first = odd.mask.as_ref().unwrap().iter().position(|value| *value == 255);
    assert_eq!((odd.width, first), (208, Some(96)));
    let own = read_input(&file("picture.ppm"), None, &InputRequest::default()).unwrap();
    assert_eq!(own.mask, None);
    // Pixel by pixel.
    let ppm = file("picture.ppm");
    let pixels = &ppm[ppm.len() - 3 * 64 * 48..];
    for y in 0..48 {
        let at = 3 * (y * 128 + 64);
        assert_eq!(found.rgb[at..at + 3 * 64], pixels[3 * 64 * y..3 * 64 * (y + 1)]);
    }
    // Around it are colours like those at its edge.
    let reds: Vec<u8> = (0..64).map(|x| found.rgb[3 * x]).collect();
    assert!(reds.is_sorted() && reds[63] > 160 && reds[0] > 90, "{reds:?}");
}

#[test]
fn other_kinds_are_refused_by_name() {
    for (name, kind, hint) in [
        ("picture.avif", FileKind::Avif, "avifdec a image.png"),
        ("picture.jxl", FileKind::JpegXl, "djxl a image.png"),
        ("picture.jp2", FileKind::Jpeg2000, "magick a'[0]' image.png"),
    ] {
        let fault = read_input(&file(name), None, &request()).unwrap_err().fault;
        assert_eq!(fault, InputFault::Unread(kind));
        assert!(fault.hint("a").unwrap().contains(hint), "{name}");
    }
    for bytes in [&b""[..], b"a fox", b"\x89PN", b"BMP"] {
        let refused = read_input(bytes, None, &request()).unwrap_err();
        assert!(
            matches!(refused.fault, InputFault::Unknown | InputFault::Damaged(_)),
            "{refused:?}"
        );
    }
}

/// Heads that announce what is not there.
#[test]
fn announced_sizes_are_not_believed() {
    let mut png = file("picture.bmp");
    png[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    png[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    let huge = b"P6\n65535 65535\n255\n".to_vec();
    let mut gif = file("palette.gif");
    gif[6..10].copy_from_slice(&[255; 4]);
    for bytes in [png, huge, gif] {
        let fault = read_input(&bytes, None, &request()).unwrap_err().fault;
        assert!(
            matches!(
                fault,
                InputFault::TooManyPixels(..) | InputFault::Memory | InputFault::Damaged(_)
            ),
            "{fault:?}"
        );
    }
}

#[test]
fn both_ways_of_asking_for_the_same_size_are_the_same() {
    let bytes = file("picture.ppm");
    let exact = InputRequest { size: InputSize::Exact(64, 48 + 16), ..InputRequest::default() };
    assert_eq!(read_input(&bytes, None, &exact).unwrap().width, 64);
    let pad = InputRequest { fit: InputFit::Pad, ..exact.clone() };
    let padded = read_input(&bytes, None, &pad).unwrap();
    assert_eq!((&*padded.done, padded.mask), ("64x48, padded to 64x64", None));
    assert_eq!(padded.rgb[3 * (8 * 64)..3 * (8 * 64) + 3], [200, 40, 30]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A damaged file is an image or refused, and nothing else happens.
    #[test]
    fn damaged_files_never_harm(
        name in prop::sample::select(vec![
            "adobe.jpg", "inks-profile.jpg", "progressive.jpg", "p3.png", "deep-p3.png", "moving.png",
            "transparent-palette.png", "p3.webp", "moving.webp", "palette.gif", "moving.gif", "p3.tif",
            "orientation-6.tif", "picture.bmp", "picture.ppm", "grey-profile.png",
        ]),
        cut in 0.0..1.0_f64,
        damage in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 0..8),
    ) {
        let mut bytes = file(name);
        bytes.truncate((bytes.len() as f64 * cut.mul_add(0.9, 0.1)) as usize);
        for (at, value) in damage {
            // Most of what can be lied about is at the beginning.
            let at = (at * at * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        if let Ok(found) = read_input(&bytes, None, &request()) {
            prop_assert_eq!(found.rgb.len(), 3 * 128 * 96);
        }
    }
}
