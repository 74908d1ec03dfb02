//! Oracles of the sockets: hellos, frames and requests.

use std::io::{self, Read};

use zimg_protocol::Frame;
use zimg_protocol::frame::kind;
use zimg_protocol::hello::{self, Hello, Welcome};
use zimg_protocol::limits::{COUNT_MAX, PROMPT_BYTES, TO_CLIENT_BYTES, TO_DAEMON_BYTES, side_fits};
use zimg_protocol::messages::{Event, Generate, ImageRole, Request};

use super::{SLACK, most_held, within, without_negative_zeros};

/// Sixteen bytes are a hello or not, and are answered.
pub fn hello(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.first_chunk::<{ hello::BYTES }>() else { return false };
    within(0, || {
        let understood = Hello::from_bytes(*bytes);
        assert_eq!(understood.is_ok(), bytes.starts_with(&hello::MAGIC));
        let Ok(peer) = understood else { return false };
        assert_eq!(peer.to_bytes(), *bytes);
        let answer = Hello::OURS.negotiate(peer);
        assert_eq!(Welcome::from_bytes(answer.to_bytes()), Ok(answer));
        let common = peer.min_major <= hello::MAJOR && hello::MAJOR <= peer.max_major;
        assert_eq!(answer.major, if common { hello::MAJOR } else { 0 });
        // The same bytes as an answer of a daemon's that speaks something else.
        let welcome = Welcome::from_bytes(*bytes)
            .map(|welcome| hello::skew("zimg 0.1.0", Hello::OURS, welcome, None).message);
        assert!(welcome.is_ok_and(|sentence| sentence.starts_with("zimg 0.1.0 speaks protocol ")));
        true
    })
}

/// A stream of frames, read in pieces whose size the first byte says. The daemon's own reader finds
/// in it what any other does.
pub fn frames(bytes: &[u8]) -> bool {
    let Some((&piece, stream)) = bytes.split_first() else { return false };
    let at_most = 1 + usize::from(piece);
    let mut found = Vec::new();
    for limit in [TO_DAEMON_BYTES, TO_CLIENT_BYTES] {
        let mut from = Pieces { bytes: stream, at_most };
        loop {
            let before = from.bytes;
            let (read, held) = most_held(|| Frame::read(&mut from, limit));
            let used = &before[..before.len() - from.bytes.len()];
            // Room grows with what comes, by doubling, for which the old and the new are held. What
            // a daemon says of jobs is a list, which is wider than its bytes.
            let times = if used.get(4) == Some(&kind::EVENT) { 16 } else { 3 };
            let most = times * used.len() + SLACK;
            assert!(held <= most, "{held} bytes were held for {}", used.len());
            match read {
                Ok(Some(frame)) => {
                    again(&frame, &used[4..]);
                    if limit == TO_DAEMON_BYTES {
                        found.push(frame);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().contains('\n'), "{error}");
                    break;
                }
            }
        }
    }
    // It makes room for the frame that is announced, and keeps what it found.
    let kept = 16 * stream.len() + 2 * found.len() * size_of::<Frame>();
    let by_the_daemon =
        within(TO_DAEMON_BYTES + kept, || zimaged::fuzzing::decode_client_bytes(stream, at_most));
    // As bytes, because what is no number equals nothing.
    let written = |frames: &[Frame]| -> Vec<_> {
        frames.iter().map(|frame| frame.encode().unwrap()).collect()
    };
    assert_eq!(written(&by_the_daemon), written(&found));
    !found.is_empty()
}

/// What a client asks: the rest of a frame after its kind.
pub fn requests(bytes: &[u8]) -> bool {
    let body = [&[kind::REQUEST], bytes].concat();
    // The copy, and what is understood.
    let asked = within(2 * body.len(), || Frame::decode(body.clone().into()));
    let Ok(frame) = asked else { return false };
    again(&frame, &body);
    let Frame::Request(request) = frame else { panic!("not a request but {frame:?}") };
    if let Request::Generate(request) = &request
        && within(SLACK, || request.check_images()).is_ok()
        && let Some(initial) = request.image(ImageRole::Initial)
    {
        let mut sized = request.clone();
        sized.take_size();
        assert!(side_fits(initial.width) && side_fits(initial.height));
        assert!(sized.check_images().is_ok(), "{sized:?}");
    }
    if let Request::Generate(Generate { params: draw, .. }) = request {
        let checked = within(0, || draw.check());
        let sides = [draw.width, draw.height].into_iter().flatten();
        if checked.is_ok() {
            assert!(draw.prompt.len() <= PROMPT_BYTES && (1..=COUNT_MAX).contains(&draw.images()));
            assert!(sides.into_iter().all(side_fits));
        }
    }
    true
}

/// Bytes of a prompt without text in a list of parameters, with room to spare.
pub(super) const EMPTY_PROMPT: usize = 32;

/// A frame is written again as it came. An error's text is repaired where it is no UTF-8, and a
/// list of parameters may have a default in it, come in another order or lack the prompt, which is
/// then written as empty: what is written says the same and is stable.
fn again(frame: &Frame, body: &[u8]) {
    let written = frame.encode().unwrap();
    match frame {
        Frame::Error(_) => assert_eq!(Frame::decode(written).unwrap(), *frame),
        Frame::Request(Request::Generate(_)) | Frame::Event(Event::Asked(_)) => {
            assert!(written.len() <= body.len() + EMPTY_PROMPT, "{frame:?}");
            let again = Frame::decode(written.clone()).unwrap();
            assert_eq!(again.encode().unwrap(), written);
            // As text, because what is no number equals nothing.
            let [before, after] =
                [frame, &again].map(|frame| without_negative_zeros(&format!("{frame:?}")));
            assert_eq!(after, before);
        }
        _ => assert_eq!(written, body),
    }
}

/// A reader that gives a few bytes at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    at_most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.bytes.take(self.at_most as u64).read(into).inspect(|&n| self.bytes = &self.bytes[n..])
    }
}
