//! The device's rates for the memory plan: from the file that keeps them, else measured.

use std::fs;
use std::path::Path;

use tch::Device;
use zimage::checkpoint::MeasuredRates;
use zimage::{Checkpoint, Options};
use zimage_cuda::Gpu;

use crate::log;

/// The rates of a GPU for weights of this dtype; none if they cannot be measured, which the log says.
/// `folder` keeps them for the next process, by the GPU, the driver and this build.
pub(crate) fn of(
    folder: Option<&Path>,
    options: &Options,
    checkpoint: &Checkpoint,
) -> Option<MeasuredRates> {
    let Device::Cuda(ordinal) = options.device else { return None };
    let gpu = Gpu::find(ordinal).ok()?;
    let driver = zimage_cuda::driver_version();
    let key = format!("{} {driver} {} {}", gpu.uuid, env!("CARGO_PKG_VERSION"), options.dtype);
    let file = folder.map(|folder| folder.join(format!("{}-{}", gpu.uuid, options.dtype)));
    if let Some(file) = &file
        && let Some(rates) = kept(file, &key)
    {
        return Some(rates);
    }
    let rates = zimage::measure(options.device, options.dtype, checkpoint);
    let rates = rates.inspect_err(|error| {
        log::line(format_args!("the device's rates are not measured, others are assumed: {error}"));
    });
    let rates = rates.ok()?;
    let MeasuredRates { link, read, dense, .. } = rates;
    log::line(format_args!(
        "measured: {:.1} GB/s to the device, {:.1} GB/s from the page cache, {:.0} TFLOP/s",
        link / 1e9,
        read / 1e9,
        dense / 1e12
    ));
    if let Some(file) = &file
        && let Err(error) = keep(file, &rates.text(&key))
    {
        log::line(format_args!(
            "{} cannot be written, so each start measures again: {error}",
            file.display()
        ));
    }
    Some(rates)
}

fn kept(file: &Path, key: &str) -> Option<MeasuredRates> {
    MeasuredRates::parse(&fs::read_to_string(file).ok()?, key)
}

/// Writes the file as a whole: another worker may read or write it.
fn keep(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = file.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, text)?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rates/GPU-1-bfloat16");
        let rates = MeasuredRates { link: 5e10, read: 4e10, product: 7e14, dense: 7e14 };
        assert_eq!(kept(&file, "key"), None);
        keep(&file, &rates.text("key")).unwrap();
        assert_eq!((kept(&file, "key"), kept(&file, "other")), (Some(rates), None));
        keep(&file, &rates.text("other")).unwrap();
        assert_eq!(kept(&file, "other"), Some(rates));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
