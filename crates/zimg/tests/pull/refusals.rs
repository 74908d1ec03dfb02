//! What a pull cannot do, each with its exit code and its sentence.

use std::fs;

use crate::fixture::{Machine, TURBO, WEIGHTS, content, done, failed, gguf, turbo};
use crate::server::{Act, Server};

fn answering(status: u16, headers: &[(&'static str, &str)]) -> Machine {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Machine::with(Server::start(turbo(), move |_| Act::Answer(status, headers.clone(), Vec::new())))
}

#[test]
fn each_refusal_of_the_hub_has_its_exit_code() {
    for (status, headers, code, says, hint) in [
        (404, &[][..], 66, "has no the repository", "private repository needs HF_TOKEN"),
        (401, &[("x-error-code", "RepoNotFound")], 66, "has no the", "HF_TOKEN"),
        (401, &[], 77, "does not give the repository", "accept the licence on http://127.0.0.1"),
        (403, &[("x-error-code", "GatedRepo")], 77, "without a token", "then set HF_TOKEN"),
        (429, &[("retry-after", "3600")], 75, "takes no more requests", "try again in 60 min"),
        (429, &[("ratelimit", "\"api\";r=0;t=900")], 75, "no more requests", "in 15 min"),
        (429, &[("retry-after", "0")], 75, "takes no more requests", "try again"),
        (500, &[], 69, "answers with the error 500", "try again later"),
        (503, &[("retry-after", "0")], 69, "answers with the error 503", "try again later"),
        (418, &[], 69, "answers with the error 418", "try again later"),
        (302, &[], 65, "redirects the repository Tongyi-MAI/Z-Image-Turbo to no place", ""),
        (301, &[("location", "/a")], 65, "more than 8 times", ""),
        (302, &[("location", "file:///etc/passwd")], 65, "to no place", ""),
    ] {
        let machine = answering(status, headers);
        let (found, said) = failed(&machine.pull(&[]));
        assert_eq!(found, code, "{status} {headers:?}: {said}");
        assert!(said.contains(says), "{status}: {said}");
        assert!(said.contains(hint), "{status}: {said}");
        assert!(!machine.folder(TURBO).exists());
    }
}

#[test]
fn a_refused_token_is_told_from_a_missing_one() {
    let machine = answering(403, &[]);
    let output = machine.zimg(&["pull"]).env("HF_TOKEN", "hf_secret").output().unwrap();
    let (code, said) = failed(&output);
    assert_eq!(code, 77);
    assert!(said.contains("to the user of this token"), "{said}");
    assert!(!said.contains("hf_secret"), "{said}");
}

#[test]
fn a_short_limit_of_requests_is_waited_for() {
    for (status, header) in [(429, "retry-after"), (503, "retry-after"), (502, "x-none")] {
        let machine = Machine::with(Server::start(turbo(), move |asked| match asked.before {
            0 => Act::Answer(status, vec![(header, "0".to_owned())], Vec::new()),
            _ => Act::Serve,
        }));
        done(&machine.pull(&[]));
    }
}

#[test]
fn nothing_is_asked_without_a_network() {
    let machine = answering(200, &[]);
    let output = machine.zimg(&["pull"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let (code, said) = failed(&output);
    assert_eq!(code, 69);
    assert!(said.contains("HF_HUB_OFFLINE is set, so nothing is fetched"), "{said}");
    assert!(machine.server.asked().is_empty());
    // A port that was free a moment ago; and no name at all.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{closed}"), "http://hub.invalid".to_owned()] {
        let output = machine.zimg(&["pull"]).env("HF_ENDPOINT", &endpoint).output().unwrap();
        let (code, said) = failed(&output);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains(" cannot be reached: "), "{said}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let machine = answering(200, &[]);
    for (name, value) in [
        ("HF_ENDPOINT", "huggingface.co"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ("http_proxy", "x://proxy"),
    ] {
        let (code, said) = failed(&machine.zimg(&["pull"]).env(name, value).output().unwrap());
        assert_eq!(code, 78, "{said}");
        assert!(said.contains(&format!("{name} is `{value}`, but must be ")), "{said}");
    }
    let proxy = "x://user:secret@proxy";
    let (_, said) = failed(&machine.zimg(&["pull"]).env("http_proxy", proxy).output().unwrap());
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn unknown_variants_are_answered_with_those_that_exist() {
    let machine = Machine::with(Server::start(gguf(), |_| Act::Serve));
    let (code, said) = failed(&machine.pull(&["leejet/Z-Image-Turbo-GGUF"]));
    assert_eq!(code, 64);
    assert!(said.contains("has several variants, name one: Q4_K (5 kB), Q8_0 (9 kB)"), "{said}");
    let (code, said) = failed(&machine.pull(&["leejet/Z-Image-Turbo-GGUF:Q2_K"]));
    assert_eq!(code, 66);
    assert!(said.contains("has no variant `Q2_K`: there are Q4_K"), "{said}");
    for text in ["Z-Image", "a/b:", "../x", "a/b/c", "/home/u/model"] {
        let (code, said) = failed(&machine.pull(&[text]));
        assert_eq!(code, 64, "{said}");
        assert!(said.contains("expected OWNER/NAME or OWNER/NAME:VARIANT"), "{said}");
    }
    assert_eq!(failed(&machine.pull(&["--revision=../x"])).0, 64);
}

#[test]
fn a_cache_that_takes_no_files_is_named() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let file = machine.home.path().join("file");
    fs::write(&file, "").unwrap();
    // Also for root, who may write everywhere else.
    for cache in [file.join("hub"), "/proc/self/hub".into(), "/sys/hub".into()] {
        let mut command = machine.zimg(&["pull", "--yes"]);
        let (code, said) = failed(&command.env("HF_HUB_CACHE", &cache).output().unwrap());
        let says = said.contains(" cannot write to the cache ") || said.contains(" is full");
        assert!(matches!(code, 73 | 74), "{}: {code} {said}", cache.display());
        assert!(says || code == 74, "{said}");
    }
}

#[test]
fn the_first_failure_is_told_and_the_rest_continues_later() {
    let machine = Machine::with(Server::start(turbo(), |asked| {
        let is_vae = asked.is_file("vae/config.json");
        if is_vae { Act::Answer(404, Vec::new(), Vec::new()) } else { Act::Serve }
    }));
    let (code, said) = failed(&machine.pull(&[]));
    assert_eq!(code, 66);
    assert!(said.contains(" has no vae/config.json"), "{said}");
    assert!(!machine.folder(TURBO).join("refs/main").exists());
    assert!(machine.blob(&content(WEIGHTS, 1_500_000)).parent().unwrap().exists());
}
