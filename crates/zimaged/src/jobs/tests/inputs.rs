//! Image inputs in the job table: given to each worker, in memory within a bound, and refused where
//! they do not go together.

use zimg_protocol::messages::{ImageInput, ImageRole, ImageSource};

use super::*;
use crate::request_images::{ImageRoom, NewJob, RequestImages};
use crate::store::ReadError;

fn input(role: ImageRole, side: u32) -> ImageInput {
    let (layout, source) = (role.layout(), ImageSource::Inline);
    ImageInput { role, layout, width: side, height: side, source }
}

/// A request for an image of this size with an initial image and a mask, whose pixels the table
/// never looks into.
fn with_images(priority: Priority, detach: bool, side: u32) -> NewJob {
    let images = vec![input(ImageRole::Initial, side), input(ImageRole::Mask, side)];
    let params = Params { count: Some(2), ..Params::new("a secret") };
    let request = Generate { params, priority, detach, images, ..Generate::default() };
    let room = ImageRoom::default().reserve(ANN.into(), 7).unwrap();
    NewJob { request, images: RequestImages::received(pixels(), room) }
}

fn pixels() -> Vec<Bytes> {
    vec![Bytes::from_static(b"rgbrgb"), Bytes::from_static(b"mm")]
}

/// The images that a worker gets.
fn given(effects: &[Effect]) -> Vec<(ImageRole, Bytes)> {
    let [Effect::Command(_, command, payload), Effect::Worker(..)] = effects else {
        panic!("{effects:?}")
    };
    let Command::Generate { images, .. } = &**command else { panic!("{command:?}") };
    assert!(images.iter().zip(&payload.images).all(|(of, bytes)| of.bytes == bytes.len() as u64));
    images.iter().map(|image| image.role).zip(payload.images.iter().cloned()).collect()
}

fn both() -> Vec<(ImageRole, Bytes)> {
    [ImageRole::Initial, ImageRole::Mask].into_iter().zip(pixels()).collect()
}

fn lost_by(table: &mut JobTable, job: JobId) {
    table.worker_lost(FIRST, job, Fault::Outside, "killed".into(), false);
}

/// The jobs whose images are read from the store now.
fn read(effects: &[Effect]) -> Vec<JobId> {
    let job = |effect: &Effect| match effect {
        Effect::Store(StoreRequest::ReadInputs { job }) => Some(*job),
        _ => None,
    };
    effects.iter().filter_map(job).collect()
}

fn accept(table: &mut JobTable, job: JobId) {
    table.store_event(StoreEvent::Accepted { job, result: Ok(()) }, None);
}

#[test]
fn each_worker_gets_the_images_of_an_attached_job() {
    let mut table = table();
    table.submit(CLIENT, ANN, with_images(Priority::Batch, false, 64), None, &[]);
    let job = table.get(1).unwrap();
    assert_eq!((job.request.params.width, job.request.params.height), (Some(64), Some(64)));
    for _ in 0..3 {
        assert!(table.fetch_inputs().is_empty());
        assert_eq!(given(&table.dispatch(FIRST, None)), both());
        lost_by(&mut table, 1);
    }
    table.dispatch(FIRST, None);
    preempt(&mut table);
    table.report(FIRST, 1, Report::Paused { job: 1 });
    table.dispatch(FIRST, None);
    table.report(FIRST, 2, Report::Failed { job: 2, failure: full() });
    assert_eq!(given(&table.dispatch(FIRST, None)), both());
}

