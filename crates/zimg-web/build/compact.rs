//! Assets without what only their authors read: comments, indentation, blank lines.
//!
//! The rules are line by line and no parser: `tests/page.rs` holds the page's files to what they
//! assume.

/// The text of an asset as it is served, by its extension.
pub(crate) fn compact(extension: &str, text: &str) -> String {
    match extension {
        "js" => statements(&lines(&without_comments(text), |line| !line.starts_with("//"))),
        "css" => {
            let mut text = lines(&without_comments(text), |_| true).concat();
            for (long, short) in [
                (": ", ":"),
                ("; ", ";"),
                (", ", ","),
                (" {", "{"),
                ("{ ", "{"),
                (" }", "}"),
                (";}", "}"),
                (" > ", ">"),
                (":0.", ":."),
                (" 0.", " ."),
            ] {
                text = text.replace(long, short);
            }
            text
        }
        // A line is a text with its key.
        "json" => {
            lines(text, |_| true).iter().map(|line| line.replacen("\": ", "\":", 1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// Lines of JavaScript without the semicolons that a line's end stands for: those before a line that
/// could not go on with the one above.
fn statements(lines: &[&str]) -> String {
    let goes_on = |line: &str| line.starts_with(['(', '[', '`', '+', '-', '*', '/', '.', ',', '?']);
    let next = lines.iter().skip(1).map(Some).chain([None]);
    let kept = lines.iter().zip(next).map(|(line, next)| match line.strip_suffix(';') {
        Some(statement) if !next.is_some_and(|next| goes_on(next)) => statement,
        _ => line,
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        let after = comment.split_once("*/").map_or("", |(_, after)| after);
        // One space is left of those on both sides.
        let is_between = kept.ends_with([' ', '(', '\n']);
        rest = after.strip_prefix(' ').filter(|_| is_between).unwrap_or(after);
    }
    kept + rest
}

fn lines(text: &str, is_kept: impl Fn(&str) -> bool) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && is_kept(line)).collect()
}
