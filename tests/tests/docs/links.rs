//! Links and code blocks of the docs: every link has a target, every block a language.

use crate::markdown::{HELP, Page, pages, top};

/// What blocks may be: commands that are run, commands with what they print, and what is shown.
const LANGUAGES: [&str; 7] = ["sh", "console", "toml", "json", "hex", "text", "rust"];
/// How a line begins that is a command, and so belongs into a block that is run.
const COMMANDS: [&str; 8] =
    ["zimg ", "zimaged", "make ", "sudo ", "systemctl ", "cargo ", "git ", "$ "];

#[test]
fn every_link_leads_to_something() {
    let mut links = 0;
    for page in pages() {
        for (target, line) in page.links() {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let place = format!("{}:{line}", page.name);
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.name.clone(),
                path => {
                    let folder = top().join(&page.name).parent().unwrap().to_owned();
                    let file = folder.join(path).canonicalize();
                    let file = file.unwrap_or_else(|error| panic!("{place}: {target}: {error}"));
                    file.strip_prefix(top().canonicalize().unwrap()).unwrap().display().to_string()
                }
            };
            let known = anchor.is_empty()
                || Page::read(&file).anchors().iter().any(|known| known == anchor);
            assert!(known, "{place} links to {target}, and {file} has no such heading");
        }
    }
    assert!(links > 20, "only {links} links were looked at");
}

#[test]
fn every_block_says_what_it_is() {
    for page in pages() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.name, block.line);
            let language = block.language.split(' ').next().unwrap();
            assert!(
                LANGUAGES.contains(&language),
                "{place}: a block of {language:?}; commands are sh, with what they print console, \
                 and what is none text"
            );
            // Help is tried by its examples (`commands.rs`).
            if language == "text" && page.name != HELP {
                let command = |line: &&str| COMMANDS.iter().any(|word| line.starts_with(word));
                let found = block.text.lines().find(command);
                assert_eq!(found, None, "{place}: commands are sh or console, to be tried here");
            }
        }
    }
}
