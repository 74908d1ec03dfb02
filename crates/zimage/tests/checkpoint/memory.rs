//! What loading costs beyond the tensors themselves.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use tch::{Device, Kind, Tensor};
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Target};

use crate::folder::{Folder, TRANSFORMER};

const MIB: u64 = 1 << 20;
/// Tensors of 64 MiB each.
const TENSORS: u64 = 4;
const NUMBERS: u64 = 16 * MIB;
/// What may be held beyond the tensors, by up to twelve threads.
const EXTRA: u64 = 48 * MIB;

/// A figure of this process's memory in bytes: `VmRSS` is held now, `VmHWM` was the most so far.
fn memory(figure: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Writes float32 ones, without holding them.
fn write_ones(path: &Path) {
    let entries: Vec<String> = (0..TENSORS)
        .map(|i| {
            let (begin, end) = (i * NUMBERS * 4, (i + 1) * NUMBERS * 4);
            format!(r#""{i}":{{"dtype":"F32","shape":[{NUMBERS}],"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let ones = 1f32.to_le_bytes().repeat(1 << 16);
    for _ in 0..TENSORS * NUMBERS / (1 << 16) {
        file.write_all(&ones).unwrap();
    }
    file.flush().unwrap();
}

/// Set for the process that measures itself.
const MEASURED: &str = "ZIMAGE_TEST_MEASURED";

/// The peak is the whole process's, so the test runs itself alone in another one.
#[test]
fn loading_holds_little_more_than_the_tensors() {
    if std::env::var_os(MEASURED).is_some() {
        return measure();
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::loading_holds_little_more_than_the_tensors", "--nocapture"])
        .env(MEASURED, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn measure() {
    let folder = Folder::new();
    write_ones(&folder.path().join(TRANSFORMER));
    let checkpoint = folder.open().unwrap();
    // So that what libtorch needs for itself is not counted.
    let ones = Tensor::ones(1 << 20, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
    assert_eq!(ones.sum(Kind::Float).double_value(&[]), f64::from(1 << 20));

    let before = memory("VmRSS");
    let target = Target { device: Device::Cpu, kind: Kind::BFloat16 };
    let mut loader = Loader::new();
    let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
    let take = |i: u64| weights.take(&i.to_string(), &[NUMBERS as i64]).unwrap();
    let tensors: Vec<Tensor> = (0..TENSORS).map(take).collect();
    weights.finish().unwrap();
    loader.run(&mut |_| {}).unwrap();
    // What the threads have for themselves: the tensors are the process's once they are looked at.
    let beside = memory("VmHWM") - before;
    for tensor in &tensors {
        assert_eq!([tensor.min(), tensor.max()].map(|x| x.double_value(&[])), [1.0, 1.0]);
    }
    let growth = memory("VmHWM") - before + beside;

    let held = TENSORS * NUMBERS * 2;
    println!("{} MiB for tensors of {} MiB", growth / MIB, held / MIB);
    assert!(growth >= held / 2, "the peak did not see the tensors: {growth}");
    assert!(growth <= held + EXTRA, "{} MiB more than the tensors", (growth - held) / MIB);
}
