//! Test that docs/cli.md has every command and long option, and no other.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory};

use super::command_line::CommandLine;

const PAGE: &str = include_str!("../../../../docs/cli.md");

/// The long options of a command and of those below it. `hidden`: also those that only switch back,
/// and the names of other programs.
fn longs(command: &Command, hidden: bool) -> BTreeSet<String> {
    let own = command.get_arguments().filter(|arg| hidden || !arg.is_hide_set());
    let names = |arg: &Arg| {
        let aliases = arg.get_all_aliases().filter(|_| hidden).unwrap_or_default();
        arg.get_long().into_iter().chain(aliases).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = own.flat_map(names).collect();
    let below = command.get_subcommands().flat_map(|command| longs(command, hidden));
    let built_in = ["help", "version"].map(str::to_owned);
    BTreeSet::union(&own, &below.chain(built_in).collect()).cloned().collect()
}

/// The long options in the page's code.
fn mentioned() -> BTreeSet<String> {
    let code = PAGE.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
    let long = |word: &str| {
        let name: String = word.strip_prefix("--")?.chars().take_while(is_named).collect();
        (!name.is_empty()).then_some(name)
    };
    code.filter_map(long).collect()
}

fn is_named(c: &char) -> bool {
    c.is_ascii_lowercase() || *c == '-'
}

#[test]
fn the_page_has_every_option_and_no_other() {
    let (mentioned, command) = (mentioned(), CommandLine::command());
    let missing: Vec<_> = longs(&command, false).difference(&mentioned).cloned().collect();
    assert!(missing.is_empty(), "docs/cli.md lacks {missing:?}");
    let foreign: Vec<_> = mentioned.difference(&longs(&command, true)).cloned().collect();
    assert!(foreign.is_empty(), "docs/cli.md has {foreign:?}, which zimg does not");
    assert!(mentioned.len() > 25, "only {mentioned:?}");
}

#[test]
fn the_page_has_every_command_with_what_it_takes() {
    for command in CommandLine::command().get_subcommands() {
        let name = command.get_name();
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `zimg {name}")));
        let row = row.unwrap_or_else(|| panic!("docs/cli.md has no row of `zimg {name}`"));
        for below in command.get_subcommands().map(Command::get_name) {
            assert!(row.contains(&format!("zimg {name} {below}")), "{row} lacks {below}");
        }
        // A form of its own, such as `redo FILE…`, names what the definition calls so.
        for value in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
            let value = value.get_id().as_str().trim_end_matches('s').to_uppercase();
            assert!(row.contains(&value), "{row} lacks {value}");
        }
    }
}
