//! Detached jobs: `--detach`, `jobs`, `wait` and `cancel`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_protocol::messages::{Event, Generate, JobInfo, JobState, Params, Priority, Request};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, Peer, Ran};

/// One job in each state.
pub(crate) fn jobs() -> Vec<JobInfo> {
    let failed = JobState::Failed(Failure::new(Kind::Refused, "no").hint("say yes"));
    let states = [
        JobState::Waiting { position: 1 },
        JobState::Running { image: 0, step: 1, of: 2 },
        JobState::Done,
        failed,
        JobState::Blocked(Failure::new(Kind::Io, "it is full")),
    ];
    let job = |(job, state)| JobInfo {
        job,
        uid: nix::unistd::getuid().as_raw(),
        on_behalf_of: None,
        state,
        priority: Priority::Batch,
        detached: job > 2,
        width: (job > 1).then_some(64),
        height: (job > 1).then_some(64),
        seed: 7,
        count: 2,
        generated: 1,
        accepted_unix_s: 1_700_000_000,
        prompt: "a fox".to_owned(),
    };
    (1..).zip(states).map(job).collect()
}

/// A daemon that keeps these images of job 9, and what it was asked.
fn keeps(draw: Params) -> (Fake, mpsc::Receiver<Request>) {
    let (asked, requests) = mpsc::channel();
    let fake = Fake::many(move |peer, request| {
        let _ = asked.send(request.clone());
        match request {
            Request::Wait { job: 9 } => waited(peer, &draw),
            Request::Forget { job: 9 } => peer.say(Event::Acknowledged),
            Request::Status => peer.say(Event::Status(Box::new(crate::fake::overview().status))),
            other => panic!("{other:?}"),
        }
    });
    (fake, requests)
}

fn waited(peer: &mut Peer, draw: &Params) {
    peer.say(Event::Asked(Box::new(draw.clone())));
    peer.generates(draw);
}

fn draw() -> Params {
    Params { seed: Some(7), count: Some(2), ..Params::new("a fox") }
}

fn forgotten(requests: &mpsc::Receiver<Request>) -> bool {
    requests.try_iter().any(|request| request == Request::Forget { job: 9 })
}

#[test]
fn a_detached_job_is_a_number() {
    let fake = || {
        Fake::new(|peer, request| {
            let Request::Generate(Generate { params: draw, detach: true, previews: false, .. }) =
                request
            else {
                panic!("{request:?}")
            };
            assert_eq!((&*draw.prompt, draw.first_seed(), draw.images()), ("a fox", 7, 2));
            peer.say(Event::Accepted { job: 9, position: 3 });
        })
    };
    let words = ["a fox", "--detach", "--seed", "7", "-n", "2"];
    let Ran { code, stdout, stderr, files, .. } = fake().run(&words);
    assert_eq!((code, &*stdout), (Some(0), &b"9\n"[..]));
    assert!(
        stderr.ends_with("job 9 runs in the background; `zimg wait 9` saves its images\n"),
        "{stderr}"
    );
    assert!(files.is_empty());
    let ran = fake().run(&[&words[..], &["--json"]].concat());
    assert_eq!(ran.text(), "{\"v\":1,\"event\":\"accepted\",\"job\":9,\"position\":3}\n");
    let quiet = fake().run(&[&words[..], &["-q"]].concat());
    assert_eq!((quiet.text(), &*quiet.stderr), ("9\n", ""));
}

#[test]
fn a_detached_job_that_is_refused_is_said() {
    let failure = Failure::new(Kind::Io, "cannot store jobs in /s: it is full").hint("make room");
    let ran = Fake::new(|peer, _| peer.say(Event::Failed(failure))).run(&["a fox", "--detach"]);
    assert_eq!((ran.code, ran.text()), (Some(74), ""));
    assert_eq!(ran.stderr, "zimg: cannot store jobs in /s: it is full\nhint: make room\n");
}

#[test]
fn a_detached_generating_has_no_file() {
    let fake = Fake::honest();
    let output = fake.zimg(&["a fox", "--detach", "-o", "a.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"));
    fake.run(&["a fox"]);
}

