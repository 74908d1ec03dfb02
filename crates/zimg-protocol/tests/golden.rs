//! The bytes of protocol 2, checked in: a change of any of them is a break with every released
//! client. A new variant is a new line; no line ever changes.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use zimg_protocol::messages::*;
use zimg_protocol::{Frame, Hello};

const GOLDEN: &str = include_str!("golden/v2.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Name to body (kind and payload), as checked in.
fn golden() -> BTreeMap<&'static str, &'static str> {
    let lines = GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

#[test]
fn every_message_has_its_golden_bytes() {
    let golden = golden();
    let mut wrong = String::new();
    for (name, frame) in common::samples() {
        let bytes = hex(&frame.encode().unwrap());
        if golden.get(&*name) != Some(&&*bytes) {
            writeln!(wrong, "{name} {bytes}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "these bytes are not the checked-in ones:\n{wrong}");
    assert_eq!(golden.len(), common::samples().len(), "a line without a message");
}

#[test]
fn the_documents_examples_are_golden() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```hex").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let examples: Vec<_> = blocks.map(|block| block.split_once('\n').unwrap()).collect();
    assert!(examples.len() > 4);
    for (name, bytes) in examples {
        let bytes: String = bytes.split_whitespace().collect();
        match name.trim() {
            "" => assert_eq!(bytes, hex(&Hello::OURS.to_bytes())),
            name => assert_eq!(bytes, golden()[name], "{name}"),
        }
    }
}

#[test]
fn golden_bytes_decode_and_encode_to_themselves() {
    let samples: BTreeMap<_, _> = common::samples().into_iter().collect();
    for (name, bytes) in golden() {
        let frame = Frame::decode(unhex(bytes).into()).unwrap();
        assert_eq!(frame, samples[name], "{name}");
        assert_eq!(hex(&frame.encode().unwrap()), bytes, "{name}");
    }
}

#[test]
fn no_variant_is_without_a_golden_line() {
    for (name, frame) in common::samples() {
        let expected = match &frame {
            Frame::Request(message) => format!("Request::{}", request(message)),
            Frame::Event(message) => format!("Event::{}", event(message)),
            Frame::Image(_) => "Image".to_owned(),
            Frame::Pixels(_) => "Pixels".to_owned(),
            Frame::Error(_) => "Error".to_owned(),
        };
        assert!(name == expected || name.starts_with("Kind::"), "{name} is {expected}");
    }
}

// These matches stop compiling when a variant is added: add its sample and its golden line too.

fn request(message: &Request) -> &'static str {
    match message {
        Request::Cancel => "Cancel",
        Request::Status => "Status",
        Request::Generate(request) if !request.images.is_empty() => "Generate(images)",
        Request::Generate(_) => "Generate",
        Request::Jobs => "Jobs",
        Request::CancelJob { .. } => "CancelJob",
        Request::Wait { .. } => "Wait",
        Request::Forget { .. } => "Forget",
        Request::Sleep => "Sleep",
        Request::Wake => "Wake",
        Request::Overview => "Overview",
        Request::Setup => "Setup",
        Request::MemoryPlans => "MemoryPlans",
        Request::Expiries => "Expiries",
        Request::Loras => "Loras",
    }
}

fn event(message: &Event) -> &'static str {
    match message {
        Event::Accepted { .. } => "Accepted",
        Event::Waiting(Waiting::Queue { .. }) => "Waiting(Queue)",
        Event::Waiting(Waiting::Worker(_)) => "Waiting(Worker)",
        Event::Waiting(Waiting::Preempted { .. }) => "Waiting(Preempted)",
        Event::Waiting(Waiting::Disk(_)) => "Waiting(Disk)",
        Event::Started(_) => "Started",
        Event::Step(_) => "Step",
        Event::Decoding { .. } => "Decoding",
        Event::Image(_) => "Image",
        Event::Done(_) => "Done",
        Event::Failed(_) => "Failed",
        Event::Status(status) => match status.workers[0].state {
            WorkerState::Starting => "Status(Starting)",
            WorkerState::Loading { .. } => "Status(Loading)",
            WorkerState::Warming => "Status(Warming)",
            WorkerState::Ready => "Status(Ready)",
            WorkerState::Busy { .. } => "Status(Busy)",
            WorkerState::Draining => "Status(Draining)",
            WorkerState::Restarting { .. } => "Status(Restarting)",
            WorkerState::Failed(_) => "Status(Failed)",
            WorkerState::Asleep => "Status(Asleep)",
        },
        Event::Busy(_) => "Busy",
        Event::Preview(_) => "Preview",
        Event::Jobs(_) => "Jobs",
        Event::Acknowledged => "Acknowledged",
        Event::Overview(_) => "Overview",
        Event::Resumed { .. } => "Resumed",
        Event::Asked(_) => "Asked",
        Event::Setup(_) => "Setup",
        Event::MemoryPlans(_) => "MemoryPlans",
        Event::Expiries(_) => "Expiries",
        Event::Loras(_) => "Loras",
    }
}
