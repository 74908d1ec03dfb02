//! The client against scripted daemons: honest, broken and lying ones.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use zimg_client::{
    Busy, Client, Failure, Generate, Image, ImageInfo, JobInfo, JobState, Kind, Params, Preview,
    Priority, Update,
};
use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::{CHUNK_BYTES, TO_DAEMON_BYTES};
use zimg_protocol::messages::{Event, Request, Step, Timings};
use zimg_protocol::{Frame, Hello, Welcome};

#[path = "../examples/draw.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod example;

/// A daemon that plays `script` to its first client, whose hello it has not read yet.
struct Fake {
    path: PathBuf,
    thread: JoinHandle<()>,
    _directory: TempDir,
}

fn fake(script: impl FnOnce(UnixStream) + Send + 'static) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = thread::spawn(move || script(listener.accept().unwrap().0));
    Fake { path, thread, _directory: directory }
}

/// A daemon that welcomes its client, reads a request and plays `script`.
fn welcoming(script: impl FnOnce(&mut UnixStream, Request) + Send + 'static) -> Fake {
    fake(|mut stream| {
        read_hello(&mut stream);
        stream.write_all(&Hello::OURS.negotiate(Hello::OURS).to_bytes()).unwrap();
        match Frame::read(&mut stream, TO_DAEMON_BYTES).unwrap() {
            Some(Frame::Request(request)) => script(&mut stream, request),
            other => panic!("{other:?}"),
        }
    })
}

fn read_hello(stream: &mut UnixStream) -> Hello {
    let mut bytes = [0; 16];
    stream.read_exact(&mut bytes).unwrap();
    Hello::from_bytes(bytes).unwrap()
}

fn say(stream: &mut UnixStream, event: Event) {
    // A client that caught a lie may be gone already.
    let _ = Frame::Event(event).write(stream);
}

fn image(index: u32, width: u32, height: u32) -> ImageInfo {
    let bytes = 3 * u64::from(width) * u64::from(height);
    ImageInfo { index, seed: index.into(), width, height, bytes }
}

fn draw(count: u32) -> Params {
    Params { count: Some(count), ..Params::new("a fox") }
}

/// All updates up to the end, and how it ended.
fn run(fake: Fake, draw: &Params) -> (Vec<Update>, Option<Failure>) {
    let job = Client::connect("test 1", &fake.path).unwrap().generate(draw).unwrap();
    let mut updates = Vec::new();
    let mut failure = None;
    for update in job {
        assert!(failure.is_none(), "an update after the end");
        match update {
            Ok(update) => updates.push(update),
            Err(error) => failure = Some(error),
        }
    }
    fake.thread.join().unwrap();
    (updates, failure)
}

/// What the client says to a daemon that plays `script` and hangs up.
fn objection(script: impl FnOnce(&mut UnixStream) + Send + 'static) -> String {
    let fake = welcoming(|stream, _| script(stream));
    let failure = run(fake, &Params { width: Some(64), ..draw(2) }).1.unwrap();
    assert_eq!(failure.kind, Kind::Internal);
    failure.message
}

#[test]
fn images_are_put_together_from_chunks_between_other_events() {
    let side = 1024;
    let pixels: Vec<u8> = (0..3 * side * side).map(|i| (i % 251) as u8).collect();
    let expected = pixels.clone();
    let step = Step { image: 1, step: 1, of: 8, ms: 1.0 };
    let between = step.clone();
    let fake = welcoming(move |stream, request| {
        assert_eq!(request, Request::Generate(Generate::new(draw(2))));
        say(stream, Event::Accepted { job: 9, position: 0 });
        say(stream, Event::Image(image(0, 1024, 1024)));
        write_pixels(stream, &pixels[..CHUNK_BYTES + 1]).unwrap();
        say(stream, Event::Step(between));
        write_pixels(stream, &pixels[CHUNK_BYTES + 1..]).unwrap();
        // The second image begins, a worker dies, and it starts again.
        say(stream, Event::Image(image(1, 64, 64)));
        write_pixels(stream, &[1; 100]).unwrap();
        say(stream, Event::Image(image(1, 64, 64)));
        write_pixels(stream, &[2; 3 * 64 * 64]).unwrap();
        say(stream, Event::Done(Timings::default()));
    });
    let (updates, failure) = run(fake, &draw(2));
    assert_eq!(failure, None);
    let second = Image { info: image(1, 64, 64), pixels: vec![2; 3 * 64 * 64] };
    assert_eq!(
        updates,
        [
            Update::Accepted { job: 9, position: 0 },
            Update::Step(step),
            Update::Image(Image { info: image(0, 1024, 1024), pixels: expected }),
            Update::Image(second),
            Update::Done(Timings::default()),
        ]
    );
}

