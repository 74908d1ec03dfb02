//! Text as it comes in: prompts on standard input and on the command line, and batches in the forms
//! of other programs.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use zimg_protocol::messages::{Generate, Request};

use crate::fake::{Fake, Ran};

type Asked = Arc<Mutex<Vec<Generate>>>;

/// A daemon that generates whatever any client asks for, and remembers it.
fn daemon() -> (Fake, Asked) {
    let asked = Asked::default();
    let remembered = Arc::clone(&asked);
    let fake = Fake::many(move |peer, request| {
        let Request::Generate(submit) = request else { panic!("{request:?}") };
        peer.generates(&submit.params);
        remembered.lock().unwrap().push(submit);
    });
    (fake, asked)
}

/// A run with these bytes on a pipe, or as a file on standard input.
fn run(words: &[&str], input: &[u8]) -> (Ran, Vec<(String, u64)>) {
    let (fake, asked) = daemon();
    let mut zimg = fake.zimg(words);
    let mut child =
        zimg.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A refused input is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let ran = fake.finish(child.wait_with_output().unwrap());
    (ran, prompts(&asked))
}

/// A batch from a file.
fn batch(text: &[u8], words: &[&str]) -> (Ran, Vec<(String, u64)>) {
    let (fake, asked) = daemon();
    fs::write(fake.out().join("l"), text).unwrap();
    let ran = fake.run(&[&["--batch", "l"], words].concat());
    (ran, prompts(&asked))
}

/// The prompts and seeds that were asked for, by seed.
fn prompts(asked: &Asked) -> Vec<(String, u64)> {
    let asked = asked.lock().unwrap();
    let mut asked: Vec<_> =
        asked.iter().map(|one| (one.params.prompt.clone(), one.params.first_seed())).collect();
    asked.sort_by_key(|(_, seed)| *seed);
    asked
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(prompt, seed)| ((*prompt).to_owned(), *seed)).collect()
}

#[test]
fn a_prompt_is_the_same_with_a_mark_and_with_any_line_ends() {
    let words = ["-", "--seed=1", "-o", "o.ppm"];
    for input in ["a red circle", "\u{feff}a red circle\r\n", "a red circle\r", "a red circle\n\n"]
    {
        let (ran, asked) = run(&words, input.as_bytes());
        assert_eq!((ran.code, asked), (Some(0), named(&[("a red circle", 1)])), "{input:?}");
    }
    let (_, asked) = run(&words, b"a red\r\ncircle\r\n");
    assert_eq!(asked, named(&[("a red\ncircle", 1)]));
    // The same on the command line, where no reader comes before.
    let (_, asked) = run(&["\u{feff}a red\r\ncircle", "--seed=1", "-o", "o.ppm"], b"");
    assert_eq!(asked, named(&[("a red\ncircle", 1)]));
}

#[test]
fn a_prompt_in_another_encoding_is_refused_by_name() {
    let words = ["-", "--seed=1", "-o", "o.ppm"];
    for (input, sentence, hint) in [
        (
            utf16("\u{feff}a red circle\r\n"),
            "the prompt on standard input is UTF-16 text, expected UTF-8",
            "iconv -f UTF-16 -t UTF-8",
        ),
        (
            utf16("a red circle\r\n"),
            "the prompt on standard input is UTF-16 text, expected UTF-8",
            "iconv -f UTF-16LE -t UTF-8",
        ),
        (
            b"caf\xe9".to_vec(),
            "the prompt on standard input is not UTF-8: line 1 has the byte 0xE9",
            "iconv -f WINDOWS-1252 -t UTF-8",
        ),
        (
            b"\x89PNG\r\n\x1a\n".to_vec(),
            "the prompt on standard input is a PNG image",
            "plain text",
        ),
    ] {
        let (ran, asked) = run(&words, &input);
        assert_eq!((ran.code, asked.len()), (Some(65), 0), "{}", ran.stderr);
        assert!(ran.stderr.contains(sentence) && ran.stderr.contains(hint), "{}", ran.stderr);
        assert!(ran.files.is_empty(), "{:?}", ran.files);
    }
}

#[test]
fn control_characters_are_refused_and_invisible_ones_told() {
    let words = |prompt: &'static str| [prompt, "--seed=1", "-o", "o.ppm"];
    let (ran, asked) = run(&words("a \u{1b}[31mred circle"), b"");
    assert_eq!((ran.code, asked.len()), (Some(65), 0));
    let said = "`prompt` has the control character U+001B (escape) at character 3, expected text";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let (ran, asked) = run(&words("a\u{202e} fox"), b"");
    assert_eq!((ran.code, asked), (Some(0), named(&[("a\u{202e} fox", 1)])));
    assert!(
        ran.stderr.contains("U+202E (right-to-left override) at character 2"),
        "{}",
        ran.stderr
    );
    let (ran, _) = run(&words("a family 👨‍👩‍👧, ❤️"), b"");
    assert!(!ran.stderr.contains("invisible"), "{}", ran.stderr);
}

