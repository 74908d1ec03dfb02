//! `--json`, to the letter: other programs read it.

use zimg_protocol::messages::{Event, Waiting, WorkerState};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, drawing, zimg};

#[test]
fn a_job_is_these_lines() {
    let fake = Fake::new(|peer, request| {
        let failure = Failure::new(Kind::Config, "no model").hint("set one");
        for waiting in [
            Waiting::Queue { position: 2 },
            Waiting::Worker(WorkerState::Starting),
            Waiting::Worker(WorkerState::Loading { done: 5, total: 10 }),
            Waiting::Worker(WorkerState::Warming),
            Waiting::Worker(WorkerState::Ready),
            Waiting::Worker(WorkerState::Busy { job: 3, step: 1, of: 8 }),
            Waiting::Worker(WorkerState::Draining),
            Waiting::Worker(WorkerState::Restarting { in_ms: 100, reason: "it died".to_owned() }),
            Waiting::Worker(WorkerState::Failed(failure)),
        ] {
            peer.say(Event::Waiting(waiting));
        }
        peer.draws(&drawing(request));
    });
    let ran = fake.run(&["a fox", "--json", "--seed", "7", "--guidance", "0.1", "-o", "a.ppm"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert_eq!(
        ran.text(),
        r#"{"v":1,"event":"warning","message":"fake is made to draw without guidance: 0.1 takes twice the time and seldom helps"}
{"v":1,"event":"waiting","state":"queued","position":2}
{"v":1,"event":"waiting","state":"starting"}
{"v":1,"event":"waiting","state":"loading","done":5,"total":10}
{"v":1,"event":"waiting","state":"warming"}
{"v":1,"event":"waiting","state":"ready"}
{"v":1,"event":"waiting","state":"busy","job":3,"step":1,"of":8}
{"v":1,"event":"waiting","state":"draining"}
{"v":1,"event":"waiting","state":"restarting","in_ms":100,"reason":"it died"}
{"v":1,"event":"waiting","state":"failed","kind":"config","code":78,"message":"no model","hint":"set one"}
{"v":1,"event":"accepted","job":1,"position":0}
{"v":1,"event":"started","model":"fake","width":64,"height":64,"steps":2,"guidance":0.1}
{"v":1,"event":"step","picture":1,"step":1,"of":2,"ms":250.5}
{"v":1,"event":"step","picture":1,"step":2,"of":2,"ms":250.5}
{"v":1,"event":"decoding","picture":1}
{"v":1,"event":"saved","picture":1,"path":"a.ppm","seed":7,"width":64,"height":64,"bytes":12301}
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
         for '--seed <N>': invalid digit found in string\",\"hint\":\"try --help\"}\n"
    );
    assert!(wrong(&["--json"]).contains("what to draw?"));
    assert_eq!(wrong(&["a fox", "--seed", "x", "--", "--json"]), "");
}
