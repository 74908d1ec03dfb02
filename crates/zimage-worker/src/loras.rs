//! The LoRAs that the daemon's configuration names: their files are looked up by name, and listed.

use std::sync::{Arc, OnceLock};
use std::thread;

use zimage::AdapterChoice;
use zimage::checkpoint::adapter::{
    Adapter, AdapterDescription, AdapterDirectories, AdapterError, AdapterFile, LinearMaps,
};
use zimage_ipc::Report;
use zimg_protocol::messages::{LoraChoice, LoraInfo, Loras};

use crate::log;
use crate::reports::ReportSender;

/// The most LoRAs of a list, so that it fits a frame.
const MOST: usize = 1000;

/// The directories of LoRAs, and what they are for.
#[derive(Debug)]
pub(crate) struct LoraFolders {
    directories: AdapterDirectories,
    maps: LinearMaps,
    reports: ReportSender,
}

/// The folders once the model is known: shared by the thread that reads commands and the model's.
pub(crate) type SharedLoras = Arc<OnceLock<LoraFolders>>;

impl LoraFolders {
    pub(crate) fn new(
        directories: AdapterDirectories,
        maps: LinearMaps,
        reports: ReportSender,
    ) -> Self {
        Self { directories, maps, reports }
    }

    /// The files of what a request asks for.
    ///
    /// # Errors
    /// When a name is that of none, or of several.
    pub(crate) fn choose(&self, asked: &[LoraChoice]) -> Result<Vec<AdapterChoice>, AdapterError> {
        let choice = |LoraChoice { name, weight }: &LoraChoice| {
            let AdapterFile { name, path } = self.directories.find(name)?;
            Ok(AdapterChoice { name, path, weight: *weight })
        };
        asked.iter().map(choice).collect()
    }

    /// Reports the list: all headers are read, so it has a thread of its own.
    pub(crate) fn report(shared: &SharedLoras) {
        let shared = Arc::clone(shared);
        let listing = thread::Builder::new().name("loras".into()).spawn(move || {
            if let Some(folders) = shared.get() {
                folders.reports.send(Report::Loras(Box::new(folders.list())));
            }
        });
        if let Err(error) = listing {
            log::line(format_args!("the LoRAs are not listed: {error}"));
        }
    }

    fn list(&self) -> Loras {
        let (files, mut remarks) = self.directories.files();
        if files.len() > MOST {
            remarks.push(format!("{} LoRAs are not listed: more than {MOST}", files.len() - MOST));
        }
        let loras = files.iter().take(MOST).map(|file| self.info(file)).collect();
        Loras { loras, remarks }
    }

    fn info(&self, file: &AdapterFile) -> LoraInfo {
        let name = file.name.clone();
        if name.contains(',') {
            let problem = "its name has a comma, which separates names: rename the file";
            return LoraInfo { name, problem: Some(problem.to_owned()), ..LoraInfo::default() };
        }
        match Adapter::open(&file.path, &self.maps) {
            Ok(adapter) => described(name, adapter.description),
            Err(error) => {
                LoraInfo { name, problem: Some(error.to_string()), ..LoraInfo::default() }
            }
        }
    }
}

fn described(name: String, description: AdapterDescription) -> LoraInfo {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let [(maps, all), (text_maps, text_all)] = description.targets;
    LoraInfo {
        name,
        kind: description.kind.to_string(),
        rank: description.rank,
        maps: count(maps),
        all_maps: count(all),
        text_maps: count(text_maps),
        all_text_maps: count(text_all),
        bytes: description.bytes,
        trigger_words: description.trigger_words,
        base_model: description.base_model,
        title: description.title,
        remarks: description.remarks,
        problem: None,
    }
}
