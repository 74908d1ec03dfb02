//! Messages in the sources, and the kinds of failures that are built from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::markdown::top;

/// A string in the sources.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// With `…` for what is put in.
    pub(crate) text: String,
    /// Of a failure that is made of it just there, the kind.
    pub(crate) kind: Option<String>,
    /// It is a typed error's sentence.
    pub(crate) is_error: bool,
    pub(crate) file: String,
}

/// All strings of the programs, but for those of their tests.
pub(crate) fn said() -> Vec<Said> {
    fn walk(folder: &Path, said: &mut Vec<Said>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                walk(&path, said);
            } else if name.ends_with(".rs") && !matches!(name, "tests.rs" | "faults.rs") {
                let file = path.strip_prefix(top()).unwrap().display().to_string();
                let tokens: TokenStream = fs::read_to_string(&path).unwrap().parse().unwrap();
                let mut names = Names::default();
                helpers(tokens.clone(), &mut names);
                read(tokens, &file, &mut names, said);
            }
        }
    }
    let mut said = Vec::new();
    for crate_ in fs::read_dir(top().join("crates")).unwrap() {
        walk(&crate_.unwrap().path().join("src"), &mut said);
    }
    said
}

/// What names in a file stand for.
#[derive(Default)]
struct Names {
    /// The sentences that variables were given last: `let message = format!("…")`.
    sentences: BTreeMap<String, String>,
    /// The kinds of failures that functions and closures make of a sentence.
    helpers: BTreeMap<String, String>,
}

/// Finds functions and closures that make a failure of the sentence that they are given.
fn helpers(tokens: TokenStream, names: &mut Names) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut last = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "fn" || word == "let" => {
                last = tokens.get(at + 1).map(ToString::to_string);
            }
            TokenTree::Group(group) => {
                let body: Vec<_> = group.stream().into_iter().collect();
                let is_body = group.delimiter() == Delimiter::Brace;
                if let (true, Some(name), Some(kind)) = (is_body, &last, made(&body)) {
                    names.helpers.insert(name.clone(), kind);
                }
                helpers(group.stream(), names);
            }
            TokenTree::Punct(bar) if bar.as_char() == '|' => {
                if let (Some(name), Some(kind)) = (&last, made(&tokens[at + 1..])) {
                    names.helpers.insert(name.clone(), kind);
                }
            }
            TokenTree::Punct(end) if end.as_char() == ';' => last = None,
            _ => {}
        }
    }
}

/// The kind, if these begin with `Failure::new(Kind::K, name)`.
fn made(tokens: &[TokenTree]) -> Option<String> {
    let [TokenTree::Ident(failure), _, _, _, TokenTree::Group(given), ..] = tokens else {
        return None;
    };
    let given: Vec<_> = given.stream().into_iter().collect();
    match &given[..] {
        [_, _, _, TokenTree::Ident(kind), _, TokenTree::Ident(_)] if failure == "Failure" => {
            Some(kind.to_string())
        }
        _ => None,
    }
}

fn read(tokens: TokenStream, file: &str, names: &mut Names, said: &mut Vec<Said>) {
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
            (TokenTree::Group(group), _) => read(group.stream(), file, names, said),
            (TokenTree::Literal(_), _) => {
                let text = first_string(token.clone().into());
                let say = |text| Said { text, kind: None, is_error: false, file: file.into() };
                said.extend(text.map(say));
            }
            (TokenTree::Ident(name), _) if name == "Failure" => {
                if let Some((kind, text)) = failure(&tokens[at + 1..], names) {
                    let kind = Some(kind);
                    said.push(Said { text, kind, is_error: false, file: file.to_owned() });
                }
            }
            (TokenTree::Ident(name), Some(TokenTree::Group(given)))
                if names.helpers.contains_key(&name.to_string()) =>
            {
                let given: Vec<_> = given.stream().into_iter().collect();
                let kind = names.helpers.get(&name.to_string()).cloned();
                let say = |text| Said { text, kind, is_error: false, file: file.to_owned() };
                said.extend(sentence(&given).map(say));
            }
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "let" => {
                if let Some(text) = tokens.get(at + 3..).and_then(sentence) {
                    names.sentences.insert(name.to_string(), text);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// The sentence that an expression is: a string, or `format!` of one.
fn sentence(tokens: &[TokenTree]) -> Option<String> {
    match tokens {
        [TokenTree::Literal(literal), ..] => first_string(TokenTree::from(literal.clone()).into()),
        [TokenTree::Ident(format), _, TokenTree::Group(group), ..] if format == "format" => {
            first_string(group.stream())
        }
        _ => None,
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

/// `::new(Kind::K, "…")`, or with a variable: the kind and the sentence.
fn failure(behind: &[TokenTree], names: &Names) -> Option<(String, String)> {
    let [_, _, TokenTree::Ident(new), TokenTree::Group(given), ..] = behind else { return None };
    let given: Vec<_> = given.stream().into_iter().collect();
    let [TokenTree::Ident(kind), _, _, TokenTree::Ident(which), _, text @ ..] = &given[..] else {
        return None;
    };
    let text = match text {
        [TokenTree::Ident(name)] => names.sentences.get(&name.to_string()).cloned(),
        text => sentence(text),
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
