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

/// The name that pages and completions are for.
const NAME: &str = "zimg";

/// Prints the shell's completions, or writes the manual's pages.
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

/// clap has fish take any first word for a command, after which nothing of a drawing comes. It may
/// as well be the prompt.
fn after_prompts(fish: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(fish) else { return Vec::new() };
    let command = Cli::command();
    let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    let is_command = format!("if contains -- \"$argv[1]\" {} help\n", names.join(" "));
    text.replacen("if set -q argv[1]\n", &is_command, 1).into_bytes()
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    // The page is the long help: otherwise it names what the short one leaves out, and says nothing.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    // Without a date: the same program writes the same page.
    Man::new(command).date("").render(&mut text).map_err(|error| {
        Failure::new(Kind::Internal, format!("cannot write the manual: {error}"))
    })?;
    Ok(text)
}

/// One page for zimg and one for each command.
fn pages(folder: &Path) -> Result<(), Failure> {
    let mut all = Cli::command();
    all.build();
    let mut found = vec![(NAME.to_owned(), all.clone())];
    let has_page = |name: &str| name != "help";
    for command in all.get_subcommands().filter(|command| has_page(command.get_name())) {
        let name = format!("{NAME}-{}", command.get_name());
        // `zimg-draw` is the page's name, and clap wants it to be the program's life long.
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
