//! `zimg loras`: lists the LoRAs that `--lora` can name, and what is wrong with the others.

use std::io::{self, Write};

use serde::Serialize;
use zimg_client::{Client, LoraInfo};

use crate::cli::CommonArgs;
use crate::exit::Exit;
use crate::settings::UserSettings;
use crate::version::PROGRAM;
use crate::{format, json};

/// The `--json` event of one LoRA.
#[derive(Serialize)]
#[serde(tag = "event", rename = "lora")]
struct LoraEvent<'a> {
    lora: &'a str,
    kind: Option<&'a str>,
    rank: Option<u32>,
    maps: u32,
    all_maps: u32,
    text_maps: u32,
    all_text_maps: u32,
    bytes: u64,
    trigger_words: &'a [String],
    base_model: Option<&'a str>,
    title: Option<&'a str>,
    remarks: &'a [String],
    message: Option<&'a str>,
}

/// Prints the LoRAs in the daemon's directories.
///
/// # Errors
///
/// No daemon answers, its model is not loaded yet, or standard output is closed or full.
pub(crate) fn run(common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let found = Client::connect(PROGRAM, &socket)?.loras()?;
    if common.json {
        return found.loras.iter().try_for_each(|lora| json::print(&event(lora)));
    }
    let mut text = table(&found.loras);
    for remark in &found.remarks {
        text += &format!("{}\n", format::printable(remark));
    }
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

fn event(lora: &LoraInfo) -> LoraEvent<'_> {
    LoraEvent {
        lora: &lora.name,
        kind: Some(&*lora.kind).filter(|kind| !kind.is_empty()),
        rank: lora.rank,
        maps: lora.maps,
        all_maps: lora.all_maps,
        text_maps: lora.text_maps,
        all_text_maps: lora.all_text_maps,
        bytes: lora.bytes,
        trigger_words: &lora.trigger_words,
        base_model: lora.base_model.as_deref(),
        title: lora.title.as_deref(),
        remarks: &lora.remarks,
        message: lora.problem.as_deref(),
    }
}

/// A line for each, or a sentence if there are none.
fn table(loras: &[LoraInfo]) -> String {
    if loras.is_empty() {
        return "no LoRAs: zimaged's --lora-dir names the directories in which they lie\n"
            .to_owned();
    }
    let head = ["LORA", "KIND", "RANK", "MAPS", "SIZE", "ABOUT"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(loras.iter().map(row)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| format::columns(&row[column])).max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line += cell;
            line += &" ".repeat(width.saturating_sub(format::columns(cell)) + 2);
        }
        line += &row[5];
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Name, kind, rank, changed maps, size, and what else is said of it.
fn row(lora: &LoraInfo) -> [String; 6] {
    let name = format::printable(&lora.name);
    if let Some(problem) = &lora.problem {
        let empty = String::new;
        return [
            name,
            "unusable".to_owned(),
            empty(),
            empty(),
            empty(),
            format::printable(problem),
        ];
    }
    let maps = match lora.text_maps {
        0 => format!("{} of {}", lora.maps, lora.all_maps),
        text => {
            format!("{} of {}, text {text} of {}", lora.maps, lora.all_maps, lora.all_text_maps)
        }
    };
    let words = Some(lora.trigger_words.join(", ")).filter(|words| !words.is_empty());
    let about = [
        words.map(|words| format!("say \"{words}\"")),
        lora.base_model.as_ref().map(|model| format!("for {model}")),
        Some(lora.remarks.join("; ")).filter(|remarks| !remarks.is_empty()),
    ];
    let about = about.into_iter().flatten().collect::<Vec<_>>().join("; ");
    [
        name,
        lora.kind.clone(),
        lora.rank.map_or_else(String::new, |rank| rank.to_string()),
        maps,
        format::bytes(lora.bytes),
        format::printable(&about),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_to_use_a_lora_or_why_not() {
        let ink = LoraInfo {
            name: "styles/ink".into(),
            kind: "LoRA".into(),
            rank: Some(16),
            maps: 238,
            all_maps: 276,
            bytes: 85_000_000,
            trigger_words: vec!["1nk".into()],
            base_model: Some("Z-Image-Turbo".into()),
            ..LoraInfo::default()
        };
        let text = LoraInfo { name: "t".into(), text_maps: 7, all_text_maps: 245, ..ink.clone() };
        let bad = LoraInfo {
            name: "flux".into(),
            problem: Some("f is an adapter of FLUX".into()),
            ..LoraInfo::default()
        };
        assert_eq!(
            table(&[ink, text, bad]),
            "LORA        KIND      RANK  MAPS                       SIZE   ABOUT\n\
             styles/ink  LoRA      16    238 of 276                 85 MB  say \"1nk\"; for Z-Image-Turbo\n\
             t           LoRA      16    238 of 276, text 7 of 245  85 MB  say \"1nk\"; for Z-Image-Turbo\n\
             flux        unusable                                          f is an adapter of FLUX\n"
        );
        assert!(table(&[]).starts_with("no LoRAs"));
    }
}
