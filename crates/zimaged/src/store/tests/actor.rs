//! The actor: requests are answered in order, whatever the state of the directory.

use tokio::sync::mpsc;

use super::*;
use crate::request_images::RequestImages;
use crate::store::{ReadError, Store, StoreEvent, StoreRequest};

type Answers = mpsc::UnboundedReceiver<StoreEvent>;

fn start(directory: &Path) -> (Store, Answers) {
    let (sender, answers) = mpsc::unbounded_channel();
    (Store::start(Ok(directory.to_owned()), sender).unwrap(), answers)
}

fn next(answers: &mut Answers) -> StoreEvent {
    answers.blocking_recv().unwrap()
}

#[test]
fn earlier_requests_are_done_before_the_actor_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut answers) = start(directory.path());
    store.send(StoreRequest::ReserveIds(1000));
    store.send(StoreRequest::Accept {
        job: 1,
        record: Box::new(record(1000, "a fox", 1)),
        inputs: RequestImages::default(),
    });
    let pixels = pixels(1, 0);
    store.send(StoreRequest::StoreImage { job: 1, started: started(), image: image(0), pixels });
    let end = JobEnd { result: Ok(Timings::default()), lived_s: 1 };
    store.send(StoreRequest::End { job: 1, end });
    store.send(StoreRequest::SaveAge(77));
    store.send(StoreRequest::Close);
    assert!(
        matches!(next(&mut answers), StoreEvent::Opened(Ok(contents)) if contents.jobs.is_empty())
    );
    assert!(
        matches!(next(&mut answers), StoreEvent::IdsReserved(Ok(block)) if block == (1001..2001))
    );
    assert!(matches!(next(&mut answers), StoreEvent::Accepted { job: 1, result: Ok(()) }));
    assert!(matches!(next(&mut answers), StoreEvent::ImageStored { job: 1, result: Ok(_), .. }));
    assert!(matches!(next(&mut answers), StoreEvent::Ended { job: 1, result: Ok(()) }));
    assert!(matches!(next(&mut answers), StoreEvent::Closed));
    assert!(answers.blocking_recv().is_none(), "the thread has ended");
    let (_, contents) = open(directory.path());
    assert_eq!((contents.jobs.len(), contents.lived_s), (1, 77));
    assert!(contents.jobs[0].1.end.is_some());
}

#[tokio::test]
async fn images_are_read_in_pieces_and_verified_at_their_start() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = some_jobs(directory.path());
    let (store, _answers) = start(directory.path());
    let (_, record) = &jobs[2];
    assert_eq!(store.record(3).await.unwrap().submit, record.submit);
    assert_eq!(store.record(70).await.unwrap_err().kind, Kind::Refused);
    let mut read = Vec::new();
    let stored = &record.images[1];
    while read.len() < 3 * 64 * 64 {
        let piece = store.pixels(3, stored.clone(), read.len() as u64, 5000).await.unwrap();
        assert!((1..=5000).contains(&piece.len()));
        read.extend_from_slice(&piece);
    }
    assert!(read == pixels(3, 1));
    read[12_000] ^= 1;
    std::fs::write(directory.path().join("pictures/3-1.rgb"), &read).unwrap();
    let error = store.pixels(3, stored.clone(), 0, 10).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(what) if what == "image 1 of job 3 has changed"));
}

#[test]
fn without_a_directory_everything_is_refused_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::write(&state, "in the way").unwrap();
    let (store, mut answers) = start(&state);
    let refused = |failure: &Failure| {
        assert_eq!(failure.kind, Kind::Io);
        assert!(failure.message.starts_with("cannot store jobs in "), "{failure}");
        true
    };
    assert!(matches!(next(&mut answers), StoreEvent::Opened(Err(failure)) if refused(&failure)));
    store.send(StoreRequest::ReserveIds(1));
    assert!(
        matches!(next(&mut answers), StoreEvent::IdsReserved(Err(failure)) if refused(&failure))
    );
    std::fs::remove_file(&state).unwrap();
    // A new job is a reason to try again.
    store.send(StoreRequest::Accept {
        job: 1,
        record: Box::new(record(1000, "a fox", 1)),
        inputs: RequestImages::default(),
    });
    assert!(matches!(next(&mut answers), StoreEvent::Opened(Ok(_))));
    assert!(matches!(next(&mut answers), StoreEvent::Accepted { job: 1, result: Ok(()) }));
    store.send(StoreRequest::Open);
    store.send(StoreRequest::Probe { job: 1, bytes: 1 << 20 });
    assert!(
        matches!(next(&mut answers), StoreEvent::Probed { result: Ok(()), .. }),
        "it was open already"
    );
    assert_eq!(std::fs::read_dir(state.join("pictures")).unwrap().count(), 0);
}

#[test]
fn damage_of_an_open_store_is_moved_aside_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let _ = some_jobs(directory.path());
    let (store, mut answers) = start(directory.path());
    assert!(
        matches!(next(&mut answers), StoreEvent::Opened(Ok(contents)) if contents.jobs.len() == 6)
    );
    let database = directory.path().join("jobs.sqlite");
    let bytes = std::fs::read(&database).unwrap().len();
    std::fs::write(&database, vec![0x55; bytes]).unwrap();
    store.send(StoreRequest::Accept {
        job: 1001,
        record: Box::new(record(1000, "a fox", 1)),
        inputs: RequestImages::default(),
    });
    let StoreEvent::Opened(Ok(contents)) = next(&mut answers) else { panic!("not opened again") };
    let (_, aside) = contents.aside.unwrap();
    assert!(contents.jobs.is_empty() && std::fs::read(aside).unwrap() == vec![0x55; bytes]);
    assert!(matches!(next(&mut answers), StoreEvent::Accepted { result: Err(_), .. }));
    store.send(StoreRequest::Accept {
        job: 1002,
        record: Box::new(record(1000, "a fox", 1)),
        inputs: RequestImages::default(),
    });
    assert!(matches!(next(&mut answers), StoreEvent::Accepted { result: Ok(()), .. }));
}
