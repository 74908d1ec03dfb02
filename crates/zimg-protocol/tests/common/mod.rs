//! One message of every variant, with a name; the golden bytes and the hostile ones start here.

use zimg_protocol::messages::*;
use zimg_protocol::{Failure, Frame, Kind};

pub(crate) fn draw() -> Params {
    Params {
        negative: Some("blur".to_owned()),
        width: Some(1024),
        height: None,
        steps: Some(8),
        guidance: Some(4.0),
        guidance_normalization: Some(1.0),
        guidance_truncation: Some(0.5),
        seed: Some(0x0102_0304_0506_0708),
        count: Some(2),
        ..Params::new("a réd fox")
    }
}

fn failure() -> Failure {
    Failure::new(Kind::Refused, "no").hint("try less")
}

fn model() -> ModelInfo {
    ModelInfo {
        name: "tiny".to_owned(),
        device: "cpu".to_owned(),
        dtype: "float32".to_owned(),
        width: 256,
        height: 256,
        steps: 8,
        guidance: 0.0,
        max_tokens: 1504,
        // Not those of this build: a new parameter changes no golden bytes.
        capabilities: Capabilities {
            parameters: vec!["prompt".to_owned(), "steps".to_owned()],
            ..Capabilities::default()
        },
    }
}

fn started() -> Started {
    Started { model: model(), width: 256, height: 128, steps: 8, guidance: 0.5 }
}

fn step() -> Step {
    Step { image: 1, step: 2, of: 8, ms: 1.5 }
}

fn image() -> ImageInfo {
    ImageInfo { index: 1, seed: 43, width: 256, height: 128, bytes: 98_304 }
}

fn timings() -> Timings {
    Timings { queued: 1.0, text: 2.0, steps: 3.0, decode: 4.0, total: 10.0 }
}

fn submit() -> Generate {
    let image = |role, layout, source| ImageInput { role, layout, width: 256, height: 128, source };
    Generate {
        params: draw(),
        priority: Priority::Batch,
        detach: true,
        previews: true,
        images: vec![
            image(ImageRole::Initial, PixelLayout::Rgb8, ImageSource::Attached { index: 0 }),
            image(ImageRole::Mask, PixelLayout::L8, ImageSource::Inline),
            image(ImageRole::Control, PixelLayout::Rgb8, ImageSource::Inline),
        ],
        on_behalf_of: Some("ann".to_owned()),
    }
}

fn busy() -> Busy {
    Busy { failure: Failure::new(Kind::Busy, "full"), depth: 64, wait_ms: Some(700) }
}

fn preview() -> Preview {
    Preview { image: 1, step: 2, width: 2, height: 1, rgb: vec![1, 2, 3, 4, 5, 6].into() }
}

fn memory() -> DeviceMemory {
    DeviceMemory { used: 3, total: 4 }
}

/// One in each state, with all that is optional and without.
fn jobs() -> Vec<JobInfo> {
    let info = |job, state| JobInfo {
        job,
        uid: 1000,
        on_behalf_of: None,
        state,
        priority: Priority::Interactive,
        detached: true,
        width: Some(256),
        height: None,
        seed: 43,
        count: 2,
        generated: 1,
        accepted_unix_s: 1_800_000_000,
        prompt: "a réd fox".to_owned(),
    };
    vec![
        info(1, JobState::Waiting { position: 1 }),
        info(2, JobState::Running { image: 1, step: 2, of: 8 }),
        info(3, JobState::Done),
        info(4, JobState::Failed(failure())),
        info(5, JobState::Blocked(failure())),
    ]
}

fn overview() -> Overview {
    Overview {
        status: full_status(WorkerState::Ready),
        limits: DaemonLimits { jobs: 64, jobs_per_user: 8, connections: 32 },
        unfinished: 3,
        connections: 4,
        detached: 5,
        wait_ms: None,
        counters: Counters {
            images: 1,
            steps: 8,
            step_seconds: 0.5,
            cancelled: 2,
            busy: 3,
            resumed: 4,
            preempted: 5,
            log_lines_lost: 6,
        },
        store_failure: Some(failure()),
    }
}

pub(crate) fn planned() -> PlannedMemory {
    PlannedMemory {
        sentence: "all".to_owned(),
        budget: 9,
        peak: 8,
        blocks: 32,
        resident_blocks: 14,
        text_encoder: false,
        strips: true,
        packed: false,
        image_s: Some(1.5),
        new_prompt_s: None,
    }
}

fn expiries() -> Expiries {
    let jobs = vec![JobExpiry { job: 5, expires_in_s: 60 }];
    Expiries { retention_s: 604_800, bytes_per_user: 9, jobs }
}

fn setup() -> Setup {
    Setup { config: None, model: "tiny".to_owned(), state_dir: Some("/s".to_owned()) }
}

fn status(worker: WorkerState) -> Frame {
    Frame::Event(Event::Status(Box::new(full_status(worker))))
}

fn full_status(state: WorkerState) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 7,
        uptime_s: 60,
        workers: vec![WorkerStatus {
            worker: WorkerId(1),
            state,
            pid: Some(8),
            restarts: 1,
            model: Some(model()),
            load_s: Some(0.5),
            age_s: Some(59),
            weights: Some(Weights::Read { bytes: 9 }),
            memory: Some(memory()),
            last_error: Some("oh".to_owned()),
        }],
        queued: 2,
        done: 3,
        failed: 4,
    }
}

