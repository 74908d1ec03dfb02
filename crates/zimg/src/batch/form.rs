//! The form of a batch: lines of zimg and of the web UI, JSON documents, and the forms of other
//! programs that are refused.

use serde::de::IgnoredAny;
use zimg_client::params::{ForeignSetting, Parameter, folded};

/// A form that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignForm {
    /// What it is, after "the line".
    pub(super) what: &'static str,
    /// The command whose output is a batch. `FILE` stands for the file.
    pub(super) command: &'static str,
}

/// CSV to objects of JSON with the standard library of Python; {} is the separator.
const CSV: &str = "python3 -c 'import csv,json,sys; [print(json.dumps(r)) for r in \
                   csv.DictReader(sys.stdin)]' <FILE";
const CSV_SEMICOLON: &str = "python3 -c 'import csv,json,sys; [print(json.dumps(r)) for r in \
                             csv.DictReader(sys.stdin,delimiter=\";\")]' <FILE";
const CSV_TAB: &str = "python3 -c 'import csv,json,sys; [print(json.dumps(r)) for r in \
                       csv.DictReader(sys.stdin,delimiter=\"\\t\")]' <FILE";

/// Whether a line is blank or a comment: it begins with `#` or `//`. Lists of prompts for AUTOMATIC1111's
/// web UI, Forge, Dynamic Prompts and SwarmUI have the first, InvokeAI's and Forge's the second.
pub(super) fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#') || line.starts_with("//")
}

/// The prompt of a line without the backslash before a sign that would not begin a prompt.
pub(super) fn unescaped(line: &str) -> &str {
    match line.trim_start().strip_prefix('\\') {
        Some(rest) if !rest.is_empty() && (is_comment(rest) || is_item(rest)) => rest,
        _ => line,
    }
}

/// Whether a line is meant as an object of JSON. `{red|blue} fox`, a choice of Dynamic Prompts, is
/// not.
pub(super) fn is_object(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix('{') else { return false };
    matches!(rest.trim_start().chars().next(), None | Some('"' | '\'' | '}'))
}

/// Whether a text is meant as an array of JSON. `[cat|dog] in snow`, an alternation of the web UI,
/// is not.
pub(super) fn is_array(text: &str) -> bool {
    let Some(rest) = text.trim_start().strip_prefix('[') else { return false };
    matches!(rest.trim_start().chars().next(), Some('"' | '{' | '[' | ']'))
}

/// Whether a line begins a value of JSON that ends in another line.
pub(super) fn is_cut(line: &str) -> bool {
    let whole = serde_json::from_str::<IgnoredAny>(line);
    (is_object(line) || is_array(line) || line.trim() == "[") && whole.is_err_and(|e| e.is_eof())
}

/// Whether a text is one document of JSON, or several, and not one object a line. `lines` are those
/// of the text that are no comments; the text begins with the first.
pub(super) fn is_document<'a>(text: &str, mut lines: impl Iterator<Item = &'a str>) -> bool {
    is_array(text) || is_object(text) && lines.any(is_cut)
}

/// `- a fox` or `1. a fox`.
fn is_item(line: &str) -> bool {
    is_bullet(line) || is_numbered(line, |_| true)
}

/// `1. a fox` or `1) a fox`, with such a number.
fn is_numbered(line: &str, is_number: impl Fn(&str) -> bool) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = line.split_at(digits);
    (1..=3).contains(&digits)
        && is_number(number)
        && (rest.starts_with(". ") || rest.starts_with(") "))
}

/// A value of JSON that is no prompt: a number, `true`, or an array of them.
fn is_value(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| !value.is_string() && !value.is_object())
}

/// The foreign form that this line shows; some show only in the first line.
pub(super) fn foreign(line: &str, is_first: bool) -> Option<ForeignForm> {
    let form = |what, command| Some(ForeignForm { what, command });
    let text = line.trim();
    if is_cut(line) || is_array(line) {
        return form("has a part of a JSON document, and others are text", "jq -c . FILE");
    }
    if is_bullet(text) {
        return form("is a list's, as in YAML or Markdown", "sed 's/^ *[-*•] *//' FILE");
    }
    if is_first {
        if is_value(text) {
            return form("is a value of JSON, and no prompt", "");
        }
        if is_numbered(text, |number| number == "1") {
            return form("is a numbered list's", "sed 's/^ *[0-9]*[.)] *//' FILE");
        }
        if text.len() > 3 && text.starts_with('"') && text.ends_with("\",") {
            return form("is a part of a list of strings", "sed 's/, *$//' FILE");
        }
        let separators = [(',', CSV), (';', CSV_SEMICOLON), ('\t', CSV_TAB)];
        if let Some((_, command)) = separators.iter().find(|(sign, _)| is_header(text, *sign)) {
            return form("is a header, as in CSV", command);
        }
        if folded(text) == "prompt" {
            return form("is a header, as in CSV", CSV);
        }
        if matches!(folded(text).as_str(), "prompts:" | "prompt:" | "positive:") {
            return form("is a key, as in YAML", "yq -o=json -I=0 '.[][]' FILE");
        }
        let start = text.get(..5).unwrap_or_default().to_ascii_lowercase();
        if ["<!doc", "<html", "<?xml"].contains(&start.as_str()) {
            return form("is that of a web page or an XML file", "");
        }
    }
    let is_steps = text.strip_prefix("Steps: ").is_some_and(|rest| rest.contains(": "));
    if is_steps || text.starts_with("Negative prompt: ") {
        return form("is a part of an image's parameters text", "");
    }
    let lower = text.to_lowercase();
    if text == "---" || lower.starts_with("positive:") || lower.starts_with("negative:") {
        return form("is a separator or a key, as in YAML and in blocks of prompts", "");
    }
    if is_dream(text) {
        return form("has options of InvokeAI's command line", "");
    }
    None
}

