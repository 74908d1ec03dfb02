//! Jobs of the page: submitted, followed, cancelled, and there again after restarts.

use nix::sys::signal::Signal;
use zimg_tests::mock::colour;
use zimg_tests::{Daemon, Options, Web, field, wait_until};

const FOX: &str = r#"{"params":{"prompt":"a red fox","width":64,"height":80,"steps":4,"seed":"9000000000000000001","count":2}}"#;

/// Submits a job: its id.
fn submit(web: &Web, body: &str) -> String {
    let answer = web.post("/zimg/v1/jobs", body);
    assert_eq!(answer.status, 202, "{} {}", answer.reason, answer.text());
    let id = field(&answer.text(), "id").unwrap();
    assert_eq!(answer.header("location").unwrap(), format!("/zimg/v1/jobs/{id}"));
    id
}

#[test]
fn a_job_is_followed_to_its_images_and_deleted() {
    // A step that no client has read when the next comes is dropped.
    let daemon = Daemon::ready("hold@step:2");
    let web = Web::start(daemon.socket(), &[]);
    let mut events = web.events("/zimg/v1/events", &[]);
    assert_eq!(events.answer.header("content-type"), Some("text/event-stream"));
    let id = submit(&web, FOX);
    let mut seen = Vec::new();
    let mut last = None;
    for event in events.by_ref().filter(|event| event.name != "status") {
        if event.name != "reset" {
            assert_eq!(field(&event.data, "job").as_ref(), Some(&id), "{event:?}");
        }
        last = event.id.or(last);
        if event.name == "step" {
            daemon.open_gate();
        }
        seen.push(event.name);
        if seen.last().is_some_and(|name| name == "done") {
            break;
        }
    }
    let place = |name: &str| seen.iter().position(|other| other == name).unwrap();
    assert!(place("accepted") < place("started") && place("started") < place("step"), "{seen:?}");
    assert_eq!(seen.iter().filter(|name| *name == "image").count(), 2, "{seen:?}");
    // The seed of image 2 is above 2^53.
    let job = web.get(&format!("/zimg/v1/jobs/{id}")).text();
    assert!(job.contains("\"seed\":\"9000000000000000002\""), "{job}");
    assert_eq!(field(&job, "state").as_deref(), Some("done"));
    let expires: u64 = field(&job, "expires_ms").unwrap().parse().unwrap();
    let accepted: u64 = field(&job, "accepted_ms").unwrap().parse().unwrap();
    let days = (expires - accepted) as f64 / 86_400_000.0;
    assert!((6.99..7.01).contains(&days), "{days} days");

    let answer = web.get(&format!("/zimg/v1/images/{id}-2"));
    assert_eq!(answer.header("content-type"), Some("image/png"));
    let image = image::load_from_memory(&answer.body).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), (64, 80));
    assert_eq!(image.get_pixel(3, 3).0, colour(9_000_000_000_000_000_002));
    let found = web.ask("POST", "/zimg/v1/metadata", &["Content-Type: image/png"], &answer.body);
    assert!(found.text().contains("a red fox"), "{}", found.text());
    let tag = answer.header("etag").unwrap();
    let again = web.ask(
        "GET",
        &format!("/zimg/v1/images/{id}-2"),
        &[&format!("If-None-Match: {tag}")],
        b"",
    );
    assert_eq!(again.status, 304);
    let thumb = web.get(&format!("/zimg/v1/images/{id}-1?size=thumb"));
    assert_eq!((thumb.status, thumb.header("content-type")), (200, Some("image/webp")));

    // A reader that was cut off goes on, and one with an id of another time begins again.
    let first = |headers: &[&str]| web.events("/zimg/v1/events", headers).next().unwrap().name;
    let number = last.as_ref().unwrap().rsplit_once('-').unwrap().0.to_owned();
    assert_ne!(first(&[&format!("Last-Event-ID: {number}-2")]), "reset");
    assert_eq!(first(&["Last-Event-ID: other-2"]), "reset");
    // The job's own stream is whole and ends.
    let whole: Vec<_> = web.events(&format!("/zimg/v1/jobs/{id}/events"), &[]).collect();
    assert_eq!(whole.first().map(|event| &*event.name), Some("accepted"));
    assert_eq!(whole.last().map(|event| &*event.name), Some("done"));

    let path = format!("/zimg/v1/jobs/{id}");
    assert_eq!(web.ask("DELETE", &path, &[], b"").status, 204);
    assert_eq!(field(&events.wait_for("removed").data, "job"), Some(id));
    assert_eq!(web.get(&path).status, 404);
    web.end();
    daemon.end();
}

