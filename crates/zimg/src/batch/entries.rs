//! The entries of a batch: a prompt, an object or a line of options each. A file is read and judged
//! as a whole before anything is generated; a pipe, whose lines may come hours apart, by its first
//! line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use zimg_client::limits::PROMPT_BYTES;
use zimg_client::{Failure, Kind};
use zimg_text::{TextError, decode, shell_word};

use super::form::{self, ForeignForm, is_comment};
use super::lines::{Line, Lines};

/// The longest entry: prompt and negative prompt with each character escaped.
const ENTRY_MAX: usize = 16 * PROMPT_BYTES;
/// The longest file, and the longest JSON document on a pipe.
const FILE_MAX: u64 = 1 << 30;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its first line, from 1.
    pub(super) line: u64,
    pub(super) text: String,
}

/// The entries of a batch, and the position in them.
pub(super) enum Entries {
    /// All that are left.
    Whole(VecDeque<Entry>),
    /// The first, and the lines after it.
    Stream { first: Option<Entry>, lines: Lines },
}

impl Entries {
    /// Opens a file, or for "-" standard input.
    ///
    /// # Errors
    ///
    /// `Io`: it cannot be read. `Refused`: it is no batch.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let source = Source::new(path);
        let file = if path == Path::new("-") {
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(|e| source.unreadable(&e))?)
        } else {
            File::open(path).map_err(|error| source.unreadable(&error))?
        };
        let metadata = file.metadata().map_err(|error| source.unreadable(&error))?;
        if metadata.is_dir() {
            let message = format!("{} is a directory, expected a file of prompts", source.name);
            return Err(Failure::new(Kind::Io, message).hint("give a file with one prompt a line"));
        }
        if !metadata.is_file() {
            return Self::stream(Lines::new(Box::new(BufReader::new(file)), ENTRY_MAX), &source);
        }
        let mut bytes = Vec::new();
        let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| source.unreadable(&error))?;
        Ok(Self::Whole(whole(&bytes, &source)?))
    }

    fn stream(mut lines: Lines, source: &Source) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| source.unreadable(&error);
        while let Some(Line { number, bytes }) = lines.next().map_err(unreadable)? {
            // The first line of another encoding has its byte order mark, or every second byte zero.
            let text = decode(&bytes).map_err(|error| source.no_text(&error))?;
            if is_comment(&text) {
                continue;
            }
            if form::is_document(&text, [&*text].into_iter()) || text.trim() == "[" {
                let mut bytes = [bytes, b"\n".to_vec()].concat();
                bytes.append(&mut lines.rest(FILE_MAX).map_err(unreadable)?);
                let text = text_of(&bytes, source)?;
                if form::is_document(&text, [&*text].into_iter()) {
                    return Ok(Self::Whole(document(&text, number, source)?));
                }
                // `[` alone was a prompt, however unlikely.
                return Ok(Self::Whole(whole(text.as_bytes(), source)?));
            }
            if let Some(foreign) = form::foreign(&text, true) {
                return Err(source.foreign(number, &foreign));
            }
            return Ok(Self::Stream { first: Some(Entry { line: number, text }), lines });
        }
        Ok(Self::Whole(VecDeque::new()))
    }

    /// All entries, if they are known before the first is generated.
    pub(super) fn known(&self) -> Option<&VecDeque<Entry>> {
        match self {
            Self::Whole(entries) => Some(entries),
            Self::Stream { .. } => None,
        }
    }

    /// The next entry; none at the end. A failure has the line.
    pub(super) fn next(&mut self) -> Option<Result<Entry, (u64, Failure)>> {
        let entry = match self {
            Self::Whole(entries) => entries.pop_front(),
            Self::Stream { first, lines } => match first.take() {
                Some(entry) => Some(entry),
                None => match next_line(lines) {
                    Ok(entry) => entry,
                    // A read error is the last entry.
                    Err((line, failure)) => {
                        if failure.kind == Kind::Io {
                            *self = Self::Whole(VecDeque::new());
                        }
                        return Some(Err((line, failure)));
                    }
                },
            },
        }?;
        if entry.text.len() > ENTRY_MAX {
            let message = format!("the line is longer than {ENTRY_MAX} bytes");
            return Some(Err((entry.line, Failure::new(Kind::Refused, message))));
        }
        Some(Ok(entry))
    }
}