/// `- a fox`, and a letter after it, or a star or a bullet.
fn is_bullet(line: &str) -> bool {
    ["- ", "* ", "• "].iter().any(|sign| line.starts_with(sign))
}

/// Names of parameters with this sign between them.
fn is_header(line: &str, sign: char) -> bool {
    let names: Vec<_> = line.split(sign).map(|name| name.trim().trim_matches('"')).collect();
    let is_known = |name: &&&str| {
        !name.is_empty()
            && (Parameter::named_or_alias(name).is_some() || ForeignSetting::named(name).is_some())
    };
    let has_prompt = names
        .iter()
        .any(|name| Parameter::named_or_alias(name).is_some_and(|(row, _)| row.name == "prompt"));
    names.len() > 1
        && has_prompt
        && names.iter().filter(is_known).count() >= 2.min(names.len())
        && names.iter().all(|name| name.len() <= 40 && name.split(' ').count() <= 2)
}

/// `"a unicorn" -n4 -H512 -S1234`
fn is_dream(line: &str) -> bool {
    let Some((_, options)) = line.strip_prefix('"').and_then(|rest| rest.split_once("\" ")) else {
        return false;
    };
    let is_option = |word: &str| {
        let mut letters = word.chars();
        letters.next() == Some('-') && letters.next().is_some_and(|c| c.is_ascii_alphabetic())
    };
    options.split_whitespace().next().is_some_and(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_told_from_prompts() {
        for line in ["# a", "#a", "  # a", "// a", "//", "", " \t"] {
            assert!(is_comment(line), "{line:?}");
        }
        for line in ["a # b", "\\# a", "http://x", "/ a", "a // b"] {
            assert!(!is_comment(line), "{line:?}");
        }
        for (line, prompt) in [
            ("\\#1 dad mug", "#1 dad mug"),
            ("\\// slashes", "// slashes"),
            ("\\- a", "- a"),
            ("\\1. FC Union", "1. FC Union"),
            ("\\(a\\)", "\\(a\\)"),
            ("\\", "\\"),
            ("a \\# b", "a \\# b"),
        ] {
            assert_eq!(unescaped(line), prompt);
        }
    }

    #[test]
    fn json_is_told_from_choices_of_other_programs() {
        for line in ["{\"prompt\":1}", "{ \"a\"", "{", "{}", "{'prompt': 'a'}"] {
            assert!(is_object(line), "{line}");
        }
        for line in ["{red|blue} fox", "{2$$a|b}", "a {\"b\"}", "{prompt} x"] {
            assert!(!is_object(line), "{line}");
        }
        for text in ["[\"a\"]", "[ {", "[\n{", "[]", "[[\"a\"]]"] {
            assert!(is_array(text), "{text}");
        }
        for text in ["[cat|dog] x", "[from:to:0.5]", "[", "a [\"b\"]"] {
            assert!(!is_array(text), "{text}");
        }
    }

    #[test]
    fn foreign_forms_are_known_by_a_line() {
        for (line, what) in [
            ("- a red circle", "is a list's"),
            ("* a red circle", "is a list's"),
            ("• a red circle", "is a list's"),
            ("prompt,steps,seed", "is a header"),
            ("\"prompt\",\"negative_prompt\"", "is a header"),
            ("id;prompt;width;height", "is a header"),
            ("prompt\tseed", "is a header"),
            ("Prompt", "is a header"),
            ("prompts:", "is a key"),
            ("<!DOCTYPE html>", "is that of a web page"),
            ("<?xml version=\"1.0\"?>", "is that of a web page"),
            ("Steps: 20, Sampler: Euler a, CFG scale: 7", "is a part of an image's"),
            ("Negative prompt: blur", "is a part of an image's"),
            ("positive:a fox", "is a separator or a key"),
            ("---", "is a separator or a key"),
            ("false", "is a value of JSON"),
            ("null", "is a value of JSON"),
            ("-7.5", "is a value of JSON"),
            ("[1, 2]", "is a value of JSON"),
            ("[]", "has a part of a JSON document"),
            ("1. a red circle", "is a numbered list's"),
            ("1) a red circle", "is a numbered list's"),
            ("\"a red circle\",", "is a part of a list of strings"),
            ("\"a unicorn\" -n4 -H512 -W640 -S1234", "has options of InvokeAI's"),
            ("[", "has a part of a JSON document"),
            ("{", "has a part of a JSON document"),
        ] {
            let found = foreign(line, true).unwrap_or_else(|| panic!("{line}"));
            assert!(found.what.starts_with(what), "{line}: {}", found.what);
        }
    }

    #[test]
    fn prompts_are_no_foreign_form() {
        for line in [
            "a red circle",
            "a fox, a hen, and a text that says \"prompt\"",
            "prompt engineering, a poster",
            "text, white background",
            "portrait, text",
            "steps: a stairway to heaven",
            "\"OPEN\" on a shop sign",
            "well-known place - at night",
            "-5 degrees",
            "2. Bundesliga, a stadium",
            "1.5 foxes",
            "1000. of its kind",
            "\"a fox\", a sign says",
            "nullify",
            "-- a dash",
            "*ring* of a phone",
            "<lora:x:1> a fox",
            "[cat|dog] in snow",
            "{red|blue} fox",
            "{\"prompt\":\"a\"}",
            "negative space, a poster",
        ] {
            assert_eq!(foreign(line, true), None, "{line}");
        }
    }
}
