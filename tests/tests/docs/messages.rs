//! docs/troubleshooting.md quotes the sentences that a user can meet, under the exit codes that
//! they come with. They are read from the sources here: what is quoted is said by a program, and
//! what a program says is quoted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use zimg_protocol::Kind;

use crate::markdown::{Paper, top};

/// A string in the sources.
#[derive(Clone, Debug)]
struct Said {
    /// With `…` for what is put in.
    text: String,
    /// Of a failure that is made of it just there, the kind.
    kind: Option<String>,
    /// It is a typed error's sentence.
    is_error: bool,
    file: String,
}

/// Sentences that nobody meets, and why.
const UNMET: &[(&str, &str)] = &[
    ("a picture without a name", "names are given before anything is drawn"),
    ("nobody waits any more", "is said to him who has left"),
    ("nothing is open yet", "is replaced before anybody asks"),
    ("nothing is kept any more", "comes after the last client has gone"),
    ("…, but …", "two of *… speaks protocol …*"),
    ("no socket: …", "the system has no descriptor left: said where a worker cannot be started"),
    ("there is no other worker", "nothing is read where a conversation is only tried"),
];

/// All strings of the programs, but for those of their tests.
fn said() -> Vec<Said> {
    fn walk(folder: &Path, said: &mut Vec<Said>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                walk(&path, said);
            } else if name.ends_with(".rs") && !matches!(name, "tests.rs" | "faults.rs") {
                let file = path.strip_prefix(top()).unwrap().display().to_string();
                let tokens: TokenStream = fs::read_to_string(&path).unwrap().parse().unwrap();
                read(tokens, &file, said);
            }
        }
    }
    let mut said = Vec::new();
    for crate_ in fs::read_dir(top().join("crates")).unwrap() {
        walk(&crate_.unwrap().path().join("src"), &mut said);
    }
    said
}

fn read(tokens: TokenStream, file: &str, said: &mut Vec<Said>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match (token, tokens.get(at + 1)) {
            (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)))
                if hash.as_char() == '#' =>
            {
                let text = attribute.stream().to_string();
                if text.starts_with("error") {
                    let text = first_string(attribute.stream());
                    let say = |text| Said { text, kind: None, is_error: true, file: file.into() };
                    said.extend(text.map(say));
                }
                at += 1;
                if text == "cfg (test)" || text == "cfg(test)" {
                    while !ends_item(&tokens[at + 1]) {
                        at += 1;
                    }
                    at += 1;
                }
            }
            (TokenTree::Group(group), _) => read(group.stream(), file, said),
            (TokenTree::Literal(_), _) => {
                let text = first_string(token.clone().into());
                let say = |text| Said { text, kind: None, is_error: false, file: file.into() };
                said.extend(text.map(say));
            }
            (TokenTree::Ident(name), _) if name == "Failure" => {
                if let Some((kind, text)) = failure(&tokens[at + 1..]) {
                    let kind = Some(kind);
                    said.push(Said { text, kind, is_error: false, file: file.to_owned() });
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Whether an item ends with this.
fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    }
}

/// `::new(Kind::K, "…")`: the kind and the sentence.
fn failure(behind: &[TokenTree]) -> Option<(String, String)> {
    let [_, _, TokenTree::Ident(new), TokenTree::Group(given), ..] = behind else { return None };
    let given: Vec<_> = given.stream().into_iter().collect();
    let [TokenTree::Ident(kind), _, _, TokenTree::Ident(which), _, text @ ..] = &given[..] else {
        return None;
    };
    let text = match text {
        [TokenTree::Literal(literal), ..] => first_string(TokenTree::from(literal.clone()).into()),
        [TokenTree::Ident(format), _, TokenTree::Group(group), ..] if format == "format" => {
            first_string(group.stream())
        }
        _ => None,
    };
    (new == "new" && kind == "Kind").then_some((which.to_string(), text?))
}

/// The string that these begin with, as a user reads it.
fn first_string(tokens: TokenStream) -> Option<String> {
    let token = tokens.into_iter().find_map(|token| match token {
        TokenTree::Literal(literal) => Some(literal.to_string()),
        TokenTree::Group(group) => Some(format!("\"{}\"", first_string(group.stream())?)),
        _ => None,
    })?;
    let raw = token.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('\n') => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            '{' if characters.next_if_eq(&'{').is_none() => {
                while characters.next().is_some_and(|c| c != '}') {}
                text.push('…');
            }
            '}' => {
                characters.next_if_eq(&'}');
                text.push('}');
            }
            other => text.push(other),
        }
    }
    Some(text)
}

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
    let paper = Paper::read("docs/troubleshooting.md");
    let mut headings: Vec<(usize, u8)> = Vec::new();
    for (line, text) in (1..).zip(paper.text.lines()) {
        let code = text.strip_prefix("## ").and_then(|rest| rest.split(':').next()?.parse().ok());
        headings.extend(code.map(|code| (line, code)));
    }
    let mut quoted = BTreeMap::new();
    for (quote, line) in paper.quotes() {
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
    assert!(gone.is_none(), "nobody says {gone:?}");
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
fn what_is_quoted_is_said() {
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
fn what_is_said_is_quoted() {
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
