//! `zimg models`: lists the checkpoints on this machine and which one is served.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use zimg_client::Client;
use zimg_text::shell_word;

use crate::cli::{CommonArgs, ModelsArgs};
use crate::exit::Exit;
use crate::models::{FoundModel, ModelState, Place, find, is_same};
use crate::settings::UserSettings;
use crate::version::PROGRAM;
use crate::{format, json};

/// The model inside the worker.
const BUILT_IN: &str = "tiny";

/// The `--json` event of one checkpoint.
#[derive(Serialize)]
#[serde(tag = "event", rename = "model")]
struct ModelEvent<'a> {
    model: &'a str,
    path: Option<String>,
    layout: &'a str,
    kind: Option<&'a str>,
    bytes: Option<u64>,
    state: &'static str,
    served: bool,
    message: Option<&'a str>,
}

/// Prints the checkpoints in the Hugging Face cache and in the folders of the settings.
///
/// # Errors
///
/// A setting is invalid, or standard output is closed or full.
pub(crate) fn run(args: &ModelsArgs, common: &CommonArgs) -> Result<(), Exit> {
    let settings = UserSettings::read()?;
    let served = served(&settings, common);
    let served = served.as_deref();
    let mut found = find(&Place::all(&settings.model_dirs()));
    let is_other = |model: &FoundModel| matches!(model.state, ModelState::Other(_));
    let others = found.iter().filter(|model| is_other(model)).count();
    found.retain(|model| args.all || !is_other(model));
    found.sort_by_key(|model| match model.state {
        ModelState::Usable => 0,
        ModelState::Partial(_) => 1,
        ModelState::Faulty(_) => 2,
        ModelState::Other(_) => 3,
    });
    if common.json {
        json::print(&built_in(served))?;
        return found.iter().try_for_each(|model| json::print(&event(model, served)));
    }
    let mut rows = vec![row(&built_in(served))];
    rows.extend(found.iter().map(|model| row(&event(model, served))));
    let mut text = table(&rows);
    if others > 0 && !args.all {
        let (count, are) = if others == 1 { ("1 other model", "is") } else { ("", "are") };
        let count = if count.is_empty() { format!("{others} other models") } else { count.into() };
        text += &format!("{count} {are} not listed: `zimg models --all`\n");
    }
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

/// The model that the daemon is configured with, if one answers.
fn served(settings: &UserSettings, common: &CommonArgs) -> Option<String> {
    let socket = settings.find_socket(common.socket.as_deref()).ok()?;
    let mut client = Client::connect(PROGRAM, &socket).ok()?;
    Some(client.setup().ok()?.model)
}

fn built_in(served: Option<&str>) -> ModelEvent<'static> {
    ModelEvent {
        model: BUILT_IN,
        path: None,
        layout: "built-in",
        kind: None,
        bytes: None,
        state: "usable",
        served: served == Some(BUILT_IN),
        message: None,
    }
}

fn event<'a>(model: &'a FoundModel, served: Option<&str>) -> ModelEvent<'a> {
    let (state, message) = match &model.state {
        ModelState::Usable => ("usable", None),
        ModelState::Partial(why) => ("partial", Some(why.as_str())),
        ModelState::Faulty(why) => ("faulty", Some(why.as_str())),
        ModelState::Other(why) => ("other", Some(why.as_str())),
    };
    let is_served = |served: &str| served == model.name || is_same(Path::new(served), &model.path);
    ModelEvent {
        model: &model.name,
        path: Some(model.path.display().to_string()),
        layout: model.layout,
        kind: model.kind.as_deref(),
        bytes: Some(model.bytes),
        state,
        served: served.is_some_and(is_served),
        message,
    }
}

/// State, size, kind, layout, and the rest: the model and why it cannot be used.
fn row(event: &ModelEvent<'_>) -> [String; 5] {
    let state = if event.served { "served" } else { event.state };
    let size = event.bytes.map_or(String::new(), format::bytes);
    let mut model = shell_word(Path::new(event.model));
    if let Some(why) = event.message {
        model += &format!(": {why}");
    }
    let kind = event.kind.unwrap_or_default().to_owned();
    [state.to_owned(), size, kind, event.layout.to_owned(), format::printable(&model)]
}

fn table(rows: &[[String; 5]]) -> String {
    let head = ["STATE", "SIZE", "KIND", "LAYOUT", "MODEL"].map(str::to_owned);
    let rows: Vec<_> = [&head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| format::columns(&row[column])).max();
    let [a, b, c, d] = [0, 1, 2, 3].map(|column| width(column).unwrap_or_default());
    let line = |row: &&[String; 5]| {
        let [state, size, kind, layout, model] = row;
        format!("{state:<a$}  {size:>b$}  {kind:<c$}  {layout:<d$}  {model}\n")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_model_is_given() {
        let model = |state| FoundModel {
            name: "Tongyi-MAI/Z-Image-Turbo".to_owned(),
            path: "/c/snapshots/0".into(),
            layout: "diffusers",
            kind: Some("turbo".to_owned()),
            bytes: 32_800_000_000,
            state,
        };
        let usable = model(ModelState::Usable);
        let faulty = FoundModel {
            name: "/my models/z.safetensors".to_owned(),
            layout: "file",
            kind: None,
            ..model(ModelState::Faulty("z.safetensors is cut short".to_owned()))
        };
        let rows = [
            row(&built_in(None)),
            row(&event(&usable, Some("/c/snapshots/0"))),
            row(&event(&faulty, Some("tiny"))),
        ];
        assert_eq!(
            table(&rows),
            "STATE      SIZE  KIND   LAYOUT     MODEL\n\
             usable                  built-in   tiny\n\
             served  32.8 GB  turbo  diffusers  Tongyi-MAI/Z-Image-Turbo\n\
             faulty  32.8 GB         file       '/my models/z.safetensors': z.safetensors is cut short\n"
        );
    }
}