fn loras() -> Loras {
    Loras {
        loras: vec![LoraInfo {
            name: "ink".into(),
            kind: "LoRA".into(),
            rank: Some(16),
            maps: 238,
            all_maps: 276,
            text_maps: 1,
            all_text_maps: 245,
            bytes: 1 << 20,
            trigger_words: vec!["1nk".into()],
            base_model: Some("Z-Image".into()),
            title: None,
            remarks: Vec::new(),
            problem: Some("no".into()),
        }],
        remarks: vec!["gone".into()],
    }
}

/// A message of every variant of every enum that crosses the wire.
pub(crate) fn samples() -> Vec<(String, Frame)> {
    let job = 5;
    let mut all = vec![
        ("Request::Generate", Frame::Request(Request::Generate(Generate::new(draw())))),
        ("Request::Cancel", Frame::Request(Request::Cancel)),
        ("Request::Status", Frame::Request(Request::Status)),
        ("Request::Generate(images)", Frame::Request(Request::Generate(submit()))),
        ("Request::Jobs", Frame::Request(Request::Jobs)),
        ("Request::CancelJob", Frame::Request(Request::CancelJob { job })),
        ("Request::Wait", Frame::Request(Request::Wait { job })),
        ("Request::Forget", Frame::Request(Request::Forget { job })),
        ("Request::Sleep", Frame::Request(Request::Sleep)),
        ("Request::Wake", Frame::Request(Request::Wake)),
        ("Request::Overview", Frame::Request(Request::Overview)),
        ("Request::Setup", Frame::Request(Request::Setup)),
        ("Request::MemoryPlans", Frame::Request(Request::MemoryPlans)),
        ("Request::Expiries", Frame::Request(Request::Expiries)),
        ("Request::Loras", Frame::Request(Request::Loras)),
        ("Event::Accepted", Frame::Event(Event::Accepted { job, position: 1 })),
        ("Event::Waiting(Queue)", Frame::Event(Event::Waiting(Waiting::Queue { position: 1 }))),
        (
            "Event::Waiting(Worker)",
            Frame::Event(Event::Waiting(Waiting::Worker(WorkerState::Warming))),
        ),
        ("Event::Started", Frame::Event(Event::Started(started()))),
        ("Event::Step", Frame::Event(Event::Step(step()))),
        ("Event::Decoding", Frame::Event(Event::Decoding { image: 1 })),
        ("Event::Image", Frame::Event(Event::Image(image()))),
        ("Event::Done", Frame::Event(Event::Done(timings()))),
        ("Event::Failed", Frame::Event(Event::Failed(failure()))),
        ("Event::Status(Starting)", status(WorkerState::Starting)),
        ("Event::Status(Loading)", status(WorkerState::Loading { done: 1, total: 2 })),
        ("Event::Status(Warming)", status(WorkerState::Warming)),
        ("Event::Status(Ready)", status(WorkerState::Ready)),
        ("Event::Status(Busy)", status(WorkerState::Busy { job, step: 1, of: 8 })),
        ("Event::Status(Draining)", status(WorkerState::Draining)),
        (
            "Event::Status(Restarting)",
            status(WorkerState::Restarting { in_ms: 100, reason: "it died".to_owned() }),
        ),
        ("Event::Status(Failed)", status(WorkerState::Failed(failure()))),
        ("Event::Status(Asleep)", status(WorkerState::Asleep)),
        (
            "Event::Waiting(Preempted)",
            Frame::Event(Event::Waiting(Waiting::Preempted { position: 1 })),
        ),
        ("Event::Waiting(Disk)", Frame::Event(Event::Waiting(Waiting::Disk(failure())))),
        ("Event::Busy", Frame::Event(Event::Busy(busy()))),
        ("Event::Preview", Frame::Event(Event::Preview(preview()))),
        ("Event::Jobs", Frame::Event(Event::Jobs(jobs()))),
        ("Event::Acknowledged", Frame::Event(Event::Acknowledged)),
        ("Event::Overview", Frame::Event(Event::Overview(Box::new(overview())))),
        ("Event::Resumed", Frame::Event(Event::Resumed { image: 1, step: 2 })),
        ("Event::Asked", Frame::Event(Event::Asked(Box::new(draw())))),
        ("Event::Setup", Frame::Event(Event::Setup(Box::new(setup())))),
        (
            "Event::MemoryPlans",
            Frame::Event(Event::MemoryPlans(vec![WorkerPlan {
                worker: WorkerId(1),
                plan: planned(),
            }])),
        ),
        ("Event::Expiries", Frame::Event(Event::Expiries(expiries()))),
        ("Event::Loras", Frame::Event(Event::Loras(Box::new(loras())))),
        ("Image", Frame::Image(vec![1, 2, 3].into())),
        ("Pixels", Frame::Pixels(vec![1, 2, 3].into())),
        ("Error", Frame::Error((&failure()).into())),
    ]
    .into_iter()
    .map(|(name, frame)| (name.to_owned(), frame))
    .collect::<Vec<_>>();
    for kind in Kind::ALL {
        let frame = Frame::Event(Event::Failed(Failure::new(kind, "")));
        all.push((format!("Kind::{kind:?}"), frame));
    }
    all
}