/// The next line of a stream that is no comment.
fn next_line(lines: &mut Lines) -> Result<Option<Entry>, (u64, Failure)> {
    loop {
        let line = lines.next().map_err(|error| {
            (0, Failure::new(Kind::Io, format!("cannot read the batch: {error}")))
        })?;
        let Some(Line { number, bytes }) = line else { return Ok(None) };
        let refused = |why: String| (number, Failure::new(Kind::Refused, why));
        // A line that is cut may be cut in a character.
        let is_long = bytes.len() > ENTRY_MAX;
        let text = match decode(&bytes) {
            Ok(text) => text,
            Err(_) if is_long => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return Err(refused(error.describe("the line"))),
        };
        if is_comment(&text) {
            continue;
        }
        if let Some(ForeignForm { what, .. }) = form::foreign(&text, false) {
            return Err(refused(format!("the line {what}")));
        }
        return Ok(Some(Entry { line: number, text }));
    }
}

/// The entries of a whole text.
fn whole(bytes: &[u8], source: &Source) -> Result<VecDeque<Entry>, Failure> {
    let text = text_of(bytes, source)?;
    let lines = || (1..).zip(text.split('\n')).filter(|(_, line)| !is_comment(line));
    let Some((first, line)) = lines().next() else { return Ok(VecDeque::new()) };
    let start = line.as_ptr().addr() - text.as_ptr().addr();
    if form::is_document(&text[start..], lines().map(|(_, line)| line)) {
        return document(&text[start..], first, source);
    }
    for (number, line) in lines() {
        if let Some(foreign) = form::foreign(line, number == first) {
            return Err(source.foreign(number, &foreign));
        }
    }
    Ok(lines().map(|(line, text)| Entry { line, text: text.to_owned() }).collect())
}

fn text_of(bytes: &[u8], source: &Source) -> Result<String, Failure> {
    if bytes.len() as u64 > FILE_MAX {
        let message = format!("{} is longer than {FILE_MAX} bytes", source.name);
        return Err(Failure::new(Kind::Refused, message).hint("split it into several batches"));
    }
    decode(bytes).map_err(|error| source.no_text(&error))
}

/// The entries of JSON documents, the first of which begins in the line `first`: objects, strings,
/// and arrays of them.
fn document(text: &str, first: u64, source: &Source) -> Result<VecDeque<Entry>, Failure> {
    let line_at = |at: usize| first + text[..at].matches('\n').count() as u64;
    let wrong = |line: u64, why: &str| {
        let message = format!("{}, line {line}: the JSON document {why}", source.name);
        let hint = source.piped("write one object a line", "jq -c '.[]' FILE");
        Failure::new(Kind::Refused, message).hint(hint)
    };
    let mut entries = VecDeque::new();
    let mut add = |value: &RawValue| {
        let line = line_at(value.get().as_ptr().addr() - text.as_ptr().addr());
        if !value.get().starts_with(['{', '"']) {
            return Err(wrong(line, "has something else than objects and strings"));
        }
        entries.push_back(Entry { line, text: value.get().to_owned() });
        Ok(())
    };
    let invalid = |error: &serde_json::Error, line: u64| {
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        let message =
            format!("{}, line {line}: the JSON document is not valid: {text}", source.name);
        // `jq` would refuse it too.
        Failure::new(Kind::Refused, message).hint("correct that line, or write one object a line")
    };
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| invalid(&error, first + error.line() as u64 - 1))?;
        if !value.get().starts_with('[') {
            add(value)?;
            continue;
        }
        let list: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|error| invalid(&error, first))?;
        list.into_iter().try_for_each(&mut add)?;
    }
    Ok(entries)
}

/// The file or standard input, in sentences.
struct Source {
    name: String,
    /// The file as a shell takes it; empty for standard input.
    file: String,
    /// Its path as it is.
    path: PathBuf,
}

