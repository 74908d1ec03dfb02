//! Times: what zimg-web adds to an image beside the socket, and how old a preview is at a browser.
//! `make web-load` holds them to docs/specification.md; `make test`, where all other tests run
//! beside them, to limits that a mistake would exceed.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zimg_client::{Image, Params, Update};
use zimg_image::{Encoding, ImageFormat, Pixels};
use zimg_tests::{Daemon, Web, field};

use super::load::number;

const SIDE: u32 = 1024;

/// The best of several: what the programs take, not what other programs of the machine do. Medians
/// of times that are measured apart, and subtracted, differ by more than what is measured.
fn best(times: Vec<Duration>) -> Duration {
    times.into_iter().min().unwrap()
}

/// The time of some work, and what came of it.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

/// An image over the socket, as `zimg` gets it.
fn over_the_socket(daemon: &Daemon) -> Image {
    let params = Params { steps: Some(1), ..Params::new("a red fox") };
    let params = Params { width: Some(SIDE), height: Some(SIDE), seed: Some(7), ..params };
    let updates = daemon.client().generate(&params).unwrap().map(Result::unwrap);
    let images: Vec<_> = updates
        .filter_map(|update| match update {
            Update::Image(image) => Some(image),
            _ => None,
        })
        .collect();
    images.into_iter().next().unwrap()
}

fn png(image: &Image) -> Vec<u8> {
    let pixels = Pixels { width: SIDE, height: SIDE, rgb: &image.pixels };
    ImageFormat::Png.encode(pixels, Encoding::default(), None).unwrap()
}

/// The image's file is as large as a photograph's.
#[test]
fn http_adds_little_to_an_image_beside_its_encoding() {
    let daemon = Daemon::ready("grain");
    let web = Web::start(daemon.socket(), &[]);
    let body = format!(
        r#"{{"prompt":"a red fox","size":"{SIDE}x{SIDE}","response_format":"b64_json","seed":7,"num_inference_steps":1}}"#
    );
    let (mut socket, mut encoded, mut http, mut stored) = (vec![], vec![], vec![], vec![]);
    for round in 0..number("ROUNDS", 6) {
        let (time, image) = timed(|| over_the_socket(&daemon));
        socket.push(time);
        let (time, file) = timed(|| png(&image));
        encoded.push(time);
        let (time, answer) = timed(|| web.post("/v1/images/generations", &body));
        assert_eq!(answer.status, 200, "{}", answer.reason);
        assert!(file.len() > 1_500_000 && answer.body.len() > file.len() * 4 / 3);
        http.push(time);
        // The page's way: the file of a detached job, from the job store.
        let body = format!(
            r#"{{"params":{{"prompt":"a","width":{SIDE},"height":{SIDE},"steps":1,"seed":"{round}"}}}}"#
        );
        let id = field(&web.post("/zimg/v1/jobs", &body).text(), "id").unwrap();
        web.events(&format!("/zimg/v1/jobs/{id}/events"), &[]).wait_for("done");
        let (time, answer) = timed(|| web.get(&format!("/zimg/v1/images/{id}-1")));
        assert_eq!(answer.status, 200, "{}", answer.reason);
        stored.push(time);
    }
    let (socket, encoded) = (best(socket), best(encoded));
    let (http, stored) = (best(http), best(stored));
    let added = http.saturating_sub(socket + encoded);
    let served = stored.saturating_sub(encoded);
    println!(
        "load: {SIDE}x{SIDE} over the socket {socket:?}, PNG {encoded:?}, POST /v1/images/generations \
         {http:?}: {added:?} more; GET /zimg/v1/images/ID {stored:?}: {served:?} beside PNG"
    );
    let most = Duration::from_millis(number("ADDED_MS", 200));
    assert!(added < most && served < most, "{added:?}, {served:?}");
}

#[test]
fn a_preview_is_at_the_browser_soon_after_its_step() {
    let daemon = Daemon::ready("grain,stamps,slow:40");
    let web = Web::start(daemon.socket(), &["--connections", "600"]);
    let others: Vec<_> =
        (1..number("READERS", 8)).map(|_| web.events("/zimg/v1/events", &[])).collect();
    let mut events = web.events("/zimg/v1/events", &[]);
    let body =
        format!(r#"{{"params":{{"prompt":"a","width":{SIDE},"height":{SIDE},"steps":20}}}}"#);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        for mut other in others {
            scope.spawn(move || other.wait_for("done"));
        }
        web.post("/zimg/v1/jobs", &body);
        for event in events.by_ref() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            match event.name.as_str() {
                "done" => break,
                "preview" => {
                    seen.push((field(&event.data, "step").unwrap().parse::<u32>().unwrap(), now));
                }
                _ => {}
            }
        }
    });
    let stamps = daemon.stamps();
    let mut ages: Vec<_> = seen
        .into_iter()
        .map(|(step, at)| {
            let (.., stamp) = stamps.iter().find(|(.., of, _)| *of == step).unwrap();
            at.saturating_sub(Duration::from_nanos(u64::try_from(*stamp).unwrap()))
        })
        .collect();
    ages.sort();
    let (readers, middle, last) =
        (number("READERS", 8), ages[ages.len() / 2], ages[ages.len() * 9 / 10]);
    println!(
        "load: {} previews at one of {readers} readers: median {middle:?} after the step, nine of ten {last:?}",
        ages.len()
    );
    // zimaged leaves out previews that are not read in time.
    assert!(ages.len() >= 10, "{} previews of 20", ages.len());
    assert!(last < Duration::from_millis(number("PREVIEW_MS", 1000)), "{ages:?}");
}