#[test]
fn images_of_a_detached_job_are_stored_before_it_is_accepted_and_read_for_each_worker() {
    let mut table = table();
    let effects = table.submit(CLIENT, ANN, with_images(Priority::Batch, true, 64), None, &[]);
    let stored = effects.iter().find_map(|effect| match effect {
        Effect::Store(StoreRequest::Accept { inputs, .. }) => Some(inputs.pixels().to_vec()),
        _ => None,
    });
    assert_eq!(stored, Some(pixels()));
    assert!(table.fetch_inputs().is_empty());
    accept(&mut table, 1);
    // They are in memory still.
    assert!(table.fetch_inputs().is_empty());
    assert_eq!(given(&table.dispatch(FIRST, None)), both());
    for _ in 0..2 {
        lost_by(&mut table, 1);
        assert!(table.dispatch(FIRST, None).is_empty(), "they are in the store alone");
        assert_eq!(read(&table.fetch_inputs()), [1]);
        assert_eq!(read(&table.fetch_inputs()), [0; 0], "asked once");
        assert!(table.dispatch(FIRST, None).is_empty());
        table.store_event(StoreEvent::InputsRead { job: 1, result: Ok(pixels()) }, None);
        assert_eq!(given(&table.dispatch(FIRST, None)), both());
    }
}

#[test]
fn images_on_their_way_to_the_disk_take_room_also_if_the_job_is_cancelled() {
    let room = ImageRoom::default();
    let all = 128 << 20;
    let mut table = table();
    let NewJob { request, .. } = with_images(Priority::Batch, true, 64);
    let images = RequestImages::received(pixels(), room.reserve(ANN.into(), 7).unwrap());
    let effects = table.submit(CLIENT, ANN, NewJob { request, images }, None, &[]);
    table.cancel(1);
    assert!(room.reserve(ANN.into(), all).is_err());
    // The store has written them.
    drop(effects);
    room.reserve(ANN.into(), all).unwrap();
}

#[test]
fn while_images_are_read_other_jobs_run() {
    let mut table = table();
    table.submit(CLIENT, ANN, with_images(Priority::Interactive, true, 64), None, &[]);
    accept(&mut table, 1);
    table.dispatch(FIRST, None);
    lost_by(&mut table, 1);
    table.submit(8, ANN, submit(Priority::Batch, false), None, &[]);
    assert_eq!(read(&table.fetch_inputs()), [1]);
    table.dispatch(FIRST, None);
    assert_eq!(table.running_on(FIRST).map(|job| job.id), Some(2));
    assert!(table.preempt(|_| true).is_empty(), "it could not begin");
    table.store_event(StoreEvent::InputsRead { job: 1, result: Ok(pixels()) }, None);
    assert_eq!(table.preempt(|_| true).len(), 1);
}

#[test]
fn only_the_next_detached_jobs_have_their_images_in_memory() {
    let mut table = table();
    // 16 MiB each.
    for client in 0..6 {
        table.submit(client, ANN, with_images(Priority::Batch, true, 2048), None, &[]);
        accept(&mut table, client + 1);
        table.fetch_inputs();
    }
    let here = |table: &JobTable| -> Vec<_> {
        table.jobs.values().filter(|job| job.inputs.are_here()).map(|job| job.id).collect()
    };
    assert_eq!(here(&table), [1, 2, 3, 4]);
    table.dispatch(FIRST, None);
    assert_eq!(here(&table), [2, 3, 4], "the first is with the worker");
    assert_eq!(read(&table.fetch_inputs()), [5]);
    // One that has become the next needs the room.
    table.submit(9, ANN + 1, with_images(Priority::Interactive, true, 2048), None, &[]);
    accept(&mut table, 7);
    assert!(read(&table.fetch_inputs()).is_empty());
    table.store_event(StoreEvent::InputsRead { job: 5, result: Ok(pixels()) }, None);
    table.fetch_inputs();
    assert_eq!(here(&table), [2, 3, 4, 7]);
    table.cancel(7);
    assert_eq!(read(&table.fetch_inputs()), [5]);
}

