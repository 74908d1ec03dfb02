//! Bytes that come in as text: what is read, what is refused and by which name, and properties for
//! any bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use proptest::prelude::*;
use zimg_text::{Encoding, TextError, control, decode, invisible, normalized, shell_word};

fn encoded(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Utf32Le => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
    }
}

const ALL: [Encoding; 4] =
    [Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Utf32Le, Encoding::Utf32Be];

#[test]
fn marks_are_removed_and_line_ends_are_lf() {
    for (bytes, text) in [
        (&b""[..], ""),
        (b"\xef\xbb\xbfa fox\r\n", "a fox\n"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "a"),
        (b"a\rb\r\rc", "a\nb\n\nc"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"a\n\rb", "a\n\nb"),
        (b"a\tb", "a\tb"),
        ("a\u{feff}b ł 雪".as_bytes(), "a\u{feff}b ł 雪"),
    ] {
        assert_eq!(decode(bytes).as_deref(), Ok(text), "{bytes:?}");
    }
}

#[test]
fn other_encodings_are_known_with_and_without_their_mark() {
    for text in ["a red circle\r\na blue square\r\n", "été à la plage\n", "x\n", "a 雪 b\n"] {
        for encoding in ALL {
            let bytes = encoded(text, encoding);
            let marked = encoded(&format!("\u{feff}{text}"), encoding);
            assert_eq!(decode(&bytes), Err(TextError::Encoding(encoding)), "{text:?}");
            assert_eq!(decode(&marked), Err(TextError::MarkedEncoding(encoding)), "{text:?}");
            // As a reader of lines sees it: to the first byte 10.
            let first = marked.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            assert_eq!(Encoding::detect(&marked[..first]), Some(encoding), "{text:?}");
            assert_eq!(encoding.decode(&marked).as_deref(), Some(text));
        }
    }
    // Few zeros, but not UTF-8 either.
    let chinese = encoded("雪中的狐狸\n紅色的圓\n", Encoding::Utf16Le);
    assert_eq!(decode(&chinese), Err(TextError::Encoding(Encoding::Utf16Le)));
}

