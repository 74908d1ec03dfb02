//! Oracle of the worker: any bytes that a worker sends to a daemon.

use std::sync::OnceLock;

use zimg_protocol::Frame;
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{Event, ImageInfo};

use super::{SLACK, most_held};

/// What a frame may take that waits for a client: in a queue that doubles its room, and in the list
/// of all that was told.
const FRAME: usize = 6 * size_of::<Frame>();

/// The clients are told what a client understands, each of them to one end, and what the worker
/// says costs the daemon little more than its bytes.
pub fn worker(bytes: &[u8]) -> bool {
    static AT_REST: OnceLock<usize> = OnceLock::new();
    let at_rest = *AT_REST.get_or_init(|| most_held(|| zimaged::fuzzing::run_worker_bytes(&[])).1);
    let (told, held) = most_held(|| zimaged::fuzzing::run_worker_bytes(bytes));
    let (frames, announced) = cut(bytes);
    let limit = at_rest + 8 * bytes.len() + frames * FRAME + announced + SLACK;
    assert!(held <= limit, "{held} bytes were held for {}, {limit} expected", bytes.len());
    let told = told.unwrap();
    told.iter().for_each(|frames| understood(frames));
    told.iter().any(|frames| matches!(frames.last(), Some(Frame::Event(Event::Done(_)))))
}

/// How many frames there are, and the length of the one that is announced and does not come whole,
/// if it may be so long: room is made for one frame of each worker.
fn cut(mut bytes: &[u8]) -> (usize, usize) {
    let mut frames = 0;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        match rest.get(length..) {
            Some(next) => bytes = next,
            None if length <= TO_CLIENT_BYTES => return (frames, length),
            None => break,
        }
        frames += 1;
    }
    (frames, 0)
}

/// As a client hears it: accepted first, pixels only as announced, whole images in their order,
/// one end and nothing after it.
fn understood(frames: &[Frame]) {
    let [Frame::Event(Event::Accepted { .. }), rest @ ..] = frames else {
        panic!("not accepted first: {frames:?}")
    };
    let [between @ .., Frame::Event(last)] = rest else { panic!("no end: {frames:?}") };
    let mut whole = 0;
    let mut present: Option<(&ImageInfo, u64)> = None;
    for frame in between {
        match frame {
            Frame::Event(Event::Image(image)) => {
                assert_eq!(image.index, whole, "an image out of turn");
                let bytes = 3 * u64::from(image.width) * u64::from(image.height);
                assert!(image.bytes == bytes && bytes > 0, "{image:?}");
                present = Some((image, bytes));
            }
            Frame::Pixels(pixels) => {
                let Some((image, missing)) = present else { panic!("pixels of nothing") };
                let missing = missing.checked_sub(pixels.len() as u64).expect("too many pixels");
                present = (missing > 0).then_some((image, missing));
                whole += u32::from(missing == 0);
            }
            Frame::Event(
                Event::Waiting(_)
                | Event::Started(_)
                | Event::Step(_)
                | Event::Decoding { .. }
                | Event::Preview(_)
                | Event::Resumed { .. },
            ) => {}
            other => panic!("out of turn: {other:?}"),
        }
    }
    match last {
        Event::Done(_) => assert_eq!((whole, present), (2, None), "done too early"),
        Event::Failed(failure) => assert!(!failure.message.is_empty()),
        other => panic!("ends with {other:?}"),
    }
}
