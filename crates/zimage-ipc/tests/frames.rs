//! Every message between supervisor and worker: written and read again, cut and damaged.

use proptest::prelude::*;
use zimage_ipc::{
    Command, JobImage, PlanBasis, Point, Report, WorkerFrame, write_images, write_latents,
};
use zimage_params::Params;
use zimg_protocol::limits::{CHUNK_BYTES, TO_CLIENT_BYTES};
use zimg_protocol::messages::{
    DeviceMemory, ImageInfo, ImageRole, ModelInfo, PlannedMemory, Preview, Started, Step, Timings,
    Weights,
};
use zimg_protocol::{Failure, FrameError, Kind};

fn samples() -> Vec<(&'static str, WorkerFrame)> {
    let job = 5;
    let timings = Timings { queued: 1.0, text: 2.0, steps: 3.0, decode: 4.0, total: 10.0 };
    let point = Point { image: 1, step: 2, bytes: 64, timings };
    let params = Params { seed: Some(7), guidance: Some(1.5), ..Params::new("a réd fox") };
    let failure = || Failure::new(Kind::Refused, "no").hint("try less");
    let model = || ModelInfo { name: "tiny".to_owned(), ..ModelInfo::default() };
    let started = Started { model: model(), width: 256, height: 128, steps: 8, guidance: 0.5 };
    let step = Step { image: 1, step: 2, of: 8, ms: 1.5 };
    let image = ImageInfo { index: 1, seed: 43, width: 256, height: 128, bytes: 98_304 };
    let basis = PlanBasis { budget: 9, pixels: 4 };
    let plan = PlannedMemory {
        sentence: "all".to_owned(),
        budget: 9,
        peak: 8,
        blocks: 8,
        resident_blocks: 4,
        text_encoder: false,
        strips: true,
        packed: false,
        image_s: None,
        new_prompt_s: None,
    };
    let reason = "it is full".to_owned();
    let preview =
        Preview { image: 1, step: 2, width: 2, height: 1, rgb: vec![1, 2, 3, 4, 5, 6].into() };
    vec![
        (
            "Command::Generate",
            WorkerFrame::Command(Command::Generate {
                job,
                params: Box::new(params),
                previews: true,
                from: Some(point),
                images: vec![JobImage { role: ImageRole::Mask, bytes: 4096 }],
            }),
        ),
        ("Command::Cancel", WorkerFrame::Command(Command::Cancel { job })),
        ("Command::Pause", WorkerFrame::Command(Command::Pause { job })),
        ("Command::Loras", WorkerFrame::Command(Command::Loras)),
        ("Report::Loading", WorkerFrame::Report(Report::Loading { done: 1, total: 2 })),
        ("Report::Warming", WorkerFrame::Report(Report::Warming)),
        ("Report::Ready", WorkerFrame::Report(Report::Ready(model()))),
        ("Report::Started", WorkerFrame::Report(Report::Started { job, started })),
        ("Report::Step", WorkerFrame::Report(Report::Step { job, step })),
        ("Report::Decoding", WorkerFrame::Report(Report::Decoding { job, image: 1 })),
        ("Report::Image", WorkerFrame::Report(Report::Image { job, image })),
        ("Report::Done", WorkerFrame::Report(Report::Done { job, timings })),
        ("Report::Failed", WorkerFrame::Report(Report::Failed { job, failure: failure() })),
        ("Report::Fatal", WorkerFrame::Report(Report::Fatal(failure()))),
        ("Report::Latents", WorkerFrame::Report(Report::Latents { job, point })),
        ("Report::Paused", WorkerFrame::Report(Report::Paused { job })),
        ("Report::Preview", WorkerFrame::Report(Report::Preview { job, preview })),
        ("Report::Weights", WorkerFrame::Report(Report::Weights(Weights::Retained { bytes: 9 }))),
        ("Report::Memory", WorkerFrame::Report(Report::Memory(DeviceMemory { used: 1, total: 2 }))),
        ("Report::Planned", WorkerFrame::Report(Report::Planned { plan, basis })),
        ("Report::Replan", WorkerFrame::Report(Report::Replan { basis, reason })),
        ("Report::Loras", WorkerFrame::Report(Report::Loras(Box::default()))),
        ("Pixels", WorkerFrame::Pixels(vec![1, 2, 3].into())),
        ("Latents", WorkerFrame::Latents(vec![1, 2, 3].into())),
        ("Image", WorkerFrame::Image(vec![1, 2, 3].into())),
    ]
}

// These matches stop compiling when a variant is added: add its sample too.

