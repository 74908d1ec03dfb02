//! A LoRA that is in the cache: its place in a directory of the daemon.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use zimg_client::{Failure, Kind};
use zimg_hub::Plan;

use super::events::PullEvent;
use crate::exit::Exit;
use crate::{format, json};

/// peft's file, whose folder has the name of the LoRA.
const PEFT: &str = "adapter_model";

/// A LoRA in a directory.
#[derive(Debug)]
pub(crate) struct PulledLora {
    /// Its file.
    path: PathBuf,
    /// Its name in requests.
    pub(crate) name: String,
    bytes: u64,
}

impl PulledLora {
    /// Places the files of a plan in a folder of the directory that has the repository's name. `weights` is
    /// the name of the LoRA's own file.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, or another file has the place.
    pub(crate) fn place(directory: &Path, plan: &Plan, weights: &str) -> Result<Self, Failure> {
        let repository = plan.repository.as_str();
        let folder_name = repository.rsplit('/').next().unwrap_or(repository);
        let folder = directory.join(folder_name);
        fs::create_dir_all(&folder).map_err(|error| failure(&folder, &error))?;
        for file in &plan.files {
            let source = file.path.below(&plan.snapshot());
            // The cache's files are links: what they lead to is placed.
            let source = fs::canonicalize(&source).map_err(|error| failure(&source, &error))?;
            let target = folder.join(file.path.name());
            place(&source, &target)?;
        }
        let stem = weights.rsplit_once('.').map_or(weights, |(stem, _)| stem);
        let name = match stem {
            PEFT => folder_name.to_owned(),
            stem => format!("{folder_name}/{stem}"),
        };
        Ok(Self { path: folder.join(weights), name, bytes: plan.bytes() })
    }

    /// Prints the path of the file on standard output.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn print(&self, json: bool) -> Result<(), Exit> {
        let path = self.path.display().to_string();
        if !json {
            return writeln!(io::stdout().lock(), "{path}").map_err(|error| Exit::stdout(&error));
        }
        json::print(&PullEvent::PulledLora { path, lora: &self.name, bytes: self.bytes })
    }
}

/// Links a file to its place, or copies it to another file system; the same file may be there already.
fn place(source: &Path, target: &Path) -> Result<(), Failure> {
    let told = |error: &io::Error| failure(target, error);
    if target.exists() {
        let same = is_same(source, target).map_err(|error| told(&error))?;
        return if same { Ok(()) } else { Err(taken(target)) };
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.{}", process::id()));
    let placed = fs::hard_link(source, &temporary)
        .or_else(|_| fs::copy(source, &temporary).map(drop))
        .and_then(|()| fs::rename(&temporary, target));
    placed.map_err(|error| {
        // What cannot be removed is a dot file, which the daemon does not list.
        let _ = fs::remove_file(&temporary);
        told(&error)
    })
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    Ok(fs::read(one)? == fs::read(other)?)
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let message =
        format!("{} cannot be written: {error}", format::printable(&path.display().to_string()));
    Failure::new(Kind::CannotCreate, message)
}

fn taken(path: &Path) -> Failure {
    let message =
        format!("{} exists and is another file", format::printable(&path.display().to_string()));
    Failure::new(Kind::CannotCreate, message).hint("remove it, or name another --lora-dir")
}
