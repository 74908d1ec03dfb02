//! The web page: one set of texts in both languages, none in code, no inline script or style, and
//! a size that loads at once. Chromium runs the rest of its tests (`make page-test`).

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "../build/compact.rs"]
mod compact;

/// Files that the page loads after the first sight. `tests/page/budget.test.mjs` sees what the
/// browser really loads.
const LATER: [&str; 16] = [
    "copy.js",
    "drop.js",
    "events.js",
    "help.js",
    "keys.js",
    "later.css",
    "link.js",
    "loras.js",
    "paint.js",
    "references.js",
    "sign-in.js",
    "viewer.js",
    "text/en-later.json",
    "text/zh-later.json",
    // The other language.
    "text/en.json",
    "text/zh.json",
];
const FIRST_MAX: usize = 60 << 10;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("page")
}

/// Every file of the page with its text, by its path.
fn files() -> BTreeMap<String, String> {
    fn gather(folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, found);
                continue;
            }
            let name = path.strip_prefix(page()).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let mut found = BTreeMap::new();
    gather(&page(), &mut found);
    found
}

fn of_kind(extension: &str) -> impl Iterator<Item = (String, String)> {
    let suffix = format!(".{extension}");
    files().into_iter().filter(move |(name, _)| name.ends_with(&suffix))
}

/// The texts of a language, of all its files.
fn texts(language: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, text) in files() {
        if !name.starts_with(&format!("text/{language}")) {
            continue;
        }
        let part: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        for (key, text) in part {
            assert!(all.insert(key.clone(), text).is_none(), "{key} is in two files");
        }
    }
    all
}

/// The names in braces, which code fills in.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

/// The string literals of a module without comments; templates are cut at their expressions.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = code.chars().peekable();
    while let Some(quote) = letters.next() {
        if !matches!(quote, '"' | '\'' | '`') {
            continue;
        }
        let mut literal = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                _ if letter == quote => break,
                '\\' => literal.extend(letters.next()),
                '$' if quote == '`' && letters.peek() == Some(&'{') => {
                    found.push(std::mem::take(&mut literal));
                    let mut depth = 0;
                    for inner in letters.by_ref() {
                        depth += i32::from(inner == '{') - i32::from(inner == '}');
                        if depth == 0 {
                            break;
                        }
                    }
                }
                _ => literal.push(letter),
            }
        }
        found.push(literal);
    }
    found
}

/// Whether a literal is something that people read.
fn is_text(literal: &str) -> bool {
    // Names of keys, methods, headers and of the program.
    const NAMES: [&str; 6] = ["Content-Type", "Files", "Ctrl", "Enter", "Esc", "Escape"];
    let words = literal.split(' ').filter(|word| word.chars().all(char::is_alphabetic)).count();
    let capital = literal.chars().next().is_some_and(|first| first.is_uppercase());
    let is_name = NAMES.contains(&literal)
        || literal.starts_with("Arrow")
        || literal.chars().all(|letter| letter.is_ascii_uppercase());
    let is_path = literal.chars().any(|letter| letter.is_ascii_digit()) && capital;
    (capital && !is_name && !is_path && words > 0)
        || literal.ends_with('.') && words > 1
        || literal.chars().any(|letter| ('\u{2e80}'..='\u{ffee}').contains(&letter))
}

#[test]
fn both_languages_have_the_same_texts_with_the_same_places() {
    let (english, chinese) = (texts("en"), texts("zh"));
    assert!(english.len() > 100);
    let keys = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&english), keys(&chinese));
    for (key, text) in &english {
        assert_eq!(places(text), places(&chinese[key]), "{key}");
        assert!(!text.trim().is_empty() && !chinese[key].trim().is_empty(), "{key}");
    }
    // The files of both have the same keys, too.
    for part in ["", "-later"] {
        let file = |language: &str| {
            let text = fs::read_to_string(page().join(format!("text/{language}{part}.json")));
            let texts: BTreeMap<String, String> = serde_json::from_str(&text.unwrap()).unwrap();
            texts.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(file("en"), file("zh"), "{part}");
    }
}

