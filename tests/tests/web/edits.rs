//! Images that start from one of the request: the three APIs' requests come to the same pixels.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use std::fs;
use std::io::Cursor;
use zimg_image::{EmbeddedMetadata, GenerationMetadata};
use zimg_tests::mock::{colour, coloured};
use zimg_tests::{Answer, Daemon, Web, field};

const SEED: u64 = 0x7f_3c21;
const SIDES: (u32, u32) = (96, 64);

/// No two pixels and no two channels alike.
fn initial() -> RgbImage {
    RgbImage::from_fn(SIDES.0, SIDES.1, |x, y| image::Rgb([x as u8, y as u8, (x * 3 + y) as u8]))
}

/// The right half is white.
fn mask() -> GrayImage {
    GrayImage::from_fn(SIDES.0, SIDES.1, |x, _| image::Luma([if x < 48 { 0 } else { 255 }]))
}

/// The same mask as OpenAI has it: what may change is transparent.
fn transparent_mask() -> RgbaImage {
    let mask = mask();
    RgbaImage::from_fn(SIDES.0, SIDES.1, |x, y| {
        image::Rgba([0, 0, 0, 255 - mask.get_pixel(x, y).0[0]])
    })
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn pixels(file: &[u8]) -> Vec<u8> {
    let image = image::load_from_memory(file).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), SIDES);
    image.into_raw()
}

fn expected(masked: bool) -> Vec<u8> {
    let mask = mask();
    coloured(&initial(), masked.then_some(mask.as_raw()), colour(SEED))
}

/// A form as client libraries send it.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in fields {
        let file = match *name {
            "mask" => "; filename=\"m.png\"",
            name if name.starts_with("image") => "; filename=\"a.png\"",
            _ => "",
        };
        let head =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend(b"--edge--\r\n");
    body
}

fn edit(web: &Web, fields: &[(&str, &[u8])]) -> Answer {
    let kind = "Content-Type: multipart/form-data; boundary=edge";
    web.ask("POST", "/v1/images/edits", &[kind], &form(fields))
}

fn base64_of(answer: &Answer, name: &str) -> Vec<u8> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    STANDARD.decode(field(&answer.text(), name).unwrap()).unwrap()
}

#[test]
fn openais_edits_start_from_the_image_and_keep_what_its_mask_has_opaque() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let seed = SEED.to_string();
    let (image, seed) = (png(initial()), seed.as_bytes());
    let plain = [("prompt", &b"a fox"[..]), ("image[]", &image), ("seed", seed)];
    assert_eq!(pixels(&base64_of(&edit(&web, &plain), "b64_json")), expected(false));
    let transparent = png(transparent_mask());
    let masked = [&plain[..], &[("mask", &transparent[..]), ("n", b"1")]].concat();
    assert_eq!(pixels(&base64_of(&edit(&web, &masked), "b64_json")), expected(true));
    let streamed = [&plain[..], &[("stream", &b"true"[..])]].concat();
    let answer = edit(&web, &streamed).text();
    assert!(answer.contains("event: image_edit.completed"), "{answer:.200}");
    for (fields, param) in [
        (&[("prompt", &b"a fox"[..])][..], "image"),
        (&[("prompt", b"a fox"), ("image", b"no image")], "image"),
        (&[("image", &image)], "prompt"),
    ] {
        let refused = edit(&web, fields);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(field(&refused.text(), "param").as_deref(), Some(param));
    }
}

