//! `--json` output, byte for byte.

use std::collections::BTreeSet;
use std::fs;

use zimg_protocol::messages::{
    Busy, Event, LoraInfo, Loras, Overview, Request, Waiting, WorkerState,
};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, overview, requested, with_worker, zimg};
use crate::jobs::jobs;
use crate::schema::Schema;
use crate::status::{being, full, lost};

/// All that a job can wait for.
fn waits() -> Vec<Waiting> {
    let failure = Failure::new(Kind::Config, "no model").hint("set one");
    vec![
        Waiting::Queue { position: 2 },
        Waiting::Preempted { position: 1 },
        Waiting::Disk(Failure::new(Kind::Io, "the disk is full")),
        Waiting::Worker(WorkerState::Starting),
        Waiting::Worker(WorkerState::Loading { done: 5, total: 10 }),
        Waiting::Worker(WorkerState::Warming),
        Waiting::Worker(WorkerState::Ready),
        Waiting::Worker(WorkerState::Busy { job: 3, step: 1, of: 8 }),
        Waiting::Worker(WorkerState::Draining),
        Waiting::Worker(WorkerState::Restarting { in_ms: 100, reason: "it died".to_owned() }),
        Waiting::Worker(WorkerState::Failed(failure)),
        Waiting::Worker(WorkerState::Asleep),
    ]
}

