//! Seed corpus of the fuzzers (`tests/fuzz`), run as ordinary tests.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zimage_ipc::Report;
use zimage_ipc::WorkerFrame;
use zimg_protocol::Frame;
use zimg_protocol::messages::{Capabilities, Event, ImageInfo, ModelInfo, Started, Timings};
use zimg_tests::fuzzing::{ALL, Counting, frames, worker};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    };
    fs::read_dir(folder).unwrap().map(name).collect()
}

#[test]
fn no_seed_contradicts_an_oracle() {
    for (name, oracle) in ALL {
        let (mut tried, mut understood) = (0, 0);
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            match std::panic::catch_unwind(|| oracle(&bytes)) {
                Ok(is) => understood += u32::from(is),
                Err(_) => panic!("{} contradicts it", path.display()),
            }
            tried += 1;
        }
        // A corpus of refusals alone has outlived the format that it was made for.
        assert!(
            tried >= 3 && understood >= 1 && understood < tried,
            "{name}: {tried} files, {understood} of them understood"
        );
    }
}

#[test]
fn every_oracle_has_a_fuzzer_and_a_corpus() {
    let all: BTreeSet<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("targets")), all);
    assert_eq!(names(&fuzz().join("corpus")), all);
}

/// What a worker says that draws two images of 64x64 for each of the first so many jobs, its pixels
/// in chunks of so many bytes.
fn drawing(jobs: u64, chunk: usize) -> Vec<u8> {
    let (width, height) = (64, 64);
    let rgb = [7; 3 * 64 * 64];
    let model = ModelInfo {
        name: "m".into(),
        device: "cpu".into(),
        dtype: "float32".into(),
        width,
        height,
        steps: 4,
        guidance: 0.0,
        max_tokens: 9,
        capabilities: Capabilities::default(),
    };
    let mut said = vec![WorkerFrame::Report(Report::Ready(model))];
    for job in 1..=jobs {
        let started = Started {
            model: ModelInfo { name: "m".into(), ..ModelInfo::default() },
            width,
            height,
            steps: 4,
            guidance: 0.0,
        };
        said.push(WorkerFrame::Report(Report::Started { job, started }));
        for index in 0..2 {
            let bytes = rgb.len() as u64;
            let image = ImageInfo { index, seed: index.into(), width, height, bytes };
            said.push(WorkerFrame::Report(Report::Image { job, image }));
            said.extend(rgb.chunks(chunk).map(|chunk| WorkerFrame::Pixels(chunk.to_vec().into())));
        }
        said.push(WorkerFrame::Report(Report::Done { job, timings: Timings::default() }));
    }
    let mut bytes = Vec::new();
    said.iter().for_each(|frame| frame.write(&mut bytes).unwrap());
    bytes
}

#[test]
fn a_worker_that_generates_is_read_to_the_end_of_both_jobs() {
    for told in zimaged::fuzzing::run_worker_bytes(&drawing(2, 4096)).unwrap() {
        assert!(matches!(told.last(), Some(Frame::Event(Event::Done(_)))), "{told:?}");
    }
}

/// The other seeds were found by fuzzers, and none of them generates an image. A change of the
/// format makes this one stale: the test writes it again when `ZIMG_UPDATE_SEEDS` is set.
#[test]
fn one_seed_is_a_job_from_its_start_to_its_end() {
    let seed = fuzz().join("corpus/worker/a-job-to-its-end");
    let current = drawing(1, 4096);
    // What the fuzzer takes of a seed (`longest` in contrib/dev/fuzz.sh).
    assert!(current.len() <= 28672, "{} bytes", current.len());
    if std::env::var_os("ZIMG_UPDATE_SEEDS").is_some() {
        fs::write(&seed, &current).unwrap();
    }
    assert!(fs::read(&seed).unwrap_or_default() == current, "it is stale: set ZIMG_UPDATE_SEEDS");
    assert!(worker(&current), "and is understood");
}

#[test]
fn an_image_in_single_bytes_costs_its_frames_and_no_more() {
    worker(&drawing(2, 1));
}

#[test]
fn announced_bytes_take_no_memory() {
    // How many bytes are read at a time, and then frames of 256 KiB and of 1 MiB that do not come.
    frames(b"\x10\x00\x04\x00\x00\x01\x00");
    frames(b"\xff\x00\x10\x00\x01\x10\x07\x07");
}