#[test]
fn img2img_starts_from_the_image_and_changes_what_its_mask_has_white() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let (image, mask) = (STANDARD.encode(png(initial())), STANDARD.encode(png(mask())));
    let body = |more: &str| {
        format!(
            r#"{{"prompt":"a fox","seed":{SEED},"width":96,"height":64,"init_images":["data:image/png;base64,{image}"],"denoising_strength":0.5{more}}}"#
        )
    };
    let images = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let file = text.split("\"images\":[\"").nth(1).unwrap().split('"').next().unwrap();
        pixels(&STANDARD.decode(file).unwrap())
    };
    assert_eq!(images(&web.post("/sdapi/v1/img2img", &body(""))), expected(false));
    let masked = body(&format!(r#","mask":"{mask}","mask_blur":0"#));
    assert_eq!(images(&web.post("/sdapi/v1/img2img", &masked)), expected(true));
    let none = web.post("/sdapi/v1/img2img", r#"{"prompt":"a fox","init_images":[]}"#);
    assert_eq!(none.status, 400);
}

#[test]
fn jobs_start_from_images_and_survive_a_kill_of_the_worker() {
    let daemon = Daemon::ready("kill@step:3;");
    let web = Web::start(daemon.socket(), &[]);
    let (image, mask) = (STANDARD.encode(png(initial())), STANDARD.encode(png(mask())));
    let body = format!(
        r#"{{"params":{{"prompt":"a fox","seed":"{SEED}","strength":0.5}},"images":[{{"role":"initial","data":"{image}"}},{{"role":"mask","data":"{mask}"}}]}}"#
    );
    let answer = web.post("/zimg/v1/jobs", &body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.text();
    assert_eq!(
        (field(&job, "width"), field(&job, "height")),
        (Some("96".into()), Some("64".into()))
    );
    let id = field(&job, "id").unwrap();
    web.events(&format!("/zimg/v1/jobs/{id}/events"), &[]).wait_for("done");
    let answer = web.get(&format!("/zimg/v1/images/{id}-1"));
    assert_eq!(pixels(&answer.body), expected(true));
}

#[test]
fn an_edits_file_is_that_of_zimg_which_generates_it_again() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let folder = daemon.folder().to_owned();
    let (image, mask, seed) = (png(initial()), png(transparent_mask()), SEED.to_string());
    fs::write(folder.join("a.png"), &image).unwrap();
    fs::write(folder.join("m.png"), &mask).unwrap();
    let zimg = |words: &[&str]| {
        let output = daemon.zimg(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let metadata = |name: &str| {
        let file = fs::read(folder.join(name)).unwrap();
        let found = EmbeddedMetadata::from_bytes(&file).unwrap().generation.unwrap();
        GenerationMetadata { program: None, ..found }
    };
    let plain = [
        ("prompt", &b"a fox"[..]),
        ("image", &image),
        ("seed", seed.as_bytes()),
        ("strength", b"0.5"),
    ];
    fs::write(folder.join("web.png"), base64_of(&edit(&web, &plain), "b64_json")).unwrap();
    zimg(&["a fox", "--init=a.png", "--seed", &seed, "--strength=0.5", "-o", "zimg.png"]);
    assert_eq!(metadata("web.png"), metadata("zimg.png"));
    let masked = [&plain[..], &[("mask", &mask[..])]].concat();
    fs::write(folder.join("masked.png"), base64_of(&edit(&web, &masked), "b64_json")).unwrap();
    for (file, is_masked) in [("web.png", false), ("masked.png", true)] {
        let again = format!("again-{file}");
        zimg(&["redo", file, "-o", &again]);
        assert_eq!(pixels(&fs::read(folder.join(&again)).unwrap()), expected(is_masked));
        assert_eq!(metadata(&again), metadata(file));
    }
    // A record is made of the files that came, and not by the client.
    let claimed = format!(
        r#"{{"params":{{"prompt":"a","width":64,"height":64,"seed":"7","image_inputs":"{}"}}}}"#,
        r#"{\"init\":{\"name\":\"x\",\"sha256\":\"\"}}"#
    );
    let id = field(&web.post("/zimg/v1/jobs", &claimed).text(), "id").unwrap();
    web.events(&format!("/zimg/v1/jobs/{id}/events"), &[]).wait_for("done");
    fs::write(folder.join("job.png"), web.get(&format!("/zimg/v1/images/{id}-1")).body).unwrap();
    assert_eq!(metadata("job.png").params.image_inputs, None);
}

#[test]
fn a_model_without_image_input_says_so() {
    let daemon = Daemon::ready("text-only");
    let web = Web::start(daemon.socket(), &[]);
    let image = png(initial());
    assert_eq!(edit(&web, &[("prompt", b"a fox"), ("image", &image)]).status, 501);
}
