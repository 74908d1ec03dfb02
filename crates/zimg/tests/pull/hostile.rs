//! A server that breaks off, stalls, or sends something else than the file. Nothing of that gets the
//! name of a file.

use std::fs;

use crate::fixture::{Machine, TURBO, WEIGHTS, content, done, failed, turbo};
use crate::server::{Act, Asked, COMMIT, Server, checksum};

const BYTES: usize = 1_500_000;

/// The server answers as the Hub does, except for the weights.
fn with_weights(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Machine {
    Machine::with(Server::start(turbo(), move |asked| {
        if asked.is_file(WEIGHTS) { act(asked) } else { Act::Serve }
    }))
}

fn assert_whole(machine: &Machine) {
    let path = machine.snapshot(TURBO).join(WEIGHTS);
    assert!(fs::read(path).unwrap() == content(WEIGHTS, BYTES));
    assert!(machine.leftovers().is_empty(), "{:?}", machine.leftovers());
}

#[test]
fn what_breaks_off_is_continued() {
    // In small parts, each from where the last one ended.
    let machine = with_weights(|asked| match asked.before {
        0..9 => Act::Cut(150_000),
        _ => Act::Serve,
    });
    done(&machine.pull(&[]));
    assert_whole(&machine);
    let froms: Vec<_> = (0..10).map(|n| (n > 0).then_some(n * 150_000)).collect();
    assert_eq!(machine.server.asked_for(WEIGHTS), froms);
}

#[test]
fn what_stalls_is_continued() {
    let machine = with_weights(|asked| match asked.before {
        0 => Act::Stall(1_000_000),
        _ => Act::Serve,
    });
    let output = machine.pull(&[]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    done(&output);
    assert!(said.contains("cannot be reached: nothing came for 1 s; again in "), "{said}");
    assert_whole(&machine);
}

#[test]
fn a_server_without_parts_sends_all_again() {
    let machine = with_weights(|asked| match asked.before {
        0 => Act::Cut(1_000_000),
        _ => Act::Whole,
    });
    done(&machine.pull(&[]));
    assert_whole(&machine);
}

#[test]
fn a_refused_or_another_part_is_fetched_from_the_start() {
    for status in [416, 206] {
        let machine = with_weights(move |asked| match (asked.before, asked.from()) {
            (0, _) => Act::Cut(1_000_000),
            (_, Some(_)) => {
                let range = ("content-range", format!("bytes 0-9/{BYTES}"));
                Act::Answer(status, vec![range], vec![0; 10])
            }
            _ => Act::Serve,
        });
        done(&machine.pull(&[]));
        assert_whole(&machine);
    }
}

#[test]
fn a_download_that_gets_nowhere_ends() {
    for (act, code, says) in [
        (Act::Cut(0), 69, "breaks off again and again: "),
        (Act::Answer(503, Vec::new(), Vec::new()), 69, "answers with the error 503"),
        (
            Act::Answer(429, vec![("retry-after", "0".to_owned())], Vec::new()),
            75,
            "no more requests",
        ),
    ] {
        let machine = with_weights(move |_| act.clone());
        let (found, said) = failed(&machine.pull(&[]));
        assert_eq!(found, code, "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn something_else_is_named() {
    let page = b"\n<!DOCTYPE html><title>Log in</title>".to_vec();
    let html = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {BYTES}\n",
        checksum(&content(WEIGHTS, BYTES))
    );
    let padded = |start: &[u8]| [start, &vec![b' '; BYTES - start.len()][..]].concat();
    let length = |bytes: usize| vec![("content-length", bytes.to_string())];
    for (act, says) in [
        (Act::Answer(200, html, page.clone()), "a web page, perhaps a log-in,"),
        (Act::Answer(200, Vec::new(), page.clone()), "a web page, perhaps a log-in,"),
        (Act::Answer(200, Vec::new(), padded(&page)), "a web page, perhaps a log-in,"),
        (Act::Answer(200, Vec::new(), pointer.clone().into_bytes()), "a Git LFS pointer"),
        (Act::Answer(200, Vec::new(), padded(pointer.as_bytes())), "a Git LFS pointer"),
        (Act::Answer(200, Vec::new(), b"{}".to_vec()), "2 bytes, not 1500000,"),
        (Act::Answer(200, length(BYTES + 1), vec![1; BYTES + 1]), "1500001 bytes, not 1500000,"),
        (
            Act::Answer(200, length(usize::MAX), vec![1; 9]),
            "18446744073709551615 bytes, not 1500000,",
        ),
        (Act::With(vec![("content-encoding", "gzip".to_owned())]), "a compressed copy"),
        (Act::With(vec![("x-repo-commit", "0".repeat(40))]), "the file of another commit"),
    ] {
        let shown = format!("{act:?}").chars().take(60).collect::<String>();
        let machine = with_weights(move |asked| match &act {
            Act::With(headers) => {
                // Before the right one.
                let mut all = headers.clone();
                all.push(("content-length", BYTES.to_string()));
                Act::Answer(200, all, content(WEIGHTS, BYTES))
            }
            other => {
                assert_eq!(asked.before, 0, "it would be the same again");
                other.clone()
            }
        });
        let (code, said) = failed(&machine.pull(&[]));
        assert_eq!(code, 65, "{shown}: {said}");
        let expected = format!(" sends {says}");
        assert!(
            said.contains(&expected) && said.contains(&format!("instead of {WEIGHTS}")),
            "{said}"
        );
        assert!(!machine.snapshot(TURBO).join(WEIGHTS).exists());
        assert!(!machine.blob(&content(WEIGHTS, BYTES)).exists());
    }
}

#[test]
fn another_checksum_is_seen_before_or_after_the_download() {
    let machine = with_weights(|_| {
        let etag = ("x-linked-etag", format!("\"{}\"", "a".repeat(64)));
        Act::Answer(200, vec![etag], content(WEIGHTS, BYTES))
    });
    let (code, said) = failed(&machine.pull(&[]));
    assert_eq!(code, 65);
    assert!(said.contains(&format!("a file with the checksum {}", "a".repeat(64))), "{said}");

    // One flipped bit, each time.
    let mut wrong = content(WEIGHTS, BYTES);
    wrong[BYTES / 2] ^= 4;
    let sum = checksum(&wrong);
    let body = wrong.clone();
    let machine = with_weights(move |_| Act::Answer(200, Vec::new(), body.clone()));
    let (code, said) = failed(&machine.pull(&[]));
    assert_eq!(code, 65);
    assert!(
        said.contains(&format!("has the checksum {sum}, but the list of files has ")),
        "{said}"
    );
    assert_eq!(machine.server.asked_for(WEIGHTS).len(), 2);
    assert!(!machine.blob(&content(WEIGHTS, BYTES)).with_extension("incomplete").exists());
    assert!(!machine.snapshot(TURBO).join(WEIGHTS).exists());

    // Only once: a proxy with a bad memory module.
    let machine = with_weights(move |asked| match asked.before {
        0 => Act::Answer(200, Vec::new(), wrong.clone()),
        _ => Act::Serve,
    });
    done(&machine.pull(&[]));
    assert_whole(&machine);
}

#[test]
fn small_files_are_verified_too() {
    let machine = Machine::with(Server::start(turbo(), |asked| {
        let config = asked.is_file("vae/config.json");
        if config { Act::Answer(200, Vec::new(), vec![b'x'; 700]) } else { Act::Serve }
    }));
    let (code, said) = failed(&machine.pull(&[]));
    assert_eq!(code, 65);
    assert!(said.contains("vae/config.json from 127.0.0.1") && said.contains("checksum"), "{said}");
}

#[test]
fn names_in_the_list_stay_in_the_folder() {
    for name in ["../../../../x", "/tmp/x", "a/../../x", "a\\\\..\\\\x", "a/\\u0000b", "a\\nb"] {
        let list = format!(
            r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"model_index.json"}},{{"rfilename":"{name}"}}]}}"#
        );
        let machine = list_of(list.into_bytes());
        let (code, said) = failed(&machine.pull(&[]));
        assert_eq!(code, 65, "{said}");
        assert!(said.contains("is not valid: it has the file name `"), "{said}");
        assert!(!machine.home.path().join(".cache").exists());
    }
}

