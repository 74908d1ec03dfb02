//! Image to image: `--init`, `--mask`, `--outpaint` and their sizes, in requests, batches, detached
//! jobs and `redo`; and files that are no images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use zimg_protocol::messages::{Event, Generate, ImageRole, Params, PixelLayout, Request};

use crate::fake::{Fake, Ran, zimg};

/// A file of `tests/fixtures/inputs`.
fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/inputs")).join(name)
}

/// A binary PPM of one colour.
fn ppm(width: u32, height: u32) -> Vec<u8> {
    let pixels = [40, 90, 160].repeat((width * height) as usize);
    [format!("P6\n{width} {height}\n255\n").into_bytes(), pixels].concat()
}

/// A daemon that generates what it is asked for, and what it was asked.
fn daemon() -> (Fake, Receiver<Generate>) {
    let (asked, requests) = channel();
    let fake = Fake::many(move |peer, request| match request {
        Request::Generate(request) => {
            asked.send(request.clone()).unwrap();
            match request.detach {
                true => peer.say(Event::Accepted { job: 5, position: 0 }),
                false => peer.generates(&request.params),
            }
        }
        other => panic!("{other:?}"),
    });
    (fake, requests)
}

/// Runs zimg in a folder that has these files.
fn drawn(files: &[(&str, &[u8])], words: &[&str]) -> (Ran, Vec<Generate>) {
    let (fake, requests) = daemon();
    for (name, bytes) in files {
        fs::write(fake.out().join(name), bytes).unwrap();
    }
    let output = fake.zimg(words).output().unwrap();
    (fake.finish(output), requests.try_iter().collect())
}

/// Role, layout and size of the images of a request.
fn images(request: &Generate) -> Vec<(ImageRole, PixelLayout, u32, u32)> {
    request
        .images
        .iter()
        .map(|image| (image.role, image.layout, image.width, image.height))
        .collect()
}

fn record(request: &Generate) -> Value {
    serde_json::from_str(request.params.image_inputs.as_deref().unwrap()).unwrap()
}

const INITIAL: (ImageRole, PixelLayout) = (ImageRole::Initial, PixelLayout::Rgb8);
const MASK: (ImageRole, PixelLayout) = (ImageRole::Mask, PixelLayout::L8);

