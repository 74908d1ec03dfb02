//! `zimg show`: prints the generation metadata of an image.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::cli::{CommonArgs, ShowArgs};
use crate::exit::Exit;
use crate::json::PathFields;
use crate::progress::warn;
use crate::{format, json, metadata};
use zimg_client::params::Surface;
use zimg_image::{ControlRecord, GenerationMetadata, InputRecord};

/// The `--json` event of one image's generation metadata.
#[derive(Serialize)]
#[serde(tag = "event", rename = "metadata")]
struct MetadataEvent<'a> {
    #[serde(flatten)]
    path: PathFields,
    #[serde(flatten)]
    metadata: &'a GenerationMetadata,
}

/// Prints the metadata of each file.
///
/// # Errors
///
/// A file cannot be read, is not an image or has no metadata; standard output is closed or full.
pub(crate) fn run(args: &ShowArgs, common: &CommonArgs) -> Result<(), Exit> {
    for path in &args.files {
        let embedded = metadata::read(path)?;
        if let Some(doubt) = metadata::doubt(path, &embedded) {
            warn(common.json, &doubt)?;
        }
        if args.parameters {
            let text = embedded.parameters.as_deref();
            let text = text.ok_or_else(|| metadata::unread(path, &embedded))?;
            print(&format!("{}\n", printable_lines(text)))?;
            continue;
        }
        let Some(generation) = embedded.generation else {
            return Err(metadata::unread(path, &embedded).into());
        };
        if common.json {
            json::print(&MetadataEvent { path: path.as_path().into(), metadata: &generation })?;
        } else {
            let name = (args.files.len() > 1).then_some(path.as_path());
            print(&screen(name, &generation, format::prints_colours()))?;
        }
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

/// The lines of an untrusted text, escaped.
fn printable_lines(text: &str) -> String {
    text.lines().map(format::printable).collect::<Vec<_>>().join("\n")
}

fn screen(name: Option<&Path>, metadata: &GenerationMetadata, colours: bool) -> String {
    let [dim, plain] = if colours { ["\x1b[2m", "\x1b[0m"] } else { [""; 2] };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Further lines of a prompt are indented below the first.
        let value = printable_lines(value).replace('\n', "\n          ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{dim}{name:<9}{plain} {value}");
    };
    if let Some(path) = name {
        line("file", &path.display().to_string());
    }
    let params = &metadata.params;
    line("prompt", &params.prompt);
    if let Some(negative) = params.negative.as_deref().filter(|negative| !negative.is_empty()) {
        line("negative", negative);
    }
    line("seed", &params.first_seed().to_string());
    if let Some((width, height)) = params.width.zip(params.height) {
        line("size", &format!("{width}x{height}"));
    }
    line("steps", &params.steps.unwrap_or_default().to_string());
    let mut guidance = params.guidance.unwrap_or_default().to_string();
    let record = params.image_inputs.as_deref().and_then(InputRecord::from_text);
    for (row, value) in metadata.unusual() {
        if row.name == "control_input" {
            let text = params.control_input.as_deref().unwrap_or_default();
            if let Some(record) = ControlRecord::from_text(text) {
                line("control", &record.control.name);
                continue;
            }
        }
        let is_inputs = row.surface == Surface::Recorded && row.name == "image_inputs";
        if let Some(record) = record.as_ref().filter(|_| is_inputs) {
            line("init", &record.init.name);
            if let Some(mask) = record.mask() {
                line("mask", &mask.name);
            }
            continue;
        }
        match row.name.strip_prefix("guidance_") {
            Some(name) => guidance += &format!(", {name} {value}"),
            None => line(row.name, &value.to_string()),
        }
    }
    line("guidance", &guidance);
    let made = [&metadata.model, &metadata.dtype, &metadata.device];
    let made: Vec<_> = made.into_iter().flatten().map(String::as_str).collect();
    if !made.is_empty() {
        line("model", &made.join(", "));
    }
    if let Some(program) = &metadata.program {
        line("program", program);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::Params;

    #[test]
    fn what_is_in_a_file_is_shown_and_not_obeyed() {
        let nasty = GenerationMetadata {
            params: Params {
                negative: Some("a dog".to_owned()),
                width: Some(1024),
                height: Some(768),
                steps: Some(8),
                guidance: Some(1.5),
                guidance_normalization: Some(0.5),
                guidance_truncation: Some(0.75),
                seed: Some(u64::MAX),
                ..Params::new("a\u{1b}[31m fox\nand\ta hen")
            },
            model: Some("\u{7}".to_owned()),
            dtype: None,
            device: None,
            program: Some("zimg 0.1.0".to_owned()),
        };
        assert_eq!(
            screen(None, &nasty, false),
            "prompt    a\\u{1b}[31m fox\n          and\\ta hen\n\
             negative  a dog\n\
             seed      18446744073709551615\n\
             size      1024x768\n\
             steps     8\n\
             guidance  1.5, normalization 0.5, truncation 0.75\n\
             model     \\u{7}\n\
             program   zimg 0.1.0\n"
        );
    }
}