#[test]
fn a_running_job_is_cancelled() {
    let daemon = Daemon::ready("hold@step:2");
    let web = Web::start(daemon.socket(), &[]);
    let mut events = web.events("/zimg/v1/events", &[]);
    let id = submit(&web, FOX);
    daemon.held();
    assert_eq!(web.ask("DELETE", &format!("/zimg/v1/jobs/{id}"), &[], b"").status, 204);
    events.wait_for("removed");
    assert!(daemon.client().jobs().unwrap().is_empty());
}

#[test]
fn jobs_survive_restarts_of_the_daemon_and_of_the_front() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, state) = (folder.path().join("z.sock"), folder.path().join("state"));
    let options = |mock: &str| Options {
        mock: mock.into(),
        socket: Some(socket.clone()),
        state: Some(state.clone()),
        ..Options::default()
    };
    let mut daemon = Daemon::with(options("hold@step:2"));
    daemon.wait_for("READY=1");
    let web = Web::start(&socket, &[]);
    let mut events = web.events("/zimg/v1/events", &[]);
    let id = submit(&web, FOX);
    daemon.held();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    // The page hears that the daemon is away, and of the job when another is there.
    while !events.wait_for("status").data.contains("unreachable") {}
    let web = web.restarted(&socket, &[]);
    let status = web.get("/zimg/v1/status").text();
    assert!(status.contains("unreachable") && status.contains("hint"), "{status}");
    let refused = web.get("/zimg/v1/jobs");
    assert_eq!((refused.status, refused.header("x-should-retry")), (503, Some("true")));
    let mut events = web.events("/zimg/v1/events", &[]);
    let mut daemon = Daemon::with(options(""));
    daemon.wait_for("READY=1");
    // The page is told to ask for the list again.
    events.wait_for("reset");
    events.wait_for("reset");
    let state = || field(&web.get(&format!("/zimg/v1/jobs/{id}")).text(), "state");
    wait_until("the job is done", || state().as_deref() == Some("done"));
    let answer = web.get(&format!("/zimg/v1/images/{id}-1"));
    let image = image::load_from_memory(&answer.body).unwrap().into_rgb8();
    assert_eq!(image.get_pixel(0, 0).0, colour(9_000_000_000_000_000_001));
}

#[test]
fn a_failed_job_says_why() {
    let daemon = Daemon::ready("refuse");
    let web = Web::start(daemon.socket(), &[]);
    let mut events = web.events("/zimg/v1/events", &[]);
    let id = submit(&web, FOX);
    let failed = events.wait_for("failed");
    assert_eq!(field(&failed.data, "kind").as_deref(), Some("refused"), "{failed:?}");
    let job = web.get(&format!("/zimg/v1/jobs/{id}")).text();
    assert_eq!(field(&job, "state").as_deref(), Some("failed"), "{job}");
}

#[test]
fn what_is_refused_names_its_parameter() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    for (params, param) in [
        (r#"{"prompt":"a","steps":0}"#, "steps"),
        (r#"{"prompt":"a","width":65}"#, "width"),
        (r#"{"prompt":"a","colour":"red"}"#, "colour"),
        (r#"{"width":64}"#, "prompt"),
    ] {
        let answer = web.post("/zimg/v1/jobs", &format!("{{\"params\":{params}}}"));
        assert_eq!(answer.status, 400, "{params}");
        assert_eq!(field(&answer.text(), "param").as_deref(), Some(param), "{params}");
        let message = field(&answer.text(), "message").unwrap();
        assert_eq!(answer.reason, message, "the sentence is the reason phrase");
    }
    assert!(daemon.client().jobs().unwrap().is_empty());
}

#[test]
fn the_queue_that_is_full_says_when_to_come_back() {
    let daemon = Daemon::ready("hold@step:1");
    let web = Web::start(daemon.socket(), &[]);
    (0..8).for_each(|_| _ = submit(&web, FOX));
    let answer = web.post("/zimg/v1/jobs", FOX);
    assert_eq!((answer.status, answer.header("x-should-retry")), (429, Some("true")));
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Eight jobs wait, and the daemon still has connections for others.
    wait_until("the daemon answers", || daemon.client().status().is_ok());
}