#[test]
fn lies_about_images_are_caught() {
    let sizes = [(0, 0), (64, 63), (64, 4096), (128, 64), (u32::MAX, u32::MAX)];
    for (width, height) in sizes {
        let liar = ImageInfo { width, height, bytes: u64::MAX, ..image(0, 64, 64) };
        let message = objection(move |stream| say(stream, Event::Image(liar)));
        assert!(message.contains(&format!("an image of {width}x{height} in")), "{message}");
    }
    let liar = ImageInfo { bytes: 1, ..image(0, 64, 64) };
    let message = objection(move |stream| say(stream, Event::Image(liar)));
    assert!(message.ends_with("it sent an image of 64x64 in 1 bytes"), "{message}");
    let message = objection(|stream| say(stream, Event::Image(image(1, 64, 64))));
    assert!(message.ends_with("image 1 in place of 0"), "{message}");
    let message = objection(|stream| write_pixels(stream, &[0]).unwrap());
    assert!(message.ends_with("pixels of no image"), "{message}");
    let message = objection(|stream| {
        say(stream, Event::Image(image(0, 64, 64)));
        write_pixels(stream, &[0; 3 * 64 * 64 + 1]).unwrap();
    });
    assert!(message.ends_with("12289 bytes of pixels where 12288 are missing"), "{message}");
    let message = objection(|stream| {
        say(stream, Event::Image(image(0, 64, 64)));
        write_pixels(stream, &[0; 3 * 64 * 64]).unwrap();
        say(stream, Event::Done(Timings::default()));
    });
    assert!(message.ends_with("done after 1 of 2 images"), "{message}");
}

#[test]
fn frames_out_of_turn_or_out_of_bounds_are_caught() {
    let message = objection(|stream| Frame::Request(Request::Status).write(stream).unwrap());
    assert!(message.ends_with("unexpected frame of kind 0x01"), "{message}");
    let message = objection(|stream| stream.write_all(&[0xFF; 8]).unwrap());
    assert!(message.contains("4294967295 bytes is not possible"), "{message}");
    let message = objection(|stream| stream.write_all(b"\0\0\0\x02\x02?").unwrap());
    assert!(message.contains("kind 0x02 is malformed"), "{message}");
}

#[test]
fn an_end_without_done_is_an_error() {
    let message = objection(|_| {});
    assert_eq!(message, "the daemon ended the connection before it was done");
    let message = objection(|stream| stream.write_all(&[0, 0]).unwrap());
    assert_eq!(message, "the daemon ended the connection in the middle of a message");
}

#[test]
fn the_daemons_failure_comes_through_as_it_is() {
    let failure = Failure::new(Kind::Busy, "64 jobs wait already").hint("try again");
    let sent = failure.clone();
    let fake = welcoming(|stream, _| say(stream, Event::Failed(sent)));
    assert_eq!(run(fake, &draw(1)), (vec![], Some(failure)));
}

#[test]
fn who_is_patient_keeps_its_place_until_the_daemon_answers() {
    let (impatience, asked) = std::sync::mpsc::channel();
    let fake = fake(move |mut stream| {
        // Like a daemon that starts behind a socket that was there before.
        asked.recv().unwrap();
        read_hello(&mut stream);
        stream.write_all(&Hello::OURS.negotiate(Hello::OURS).to_bytes()).unwrap();
    });
    let patient = || impatience.send(()).is_ok();
    Client::connect_waiting("test 1.0", &fake.path, patient).unwrap();
    fake.thread.join().unwrap();
}

#[test]
fn an_error_frame_may_come_instead_of_the_welcome() {
    let fake = fake(|mut stream| {
        let failure = Failure::new(Kind::Busy, "full");
        Frame::Error((&failure).into()).write(&mut stream).unwrap();
        read_hello(&mut stream);
    });
    let failure = Client::connect("test 1", &fake.path).unwrap_err();
    assert_eq!(failure, Failure::new(Kind::Busy, "full"));
}

#[test]
fn a_daemon_of_another_major_version_is_named_with_ours() {
    let fake = fake(|mut stream| {
        assert_eq!(read_hello(&mut stream), Hello::OURS);
        let welcome = Welcome { major: 0, minor: 9, capabilities: 0 };
        stream.write_all(&welcome.to_bytes()).unwrap();
        let refusal = Failure::new(Kind::Version, "zimaged 9.1.0 speaks protocols 8 to 9");
        Frame::Error((&refusal).into()).write(&mut stream).unwrap();
    });
    let failure = Client::connect("test 1", &fake.path).unwrap_err();
    assert_eq!(failure.kind, Kind::Version);
    assert_eq!(
        failure.message,
        "test 1 speaks protocol 2, but zimaged 9.1.0 speaks protocols 8 to 9"
    );
}

