//! Any bytes at all: no panic, no wrong message, and no more memory than the bytes themselves ask.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::*;
use zimg_protocol::limits::{CHUNK_BYTES, TO_CLIENT_BYTES, TO_DAEMON_BYTES};
use zimg_protocol::messages::{Event, Generate, Params, Request};
use zimg_protocol::{Failure, Frame, FrameError, Hello, Kind, Welcome};

thread_local! {
    /// Bytes this thread asked for since it was last set to 0.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts is the only witness of memory asked for")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + layout.size()));
        // SAFETY: the caller keeps to `GlobalAlloc`'s contract, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `f` gives, and how many bytes it asked for in all.
fn counted<T>(f: impl FnOnce() -> T) -> (T, usize) {
    ASKED.set(0);
    let value = f();
    (value, ASKED.get())
}

/// A reader that gives at most as many bytes at a time as `sizes` says, in turn.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = *self.sizes.next().unwrap();
        self.bytes.take(size as u64).read(buffer).inspect(|&n| self.bytes = &self.bytes[n..])
    }
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut bytes).unwrap());
    bytes
}

/// Reads until the end or the first error, which ends a connection.
fn read_all(mut from: impl Read, limit: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match Frame::read(&mut from, limit) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

fn any_draw() -> impl Strategy<Value = Params> {
    let size = proptest::option::of(any::<u32>());
    let texts = (any::<String>(), proptest::option::of(any::<String>()));
    let reals = (proptest::option::of(-1e9f32..1e9), -1e9f32..1e9, -1e9f32..1e9);
    (texts, [size.clone(), size.clone(), size], reals, any::<u64>(), any::<u32>()).prop_map(
        |((prompt, negative), [width, height, steps], reals, seed, count)| Params {
            negative,
            width,
            height,
            steps,
            guidance: reals.0,
            guidance_normalization: Some(reals.1),
            guidance_truncation: Some(reals.2),
            seed: Some(seed),
            count: Some(count),
            ..Params::new(prompt)
        },
    )
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let samples = common::samples();
    prop_oneof![
        (0..samples.len()).prop_map(move |i| samples[i].1.clone()),
        any_draw().prop_map(|draw| Frame::Request(Request::Generate(Generate::new(draw)))),
        (any::<String>(), proptest::option::of(any::<String>())).prop_map(|(message, hint)| {
            Frame::Event(Event::Failed(Failure { kind: Kind::Busy, message, hint }))
        }),
        vec(any::<u8>(), 0..5000).prop_map(|pixels| Frame::Pixels(pixels.into())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_whatever_the_pieces(
        frames in vec(any_frame(), 0..6),
        sizes in vec(1usize..300, 1..9),
    ) {
        let bytes = wire(&frames);
        let pieces = Pieces { bytes: &bytes, sizes: sizes.iter().cycle() };
        let (read, error) = read_all(pieces, TO_CLIENT_BYTES);
        prop_assert!(error.is_none());
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn a_cut_stream_is_an_error_unless_between_frames(frame in any_frame(), cut in any::<usize>()) {
        let bytes = wire(&[frame.clone(), frame.clone()]);
        let cut = cut % bytes.len();
        let (read, error) = read_all(&bytes[..cut], TO_CLIENT_BYTES);
        prop_assert_eq!(read.len(), cut / (bytes.len() / 2));
        let between = cut == 0 || cut == bytes.len() / 2;
        prop_assert_eq!(error.is_none(), between);
        prop_assert!(between || matches!(error, Some(FrameError::Truncated)));
    }

    #[test]
    fn a_flipped_bit_never_panics_and_what_decodes_is_itself(
        frame in any_frame(),
        bit in any::<usize>(),
    ) {
        let mut body = frame.encode().unwrap().to_vec();
        let bit = bit % (8 * body.len());
        body[bit / 8] ^= 1 << (bit % 8);
        let (decoded, asked) = counted(|| Frame::decode(body.clone().into()));
        prop_assert!(asked <= 4 * body.len() + 4096, "{} bytes for {}", asked, body.len());
        // An error frame's text is repaired, not refused, and an integer stands for a real: these
        // alone may differ, once.
        if let Ok(decoded) = decoded && !matches!(decoded, Frame::Error(_)) {
            let written = decoded.encode().unwrap();
            if matches!(decoded, Frame::Request(Request::Generate(_))) {
                let again = Frame::decode(written.clone()).unwrap();
                prop_assert_eq!(again.encode().unwrap(), written);
            } else {
                prop_assert_eq!(written, body);
            }
        }
    }

    #[test]
    fn any_bytes_are_bounded_in_memory(bytes in vec(any::<u8>(), 0..600), kind in 0u8..6) {
        let mut body = bytes;
        if let Some(first) = body.first_mut() {
            *first = kind;
        }
        let length = body.len();
        let (_, asked) = counted(|| Frame::decode(body.into()));
        prop_assert!(asked <= 4 * length + 4096, "{} bytes for {}", asked, length);
    }

    #[test]
    fn any_sixteen_bytes_are_a_hello_or_not(bytes in any::<[u8; 16]>(), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes[..4].copy_from_slice(b"ZIMG");
        }
        let hello = Hello::from_bytes(bytes);
        prop_assert_eq!(hello.is_ok(), bytes.starts_with(b"ZIMG"));
        if let Ok(hello) = hello {
            prop_assert_eq!(hello.to_bytes(), bytes);
            let welcome = Hello::OURS.negotiate(hello);
            prop_assert_eq!(Welcome::from_bytes(welcome.to_bytes()), Ok(welcome));
        }
    }
}

#[test]
fn a_liars_length_costs_nothing() {
    for length in [0, u32::MAX, TO_DAEMON_BYTES as u32 + 1] {
        let bytes = [&length.to_be_bytes()[..], b"\x01junk"].concat();
        let (result, asked) = counted(|| Frame::read(&mut &bytes[..], TO_DAEMON_BYTES));
        assert!(matches!(result, Err(FrameError::Length { .. })), "{result:?}");
        assert_eq!(asked, 0);
    }
    let bytes = [&(TO_CLIENT_BYTES as u32).to_be_bytes()[..], b"\x10few"].concat();
    let (result, asked) = counted(|| Frame::read(&mut &bytes[..], TO_CLIENT_BYTES));
    assert!(matches!(result, Err(FrameError::Truncated)), "{result:?}");
    assert!(asked <= 64 << 10, "{asked} bytes for a few");
}

#[test]
fn a_liars_string_costs_nothing() {
    // Request::Generate whose list of parameters claims 2^40 bytes.
    let body = [&b"\x01\0\0\0\0"[..], &(1u64 << 40).to_le_bytes(), b"abc"].concat();
    let (result, asked) = counted(|| Frame::decode(body.into()));
    assert!(matches!(result, Err(FrameError::Malformed { kind: 1, .. })), "{result:?}");
    assert!(asked < 1024, "{asked} bytes");
}

/// A `Request::Generate` with these parameters, as a client of any version may send it.
fn generate(params: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"\x01\0\0\0\0".to_vec();
    body.extend((params.len() as u64).to_le_bytes());
    for (name, value) in params {
        body.extend((name.len() as u64).to_le_bytes());
        body.extend(name.as_bytes());
        body.extend(*value);
    }
    // Interactive, attached, without previews, without images, for the peer itself.
    body.extend([0; 4 + 1 + 1 + 8 + 1]);
    body
}

const INTEGER: &[u8] = b"\x01\0\0\0\x07\0\0\0\0\0\0\0";
const REAL: &[u8] = b"\x02\0\0\0\0\0\x80\x3f";
const FLAG: &[u8] = b"\x03\0\0\0\x01";

#[test]
fn parameters_are_refused_by_name_and_the_connection_goes_on() {
    let long = "x".repeat(65);
    for (params, said) in [
        (&[("vigour", REAL)][..], "parameter `vigour` is unknown"),
        (&[("se\u{1b}ed", INTEGER)], "parameter `se\\u{1b}ed` is unknown"),
        (&[("seed", REAL)], "`seed` is a number, expected an integer"),
        (&[("seed", INTEGER), ("seed", INTEGER)], "`seed` is given twice"),
        (&[("steps", FLAG)], "`steps` is true or false, expected an integer"),
        (&[(&long, FLAG)], "a parameter's name has 65 bytes, expected at most 64"),
        (&[("seed", INTEGER); 65], "the request has 65 parameters, expected at most 64"),
    ] {
        match Frame::decode(generate(params).into()) {
            Err(FrameError::Refused(failure)) => {
                assert_eq!((failure.kind, &*failure.message), (Kind::Refused, said));
            }
            other => panic!("{said}: {other:?}"),
        }
    }
    let taken = Frame::decode(generate(&[("seed", INTEGER), ("guidance", REAL)]).into()).unwrap();
    let params = Params { seed: Some(7), guidance: Some(1.0), ..Params::default() };
    assert_eq!(taken, Frame::Request(Request::Generate(Generate::new(params))));
}

#[test]
fn a_value_of_a_later_version_is_malformed() {
    let result = Frame::decode(generate(&[("later", b"\x04\0\0\0\0")]).into());
    assert!(matches!(result, Err(FrameError::Malformed { kind: 1, .. })), "{result:?}");
}

#[test]
fn a_liars_list_costs_nothing() {
    // Event::Jobs and Event::Preview that claim 2^40 jobs and bytes.
    for head in [&b"\x02\x0b\0\0\0"[..], b"\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let body = [head, &(1u64 << 40).to_le_bytes(), b"abc"].concat();
        let (result, asked) = counted(|| Frame::decode(body.into()));
        assert!(matches!(result, Err(FrameError::Malformed { kind: 2, .. })), "{result:?}");
        assert!(asked < 1024, "{asked} bytes");
    }
}

#[test]
fn trailing_bytes_unknown_variants_and_kinds_are_refused() {
    let refused = |body: &'static [u8]| Frame::decode(body.into()).unwrap_err().to_string();
    assert!(refused(b"\x01\x01\0\0\0!").contains("kind 0x01 is malformed"));
    assert!(refused(b"\x01\xff\0\0\0").contains("malformed"));
    assert_eq!(refused(b"\x42"), "message kind 0x42 is unknown");
    assert_eq!(refused(b"\xff\0"), "an error message without a code");
    assert_eq!(refused(b""), "a message of 0 bytes is not possible, only 1 to 1048577");
}

#[test]
fn nothing_longer_than_the_limit_is_written() {
    let long = "x".repeat(CHUNK_BYTES);
    let event = Frame::Event(Event::Failed(Failure::new(Kind::Io, long.clone())));
    assert!(matches!(event.encode(), Err(FrameError::Malformed { .. })));
    let pixels = Frame::Pixels(vec![0; CHUNK_BYTES + 1].into());
    assert!(matches!(pixels.encode(), Err(FrameError::Length { .. })));
    let error = Frame::Error((&Failure::new(Kind::Io, long)).into());
    assert!(matches!(error.encode(), Err(FrameError::Length { .. })));
}

#[test]
fn pixels_are_cut_into_chunks() {
    let image = vec![7; 2 * CHUNK_BYTES + 3];
    let mut bytes = Vec::new();
    zimg_protocol::frame::write_pixels(&mut bytes, &image).unwrap();
    let (frames, error) = read_all(&bytes[..], TO_CLIENT_BYTES);
    assert!(error.is_none());
    let sizes: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Pixels(pixels) => pixels.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [CHUNK_BYTES, CHUNK_BYTES, 3]);
}