#[test]
fn images_that_are_damaged_end_the_job_and_a_bad_disk_blocks_it() {
    let asked = || {
        let mut table = table();
        table.submit(CLIENT, ANN, with_images(Priority::Batch, true, 64), None, &[]);
        accept(&mut table, 1);
        table.dispatch(FIRST, None);
        lost_by(&mut table, 1);
        assert_eq!(read(&table.fetch_inputs()), [1]);
        table
    };
    let mut table = asked();
    let damaged = Err(ReadError::Damaged("image input 0 of job 1 has changed".into()));
    let effects = table.store_event(StoreEvent::InputsRead { job: 1, result: damaged }, None);
    let [Effect::Store(StoreRequest::End { end, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    let failure = end.result.clone().unwrap_err();
    assert_eq!(failure.kind, Kind::Io);
    assert_eq!(failure.message, "job 1 cannot begin: image input 0 of job 1 has changed");
    is_consistent(&table);

    let mut table = asked();
    let failed = Err(ReadError::Failed(full()));
    table.store_event(StoreEvent::InputsRead { job: 1, result: failed }, None);
    assert_eq!(name(&table), "Blocked");
    is_consistent(&table);
    assert!(table.fetch_inputs().is_empty());
    table.store_event(StoreEvent::Probed { job: 1, result: Ok(()) }, None);
    assert_eq!((name(&table).as_str(), read(&table.fetch_inputs())), ("Waiting", vec![1]));
    table.store_event(StoreEvent::InputsRead { job: 1, result: Ok(pixels()) }, None);
    // A blocked job gives up what it has in memory.
    let bytes = BYTES as u64;
    table.store_event(StoreEvent::ImageStored { job: 1, bytes, result: Err(full()) }, None);
    assert!(!table.get(1).unwrap().inputs.are_here());
    table.store_event(StoreEvent::Probed { job: 1, result: Ok(()) }, None);
    assert_eq!(read(&table.fetch_inputs()), [1]);
    table.store_event(StoreEvent::InputsRead { job: 1, result: Ok(pixels()) }, None);
    assert_eq!(given(&table.dispatch(FIRST, None)), both());
    // What comes for a job that has ended or is gone changes nothing.
    table.cancel(1);
    table.store_event(StoreEvent::InputsRead { job: 1, result: Ok(pixels()) }, None);
    table.store_event(StoreEvent::InputsRead { job: 70, result: Ok(pixels()) }, None);
}

#[test]
fn images_that_a_model_takes_not_are_refused() {
    let refused = |images: &[ImageRole], model: Option<&ModelInfo>| {
        let images = images.iter().map(|role| input(*role, 64)).collect::<Vec<_>>();
        let pixels = vec![Bytes::from_static(b"x"); images.len()];
        let request = Generate { images, ..submit(Priority::Batch, false) };
        let room = ImageRoom::default().reserve(ANN.into(), 7).unwrap();
        let job = NewJob { request, images: RequestImages::received(pixels, room) };
        let effects = table().submit(CLIENT, ANN, job, model, &[]);
        effects.into_iter().find_map(|effect| match effect {
            Effect::Tell(CLIENT, Event::Failed(failure)) => Some(failure.message),
            _ => None,
        })
    };
    let mut takes = model("m");
    takes.capabilities.initial_image = true;
    let (initial, mask) = (ImageRole::Initial, ImageRole::Mask);
    for (images, model, message) in [
        (&[initial, mask][..], None, None),
        (&[initial], Some(takes.clone()), None),
        (&[initial, mask], Some(takes), Some("the model takes no mask")),
        (&[initial], Some(model("text")), Some("the model takes no initial image")),
        (&[ImageRole::Control], None, None),
        (&[ImageRole::Control], Some(model("text")), Some("the model takes no control image")),
        (&[mask], None, Some("the request has a mask and no initial image, expected both")),
    ] {
        assert_eq!(refused(images, model.as_ref()).as_deref(), message, "{images:?}");
    }
    let images = vec![input(initial, 64)];
    let request = Generate { images, ..submit(Priority::Batch, false) };
    let effects = table().submit(CLIENT, ANN, request, None, &[]);
    assert!(matches!(&effects[..], [Effect::Tell(CLIENT, Event::Failed(_))]), "{effects:?}");
}
