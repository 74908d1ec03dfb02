//! Load: readers of events and clients that draw, for a moment; `make web-load` takes a minute.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zimg_tests::{Daemon, Options, Web, field};

const FOX: &str = r#"{"params":{"prompt":"a red fox","width":64,"height":64,"steps":4}}"#;

/// The seed of the last image.
const LAST: &str = "424242424242";

/// Draws an image to its end: its job.
fn draw(web: &Web, body: &str) -> String {
    let answer = web.post("/zimg/v1/jobs", body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = field(&answer.text(), "id").unwrap();
    loop {
        let last = web.events(&format!("/zimg/v1/jobs/{id}/events"), &[]).last();
        let last = last.unwrap().name;
        if last == "done" {
            return id;
        }
        assert_eq!(last, "reset", "it was so far behind that the end has gone");
    }
}

/// A number that `make web-load` sets.
pub(super) fn number(name: &str, usual: u64) -> u64 {
    std::env::var(format!("ZIMG_WEB_LOAD_{name}")).map_or(usual, |number| number.parse().unwrap())
}

#[test]
fn many_readers_and_drawing_clients_are_served_in_bounded_memory() {
    let seconds = number("SECONDS", 3);
    let (readers, drawing) = (number("READERS", 40) as usize, number("DRAWING", 8) as usize);
    // The promise is 50 ms on two cores; in `make test` all other tests are beside it.
    let status = Duration::from_millis(number("STATUS_MS", 1000));
    let environment = [("JOBS", "400"), ("JOBS_PER_USER", "400")];
    let environment =
        environment.map(|(name, value)| (format!("ZIMAGED_{name}"), value.to_owned()));
    let options =
        Options { mock: "slow:2".into(), environment: environment.to_vec(), ..Options::default() };
    let mut daemon = Daemon::with(options);
    daemon.wait_for("READY=1");
    let web = Web::start(daemon.socket(), &["--connections", "600"]);
    let streams: Vec<_> = (0..readers).map(|_| web.events("/zimg/v1/events", &[])).collect();
    let idle = web.memory();
    assert!(idle < 40 << 20, "{idle} bytes with {readers} readers that have nothing to read");
    let (over, drawn) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (drawn, over, web) = (&drawn, &over, &web);
    let (mut asked, mut behind) = (Vec::new(), 0);
    thread::scope(|scope| {
        let readers: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                scope.spawn(move || {
                    let (mut done, mut resets) = (0, 0);
                    for event in stream.by_ref() {
                        match event.name.as_str() {
                            "failed" => panic!("{event:?}"),
                            "done" => done += 1,
                            "reset" => resets += 1,
                            _ => {}
                        }
                        // A reader that has fallen behind is told to ask for the list.
                        if resets > 1 {
                            return None;
                        }
                        if event.name == "image" && event.data.contains(LAST) {
                            return Some(done);
                        }
                    }
                    panic!("the stream of all jobs has ended after {done} of them");
                })
            })
            .collect();
        let clients: Vec<_> = (0..drawing)
            .map(|_| {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let id = draw(web, FOX);
                        drawn.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(web.get(&format!("/zimg/v1/images/{id}-1")).status, 200);
                        let path = format!("/zimg/v1/jobs/{id}");
                        assert_eq!(web.ask("DELETE", &path, &[], b"").status, 204);
                    }
                })
            })
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            let at = Instant::now();
            assert_eq!(web.get("/zimg/v1/status").status, 200);
            asked.push(at.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        let drawn = drawn.load(Ordering::Relaxed);
        draw(web, &FOX.replace("\"steps\"", &format!("\"seed\":\"{LAST}\",\"steps\"")));
        for reader in readers {
            match reader.join().unwrap() {
                Some(done) => assert_eq!(done, drawn, "each reader has every end"),
                None => behind += 1,
            }
        }
    });
    asked.sort();
    let p99 = asked[asked.len() * 99 / 100];
    let (memory, drawn) = (web.memory() >> 20, drawn.load(Ordering::Relaxed));
    println!(
        "load: {readers} readers, {drawing} clients, {seconds} s: {drawn} images, {behind} readers fell \
         behind, status p99 {p99:?}, {} MiB idle, {memory} MiB after",
        idle >> 20
    );
    assert!(drawn > 0 && memory < 120, "{memory} MiB");
    assert!(p99 < status, "{p99:?}");
}

/// The best of several: what the program takes, not what other programs of the machine do.
#[test]
fn the_page_is_there_at_once() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let times = (0..40).map(|_| {
        let begun = Instant::now();
        let page = web.get("/");
        assert_eq!(page.status, 200);
        begun.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_millis(5), "{best:?}");
}