#[test]
fn every_text_is_used_and_every_used_text_is_there() {
    let texts = texts("en");
    let code: Vec<String> =
        of_kind("js").flat_map(|(_, code)| literals(&compact::compact("js", &code))).collect();
    for key in texts.keys() {
        // Keys with a variable part: `daemon.${state}`.
        let family = key.split_once('.').map(|(family, _)| format!("{family}."));
        assert!(
            code.iter().any(|literal| literal == key || Some(literal) == family.as_ref()),
            "{key} is not used"
        );
    }
    for (name, module) in of_kind("js") {
        for call in module.split("t(\"").skip(1) {
            let key = call.split('"').next().unwrap();
            // `t` is a function of its own and the end of other names.
            let is_key = key.starts_with(|letter: char| letter.is_ascii_lowercase())
                && !key.contains(['-', ' ', '#', '[', '/']);
            let before = &module[..module.find(&format!("t(\"{key}\"")).unwrap()];
            if is_key && !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '.')
            {
                assert!(texts.contains_key(key), "{name}: there is no text {key}");
            }
        }
    }
}

#[test]
fn no_text_stands_in_code() {
    for (name, code) in of_kind("js") {
        let found: Vec<String> = literals(&compact::compact("js", &code))
            .into_iter()
            .filter(|literal| is_text(literal))
            .collect();
        assert!(found.is_empty(), "{name}: {found:?} belong into text/*.json");
    }
    for text in ["Generate", "Nothing to see.", "Images stay", "图像", "it has no effect."] {
        assert!(is_text(text), "{text}");
    }
    for name in [
        "param-prompt",
        "GET",
        "icon narrow",
        "ArrowUp",
        "M6 6l12 12M18 6L6 18",
        "(min-width: 900px)",
        ".",
    ] {
        assert!(!is_text(name), "{name}");
    }
}

#[test]
fn no_script_or_style_is_inline_and_no_text_becomes_markup() {
    for (name, page) in of_kind("html") {
        let lower = page.to_lowercase();
        assert!(
            !lower.contains("<style") && !lower.contains(" style=") && !lower.contains(" on"),
            "{name}"
        );
        for script in lower.split("<script").skip(1) {
            assert!(
                script.starts_with(" type=\"module\" src=") && script.contains("></script>"),
                "{name}"
            );
        }
    }
    for (name, code) in of_kind("js") {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "setAttribute(\"style\"",
            "http:/",
        ] {
            let found = code.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(forbidden), "{name}: {forbidden}");
        }
    }
}

#[test]
fn the_first_sight_is_at_most_sixty_kilobytes() {
    let served: BTreeMap<String, usize> = files()
        .iter()
        .map(|(name, text)| {
            let extension = name.rsplit('.').next().unwrap();
            (name.clone(), compact::compact(extension, text).len())
        })
        .collect();
    let first: usize = served
        .iter()
        .filter(|(name, _)| !LATER.contains(&name.as_str()))
        .map(|(_, length)| length)
        .sum();
    for language in ["en", "zh"] {
        let sum = first + served[&format!("text/{language}.json")];
        assert!(sum <= FIRST_MAX, "{language}: {sum} bytes of {FIRST_MAX}: {served:?}");
    }
    for name in LATER {
        assert!(served.contains_key(name), "{name} is no longer there");
    }
}

/// What `compact` assumes: a sign of a comment begins one, and no template has several lines.
#[test]
fn the_files_can_be_compacted_line_by_line() {
    for (name, code) in of_kind("js") {
        for (at, line) in code.lines().enumerate() {
            let is_comment = line.trim_start().starts_with(['*', '/']);
            assert!(
                is_comment || line.matches('`').count() % 2 == 0,
                "{name}:{}: a template of several lines",
                at + 1
            );
        }
        assert_eq!(code.matches("/*").count(), code.matches("*/").count(), "{name}");
        assert!(
            !code.contains("\"/*") && !code.contains("*\""),
            "{name}: a comment sign in a literal"
        );
    }
    for (name, text) in of_kind("json") {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&text), read(&compact::compact("json", &text)), "{name}");
    }
    let css = "/* a */\n.a, .b { color: red; }\n@media (width < 9px) {\n  .c::before { content: \"·\"; }\n}\n";
    assert_eq!(
        compact::compact("css", css),
        ".a,.b{color:red}@media (width < 9px){.c::before{content:\"·\"}}"
    );
    let js = "// A module.\n\n/** @param {string} a */\nexport const f = (/** @type {any} */ a) => {\n  return \"http://a\"; // why\n};\n";
    assert_eq!(
        compact::compact("js", js),
        "export const f = (a) => {\nreturn \"http://a\"; // why\n}\n"
    );
    // A line that could go on with the one above keeps them apart.
    let js = "let a = b;\n(c);\nd = a;\n[e] = f;\ng = d;\nh();\n";
    assert_eq!(compact::compact("js", js), "let a = b;\n(c)\nd = a;\n[e] = f\ng = d\nh()\n");
}