#[test]
fn something_else_behind_the_socket_is_a_version_failure() {
    let fake = fake(|mut stream| {
        read_hello(&mut stream);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
    });
    let failure = Client::connect("test 1", &fake.path).unwrap_err();
    assert_eq!(failure.kind, Kind::Version);
}

#[test]
fn a_cancel_reaches_the_daemon_from_another_thread() {
    let fake = welcoming(|stream, _| {
        say(stream, Event::Accepted { job: 1, position: 0 });
        let next = Frame::read(stream, TO_DAEMON_BYTES).unwrap();
        assert_eq!(next, Some(Frame::Request(Request::Cancel)));
        say(stream, Event::Failed(Failure::new(Kind::Cancelled, "cancelled")));
    });
    let mut job = Client::connect("test 1", &fake.path).unwrap().generate(draw(1)).unwrap();
    assert!(matches!(job.next(), Some(Ok(Update::Accepted { .. }))));
    let mut canceller = job.canceller().unwrap();
    thread::spawn(move || canceller.cancel().unwrap()).join().unwrap();
    assert_eq!(job.next().unwrap().unwrap_err().kind, Kind::Cancelled);
    assert!(job.next().is_none());
}

#[test]
fn a_dropped_job_closes_its_connection() {
    let fake = welcoming(|stream, _| assert_eq!(Frame::read(stream, 100).unwrap(), None));
    drop(Client::connect("test 1", &fake.path).unwrap().generate(draw(1)).unwrap());
    fake.thread.join().unwrap();
}

#[test]
fn no_daemon_is_unavailable_with_what_to_type() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let failure = Client::connect("test 1", &path).unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    let command = format!("start it with `zimaged --socket {}`", path.display());
    assert_eq!(failure.hint, Some(command.clone()));
    drop(UnixListener::bind(&path).unwrap());
    let failure = Client::connect("test 1", &path).unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    assert_eq!(failure.hint, Some(command));
}

#[test]
fn a_daemon_that_ends_before_it_takes_a_connection_is_no_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut listener = Some(UnixListener::bind(&path).unwrap());
    let patient = || listener.take().is_some();
    let failure = Client::connect_waiting("test 1.0", &path, patient).unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
}

#[test]
fn a_request_beyond_the_limits_is_not_sent() {
    let fake = fake(|mut stream| {
        read_hello(&mut stream);
        stream.write_all(&Hello::OURS.negotiate(Hello::OURS).to_bytes()).unwrap();
        assert_eq!(Frame::read(&mut stream, TO_DAEMON_BYTES).unwrap(), None);
    });
    let client = Client::connect("test 1", &fake.path).unwrap();
    assert_eq!(client.generate(draw(0)).unwrap_err().kind, Kind::Refused);
    fake.thread.join().unwrap();
}

/// A client of a daemon that answers each request in turn with one event.
fn answering(script: Vec<(Request, Event)>) -> (Client, Fake) {
    let fake = fake(move |mut stream| {
        read_hello(&mut stream);
        stream.write_all(&Hello::OURS.negotiate(Hello::OURS).to_bytes()).unwrap();
        for (request, event) in script {
            let asked = Frame::read(&mut stream, TO_DAEMON_BYTES).unwrap();
            assert_eq!(asked, Some(Frame::Request(request)));
            say(&mut stream, event);
        }
    });
    (Client::connect("test 1", &fake.path).unwrap(), fake)
}

#[test]
fn one_connection_asks_many_things() {
    let job = JobInfo {
        job: 7,
        uid: 1000,
        on_behalf_of: None,
        state: JobState::Waiting { position: 1 },
        priority: Priority::Batch,
        detached: true,
        width: None,
        height: None,
        seed: 1,
        count: 2,
        generated: 0,
        accepted_unix_s: 1_800_000_000,
        prompt: "a fox".to_owned(),
    };
    let failure = Failure::new(Kind::Refused, "there is no job 8");
    let (mut client, fake) = answering(vec![
        (Request::Jobs, Event::Jobs(vec![job.clone()])),
        (Request::CancelJob { job: 7 }, Event::Acknowledged),
        (Request::Forget { job: 8 }, Event::Failed(failure.clone())),
        (Request::Sleep, Event::Acknowledged),
        (Request::Wake, Event::Acknowledged),
        (Request::Status, Event::Acknowledged),
    ]);
    assert_eq!(client.jobs().unwrap(), [job]);
    client.cancel(7).unwrap();
    assert_eq!(client.forget(8), Err(failure));
    client.sleep().unwrap();
    client.wake().unwrap();
    assert!(client.status().unwrap_err().message.contains("unexpected frame of kind"));
    fake.thread.join().unwrap();
}

