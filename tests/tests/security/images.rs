//! Images of requests, which no model takes yet: refused in a sentence, and nothing is left behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

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
    let (role, layout) = (ImageRole::Mask, PixelLayout::Rgb8);
    let image = ImageInput { role, layout, width: SIDE, height: SIDE, source };
    let params = Params::new("a fox");
    Request::Generate(Generate { images: vec![image], ..Generate::new(params) })
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
    let daemon = Daemon::ready("");
    daemon.draw(&Params { width: Some(64), height: Some(64), ..Params::new("a fox") }).unwrap();
    let before = daemon.descriptors();
    let pixels = vec![7; BYTES];
    for _ in 0..8 {
        for method in [UploadMethod::Memory, UploadMethod::Inline] {
            let images = [upload(&pixels), upload(&pixels), upload(&pixels)];
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
    let daemon = Daemon::ready("");
    let mut raw = Raw::greeted(daemon.socket());
    raw.ask(request(ImageSource::Inline));
    write_chunks_of(&mut raw.0, kind::IMAGE, &vec![0; BYTES], IMAGE_CHUNK_BYTES).unwrap();
    assert_eq!(refused(&mut raw).message, "the model takes no mask");
    let file = File::open("/dev/null").unwrap();
    send_with(&raw, request(ImageSource::Attached { index: 0 }), &[file.as_fd()]);
    let failure = refused(&mut raw);
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.message.starts_with("the descriptor of the mask is not of a memfd"));
    raw.ask(request(ImageSource::Attached { index: 0 }));
    assert!(refused(&mut raw).message.starts_with("the mask is in descriptor 0, expected one of"));
    raw.ask(Request::Status);
    assert!(matches!(raw.event(), Event::Status(_)));
}

#[test]
fn images_and_descriptors_where_none_belong_end_the_connection() {
    let daemon = Daemon::ready("");
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