fn name(frame: &WorkerFrame) -> &'static str {
    match frame {
        WorkerFrame::Command(command) => match command {
            Command::Generate { .. } => "Command::Generate",
            Command::Cancel { .. } => "Command::Cancel",
            Command::Pause { .. } => "Command::Pause",
            Command::Loras => "Command::Loras",
        },
        WorkerFrame::Report(report) => match report {
            Report::Loading { .. } => "Report::Loading",
            Report::Warming => "Report::Warming",
            Report::Ready(_) => "Report::Ready",
            Report::Started { .. } => "Report::Started",
            Report::Step { .. } => "Report::Step",
            Report::Decoding { .. } => "Report::Decoding",
            Report::Image { .. } => "Report::Image",
            Report::Done { .. } => "Report::Done",
            Report::Failed { .. } => "Report::Failed",
            Report::Fatal(_) => "Report::Fatal",
            Report::Latents { .. } => "Report::Latents",
            Report::Paused { .. } => "Report::Paused",
            Report::Preview { .. } => "Report::Preview",
            Report::Weights(_) => "Report::Weights",
            Report::Memory(_) => "Report::Memory",
            Report::Planned { .. } => "Report::Planned",
            Report::Replan { .. } => "Report::Replan",
            Report::Loras(_) => "Report::Loras",
        },
        WorkerFrame::Pixels(_) => "Pixels",
        WorkerFrame::Latents(_) => "Latents",
        WorkerFrame::Image(_) => "Image",
    }
}

#[test]
fn every_message_is_written_and_read_again() {
    let mut wire = Vec::new();
    for (expected, frame) in samples() {
        assert_eq!(name(&frame), expected);
        assert_eq!(WorkerFrame::decode(frame.encode().unwrap()).unwrap(), frame, "{expected}");
        frame.write(&mut wire).unwrap();
    }
    let mut from = &wire[..];
    for (expected, frame) in samples() {
        let read = WorkerFrame::read(&mut from, TO_CLIENT_BYTES).unwrap();
        assert_eq!(read.as_ref(), Some(&frame), "{expected}");
    }
    assert_eq!(WorkerFrame::read(&mut from, TO_CLIENT_BYTES).unwrap(), None);
}

#[test]
fn image_inputs_are_cut_into_chunks_of_one_image_each() {
    let mut wire = Vec::new();
    write_images(&mut wire, &[vec![1; CHUNK_BYTES + 3], vec![2; 5]]).unwrap();
    let mut from = wire.as_slice();
    let mut chunks = Vec::new();
    while let Some(frame) = WorkerFrame::read(&mut from, TO_CLIENT_BYTES).unwrap() {
        let WorkerFrame::Image(chunk) = frame else { panic!("{frame:?}") };
        assert!(chunk.iter().all(|byte| *byte == chunk[0]));
        chunks.push((chunk[0], chunk.len()));
    }
    assert_eq!(chunks, [(1, CHUNK_BYTES), (1, 3), (2, 5)]);
}

#[test]
fn latents_are_cut_into_chunks() {
    let mut wire = Vec::new();
    write_latents(&mut wire, &vec![7; CHUNK_BYTES + 3]).unwrap();
    let (mut from, mut sizes) = (&wire[..], Vec::new());
    while let Some(frame) = WorkerFrame::read(&mut from, TO_CLIENT_BYTES).unwrap() {
        let WorkerFrame::Latents(chunk) = frame else { panic!("{frame:?}") };
        sizes.push(chunk.len());
    }
    assert_eq!(sizes, [CHUNK_BYTES, 3]);
}

#[test]
fn kinds_of_clients_are_refused() {
    for kind in [0x01, 0x02, 0x42, 0xff] {
        let error = WorkerFrame::decode(vec![kind, 0, 0, 0, 0].into()).unwrap_err();
        assert!(matches!(error, FrameError::Kind(found) if found == kind), "{error}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_never_panics(which in any::<usize>(), bit in any::<usize>()) {
        let samples = samples();
        let mut body = samples[which % samples.len()].1.encode().unwrap().to_vec();
        let bit = bit % (8 * body.len());
        body[bit / 8] ^= 1 << (bit % 8);
        if let Ok(frame) = WorkerFrame::decode(body.into()) {
            let written = frame.encode().unwrap();
            let again = WorkerFrame::decode(written.clone()).unwrap();
            prop_assert_eq!(again.encode().unwrap(), written);
        }
    }

    #[test]
    fn a_cut_frame_is_an_error(which in any::<usize>(), cut in any::<usize>()) {
        let samples = samples();
        let mut wire = Vec::new();
        samples[which % samples.len()].1.write(&mut wire).unwrap();
        let cut = 1 + cut % (wire.len() - 1);
        let read = WorkerFrame::read(&mut &wire[..cut], TO_CLIENT_BYTES);
        prop_assert!(matches!(read, Err(FrameError::Truncated)));
    }
}
