//! File name patterns: `{seed}`, `{index}`, `{prompt}`, `{date}`, `{time}`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use jiff::ZonedDateTime;
use zimg_client::Failure;

use super::error::usage;
use super::slug::slug;

/// Characters of a prompt in a name by default.
const PROMPT_LENGTH: usize = 60;
/// The limit: a file name has at most 255 bytes, and a character up to four.
const PROMPT_LENGTH_MAX: usize = 60;
/// The most digits: as many as the largest seed has.
const DIGITS_MAX: usize = 20;

/// Date and time for file names, the same for all images of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// `2026-11-24`
    pub(crate) date: String,
    /// `083217`
    pub(crate) time: String,
}

impl LocalTime {
    /// From the system's clock and time zone.
    pub(crate) fn local() -> Self {
        let now = ZonedDateTime::now();
        Self {
            date: now.strftime("%Y-%m-%d").to_string(),
            time: now.strftime("%H%M%S").to_string(),
        }
    }
}

/// The values of the placeholders for one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceholderValues<'a> {
    pub(crate) seed: u64,
    /// From 1.
    pub(crate) index: u64,
    pub(crate) prompt: &'a str,
    pub(crate) now: &'a LocalTime,
}

/// The pattern for `count` images from `-o`: `default` without it or for a directory, numbered if
/// several images would have one name.
pub(crate) fn complete(
    output: Option<&OsStr>,
    default: &OsStr,
    count: u32,
) -> Result<OsString, Failure> {
    let Some(output) = output else { return Ok(number(default, count)) };
    if output.is_empty() {
        return Err(usage("-o is empty, expected a file name".to_owned()));
    }
    if output.as_bytes().ends_with(b"/") || Path::new(output).is_dir() {
        return Ok(number(Path::new(output).join(default).as_os_str(), count));
    }
    Ok(number(output, count))
}

fn number(pattern: &OsStr, count: u32) -> OsString {
    if count <= 1 || has(pattern, "seed") || has(pattern, "index") {
        return pattern.to_owned();
    }
    let digits = count.ilog10() + 1;
    inserted(pattern, &format!("-{{index:0{digits}}}"))
}

/// The pattern with this text before the last dot of its file name.
pub(crate) fn inserted(pattern: &OsStr, text: &str) -> OsString {
    let bytes = pattern.as_bytes();
    let name_starts = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = bytes[name_starts..].iter().rposition(|byte| *byte == b'.');
    let (stem, extension) = bytes.split_at(dot.map_or(bytes.len(), |dot| name_starts + dot));
    OsString::from_vec([stem, text.as_bytes(), extension].concat())
}

/// Whether the pattern has this placeholder.
pub(crate) fn has(pattern: &OsStr, name: &str) -> bool {
    let plain = pattern.to_string_lossy().replace("{{", "");
    plain.contains(&format!("{{{name}}}")) || plain.contains(&format!("{{{name}:"))
}

/// The pattern with the values of one image.
pub(crate) fn fill(pattern: &OsStr, values: PlaceholderValues<'_>) -> Result<OsString, Failure> {
    let mut filled = Vec::with_capacity(pattern.len() + 8);
    let mut rest = pattern.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'{' | b'}')) {
        filled.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let [brace @ b'{', b'{', after @ ..] | [brace @ b'}', b'}', after @ ..] = rest {
            filled.push(*brace);
            rest = after;
            continue;
        }
        let end = rest.iter().position(|byte| *byte == b'}');
        let name = end.and_then(|end| str::from_utf8(rest.get(1..end)?).ok());
        let value = name.and_then(|name| placeholder(name, values));
        let Some((value, end)) = value.zip(end) else {
            return Err(usage(format!("-o {} has an unknown placeholder", pattern.display()))
                .hint("known are {seed}, {index}, {index:04}, {prompt}, {date} and {time}; {{ and }} stand for braces"));
        };
        filled.extend_from_slice(value.as_bytes());
        rest = &rest[end + 1..];
    }
    filled.extend_from_slice(rest);
    Ok(OsString::from_vec(filled))
}

