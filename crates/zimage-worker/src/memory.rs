//! GPU memory: how much is in use, and the sentence for having too little.

use tch::Device;
use zimage::{Error, ErrorKind};
use zimage_cuda::{FreeMemory, GpuProcess};
use zimage_ipc::Report;
use zimg_protocol::Failure;
use zimg_protocol::messages::DeviceMemory;

use crate::reports::Reports;

/// Processes that hold memory, as far as they are named.
const NAMED: usize = 3;

/// Reports to the supervisor how much memory of the GPU is in use, if there is a GPU.
pub(crate) fn report(device: Device, reports: &Reports) {
    let Device::Cuda(ordinal) = device else { return };
    if let Ok(FreeMemory { free, total }) = zimage_cuda::free_memory(ordinal) {
        reports.send(Report::Memory(DeviceMemory { used: total - free, total }));
    }
}

/// Adds to a failure for too little memory how much there is and which processes hold the rest.
pub(crate) fn explain(failure: Failure, error: &Error, device: Device) -> Failure {
    let Device::Cuda(ordinal) = device else { return failure };
    let message = match (error.kind(), error) {
        (ErrorKind::Memory, _) => match zimage_cuda::free_memory(ordinal) {
            Ok(room) => sentence(error.bytes_needed(), room),
            Err(_) => failure.message,
        },
        (_, Error::TooLarge { .. }) => failure.message,
        _ => return failure,
    };
    Failure { message: message + &held(&zimage_cuda::gpu_processes(ordinal)), ..failure }
}

fn sentence(needed: Option<u64>, FreeMemory { free, total }: FreeMemory) -> String {
    let needed = needed.map(|bytes| format!("{} at once were needed, ", gigabytes(bytes)));
    format!(
        "the GPU's memory is too small: {}{} of {} are free",
        needed.unwrap_or_default(),
        gigabytes(free),
        gigabytes(total)
    )
}

/// The processes that hold memory, as the end of a sentence.
fn held(holders: &[GpuProcess]) -> String {
    let named = holders.iter().take(NAMED).map(|GpuProcess { pid, name, bytes }| {
        let name = name.as_deref().unwrap_or("a process");
        format!(", {name} ({pid}) holds {}", gigabytes(*bytes))
    });
    named.collect()
}

/// As memory is sold, in powers of ten.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_the_amount_and_the_processes() {
        let room = FreeMemory { free: 800_000_000, total: 25_300_000_000 };
        assert_eq!(
            sentence(None, room),
            "the GPU's memory is too small: 0.8 GB of 25.3 GB are free"
        );
        let blender = GpuProcess { pid: 4711, name: Some("blender".into()), bytes: 9_100_000_000 };
        let hidden = GpuProcess { pid: 9, name: None, bytes: 100_000_000 };
        assert_eq!(
            sentence(Some(1_610_612_736), room) + &held(&[blender, hidden]),
            "the GPU's memory is too small: 1.6 GB at once were needed, 0.8 GB of 25.3 GB are \
             free, blender (4711) holds 9.1 GB, a process (9) holds 0.1 GB"
        );
        assert_eq!(held(&[]), "");
    }
}
