//! `zimg completions` and `zimg man`: shell completions and man pages, generated from the definition
//! of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use zimg_client::{Failure, Kind};

use crate::cli::{Cli, CommonArgs, DocsCommand};
use crate::exit::Exit;

/// The name of the program.
const NAME: &str = "zimg";

/// Prints the completions of a shell, or writes the man pages.
///
/// # Errors
///
/// `CannotCreate`: a page cannot be written. Standard output is full.
pub(crate) fn run(args: &DocsCommand, common: &CommonArgs) -> Result<(), Exit> {
    common.refuse_json("completions and manual pages are text, not JSON")?;
    match args {
        DocsCommand::Completions(shell) => print(&completions(*shell)),
        DocsCommand::Man(None) => print(&page(Cli::command())?),
        DocsCommand::Man(Some(folder)) => Ok(pages(folder)?),
    }
}

fn print(text: &[u8]) -> Result<(), Exit> {
    io::stdout().lock().write_all(text).map_err(|error| Exit::stdout(&error))
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut text);
    if shell == Shell::Fish { after_prompts(text) } else { text }
}

/// Fixes clap's completions for fish: they take any first word for a command, and offer no options
/// after a prompt.
fn after_prompts(fish: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(fish) else { return Vec::new() };
    let command = Cli::command();
    let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    let is_command = format!("if contains -- \"$argv[1]\" {} help\n", names.join(" "));
    text.replacen("if set -q argv[1]\n", &is_command, 1).into_bytes()
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    // The man page is the long help: otherwise options that the short help hides would have no
    // text.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    // No date, so that the same program writes the same page.
    Man::new(command).date("").render(&mut text).map_err(|error| {
        Failure::new(Kind::Internal, format!("cannot write the manual: {error}"))
    })?;
    Ok(text)
}

/// Writes one page for zimg and one for each command.
fn pages(folder: &Path) -> Result<(), Failure> {
    let mut all = Cli::command();
    all.build();
    let mut found = vec![(NAME.to_owned(), all.clone())];
    let has_page = |name: &str| name != "help";
    for command in all.get_subcommands().filter(|command| has_page(command.get_name())) {
        let name = format!("{NAME}-{}", command.get_name());
        // `zimg-draw` is the name of the page; clap wants a static string.
        let leaked: &'static str = name.clone().leak();
        found.push((name, command.clone().name(leaked)));
    }
    for (name, command) in found {
        let path = folder.join(format!("{name}.1"));
        fs::write(&path, page(command)?).map_err(|error| {
            let message = format!("cannot write {}: {error}", path.display());
            Failure::new(Kind::CannotCreate, message)
        })?;
    }
    Ok(())
}