#[test]
fn a_detached_job_ends_when_it_is_accepted() {
    let submit = Generate {
        params: draw(3),
        priority: Priority::Batch,
        detach: true,
        previews: false,
        ..Generate::default()
    };
    let accepted = Event::Accepted { job: 9, position: 2 };
    let (client, fake) = answering(vec![(Request::Generate(submit.clone()), accepted)]);
    let updates: Vec<_> = client.generate(&submit).unwrap().collect();
    assert_eq!(updates, [Ok(Update::Accepted { job: 9, position: 2 })]);
    fake.thread.join().unwrap();
}

#[test]
fn a_detached_job_is_waited_for_without_knowing_what_it_is() {
    let fake = welcoming(|stream, request| {
        assert_eq!(request, Request::Wait { job: 9 });
        let draw =
            Params { count: Some(2), seed: Some(7), width: Some(64), ..Params::new("a fox") };
        say(stream, Event::Asked(Box::new(draw)));
        say(stream, Event::Accepted { job: 9, position: 0 });
        for index in 0..2 {
            say(stream, Event::Image(image(index, 64, 80)));
            write_pixels(stream, &[7; 3 * 64 * 80]).unwrap();
        }
        say(stream, Event::Done(Timings::default()));
    });
    let mut job = Client::connect("test 1", &fake.path).unwrap().wait(9).unwrap();
    assert_eq!(job.next(), Some(Ok(Update::Accepted { job: 9, position: 0 })));
    let asked = job.asked().unwrap();
    assert_eq!((&*asked.prompt, asked.first_seed(), asked.images()), ("a fox", 7, 2));
    let updates: Vec<_> = job.map(Result::unwrap).collect();
    assert_eq!(updates.len(), 3);
    assert!(matches!(&updates[1], Update::Image(whole) if whole.info == image(1, 64, 80)));
    fake.thread.join().unwrap();
}

#[test]
fn no_place_says_for_how_long() {
    let failure = Failure::new(Kind::Busy, "64 jobs wait already");
    let busy = Busy { failure: failure.clone(), depth: 64, wait_ms: Some(1500) };
    let answer = Event::Busy(busy.clone());
    let submit = Generate {
        params: draw(1),
        priority: Priority::Interactive,
        detach: false,
        previews: false,
        ..Generate::default()
    };
    let (client, fake) = answering(vec![(Request::Generate(submit.clone()), answer)]);
    let mut job = client.generate(&submit).unwrap();
    assert_eq!(job.busy(), None);
    assert_eq!(job.next(), Some(Err(failure)));
    assert_eq!(job.busy(), Some(&busy));
    assert_eq!(job.next(), None);
    fake.thread.join().unwrap();
}

#[test]
fn previews_and_resuming_are_told_and_lies_about_them_caught() {
    let preview = |image, width, height, bytes| {
        let rgb = vec![9; bytes].into();
        Event::Preview(Preview { image, step: 1, width, height, rgb })
    };
    let (updates, _) = run(
        welcoming(move |stream, _| {
            say(stream, preview(0, 8, 10, 240));
            say(stream, Event::Resumed { image: 0, step: 1 });
        }),
        &draw(1),
    );
    assert!(matches!(&updates[0], Update::Preview(p) if (p.width, p.rgb.len()) == (8, 240)));
    assert_eq!(updates[1], Update::Resumed { image: 0, step: 1 });
    for (image, width, height, bytes) in
        [(0, 8, 8, 191), (0, 0, 8, 0), (0, 257, 1, 771), (0, u32::MAX, u32::MAX, 3), (5, 8, 8, 192)]
    {
        let said = objection(move |stream| say(stream, preview(image, width, height, bytes)));
        assert!(said.contains("it sent a preview of"), "{said}");
    }
}

#[test]
fn the_example_generates() {
    let fake = welcoming(|stream, request| {
        let draw = Params { seed: Some(42), ..Params::new("a fox") };
        assert_eq!(request, Request::Generate(Generate::new(draw)));
        say(stream, Event::Accepted { job: 1, position: 0 });
        say(stream, Event::Step(Step { image: 0, step: 1, of: 1, ms: 1.0 }));
        say(stream, Event::Image(image(0, 64, 80)));
        write_pixels(stream, &[7; 3 * 64 * 80]).unwrap();
        say(stream, Event::Done(Timings::default()));
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ppm");
    example::draw(Some(&fake.path), "a fox", &path).unwrap();
    fake.thread.join().unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.strip_prefix(b"P6\n64 80\n255\n"), Some(&[7; 3 * 64 * 80][..]));
}
