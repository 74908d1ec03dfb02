//! Images of requests that are not as they should be: refused in a sentence, and nothing is left
//! behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zimg_client::{ImageRole, ImageUpload, Kind, Params, PixelLayout, UploadMethod};
use zimg_protocol::frame::kind;
use zimg_protocol::framing::write_chunks_of;
use zimg_protocol::limits::IMAGE_CHUNK_BYTES;
use zimg_protocol::messages::{Event, Generate, ImageInput, ImageSource, Request};
use zimg_protocol::{Failure, Frame};
use zimg_tests::{Daemon, Raw, wait_until};

/// What the daemon may take in all.
const MEMORY_MAX: u64 = 64 << 20;
const SIDE: u32 = 2048;
const BYTES: usize = 3 * (SIDE as usize) * (SIDE as usize);

fn upload(pixels: &[u8]) -> ImageUpload<'_> {
    let (role, layout) = (ImageRole::Initial, PixelLayout::Rgb8);
    ImageUpload { role, layout, width: SIDE, height: SIDE, pixels }
}

fn request(source: ImageSource) -> Request {
    with_images(&[image(ImageRole::Initial, SIDE, source)])
}

fn image(role: ImageRole, side: u32, source: ImageSource) -> ImageInput {
    ImageInput { role, layout: role.layout(), width: side, height: side, source }
}

fn with_images(images: &[ImageInput]) -> Request {
    let params = Params { steps: Some(2), ..Params::new("a fox") };
    Request::Generate(Generate { images: images.to_vec(), ..Generate::new(params) })
}

/// Memory with these seals.
fn memory(bytes: usize, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("image", flags).unwrap());
    file.write_all(&vec![7; bytes]).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