fn list_of(body: Vec<u8>) -> Machine {
    Machine::with(Server::start(turbo(), move |_| Act::Answer(200, Vec::new(), body.clone())))
}

#[test]
fn lists_that_are_none_are_refused() {
    let huge = format!(r#"{{"sha":"{COMMIT}","siblings":[],"x":"{}"}}"#, "x".repeat(17_000_000));
    let many = format!(
        r#"{{"sha":"{COMMIT}","siblings":[{}]}}"#,
        (0..60_000).map(|n| format!(r#"{{"rfilename":"{n}"}}"#)).collect::<Vec<_>>().join(",")
    );
    for (body, says) in [
        ("<!DOCTYPE html><title>Log in</title>".to_owned(), "it is no JSON"),
        ("[".repeat(1_000_000), "it"),
        (r#"{"sha":"../../x","siblings":[]}"#.to_owned(), "it has the commit `../../x`"),
        (r#"{"siblings":[]}"#.to_owned(), "missing field `sha`"),
        (huge, "it is longer than 16 MB"),
        (many, "it has 60000 files"),
    ] {
        let (code, said) = failed(&list_of(body.into_bytes()).pull(&[]));
        assert_eq!(code, 65, "{said}");
        assert!(said.contains(" is not valid: ") && said.contains(says), "{said}");
    }
}

#[test]
fn headers_that_do_not_end_are_cut_off() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::EndlessHeaders));
    let (code, said) = failed(&machine.pull(&[]));
    assert_eq!(code, 69, "{said}");
}

#[test]
fn a_link_in_the_cache_is_not_followed_out_of_it() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let outside = machine.home.path().join("precious");
    fs::write(&outside, "precious").unwrap();
    let link = machine.snapshot(TURBO).join("model_index.json");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    done(&machine.pull(&[]));
    assert_eq!(fs::read_to_string(outside).unwrap(), "precious");
    assert!(fs::read(link).unwrap() == content("model_index.json", 500));
}