#[test]
fn a_job_is_these_lines() {
    let fake = Fake::new(|peer, request| {
        waits().into_iter().for_each(|waiting| peer.say(Event::Waiting(waiting)));
        peer.say(Event::Resumed { image: 0, step: 1 });
        peer.generates(&requested(request));
    });
    let ran = fake.run(&["a fox", "--json", "--seed", "7", "--guidance", "0.1", "-o", "a.ppm"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert_eq!(
        ran.text(),
        r#"{"v":1,"event":"warning","message":"fake is distilled for guidance 0: guidance 0.1 doubles the time and seldom improves the image"}
{"v":1,"event":"waiting","state":"queued","position":2}
{"v":1,"event":"waiting","state":"preempted","position":1}
{"v":1,"event":"waiting","state":"disk","message":"the disk is full"}
{"v":1,"event":"waiting","state":"starting"}
{"v":1,"event":"waiting","state":"loading","done":5,"total":10}
{"v":1,"event":"waiting","state":"warming"}
{"v":1,"event":"waiting","state":"ready"}
{"v":1,"event":"waiting","state":"busy","job":3,"step":1,"of":8}
{"v":1,"event":"waiting","state":"draining"}
{"v":1,"event":"waiting","state":"restarting","in_ms":100,"reason":"it died"}
{"v":1,"event":"waiting","state":"failed","kind":"config","code":78,"message":"no model","hint":"set one"}
{"v":1,"event":"waiting","state":"asleep"}
{"v":1,"event":"resumed","image":1,"step":1}
{"v":1,"event":"accepted","job":1,"position":0}
{"v":1,"event":"started","model":"fake","width":64,"height":64,"steps":2,"guidance":0.1}
{"v":1,"event":"step","image":1,"step":1,"of":2,"ms":250.5}
{"v":1,"event":"step","image":1,"step":2,"of":2,"ms":250.5}
{"v":1,"event":"decoding","image":1}
{"v":1,"event":"saved","image":1,"path":"a.ppm","seed":7,"width":64,"height":64,"bytes":12301}
{"v":1,"event":"done","ms":{"queued":0.0,"text":1.5,"steps":501.0,"decode":2.0,"total":504.5}}
"#
    );
}

#[test]
fn a_failure_is_the_last_line() {
    let failure = Failure::new(Kind::Busy, "64 jobs wait already");
    let ran = Fake::new(move |peer, _| peer.say(Event::Failed(failure))).run(&["a fox", "--json"]);
    assert_eq!(ran.code, Some(75));
    assert_eq!(
        ran.text(),
        "{\"v\":1,\"event\":\"failed\",\"kind\":\"busy\",\"code\":75,\
         \"message\":\"64 jobs wait already\",\"hint\":null}\n"
    );
    assert_eq!(ran.stderr, "zimg: 64 jobs wait already\n");
}

#[test]
fn a_wrong_command_line_is_told_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = |words: &[&str]| {
        let output = zimg(directory.path()).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        wrong(&["a fox", "--json", "--seed", "-1"]),
        "{\"v\":1,\"event\":\"failed\",\"kind\":\"usage\",\"code\":64,\"message\":\"invalid value '-1' \
         for '--seed <N>': it is not a whole number of 0 or more\",\"hint\":\"omit --seed for a random seed, which is shown\"}\n"
    );
    assert!(wrong(&["--json"]).contains("no prompt: give one"));
    assert_eq!(wrong(&["a fox", "--seed", "x", "--", "--json"]), "");
}

/// Lines of every event that zimg prints.
fn all_lines() -> Vec<String> {
    let mut text = String::new();
    let job = Fake::new(|peer, request| {
        waits().into_iter().for_each(|waiting| peer.say(Event::Waiting(waiting)));
        peer.say(Event::Resumed { image: 0, step: 1 });
        peer.generates(&requested(request));
    });
    let words = ["a fox", "--json", "--negative=x", "-n2", "--grid", "-o", "a.png"];
    let ran = job.run(&words);
    text += ran.text();
    let shown = zimg(ran.path("a-1.png").parent().unwrap())
        .args(["show", "--json", "a-1.png"])
        .output()
        .unwrap();
    text += &String::from_utf8(shown.stdout).unwrap();
    let refused = Failure::new(Kind::Refused, "no").hint("say yes");
    text += Fake::new(move |peer, _| peer.say(Event::Failed(refused))).run(&words[..2]).text();
    for status in [
        overview().status,
        with_worker(|worker| {
            (worker.model, worker.pid, worker.load_s) = (None, None, Some(1.5));
        })
        .status,
        with_worker(|worker| {
            worker.state = WorkerState::Restarting { in_ms: 1, reason: "it died".to_owned() };
            worker.last_error = Some("it died".to_owned());
        })
        .status,
    ] {
        text += being(Overview { status, ..overview() }).run(&["status", "--json"]).text();
    }
    text += being(full()).run(&["status", "--json"]).text();
    text += &lost();
    let folder = tempfile::tempdir().unwrap();
    let mut doctor = zimg(folder.path());
    let doctor =
        doctor.env("ZIMG_SOCKET", folder.path().join("no-daemon")).args(["doctor", "--json"]);
    text += &String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    let busy = std::sync::atomic::AtomicBool::new(true);
    let batch = Fake::many(move |peer, request| {
        let Request::Generate(submit) = request else { panic!("{request:?}") };
        if submit.params.prompt == "bad" {
            peer.say(Event::Failed(Failure::new(Kind::Refused, "it is bad")));
        } else if busy.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let failure = Failure::new(Kind::Busy, "no place");
            peer.say(Event::Busy(Busy { failure, depth: 1, wait_ms: Some(1) }));
        } else {
            peer.generates(&submit.params);
        }
    });
    let waiting = batch.zimg(&["a fox", "--json", "--wait", "--priority=batch", "-o", "2.png"]);
    let mut waiting = waiting;
    text += &String::from_utf8(waiting.output().unwrap().stdout).unwrap();
    fs::write(batch.out().join("l"), "a hen\na fox\nbad\n").unwrap();
    text += batch.run(&["--batch", "l", "--json", "-o", "{index}.png"]).text();
    let listed = Fake::new(|peer, _| peer.say(Event::Jobs(jobs())));
    text += listed.run(&["jobs", "--json"]).text();
    let found = Loras {
        loras: vec![
            LoraInfo { name: "ink".to_owned(), rank: Some(8), ..LoraInfo::default() },
            LoraInfo {
                problem: Some("it is no LoRA".to_owned()),
                trigger_words: vec!["inkstyle".to_owned()],
                remarks: vec!["it has no alpha".to_owned()],
                ..LoraInfo::default()
            },
        ],
        remarks: Vec::new(),
    };
    let loras = Fake::new(move |peer, _| peer.say(Event::Loras(Box::new(found))));
    text += loras.run(&["loras", "--json"]).text();
    let cancelled = Fake::new(|peer, _| peer.say(Event::Acknowledged));
    text += cancelled.run(&["cancel", "7", "--json"]).text();
    let folder = tempfile::tempdir().unwrap();
    let models = zimg(folder.path()).args(["models", "--json"]).output().unwrap();
    text += str::from_utf8(&models.stdout).unwrap();
    let settings = zimg(folder.path()).args(["config", "show", "--json"]).output().unwrap();
    text += str::from_utf8(&settings.stdout).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/plain");
    for words in [&[model, "-o", "m.safetensors"][..], &["--verify", "m.safetensors"]] {
        let mut prepare = zimg(folder.path());
        let output = prepare.args(["prepare", "--json"]).args(words).output().unwrap();
        text += str::from_utf8(&output.stdout).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

/// Events of `zimg pull`, which needs a server: `tests/pull/fetching.rs` holds them to the schema.
const OF_PULL: [&str; 6] = ["fetched", "fetching", "file", "pulled", "pulled_lora", "retry"];

#[test]
fn every_line_is_as_the_schema_says_and_the_schema_says_no_more() {
    let schema = Schema::read();
    let mut seen: BTreeSet<_> = all_lines().iter().map(|line| schema.check(line)).collect();
    seen.extend(OF_PULL.map(str::to_owned));
    assert_eq!(seen, schema.events());
}

#[test]
fn the_schema_refuses_what_is_not_so() {
    let refused =
        |line: &'static str| std::panic::catch_unwind(|| Schema::read().check(line)).is_err();
    assert!(!refused(r#"{"v":1,"event":"decoding","image":1}"#));
    assert!(refused(r#"{"v":1,"event":"decoding","image":0}"#));
    assert!(refused(r#"{"v":1,"event":"decoding"}"#));
    assert!(refused(r#"{"v":1,"event":"decoding","image":1,"more":1}"#));
    assert!(refused(r#"{"v":2,"event":"decoding","image":1}"#));
    assert!(refused(r#"{"v":1,"event":"waiting","state":"queued"}"#));
    assert!(refused(r#"{"v":1,"event":"other"}"#));
}

#[test]
fn the_manual_has_the_events_that_are_there() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md"));
    for event in Schema::read().events() {
        assert!(manual.contains(&format!("\n| `{event}` |")), "{event} is not in the table");
    }
}
