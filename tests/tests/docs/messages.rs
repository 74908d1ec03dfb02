//! Messages in docs/troubleshooting.md, under their exit codes: each quoted message is in the sources,
//! and each message in the sources is quoted.

use std::collections::BTreeMap;

use zimg_protocol::Kind;

use crate::markdown::Page;
use crate::sentences::{Said, said};

/// Sentences that no user meets, and why.
const UNMET: &[(&str, &str)] = &[
    (
        "internal error: the image has no output file",
        "names are given before anything is generated",
    ),
    ("`…`: …", "an option in a line of a batch, with the sentence of the command line"),
    ("the client has left", "no client is there to read it"),
    ("the job store is not open yet", "is replaced before any request"),
    ("the job store is closed", "comes after the last client has left"),
    ("…, but …", "two of *… speaks protocol …*"),
    ("no socket: …", "the system has no descriptor left: said where a worker cannot be started"),
    ("there is no other worker", "nothing is read where a conversation is only tried"),
];

/// Whether the sources' sentence holds what is quoted of it.
fn holds(sentence: &str, quote: &str) -> bool {
    let mut rest = sentence;
    quote.split('…').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// What the page quotes, by the exit code that it stands under.
fn quoted() -> BTreeMap<u8, Vec<String>> {
    let page = Page::read("docs/troubleshooting.md");
    let mut headings: Vec<(usize, u8)> = Vec::new();
    for (line, text) in (1..).zip(page.text.lines()) {
        let code = text.strip_prefix("## ").and_then(|rest| rest.split(':').next()?.parse().ok());
        headings.extend(code.map(|code| (line, code)));
    }
    let mut quoted = BTreeMap::new();
    for (quote, line) in page.quotes() {
        let heading = headings.iter().rev().find(|(at, _)| *at < line);
        let code = heading.map_or(0, |(_, code)| *code);
        quoted.entry(code).or_insert_with(Vec::new).push(quote);
    }
    quoted
}

#[test]
fn what_is_unmet_is_there_still() {
    let said = said();
    let gone = UNMET.iter().find(|(text, _)| !said.iter().any(|said| said.text == *text));
    assert!(gone.is_none(), "no source has {gone:?}");
}

#[test]
fn every_exit_code_has_its_chapter() {
    let quoted = quoted();
    for kind in Kind::ALL {
        let code = kind.exit_code();
        assert!(quoted.contains_key(&code), "docs/troubleshooting.md says nothing of {code}");
    }
}

#[test]
fn every_quoted_message_is_in_the_sources() {
    let said = said();
    let mut wrong = Vec::new();
    for (code, quotes) in quoted() {
        for quote in quotes {
            let long = quote.split('…').map(str::len).sum::<usize>() > 6;
            if !long || !said.iter().any(|said| holds(&said.text, &quote)) {
                wrong.push(format!("under {code}: {quote}"));
            }
        }
    }
    assert!(wrong.is_empty(), "no program says\n{}", wrong.join("\n"));
}

#[test]
fn every_message_in_the_sources_is_quoted() {
    let quoted = quoted();
    let unmet = |text: &str| UNMET.iter().any(|(sentence, _)| *sentence == text);
    let mut missing = Vec::new();
    let mut looked = 0;
    for Said { text, kind, is_error, file } in said() {
        let whole = text.trim_matches(|c: char| c == '…' || c.is_whitespace());
        if !(is_error || kind.is_some()) || whole.len() < 4 || unmet(&text) {
            continue;
        }
        looked += 1;
        let code = kind.as_ref().map(|kind| {
            let named = |of: &Kind| format!("{of:?}") == *kind;
            Kind::ALL.into_iter().find(named).unwrap().exit_code()
        });
        let places = quoted.iter().filter(|(under, _)| code.is_none_or(|code| code == **under));
        if !places.flat_map(|(_, quotes)| quotes).any(|quote| holds(&text, quote)) {
            missing.push(format!("{}: {text} ({file})", code.unwrap_or_default()));
        }
    }
    missing.sort();
    assert!(looked > 100, "only {looked} sentences were looked at");
    let all = missing.join("\n");
    assert!(missing.is_empty(), "docs/troubleshooting.md, under its code, lacks\n{all}");
}
