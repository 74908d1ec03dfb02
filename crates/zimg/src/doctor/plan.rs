//! Finding of `zimg doctor` about memory: what a worker would plan on the GPU, or on common ones.

use std::path::Path;

use zimage_checkpoint::{
    Checkpoint, MeasuredRates, MemoryBudget, ModelFiles, ModelLocation, PlanPreview,
};

use super::Finding;
use super::settings::DaemonSettings;

const TOPIC: &str = "plan";

/// The plan for the configured model, whose files are sound. `free`: bytes that are free on the GPU, if
/// there is one.
pub(super) fn look(
    model: Option<&str>,
    settings: &DaemonSettings,
    free: Option<u64>,
) -> Option<Finding> {
    let device = settings.text("device").unwrap_or_default();
    let Some(ModelLocation::Path(folder)) = model?.parse().ok() else { return None };
    if device.split(',').all(|device| device == "cpu") {
        return None;
    }
    let files = ModelFiles { model: folder, ..settings.named_files() };
    let dtype = settings.text("dtype").filter(|dtype| dtype != "auto");
    let dtype = dtype.unwrap_or_else(|| "bfloat16".to_owned());
    let rates = settings.text("state_dir");
    let rates =
        rates.and_then(|folder| MeasuredRates::only(&Path::new(&folder).join("rates"), &dtype));
    let checkpoint = Checkpoint::open_files(&files).ok()?;
    let preview = PlanPreview::new(&checkpoint, &dtype, settings.pixels(), rates.as_ref()).ok()?;
    let memory: MemoryBudget = settings.text("memory")?.parse().ok()?;
    Some(Finding::ok(TOPIC, text(&preview, memory, free)))
}

fn text(preview: &PlanPreview, memory: MemoryBudget, free: Option<u64>) -> String {
    match (free, memory) {
        (Some(free), _) => preview.line(memory.of_free(free)),
        (None, MemoryBudget::Bytes(bytes)) => format!("for {memory}: {}", preview.line(bytes)),
        (None, MemoryBudget::Auto) => preview.table(),
    }
}
