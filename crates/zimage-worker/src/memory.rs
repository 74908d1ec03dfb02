//! A GPU's memory: how much there is, and in a sentence that it was too little.

use std::fmt::Write;

use tch::Device;
use zimage::Error;
use zimage_cuda::{Holder, Room};
use zimg_protocol::messages::{DeviceMemory, Report};
use zimg_protocol::{Failure, Kind};

use crate::failure::from_model;
use crate::reports::Reports;

/// So many of those who hold memory are named.
const NAMED: usize = 3;

/// Tells the supervisor how much memory of the GPU is in use, if there is a GPU.
pub(crate) fn report(device: Device, reports: &Reports) {
    if let Some(Room { free, total }) = room(device) {
        reports.send(Report::Memory(DeviceMemory { used: total - free, total }));
    }
}

/// What a user is told when memory was too small.
pub(crate) fn explain(error: &Error, device: Device) -> Failure {
    match (device, room(device)) {
        (Device::Cuda(ordinal), Some(room)) => {
            let message = sentence(error.bytes_needed(), room, &zimage_cuda::holders(ordinal));
            Failure { kind: Kind::Internal, message, hint: error.hint() }
        }
        _ => from_model(error),
    }
}

fn room(device: Device) -> Option<Room> {
    match device {
        Device::Cuda(ordinal) => zimage_cuda::room(ordinal).ok(),
        _ => None,
    }
}

fn sentence(needed: Option<u64>, Room { free, total }: Room, holders: &[Holder]) -> String {
    let mut sentence = "the GPU's memory is too small: ".to_owned();
    if let Some(bytes) = needed {
        let _ = write!(sentence, "{} at once were needed, ", gigabytes(bytes));
    }
    let _ = write!(sentence, "{} of {} are free", gigabytes(free), gigabytes(total));
    for Holder { pid, name, bytes } in holders.iter().take(NAMED) {
        let name = name.as_deref().unwrap_or("a process");
        let _ = write!(sentence, ", {name} ({pid}) holds {}", gigabytes(*bytes));
    }
    sentence
}

/// As people buy memory, in powers of ten.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_how_much_and_who() {
        let room = Room { free: 800_000_000, total: 25_300_000_000 };
        assert_eq!(
            sentence(None, room, &[]),
            "the GPU's memory is too small: 0.8 GB of 25.3 GB are free"
        );
        let blender = Holder { pid: 4711, name: Some("blender".into()), bytes: 9_100_000_000 };
        let hidden = Holder { pid: 9, name: None, bytes: 100_000_000 };
        assert_eq!(
            sentence(Some(1_610_612_736), room, &[blender, hidden]),
            "the GPU's memory is too small: 1.6 GB at once were needed, 0.8 GB of 25.3 GB are \
             free, blender (4711) holds 9.1 GB, a process (9) holds 0.1 GB"
        );
    }
}