/// Sends a request with these descriptors beside its first byte.
fn send_with(raw: &Raw, request: Request, descriptors: &[BorrowedFd<'_>]) {
    let mut bytes = Vec::new();
    Frame::Request(request).write(&mut bytes).unwrap();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    assert!(beside.push(SendAncillaryMessage::ScmRights(descriptors)));
    let sent = sendmsg(&raw.0, &[IoSlice::new(&bytes)], &mut beside, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

fn refused(raw: &mut Raw) -> Failure {
    match raw.event() {
        Event::Failed(failure) => failure,
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn a_model_that_takes_no_image_refuses_it_and_leaves_nothing_behind() {
    let daemon = Daemon::ready("text-only");
    daemon.draw(&Params { width: Some(64), height: Some(64), ..Params::new("a fox") }).unwrap();
    let before = daemon.descriptors();
    let pixels = vec![7; BYTES];
    for _ in 0..8 {
        for method in [UploadMethod::Memory, UploadMethod::Inline] {
            let images = [upload(&pixels)];
            let mut job =
                daemon.client().generate_from(Params::new("a fox"), &images, method).unwrap();
            let failure = job.next().unwrap().unwrap_err();
            assert_eq!(failure.kind, Kind::Refused, "{failure}");
            assert_eq!(failure.message, "the model takes no initial image");
        }
    }
    wait_until("all descriptors are closed", || daemon.descriptors() <= before);
    assert!(daemon.memory() < MEMORY_MAX, "{} bytes", daemon.memory());
}

#[test]
fn the_connection_goes_on_after_a_refused_image() {
    let daemon = Daemon::ready("text-only");
    let mut raw = Raw::greeted(daemon.socket());
    raw.ask(request(ImageSource::Inline));
    write_chunks_of(&mut raw.0, kind::IMAGE, &vec![0; BYTES], IMAGE_CHUNK_BYTES).unwrap();
    assert_eq!(refused(&mut raw).message, "the model takes no initial image");
    let file = File::open("/dev/null").unwrap();
    send_with(&raw, request(ImageSource::Attached { index: 0 }), &[file.as_fd()]);
    let failure = refused(&mut raw);
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.message.starts_with("the descriptor of the initial image is not of a memfd"));
    raw.ask(request(ImageSource::Attached { index: 0 }));
    let failure = refused(&mut raw);
    assert!(failure.message.starts_with("the initial image is in descriptor 0, expected one of"));
    raw.ask(Request::Status);
    assert!(matches!(raw.event(), Event::Status(_)));
}

#[test]
fn images_that_do_not_fit_are_refused_and_others_are_served() {
    const SMALL: usize = 3 * 64 * 64;
    let daemon = Daemon::ready("");
    let before = daemon.descriptors();
    let (initial, mask) = (ImageRole::Initial, ImageRole::Mask);
    let inline = |role, side| image(role, side, ImageSource::Inline);
    let attached = |role, index| image(role, 64, ImageSource::Attached { index });
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let good = || memory(SMALL, seals);
    let wide = |request: Request| match request {
        Request::Generate(mut request) => {
            request.params.width = Some(128);
            Request::Generate(request)
        }
        other => other,
    };
    let rgb_mask = ImageInput { layout: PixelLayout::Rgb8, ..attached(mask, 1) };
    let cases: Vec<(Request, Vec<OwnedFd>, &str)> = vec![
        (with_images(&[attached(initial, 0)]), vec![memory(SMALL - 1, seals)], "has 12287 bytes"),
        (with_images(&[attached(initial, 0)]), vec![memory(SMALL + 1, seals)], "has 12289 bytes"),
        (with_images(&[attached(initial, 0)]), vec![memory(SMALL, SealFlags::WRITE)], "not sealed"),
        (with_images(&[attached(initial, 0)]), vec![good(), good()], "belong to no image"),
        (
            with_images(&[attached(initial, 0), attached(initial, 1)]),
            vec![good(), good()],
            "2 images with the role initial image",
        ),
        (with_images(&[inline(initial, 64), inline(initial, 64)]), vec![], "expected at most one"),
        (with_images(&[attached(mask, 0)]), vec![memory(64 * 64, seals)], "no initial image"),
        (with_images(&[inline(mask, 64)]), vec![], "a mask and no initial image"),
        (with_images(&[attached(initial, 0), rgb_mask]), vec![good(), good()], "expected one byte"),
        (with_images(&[inline(initial, 64), inline(mask, 80)]), vec![], "the mask is 80x80"),
        (with_images(&[inline(initial, 72)]), vec![], "multiples of 16"),
        (wide(with_images(&[attached(initial, 0)])), vec![good()], "`width` is 128"),
        (wide(with_images(&[inline(initial, 64)])), vec![], "`width` is 128"),
        (with_images(&[inline(ImageRole::Control, 64)]), vec![], "the model takes no control"),
    ];
    let mut raw = Raw::greeted(daemon.socket());
    for (request, descriptors, said) in cases {
        let Request::Generate(generate) = &request else { panic!("{request:?}") };
        let bytes: usize = generate.images.iter().map(|i| i.bytes().unwrap_or_default()).sum();
        let follows = descriptors.is_empty();
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        match follows {
            true => raw.ask(request),
            false => send_with(&raw, request, &descriptors),
        }
        // The client does not know yet that it is refused.
        if follows {
            write_chunks_of(&mut raw.0, kind::IMAGE, &vec![7; bytes], IMAGE_CHUNK_BYTES).unwrap();
        }
        let failure = refused(&mut raw);
        assert_eq!(failure.kind, Kind::Refused, "{failure}");
        assert!(failure.message.contains(said), "{failure} does not contain {said}");
    }
    // Too few pixels, and then something else: that is answered, too.
    raw.ask(with_images(&[inline(initial, 64)]));
    write_chunks_of(&mut raw.0, kind::IMAGE, &[7; 1000], IMAGE_CHUNK_BYTES).unwrap();
    raw.ask(Request::Status);
    assert_eq!(
        refused(&mut raw).message,
        "the initial image has 12288 bytes, and after 1000 of them something else came"
    );
    assert!(matches!(raw.event(), Event::Status(_)));
    // Bytes of two images in one frame, and of none, end the connection alone.
    for (first, second, said) in [
        (12_000, 300, "of which 288 were missing when 300 came in one frame"),
        (12_000, 0, "of which 288 were missing when 0 came in one frame"),
    ] {
        let mut raw = Raw::greeted(daemon.socket());
        raw.ask(with_images(&[inline(initial, 64), inline(mask, 64)]));
        for bytes in [first, second] {
            let length = 1 + u32::try_from(bytes).unwrap();
            raw.0.write_all(&length.to_be_bytes()).unwrap();
            raw.0.write_all(&[kind::IMAGE]).unwrap();
            raw.0.write_all(&vec![7; bytes]).unwrap();
        }
        let (code, text) = raw.last_word();
        assert!(code == 76 && text.contains(said), "{code} {text}");
    }
    // A client that leaves in the middle of its image.
    let mut leaver = Raw::greeted(daemon.socket());
    leaver.ask(with_images(&[inline(initial, 64)]));
    write_chunks_of(&mut leaver.0, kind::IMAGE, &[7; 1000], IMAGE_CHUNK_BYTES).unwrap();
    drop(leaver);
    let size = Some(64);
    daemon.draw(&Params { width: size, height: size, ..Params::new("a fox") }).unwrap();
    drop(raw);
    wait_until("all descriptors are closed", || daemon.descriptors() < before + 1);
    assert_eq!(daemon.workers().len(), 1, "no worker died of it");
}

#[test]
fn images_of_waiting_requests_have_a_bound_and_its_end_is_a_sentence() {
    let daemon = Daemon::ready("hold@begin");
    let pixels = vec![7; BYTES];
    let mask = vec![255; BYTES / 3];
    let ask = || {
        let (role, layout) = (ImageRole::Mask, PixelLayout::L8);
        let mask = ImageUpload { role, layout, width: SIDE, height: SIDE, pixels: &mask };
        let images = [upload(&pixels), mask];
        let params = Params { steps: Some(1), ..Params::new("a fox") };
        let mut job = daemon.client().generate_from(params, &images, UploadMethod::Memory).unwrap();
        job.next().unwrap().map(|_| job)
    };
    // As many of the largest as a user may have jobs.
    let mut waiting: Vec<_> = (0..8).map(|_| ask().unwrap()).collect();
    let failure = ask().unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(
        failure.message,
        "images of your unfinished requests have 128 MiB in the daemon's memory, and with these \
         16 MiB they would exceed 128 MiB"
    );
    // Requests without images are served, and the room of a job that has ended is free.
    assert!(daemon.memory() < MEMORY_MAX + (128 << 20), "{} bytes", daemon.memory());
    drop(waiting.pop());
    wait_until("there is room again", || match ask() {
        Ok(job) => {
            waiting.push(job);
            true
        }
        Err(failure) if failure.kind == Kind::Busy => false,
        Err(failure) => panic!("{failure}"),
    });
}

#[test]
fn images_and_descriptors_where_none_belong_end_the_connection() {
    let daemon = Daemon::ready("text-only");
    let before = daemon.descriptors();
    let file = File::open("/dev/null").unwrap();
    let status = |count: usize| {
        let mut raw = Raw::greeted(daemon.socket());
        send_with(&raw, Request::Status, &vec![file.as_fd(); count]);
        raw.last_word()
    };
    let (code, text) = status(1);
    assert_eq!(
        (code, &*text),
        (76, "descriptors came beside something else than a request with images")
    );
    let (code, text) = status(5);
    assert_eq!((code, &*text), (76, "more than 4 descriptors came with one request"));
    assert!(status(64).1.starts_with("more than 4 descriptors"));
    // More pixels than were announced, and pixels that were not announced.
    for announced in [true, false] {
        let mut raw = Raw::greeted(daemon.socket());
        if announced {
            raw.ask(request(ImageSource::Inline));
            write_chunks_of(&mut raw.0, kind::IMAGE, &vec![0; BYTES], IMAGE_CHUNK_BYTES).unwrap();
            refused(&mut raw);
        }
        raw.0.write_all(b"\0\0\0\x02\x12!").unwrap();
        assert_eq!(raw.last_word(), (76, "message kind 0x12 is unknown".to_owned()));
    }
    wait_until("all descriptors are closed", || daemon.descriptors() <= before);
}