/// The value of a placeholder, which may have a width: digits in `seed:04`, at most 20 characters
/// in `prompt:20`.
fn placeholder(name: &str, values: PlaceholderValues<'_>) -> Option<String> {
    let (name, width) = match name.split_once(':') {
        Some((name, width)) => (name, Some(width)),
        None => (name, None),
    };
    let number = |value: u64| {
        let width = match width {
            Some(width) => width.strip_prefix('0')?.parse().ok()?,
            None => 0,
        };
        (width <= DIGITS_MAX).then(|| format!("{value:0width$}"))
    };
    match (name, width) {
        ("seed", _) => number(values.seed),
        ("index", _) => number(values.index),
        ("prompt", None) => Some(slug(values.prompt, PROMPT_LENGTH)),
        ("prompt", Some(width)) => {
            let width = width.parse().ok().filter(|w| (1..=PROMPT_LENGTH_MAX).contains(w))?;
            Some(slug(values.prompt, width))
        }
        ("date", None) => Some(values.now.date.clone()),
        ("time", None) => Some(values.now.time.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::Kind;

    fn filled(pattern: impl AsRef<OsStr>, seed: u64, index: u64) -> Result<OsString, Failure> {
        let now = LocalTime { date: "2026-11-24".to_owned(), time: "083217".to_owned() };
        fill(
            pattern.as_ref(),
            PlaceholderValues { seed, index, prompt: "A red fox, in the snow!", now: &now },
        )
    }

    fn planned(output: Option<&str>, count: u32) -> Vec<OsString> {
        let output = output.map(OsStr::new);
        let pattern = complete(output, "zimg-{seed}.png".as_ref(), count).unwrap();
        (0..u64::from(count)).map(|i| filled(&pattern, 7 + i, 1 + i).unwrap()).collect()
    }

    #[test]
    fn names_come_from_the_pattern() {
        assert_eq!(planned(None, 1), ["zimg-7.png"]);
        assert_eq!(planned(None, 2), ["zimg-7.png", "zimg-8.png"]);
        assert_eq!(planned(Some("a.png"), 1), ["a.png"]);
        assert_eq!(planned(Some("a.b.png"), 2), ["a.b-1.png", "a.b-2.png"]);
        assert_eq!(planned(Some("d.x/a"), 2), ["d.x/a-1", "d.x/a-2"]);
        assert_eq!(planned(Some("a.png"), 12)[8..10], ["a-09.png", "a-10.png"]);
        assert_eq!(planned(Some("{seed}/{index:04}.png"), 2), ["7/0001.png", "8/0002.png"]);
        assert_eq!(planned(Some("{{x}}-{index}.png"), 2), ["{x}-1.png", "{x}-2.png"]);
        assert_eq!(planned(Some("{{x}}.png"), 2), ["{x}-1.png", "{x}-2.png"]);
        assert_eq!(planned(Some("é{seed}ü.png"), 1), ["é7ü.png"]);
        assert_eq!(planned(Some("/tmp/"), 1), ["/tmp/zimg-7.png"]);
        let named = "{date}/{time}-{prompt}.png";
        assert_eq!(planned(Some(named), 1), ["2026-11-24/083217-A-red-fox-in-the-snow.png"]);
        assert_eq!(planned(Some("{prompt:9}.png"), 2), ["A-red-fox-1.png", "A-red-fox-2.png"]);
    }

    #[test]
    fn names_are_bytes() {
        let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
        for (pattern, count, name) in [
            (&b"caf\xe9.png"[..], 1, &b"caf\xe9.png"[..]),
            (b"caf\xe9.png", 2, b"caf\xe9-1.png"),
            (b"\xff/{index}-\xe9{{.png", 2, b"\xff/1-\xe9{.png"),
            (b"\xe9/", 1, b"\xe9/zimg-7.png"),
        ] {
            let pattern = complete(Some(&bytes(pattern)), "zimg-{seed}.png".as_ref(), count);
            assert_eq!(filled(pattern.unwrap(), 7, 1).unwrap(), bytes(name));
        }
        assert_eq!(filled(bytes(b"{\xe9}"), 1, 1).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        for bad in [
            "{x}",
            "{",
            "}",
            "{seed",
            "{index:4}",
            "{index:}",
            "{index:099}",
            "{}",
            "{prompt:0}",
            "{prompt:61}",
            "{prompt:x}",
            "{date:4}",
        ] {
            assert_eq!(filled(bad, 1, 1).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn now_is_a_day_and_a_time() {
        let now = LocalTime::local();
        assert_eq!((now.date.len(), now.time.len()), (10, 6));
    }
}