#[test]
fn syntax_of_other_programs_is_told_once_and_never_with_quiet() {
    let prompt = "a fox <lora:x:1> (red:1.2) --ar 16:9";
    let (ran, _) = run(&[prompt, "-o", "o.ppm"], b"");
    for piece in ["`<lora:x:1>`", "`(red:1.2)`", "`--ar 16:9`"] {
        assert_eq!(ran.stderr.matches(piece).count(), 1, "{}", ran.stderr);
    }
    let (ran, _) = run(&[prompt, "-q", "-o", "o.ppm"], b"");
    assert_eq!(ran.stderr, "");
    let (ran, _) = run(&[prompt, "--json", "-o", "o.ppm"], b"");
    assert_eq!(ran.stderr, "");
    let warnings = ran.text().matches(r#""event":"warning""#).count();
    assert_eq!(warnings, 3, "{}", ran.text());
    let (ran, _) = batch(b"a fox (red:1.2)\na hen (blue:1.3)\n", &["-o", "{index}.ppm"]);
    assert_eq!(ran.stderr.matches("there are no weights of words").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_batch_in_another_encoding_generates_nothing() {
    for (text, said) in [
        (utf16("\u{feff}a red circle\r\na blue square\r\n"), "UTF-16 text, expected UTF-8"),
        (utf16("a red circle\r\na blue square\r\n"), "UTF-16 text, expected UTF-8"),
        (b"a red circle\ncaf\xe9\n".to_vec(), "is not UTF-8: line 2 has the byte 0xE9"),
        (b"a red circle\na\0b\n".to_vec(), "is no text: line 2 has a NUL"),
        (b"PK\x03\x04".to_vec(), "is a ZIP archive, as spreadsheets"),
    ] {
        let (ran, asked) = batch(&text, &["--seed=1", "-o", "u{index}.png"]);
        assert_eq!((ran.code, asked.len()), (Some(65), 0), "{}", ran.stderr);
        assert!(ran.stderr.contains(said) && !ran.stderr.contains("images"), "{}", ran.stderr);
        assert_eq!(ran.files, ["l"]);
    }
    // A pipe shows it in its first line.
    let (ran, asked) = run(&["--batch", "-", "-o", "u{index}.png"], &utf16("a fox\r\na hen\r\n"));
    assert_eq!((ran.code, asked.len()), (Some(65), 0), "{}", ran.stderr);
    assert!(ran.stderr.contains("standard input is UTF-16 text"), "{}", ran.stderr);
}

#[test]
fn comments_are_no_images_and_move_no_seeds() {
    let text = "\u{feff}a red circle\r\n\r\n   \r\n# a comment\r\n// another\r\na blue square\r\n\
                \\# 1 dad mug\r\n";
    let expected = named(&[("a red circle", 7), ("a blue square", 8), ("# 1 dad mug", 9)]);
    for text in [text.to_owned(), text.replace("\r\n", "\n"), text.replace("\r\n", "\r")] {
        let (ran, asked) = batch(text.as_bytes(), &["--seed=7"]);
        assert_eq!((ran.code, asked), (Some(0), expected.clone()), "{}", ran.stderr);
        let (_, asked) = run(&["--batch", "-", "--seed=7"], text.as_bytes());
        assert_eq!(asked, expected, "on a pipe");
    }
}

#[test]
fn json_documents_are_batches() {
    let expected = named(&[("a red circle", 7), ("a blue square", 8)]);
    for text in [
        "[\n {\"prompt\":\"a red circle\"},\n {\"prompt\":\"a blue square\"}\n]\n",
        "[\"a red circle\", \"a blue square\"]",
        "{\"prompt\":\"a red circle\"}\n{\"prompt\":\"a blue square\"}\n",
        "{\n  \"prompt\": \"a red circle\"\n}\n{\n  \"prompt\": \"a blue square\"\n}\n",
        "\"a red circle\"\n\"a blue square\"\n",
    ] {
        let (ran, asked) = batch(text.as_bytes(), &["--seed=7"]);
        assert_eq!((ran.code, asked), (Some(0), expected.clone()), "{text}: {}", ran.stderr);
        let (ran, asked) = run(&["--batch", "-", "--seed=7"], text.as_bytes());
        assert_eq!((ran.code, asked), (Some(0), expected.clone()), "{text}: {}", ran.stderr);
    }
    for text in ["[{\"prompt\":\"a\"},\n{\"prompt\":}]", "[\"a\"]\nb\n", "[\"a\", 1]"] {
        let (ran, asked) = batch(text.as_bytes(), &[]);
        assert_eq!((ran.code, asked.len()), (Some(65), 0), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains("write one object a line"), "{}", ran.stderr);
    }
}

#[test]
fn lines_of_the_web_ui_are_understood() {
    let text = "--prompt \"a red circle\" --steps 4 --seed 5\n\
                --prompt \"a blue square\" --negative_prompt \"x\" --cfg_scale 7\na fox\n";
    let (fake, asked) = daemon();
    fs::write(fake.out().join("l"), text).unwrap();
    let ran = fake.run(&["--batch=l", "--seed=7", "--parallel=1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let asked: Vec<_> = asked.lock().unwrap().iter().map(|one| one.params.clone()).collect();
    let of = |prompt: &str| asked.iter().find(|params| params.prompt == prompt).unwrap();
    assert_eq!((of("a red circle").steps, of("a red circle").seed), (Some(4), Some(5)));
    let square = of("a blue square");
    assert_eq!(
        (square.guidance, square.negative.as_deref(), square.seed),
        (Some(6.0), Some("x"), Some(8))
    );
    assert_eq!(of("a fox").seed, Some(9));
    let (ran, _) = batch(b"--prompt x --sampler_name \"Euler a\"\n", &[]);
    assert!(
        ran.stderr.contains("`sampler_name` is ignored: there is one sampler"),
        "{}",
        ran.stderr
    );
}

#[test]
fn foreign_forms_are_refused_whole_with_what_to_type() {
    for (text, hint) in [
        ("- a fox\n- a hen\n", "sed 's/^ *[-*•] *//' l | zimg --batch -"),
        ("a fox\n- a hen\n", "sed "),
        ("prompt,seed\na fox,1\n", "csv.DictReader(sys.stdin)]' <l | zimg --batch -"),
        ("prompts:\n  - a fox\n", "yq "),
        ("a fox\nNegative prompt: blur\nSteps: 20, Sampler: Euler\n", "one prompt a line"),
        ("positive:a fox\nnegative:blur\n---\n", "one prompt a line"),
        ("a fox\n{\n\"prompt\": \"a hen\"\n}\n", "jq -c . l | zimg --batch -"),
    ] {
        let (ran, asked) = batch(text.as_bytes(), &[]);
        assert_eq!((ran.code, asked.len()), (Some(65), 0), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{text}: {}", ran.stderr);
        assert_eq!(ran.files, ["l"]);
    }
}

#[test]
fn a_folder_is_no_batch_and_an_empty_one_is_told() {
    let (fake, _) = daemon();
    let ran = fake.run(&["--batch", "."]);
    assert_eq!(ran.code, Some(74), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("zimg: . is a directory, expected a file of prompts\n"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("image"), "{}", ran.stderr);
    let (ran, _) = batch(b"# nothing yet\n", &[]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("the batch has no prompts"), "{}", ran.stderr);
}

#[test]
fn a_series_whose_seeds_would_wrap_is_refused_before_the_first() {
    let last = u64::MAX.to_string();
    let seed = format!("--seed={last}");
    let said = format!("`seed` is {last} and 2 images are asked for: seeds would exceed 2^64-1");
    let (fake, asked) = daemon();
    let ran = fake.run(&["a fox", "-n2", &seed]);
    assert_eq!((ran.code, asked.lock().unwrap().len()), (Some(65), 0));
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    let (ran, asked) = batch(b"a fox\n# none\na hen\n", &[&seed]);
    assert_eq!((ran.code, asked.len()), (Some(65), 0));
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    // A pipe shows it when it is there.
    let (ran, asked) = run(&["--batch", "-", &seed], b"a fox\na hen\n");
    assert_eq!((ran.code, asked.len()), (Some(65), 1));
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    let (ran, asked) = batch(b"a fox\n{\"prompt\":\"a hen\",\"seed\":3}\n", &[&seed]);
    assert_eq!((ran.code, asked.len()), (Some(0), 2), "{}", ran.stderr);
}

/// Random seeds of other programs, which a seed of the command line does not replace.
#[test]
fn a_seed_of_minus_1_is_random() {
    let (ran, asked) =
        batch(b"{\"prompt\":\"a\",\"seed\":-1}\n{\"prompt\":\"b\"}\n", &["--seed=7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let seed = |name: &str| asked.iter().find(|(prompt, _)| prompt == name).unwrap().1;
    assert_eq!(seed("b"), 8);
    assert_ne!(seed("a"), 7);
}