impl Source {
    fn new(path: &Path) -> Self {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            return Self { name, file: String::new(), path: PathBuf::new() };
        }
        Self { name: path.display().to_string(), file: shell_word(path), path: path.to_owned() }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(Kind::Io, format!("cannot read {}: {error}", self.name))
    }

    fn no_text(&self, error: &TextError) -> Failure {
        Failure::new(Kind::Refused, error.describe(&self.name)).hint(error.hint(&self.path))
    }

    fn foreign(&self, line: u64, form: &ForeignForm) -> Failure {
        let ForeignForm { what, command } = form;
        let message = format!("{}, line {line}: the line {what}", self.name);
        let advice = "write one prompt a line, or one object of JSON";
        let hint =
            if command.is_empty() { advice.to_owned() } else { self.piped("convert it", command) };
        Failure::new(Kind::Refused, message).hint(hint)
    }

    /// A hint with a command whose output is the batch.
    fn piped(&self, advice: &str, command: &str) -> String {
        let command = match &*self.file {
            "" => command.replace(" <FILE", "").replace(" FILE", ""),
            file => command.replace("FILE", file),
        };
        format!("{advice}: `{command} | zimg --batch -`")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source() -> Source {
        Source::new(Path::new("F"))
    }

    fn read(text: &[u8]) -> Result<Vec<(u64, String)>, (String, String)> {
        let entries = whole(text, &source())
            .map(|entries| entries.into_iter().map(|entry| (entry.line, entry.text)).collect())
            .map_err(|failure| (failure.message, failure.hint.unwrap_or_default()));
        let streamed = streamed(text);
        match (&entries, &streamed) {
            (Ok(whole), streamed) => assert_eq!(whole, streamed, "{text:?}"),
            (Err(_), streamed) => assert!(streamed.iter().all(|(_, text)| !text.contains('\0'))),
        }
        entries
    }

    /// The entries that a pipe has before its first failure.
    fn streamed(text: &[u8]) -> Vec<(u64, String)> {
        let reader = BufReader::with_capacity(7, io::Cursor::new(text.to_vec()));
        let lines = Lines::new(Box::new(reader), ENTRY_MAX);
        let Ok(mut entries) = Entries::stream(lines, &source()) else { return Vec::new() };
        std::iter::from_fn(|| entries.next()?.ok()).map(|entry| (entry.line, entry.text)).collect()
    }

    fn entries(text: &str) -> Vec<(u64, String)> {
        read(text.as_bytes()).unwrap_or_else(|(message, _)| panic!("{message}"))
    }

    #[test]
    fn blank_lines_and_comments_are_no_entries() {
        let text =
            "\u{feff}a red circle\r\n\r\n   \r\n# a comment\r\n// another\r\na blue square\r\n";
        let expected = [(1, "a red circle".to_owned()), (6, "a blue square".to_owned())];
        assert_eq!(entries(text), expected);
        assert_eq!(entries(&text.replace("\r\n", "\r")), expected);
        assert_eq!(entries(""), []);
        assert_eq!(entries("# nothing\n\n"), []);
    }

    #[test]
    fn json_documents_are_read_whatever_their_lines_are() {
        let one = (2, r#"{"prompt":"a"}"#.to_owned());
        let two = (3, r#"{"prompt":"b"}"#.to_owned());
        assert_eq!(entries("[\n{\"prompt\":\"a\"},\n{\"prompt\":\"b\"}\n]\n"), [one, two]);
        let texts = |text: &str| entries(text).into_iter().map(|entry| entry.1).collect::<Vec<_>>();
        assert_eq!(texts("[\"a\", \"b\"]"), ["\"a\"", "\"b\""]);
        assert_eq!(texts("# list\n[\"a\"]\n[\"b\"]"), ["\"a\"", "\"b\""]);
        assert_eq!(texts("[]"), [""; 0]);
        // `jq` without -c.
        let pretty = "{\n  \"prompt\": \"a\"\n}\n{\n  \"prompt\": \"b\"\n}\n";
        assert_eq!(texts(pretty).len(), 2);
        assert_eq!(entries("{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}").len(), 2);
        let failure = read(b"[\n {\"prompt\":\"a\"},\n {\"prompt\":}\n]").unwrap_err();
        assert_eq!(failure.0, "F, line 3: the JSON document is not valid: expected value");
        assert_eq!(failure.1, "correct that line, or write one object a line");
        let failure = read(b"[\"a\",\n 7]").unwrap_err().0;
        assert_eq!(
            failure,
            "F, line 2: the JSON document has something else than objects and strings"
        );
        assert!(read(b"[\"a\"]\na fox\n").unwrap_err().0.starts_with("F, line 2: "));
    }

    #[test]
    fn another_encoding_is_refused_whole() {
        let utf16: Vec<u8> =
            "a red circle\r\na blue square\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (message, hint) = read(&utf16).unwrap_err();
        assert_eq!(message, "F is UTF-16 text, expected UTF-8");
        assert_eq!(hint, "convert it: `iconv -f UTF-16LE -t UTF-8 F`");
        assert_eq!(streamed(&utf16), []);
        let (message, hint) = read(b"a\ncaf\xe9\nb\n").unwrap_err();
        assert_eq!(message, "F is not UTF-8: line 2 has the byte 0xE9");
        assert!(hint.contains("iconv -f WINDOWS-1252 -t UTF-8 F"), "{hint}");
        assert!(read(b"PK\x03\x04\x14\0").unwrap_err().0.contains("ZIP archive"));
    }

    #[test]
    fn a_foreign_form_is_refused_whole_with_its_line() {
        let refusal = |text: &str| read(text.as_bytes()).unwrap_err();
        let (message, hint) = refusal("# prompts\n- a fox\n- a hen\n");
        assert_eq!(message, "F, line 2: the line is a list's, as in YAML or Markdown");
        assert_eq!(hint, "convert it: `sed 's/^ *[-*•] *//' F | zimg --batch -`");
        // One line among others counts, too.
        assert!(refusal("a fox\n- a hen\n").0.starts_with("F, line 2: "));
        assert!(refusal("a fox\n{\n\"prompt\": \"a\"\n}\n").0.starts_with("F, line 2: "));
        let (message, hint) = refusal("prompt,seed\na fox,7\n");
        assert_eq!(message, "F, line 1: the line is a header, as in CSV");
        assert!(hint.contains("csv.DictReader(sys.stdin)]' <F | zimg --batch -"), "{hint}");
    }

    #[test]
    fn long_lines_are_refused_alone() {
        let long = "x".repeat(ENTRY_MAX + 1);
        let text = format!("a\n{long}\nb");
        let reader = BufReader::new(io::Cursor::new(text.clone().into_bytes()));
        let stream = Entries::stream(Lines::new(Box::new(reader), ENTRY_MAX), &source()).unwrap();
        for mut entries in [Entries::Whole(whole(text.as_bytes(), &source()).unwrap()), stream] {
            let mut next = || {
                entries.next().map(|entry| {
                    entry.map(|e| (e.line, e.text)).map_err(|(line, f)| (line, f.message))
                })
            };
            assert_eq!(next(), Some(Ok((1, "a".to_owned()))));
            let said = format!("the line is longer than {ENTRY_MAX} bytes");
            assert_eq!(next(), Some(Err((2, said))));
            assert_eq!(next(), Some(Ok((3, "b".to_owned()))));
            assert_eq!(next(), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_entries_or_one_failure(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        /// Ordinary prompts are entries as they stand, from a file and from a pipe, whatever ends
        /// the lines.
        #[test]
        fn ordinary_lines_are_entries(
            lines in prop::collection::vec("[a-zA-Z(][a-zA-Z0-9 ,.()é雪]{0,30}[a-z]", 1..6),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let expected: Vec<_> = (1..).zip(lines.iter().cloned()).collect();
            prop_assert_eq!(entries(&lines.join(end)), expected);
        }

        /// Comments are no entries, wherever they stand.
        #[test]
        fn comments_move_nothing(places in prop::collection::vec(any::<bool>(), 1..10)) {
            let line = |at: usize, is_comment: &bool| match is_comment {
                true => format!("# {at}"),
                false => format!("prompt of {at}"),
            };
            let text: Vec<_> = places.iter().enumerate().map(|(at, c)| line(at, c)).collect();
            let found: Vec<_> = entries(&text.join("\n")).into_iter().map(|entry| entry.1).collect();
            let expected: Vec<_> = text.into_iter().filter(|line| !line.starts_with('#')).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