#[test]
fn an_initial_image_goes_into_the_request_and_its_size_follows() {
    for (size, words, expected, said) in [
        ((160, 96), &[][..], (160, 96), None),
        (
            (170, 100),
            &[],
            (160, 96),
            Some("170x100, cropped to 160x96, for sides that are multiples of 16"),
        ),
        (
            (160, 96),
            &["--size=64x64"],
            (64, 64),
            Some("160x96, scaled to 107x64, cropped to 64x64"),
        ),
        (
            (160, 96),
            &["--size=64x64", "--fit=pad"],
            (64, 64),
            Some("160x96, scaled to 64x38, padded to 64x64"),
        ),
        (
            (160, 96),
            &["--size=64x64", "--fit=stretch"],
            (64, 64),
            Some("160x96, stretched to 64x64"),
        ),
        (
            (160, 96),
            &["--size=70x70", "--round"],
            (64, 64),
            Some("160x96, scaled to 107x64, cropped to 64x64"),
        ),
        (
            (160, 96),
            &["--aspect=1:1"],
            (128, 128),
            Some("160x96, scaled to 213x128, cropped to 128x128"),
        ),
        ((2100, 1300), &["-q"], (2048, 1264), None),
        ((160, 96), &["--outpaint=0,0,96,0"], (256, 96), Some("160x96, extended to 256x96")),
    ] {
        let file = ppm(size.0, size.1);
        let words =
            [&["a fox", "-o", "a.png", "--init", "in.ppm", "--strength=0.5"], words].concat();
        let (ran, requests) = drawn(&[("in.ppm", &file)], &words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
        let [request] = &*requests else { panic!("{requests:?}") };
        let (width, height) = expected;
        let outpaints = words.iter().any(|word| word.starts_with("--outpaint"));
        let mask = outpaints.then_some((MASK.0, MASK.1, width, height));
        let both: Vec<_> =
            [Some((INITIAL.0, INITIAL.1, width, height)), mask].into_iter().flatten().collect();
        assert_eq!(images(request), both, "{words:?}");
        let params = &request.params;
        assert_eq!((params.width, params.height), (Some(width), Some(height)));
        assert_eq!(params.strength, Some(0.5));
        let told = ran.stderr.lines().find(|line| line.contains("in.ppm: "));
        assert_eq!(told, said.map(|said| format!("in.ppm: {said}")).as_deref(), "{}", ran.stderr);
    }
}

#[test]
fn files_of_all_formats_are_taken() {
    for name in
        ["orientation-6.jpg", "p3.png", "inks-profile.jpg", "moving.gif", "deep.tif", "p3.webp"]
    {
        let path = fixture(name);
        let words = ["a fox", "-o", "a.png", "--init", path.to_str().unwrap(), "--size=64x64"];
        let (ran, requests) = drawn(&[], &words);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        assert_eq!(images(&requests[0]), [(INITIAL.0, INITIAL.1, 64, 64)], "{name}");
        assert_eq!(record(&requests[0])["init"]["name"], name);
    }
    // Transparent parts are the mask.
    let path = fixture("transparent.png");
    let of = |words: &[&str]| {
        let words =
            [&["a", "-oa.png", "--size=64x64", "--init", path.to_str().unwrap()], words].concat();
        drawn(&[], &words)
    };
    let (_, requests) = of(&[]);
    assert_eq!(images(&requests[0]), [(INITIAL.0, INITIAL.1, 64, 64), (MASK.0, MASK.1, 64, 64)]);
    let (ran, requests) = of(&["--mask=none"]);
    assert_eq!(images(&requests[0]).len(), 1);
    assert!(ran.stderr.contains("white behind its transparent parts"), "{}", ran.stderr);
}

#[test]
fn all_images_of_a_job_and_detached_ones_have_them() {
    let file = ppm(64, 64);
    let words = ["a fox", "-o", "{index}.png", "--init", "in.ppm", "-n", "2", "--seed=7"];
    let (ran, requests) = drawn(&[("in.ppm", &file)], &words);
    assert_eq!((ran.code, requests.len()), (Some(0), 1), "{}", ran.stderr);
    assert_eq!(ran.files, ["1.png", "2.png", "in.ppm"]);
    let (ran, requests) = drawn(&[("in.ppm", &file)], &["a fox", "--init", "in.ppm", "--detach"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "5\n"), "{}", ran.stderr);
    assert!(requests[0].detach && requests[0].images.len() == 1);
    assert_eq!(record(&requests[0])["init"]["name"], "in.ppm");
}

#[test]
fn batches_have_keys_for_them() {
    let lines = concat!(
        r#"{"prompt":"a","init":"in.ppm","strength":0.25}"#,
        "\n",
        r#"{"prompt":"b","init_image":"in.ppm","denoising_strength":0.5,"mask":"mask.pgm","mask_blur":2,"invert_mask":true}"#,
        "\n",
        r#"{"prompt":"c","init":"in.ppm","outpaint":[0,0,64,0],"fit":"pad","invert_mask":false}"#,
        "\n",
        r#"{"prompt":"d"}"#,
        "\n",
        r#"{"prompt":"e","init":"gone.png"}"#,
        "\n",
    );
    let (image, mask) = (ppm(64, 64), [&b"P5\n64 64\n255\n"[..], &[255; 4096]].concat());
    let files = [("in.ppm", &*image), ("mask.pgm", &*mask), ("lines", lines.as_bytes())];
    let (ran, mut requests) = drawn(&files, &["--batch", "lines", "--seed=1"]);
    assert_eq!(ran.code, Some(74), "{}", ran.stderr);
    assert!(ran.stderr.contains("lines, line 5: cannot read gone.png"), "{}", ran.stderr);
    requests.sort_by_key(|request| request.params.seed);
    let seen: Vec<_> = requests.iter().map(|r| (r.params.strength, r.images.len())).collect();
    assert_eq!(seen, [(Some(0.25), 1), (Some(0.5), 2), (None, 2), (None, 0)]);
    assert_eq!((requests[2].params.width, requests[3].params.width), (Some(128), None));
    let second = record(&requests[1]);
    assert_eq!((&second["mask_blur"], &second["invert_mask"]), (&json!(2.0), &json!(true)));
    // Again with the same files nothing is generated; with another image it is another image.
    let (fake, requests) = daemon();
    for name in ["0001.png", "0002.png", "0003.png", "0004.png"] {
        fs::copy(ran.path(name), fake.out().join(name)).unwrap();
    }
    for (name, bytes) in
        [("in.ppm", &*ppm(64, 80)), ("mask.pgm", &*mask), ("lines", lines.as_bytes())]
    {
        fs::write(fake.out().join(name), bytes).unwrap();
    }
    let output = fake.zimg(&["--batch", "lines", "--seed=1"]).output().unwrap();
    let again = fake.finish(output);
    assert!(
        again.stderr.contains("0001.png exists already and is another image"),
        "{}",
        again.stderr
    );
    assert!(again.stderr.contains("1 exist already"), "{}", again.stderr);
    assert_eq!(requests.try_iter().count(), 0);
}

/// An image that was generated from `in.ppm` with these options.
fn generated(file: &[u8], words: &[&str]) -> (Vec<u8>, Generate) {
    let words = [&["a fox", "-o", "a.png", "--init", "in.ppm", "--seed=7"], words].concat();
    let (ran, mut requests) = drawn(&[("in.ppm", file), ("mask.ppm", file)], &words);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (fs::read(ran.path("a.png")).unwrap(), requests.remove(0))
}

#[test]
fn an_image_is_generated_again_from_the_same_file() {
    let file = ppm(170, 100);
    for words in [
        &["--strength=0.5"][..],
        &["--mask=mask.ppm", "--invert-mask", "--mask-blur=3"],
        &["--outpaint=16,0,16,0", "--mask=none"],
        &["--size=64x80", "--fit=pad"],
        &["--megapixels=0.02", "--fit=stretch"],
    ] {
        let (image, first) = generated(&file, words);
        let files = [("a.png", &*image), ("in.ppm", &*file), ("mask.ppm", &*file)];
        let (ran, requests) = drawn(&files, &["redo", "a.png"]);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
        let again = Params { steps: None, guidance: None, ..requests[0].params.clone() };
        assert_eq!(again, first.params, "{words:?}");
        assert_eq!(images(&requests[0]), images(&first), "{words:?}");
        // The same with the options over it.
        let (_, requests) = drawn(&files, &["redo", "a.png", "--strength=0.75"]);
        assert_eq!(requests[0].params.strength, Some(0.75));
        assert_eq!(images(&requests[0]), images(&first), "{words:?}");
    }
    let (image, _) = generated(&file, &["--strength=0.5", "--mask=mask.ppm"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), &image).unwrap();
    let output = zimg(folder.path()).args(["show", "a.png"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\nstrength  0.5\ninit      in.ppm\nmask      mask.ppm\n"), "{shown}");
    let output = zimg(folder.path()).args(["show", "--json", "a.png"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["image_inputs"]["mask"]["name"], "mask.ppm");
    let digest = shown["image_inputs"]["init"]["sha256"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
}

#[test]
fn a_file_that_has_changed_or_is_gone_is_told() {
    let file = ppm(64, 64);
    let (image, _) = generated(&file, &["--strength=0.5"]);
    let (ran, _) = drawn(&[("a.png", &image)], &["redo", "a.png"]);
    assert_eq!(ran.code, Some(74));
    assert_eq!(
        ran.stderr,
        "zimg: a.png was generated from in.ppm, which is neither in the current folder nor beside it\n\
         hint: give another file with --init FILE: it is taken as it is\n"
    );
    let other = ppm(64, 80);
    let (ran, _) = drawn(&[("a.png", &image), ("in.ppm", &other)], &["redo", "a.png"]);
    assert_eq!(ran.code, Some(65));
    assert!(
        ran.stderr.starts_with(
            "zimg: in.ppm has changed since a.png was generated from it: its SHA-256 was "
        ),
        "{}",
        ran.stderr
    );
    // Another file is taken as it is.
    let (ran, requests) =
        drawn(&[("a.png", &image), ("b.ppm", &other)], &["redo", "a.png", "--init=b.ppm"]);
    assert_eq!((ran.code, requests[0].params.height), (Some(0), Some(80)), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_used_is_refused_before_the_daemon_is_asked() {
    let image = ppm(64, 64);
    let wide = ppm(64, 128);
    for (words, code, said) in [
        (&["--mask=in.ppm"][..], 64, "--mask is given without an initial image"),
        (&["--outpaint=0,0,64,0"], 64, "--outpaint is given without an initial image"),
        (&["--invert-mask"], 64, "--invert-mask is given without an initial image"),
        (&["--strength=0.5"], 65, "`strength` is 0.5 and there is no initial image"),
        (&["--init=in.ppm", "--strength=0"], 65, "`strength` is 0, expected a number above 0"),
        (&["--init=gone.png"], 74, "cannot read gone.png: "),
        (&["--init=."], 74, ". is a directory"),
        (
            &["--init=text"],
            65,
            "text is not an image, expected PNG, JPEG, WebP, GIF, TIFF, BMP or PNM",
        ),
        (&["--init=cut.png"], 65, "cut.png cannot be decoded: "),
        (
            &["--init=in.ppm", "--mask=wide.ppm"],
            65,
            "wide.ppm is 64x128, expected the image's size, 64x64",
        ),
        (&["--init=in.ppm", "--mask=alpha"], 65, "in.ppm has no transparent parts to be the mask"),
        (&["--init=in.ppm", "--size=65x64"], 65, "the size is 65x64"),
        (&["--init=in.ppm", "--outpaint=1,2"], 64, "four numbers of pixels"),
        (&["--init=in.ppm", "--mask-blur=-1"], 64, "a number of pixels from 0 to 256"),
        (&["--init=huge.ppm"], 65, "huge.ppm is 60000x60000, expected at most 204 million pixels"),
        (&["--init=avif"], 65, "avif is an AVIF file, expected PNG"),
        (&["--init=heic"], 65, "heic is a HEIC file, expected PNG"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let png = fs::read(fixture("deep.png")).unwrap();
        for (name, bytes) in [
            ("in.ppm", &*image),
            ("wide.ppm", &wide),
            ("text", b"a fox"),
            ("cut.png", &png[..png.len() / 2]),
            ("huge.ppm", b"P6\n60000 60000\n255\n"),
            ("avif", &fs::read(fixture("picture.avif")).unwrap()),
            ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let words = [&["a fox", "-o", "a.png"], words].concat();
        let output = zimg(folder.path()).args(&words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}

/// A file that takes too much ends its own process, and zimg says so.
#[test]
fn a_file_that_expands_without_end_is_refused() {
    use std::io::Write;

    // 200 million pixels of 8 bytes in a few hundred kilobytes.
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        let body = [kind, data].concat();
        bytes.extend(&body);
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        bytes.extend(crc.sum().to_be_bytes());
    };
    let side = 14_000_u32.to_be_bytes();
    chunk(b"IHDR", &[&side[..], &side, &[16, 6, 0, 0, 0]].concat());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 1 << 20]).unwrap();
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), bytes).unwrap();
    let output = zimg(folder.path()).args(["x", "-ob.png", "--init=a.png"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(text.starts_with("zimg: a.png "), "{text}");
}
