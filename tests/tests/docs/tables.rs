//! Tables of options and exit codes are those of the programs.

use std::collections::BTreeSet;

use clap::CommandFactory;
use zimg_protocol::Kind;

use crate::markdown::Page;

/// The rows of a page's tables, as cells.
pub(crate) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// What stands between the first two backticks.
pub(crate) fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_default()
}

#[test]
fn the_table_of_settings_is_that_of_the_options() {
    let page = Page::read("docs/operations.md");
    let mut found = BTreeSet::new();
    for row in rows(&page.text).filter(|row| code(row[0]).starts_with("--") && row.len() == 4) {
        let option = code(row[0]).trim_start_matches('-').split(' ').next().unwrap();
        // What can be given several times is a list elsewhere.
        let plural = if row[0].ends_with("repeatable") { "s" } else { "" };
        let key = format!("{}{plural}", option.replace('-', "_"));
        assert_eq!(code(row[1]), format!("ZIMAGED_{}", key.to_uppercase()), "{row:?}");
        if option != "config" {
            assert_eq!(code(row[2]), key, "{row:?}");
        }
        found.insert(option.to_owned());
    }
    let command = zimaged::Args::command();
    let options = command.get_arguments().filter_map(|arg| arg.get_long());
    // It sets nothing.
    let settings: BTreeSet<_> =
        options.filter(|long| *long != "check").map(str::to_owned).collect();
    assert_eq!(found, settings, "docs/operations.md has these, and zimaged those");
}

#[test]
fn every_table_of_exit_codes_has_all_of_them() {
    let all: BTreeSet<_> = Kind::ALL.into_iter().map(Kind::exit_code).collect();
    // The column of the code in the table.
    for (name, column) in [("docs/cli.md", 0), ("docs/protocol.md", 1)] {
        let page = Page::read(name);
        let codes = rows(&page.text).filter_map(|row| row.get(column)?.parse::<u8>().ok());
        let codes: BTreeSet<_> = codes.filter(|code| *code >= 64).collect();
        assert_eq!(codes, all, "{name}");
    }
}