#[test]
fn what_is_waited_for_is_saved_and_then_forgotten() {
    let (fake, requests) = keeps(draw());
    let ran = fake.run(&["wait", "9", "-o", "{prompt}-{seed}.png"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        (ran.text(), &ran.files[..]),
        ("", &["a-fox-7.png".into(), "a-fox-8.png".into()][..])
    );
    ran.assert_image("a-fox-8.png", 8, 64, 64);
    assert!(forgotten(&requests));
    let shown =
        crate::fake::zimg(ran.path("").as_path()).args(["show", "a-fox-8.png"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("a fox") && shown.contains("fake"), "{shown}");
}

#[test]
fn who_wants_it_kept_says_so_and_default_names_are_printed() {
    let (fake, requests) = keeps(draw());
    let ran = fake.run(&["wait", "9", "--keep", "--format", "ppm"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "zimg-7.ppm\nzimg-8.ppm\n"));
    assert!(!forgotten(&requests));
}

#[test]
fn what_is_not_saved_is_not_forgotten() {
    let (fake, requests) = keeps(draw());
    std::fs::write(fake.out().join("a-2.png"), "mine").unwrap();
    // The daemon asks what became of it: nothing, it still has it.
    let ran = fake.run(&["wait", "9", "-o", "a.png", "--keep"]);
    assert_eq!(ran.code, Some(73));
    assert!(ran.stderr.starts_with("zimg: a-2.png exists already\n"), "{}", ran.stderr);
    assert_eq!(ran.files, ["a-2.png"]);
    assert!(!forgotten(&requests));
}

#[test]
fn a_job_that_failed_says_so_and_is_forgotten() {
    for (job, forgets) in [(4, true), (3, false)] {
        let (asked, requests) = mpsc::channel();
        let fake = Fake::many(move |peer, request| {
            let _ = asked.send(request.clone());
            match request {
                Request::Wait { .. } => {
                    peer.say(Event::Asked(Box::new(draw())));
                    peer.say(Event::Accepted { job, position: 0 });
                    peer.say(Event::Failed(Failure::new(Kind::Refused, "no").hint("say yes")));
                }
                Request::Jobs => peer.say(Event::Jobs(jobs())),
                Request::Forget { .. } => peer.say(Event::Acknowledged),
                Request::Status => {
                    peer.say(Event::Status(Box::new(crate::fake::overview().status)));
                }
                other => panic!("{other:?}"),
            }
        });
        let ran = fake.run(&["wait", &job.to_string()]);
        assert_eq!((ran.code, &*ran.stderr), (Some(65), "zimg: no\nhint: say yes\n"));
        let forgot = requests.try_iter().any(|request| request == Request::Forget { job });
        assert_eq!(forgot, forgets, "only what has failed, and not what could not be fetched");
    }
}

#[test]
fn a_job_that_is_not_there_is_said() {
    let fake = Fake::many(|peer, request| match request {
        Request::Wait { job: 7 } => {
            let failure = Failure::new(Kind::Refused, "you have no detached job 7");
            peer.say(Event::Failed(failure.hint("`zimg jobs` lists them")));
        }
        Request::Jobs => peer.say(Event::Jobs(Vec::new())),
        other => panic!("{other:?}"),
    });
    let ran = fake.run(&["wait", "7"]);
    assert_eq!(ran.code, Some(65));
    assert_eq!(ran.stderr, "zimg: you have no detached job 7\nhint: `zimg jobs` lists them\n");
}

#[test]
fn ctrl_c_ends_the_waiting_and_not_the_job() {
    let fake = Fake::many(move |peer, request| {
        let Request::Wait { job: 9 } = request else {
            return peer.say(Event::Status(Box::new(crate::fake::overview().status)));
        };
        peer.say(Event::Asked(Box::new(draw())));
        peer.starts(&draw());
        // It asks for nothing more: closing is all.
        assert_eq!(peer.request(), None);
    });
    let mut child = fake.zimg(&["wait", "9"]).stderr(Stdio::piped()).spawn().unwrap();
    // The signal follows the last line that zimg prints by itself: the farewell is the end.
    let mut printed = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("generating ") {
        assert!(printed.read_line(&mut text).unwrap() > 0, "{text}");
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    printed.read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let ran = fake.finish(Output { stderr: text.into_bytes(), ..output });
    assert_eq!(ran.code, Some(130));
    assert!(
        ran.stderr.ends_with("job 9 continues; `zimg wait 9` saves its images\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn jobs_are_listed_and_cancelled() {
    let ran = Fake::new(|peer, request| {
        assert_eq!(request, Request::Jobs);
        peer.say(Event::Jobs(jobs()));
    })
    .run(&["jobs"]);
    assert_eq!(ran.code, Some(0));
    let lines: Vec<_> = ran.text().lines().collect();
    assert!(lines[0].starts_with("JOB  STATE"), "{}", lines[0]);
    assert!(lines[3].starts_with("3    done ") && lines[3].ends_with("a fox"), "{}", lines[3]);
    let ran = Fake::many(|peer, request| match request {
        Request::CancelJob { job: 8 } => {
            let failure = Failure::new(Kind::Permission, "you have no unfinished job 8");
            peer.say(Event::Failed(failure));
        }
        Request::CancelJob { .. } => peer.say(Event::Acknowledged),
        other => panic!("{other:?}"),
    })
    .run(&["cancel", "7", "8", "9"]);
    assert_eq!(ran.code, Some(77));
    assert_eq!(ran.stderr, "job 7 is cancelled\nzimg: you have no unfinished job 8\n");
}