#[test]
fn a_stray_nul_is_not_another_encoding() {
    assert_eq!(decode(b"a red circle\na\0b"), Err(TextError::Nul { line: 2 }));
    assert_eq!(decode(b"a fox\0"), Err(TextError::Nul { line: 1 }));
    assert_eq!(decode(b"\0"), Err(TextError::Nul { line: 1 }));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_cure() {
    for (bytes, sentence, hint) in [
        (
            &b"\xff\xfea\0"[..],
            "F is UTF-16 text, expected UTF-8",
            "convert it: `iconv -f UTF-16 -t UTF-8 F`",
        ),
        (
            b"a\0b\0",
            "F is UTF-16 text, expected UTF-8",
            "convert it: `iconv -f UTF-16LE -t UTF-8 F`",
        ),
        (
            b"a\r\nb\rcaf\xe9\n",
            "F is not UTF-8: line 3 has the byte 0xE9",
            "convert it from the encoding that it was saved in, such as `iconv -f WINDOWS-1252 -t UTF-8 F`",
        ),
        (
            b"PK\x03\x04",
            "F is a ZIP archive, as spreadsheets and office documents are, expected text",
            "save it as plain text in UTF-8",
        ),
        (b"\x1f\x8b\x08", "F is compressed with gzip, expected text", "decompress it first"),
        (b"a\0 fox", "F is no text: line 1 has a NUL", "remove it, such as with `tr -d '\\0' < F`"),
    ] {
        let error = decode(bytes).unwrap_err();
        assert_eq!((&*error.describe("F"), &*error.hint("F")), (sentence, hint));
    }
    assert_eq!(TextError::Nul { line: 1 }.hint(""), "remove it, such as with `tr -d '\\0'`");
    let error = TextError::MarkedEncoding(Encoding::Utf16Le);
    assert_eq!(error.hint("a b"), "convert it: `iconv -f UTF-16 -t UTF-8 'a b'`");
    assert_eq!(error.hint(""), "convert it: `iconv -f UTF-16 -t UTF-8`");
}

#[test]
fn control_characters_are_found() {
    for (text, said) in [
        ("a\0b", "U+0000 (NUL) at character 2"),
        ("é\u{1b}[31m", "U+001B (escape) at character 2"),
        ("a\r\n", "U+000D (carriage return) at character 2"),
        ("\u{7f}", "U+007F (delete) at character 1"),
        ("ab\u{93}", "U+0093 at character 3"),
    ] {
        assert_eq!(control(text).unwrap().to_string(), said);
    }
    for text in ["", "a\tb\nc", "é 雪 \u{a0}", "\u{feff}\u{202e}"] {
        assert_eq!(control(text), None, "{text:?}");
    }
}

#[test]
fn invisible_characters_are_told_from_emoji_and_scripts() {
    let found = |text: &str| invisible(text).map(|found| found.to_string()).collect::<Vec<_>>();
    for text in [
        "a fox, “quoted” — naïve café",
        "👨‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀 ❤️ ☃︎ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ 🇪🇺",
        "می‌خواهم",
        "क्‍ष श्री",
        "雪中的狐狸 葛󠄀",
        "שלום\u{200f}!",
        "a\u{a0}b\u{2003}c",
    ] {
        assert!(found(text).is_empty(), "{text:?}: {:?}", found(text));
    }
    for (text, names) in [
        ("a\u{feff}b", &["U+FEFF (byte order mark) at character 2"][..]),
        (
            "\u{202e}fox\u{202c}",
            &[
                "U+202E (right-to-left override) at character 1",
                "U+202C (pop directional formatting) at character 5",
            ],
        ),
        ("a\u{200b}b", &["U+200B (zero width space) at character 2"]),
        ("a\u{200d}b", &["U+200D (zero width joiner) at character 2"]),
        ("🦊\u{200d} fox", &["U+200D (zero width joiner) at character 2"]),
        ("so\u{ad}ft", &["U+00AD (soft hyphen) at character 3"]),
        (
            "\u{2066}a\u{2069}",
            &[
                "U+2066 (left-to-right isolate) at character 1",
                "U+2069 (pop directional isolate) at character 3",
            ],
        ),
        ("a\u{e0041}", &["U+E0041 (tag character) at character 2"]),
    ] {
        assert_eq!(found(text), names, "{text:?}");
    }
}

#[test]
fn words_are_quoted_where_a_shell_needs_it() {
    for (word, quoted) in [
        ("fox.png", "fox.png"),
        ("out/{index:04}.png", "out/{index:04}.png"),
        ("a b", "'a b'"),
        ("", "''"),
        ("it's", "'it'\\''s'"),
        ("{a,b}", "'{a,b}'"),
        ("$HOME", "'$HOME'"),
        ("~", "'~'"),
        ("~/m", "'~/m'"),
        ("/a/b-1.png", "/a/b-1.png"),
        ("my d'or", r"'my d'\''or'"),
        ("a\n'\u{9b}\\", r"$'a\x0a\'\u009b\\'"),
        ("雪.png", "雪.png"),
    ] {
        assert_eq!(shell_word(word), quoted);
    }
    assert_eq!(shell_word(OsStr::from_bytes(b"caf\xe9s 2")), r"$'caf\xe9s 2'");
}

/// bash reads back what is quoted, whatever bytes a file's name has.
#[test]
fn a_shell_reads_a_quoted_word_back() {
    let kinds: [&[u8]; 9] =
        [b"a", b" ", b"'", b"\\", b"\n", b"\xe9", "é".as_bytes(), b"{a,b}", "\u{85}7".as_bytes()];
    let words = kinds.iter().flat_map(|a| kinds.iter().map(|b| [*a, *b].concat()));
    let words: Vec<Vec<u8>> = words.collect();
    let quoted = words.iter().map(|word| shell_word(OsStr::from_bytes(word)));
    let script = format!("printf '%s\\0' {}", quoted.collect::<Vec<_>>().join(" "));
    let read =
        Command::new("bash").args(["-c", &script]).env("LC_ALL", "C.UTF-8").output().unwrap();
    let read: Vec<_> = read.stdout.split(|byte| *byte == 0).take(words.len()).collect();
    assert_eq!(read, words, "{script}");
}

proptest! {
    #[test]
    fn any_bytes_are_text_or_an_error(bytes: Vec<u8>) {
        match decode(&bytes) {
            Ok(text) => {
                let has_mark = text.starts_with('\u{feff}');
                prop_assert!(!has_mark && !text.contains(['\r', '\0']));
                prop_assert_eq!(decode(text.as_bytes()), Ok(text));
            }
            Err(error) => prop_assert!(!error.describe("F").is_empty() && !error.hint("").is_empty()),
        }
        for encoding in ALL {
            let _ = encoding.decode(&bytes);
        }
    }

    #[test]
    fn ordinary_text_comes_back_as_it_is(text in "[a-zA-Z0-9 ,.()éß雪\n\t]{0,60}") {
        prop_assert_eq!(decode(text.as_bytes()), Ok(text.clone()));
        prop_assert_eq!(&*normalized(&text), &*text);
        prop_assert_eq!(control(&text), None);
        prop_assert_eq!(invisible(&text).count(), 0);
    }

    #[test]
    fn any_encoding_is_refused_and_decodes_back(text in "[a-zA-Z ,é雪]{1,40}", which in 0..4_usize) {
        let encoding = ALL[which];
        let marked = encoded(&format!("\u{feff}{text}"), encoding);
        prop_assert_eq!(decode(&marked), Err(TextError::MarkedEncoding(encoding)));
        prop_assert_eq!(encoding.decode(&marked), Some(text.clone()));
        let latin = format!("{text} a red circle\n");
        if text.is_ascii() {
            prop_assert_eq!(decode(&encoded(&latin, encoding)), Err(TextError::Encoding(encoding)));
        }
    }

    #[test]
    fn any_text_is_looked_through(text: String) {
        let places = text.chars().count();
        prop_assert!(invisible(&text).all(|found| found.place >= 1 && found.place <= places));
        prop_assert_eq!(control(&text).is_some(),
            text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        let once = normalized(&text).into_owned();
        prop_assert_eq!(normalized(&once), &*once);
    }
}
