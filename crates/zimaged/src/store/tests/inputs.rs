//! Images of stored requests: on the disk with the job, verified, and gone with it.

use bytes::Bytes;
use zimg_protocol::messages::{ImageInput, ImageRole, ImageSource};

use super::*;

/// The record of "a fox" in version 2, and with an initial image, a mask and the checksums 1 and 2 in
/// version 3: they never change.
const V2: &str = "01000000e80300000500000000000000060000000000000070726f6d70740000000005000000000000006120\
     666f780500000000000000776964746801000000400000000000000006000000000000006865696768740100\
     000040000000000000000400000000000000736565640100000000000000000000000500000000000000636f\
     756e7401000000010000000000000001000000010000000000000000000000f1536500000000000000000000\
     00000000";
const V3: &str = "02000000e80300000500000000000000060000000000000070726f6d70740000000005000000000000006120\
     666f780500000000000000776964746801000000400000000000000006000000000000006865696768740100\
     000040000000000000000400000000000000736565640100000000000000000000000500000000000000636f\
     756e740100000001000000000000000100000001000200000000000000000000000000000040000000400000\
     000100000001000000010000004000000040000000010000000000f153650000000000000000000000000000\
     02000000000000000100000002000000";

/// A request with an initial image and a mask.
pub(super) fn record_with_images() -> JobRecord {
    let image = |role: ImageRole| ImageInput {
        role,
        layout: role.layout(),
        width: SIDE,
        height: SIDE,
        source: ImageSource::Inline,
    };
    let mut record = record(1000, "a fox", 1);
    record.submit.images = vec![image(ImageRole::Initial), image(ImageRole::Mask)];
    record
}

/// Their pixels, which differ from job to job.
pub(super) fn inputs(job: JobId) -> Vec<Bytes> {
    let pixels = pixels(job, 77);
    vec![pixels.clone().into(), pixels[..pixels.len() / 3].to_vec().into()]
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("pictures")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn images_of_a_request_are_stored_and_deleted_with_its_job() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    for job in 1..=2 {
        store.accept(job, record_with_images(), &inputs(job)).unwrap();
    }
    store.accept(3, record(1000, "a fox", 1), &[]).unwrap();
    drop(store);
    let (mut store, contents) = open(directory.path());
    let [(_, first), (_, second), (_, plain)] = &contents.jobs[..] else { panic!("{contents:?}") };
    assert_eq!(first.submit, record_with_images().submit);
    assert_eq!((first.inputs.len(), plain.inputs.len()), (2, 0));
    assert_eq!(store.read_inputs(1, first).unwrap(), inputs(1));
    assert_eq!(store.read_inputs(2, second).unwrap(), inputs(2));
    assert!(store.read_inputs(3, plain).unwrap().is_empty());
    // An image that comes, an end and a damaged image change nothing about them.
    store.store_image(1, &started(), &image(0), &pixels(1, 0)).unwrap();
    store.end(1, JobEnd { result: Ok(Timings::default()), lived_s: 1 }).unwrap();
    let truncated = store.truncate(1, 0).unwrap();
    assert_eq!(store.read_inputs(1, &truncated).unwrap(), inputs(1));
    store.delete(1, 1).unwrap();
    assert_eq!(names(directory.path()), ["2-0.input", "2-1.input"]);
    store.delete(2, 1).unwrap();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn images_of_unknown_requests_are_removed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    store.accept(1, record_with_images(), &inputs(1)).unwrap();
    store.accept(2, record(1000, "a fox", 1), &[]).unwrap();
    drop(store);
    for name in ["1-2.input", "2-0.input", "7-0.input", "1-0.input.new", "x-0.input"] {
        std::fs::write(directory.path().join("pictures").join(name), "x").unwrap();
    }
    let (store, contents) = open(directory.path());
    assert_eq!(names(directory.path()), ["1-0.input", "1-1.input", "x-0.input"]);
    assert_eq!(store.read_inputs(1, &contents.jobs[0].1).unwrap(), inputs(1));
}

#[test]
fn damaged_images_of_a_request_are_never_read() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    store.accept(1, record_with_images(), &inputs(1)).unwrap();
    let record = store.record(1).unwrap();
    let mask = directory.path().join("pictures/1-1.input");
    let whole = std::fs::read(&mask).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    let longer = [whole.clone(), vec![0]].concat();
    for damaged in [flipped, whole[1..].to_vec(), longer, Vec::new()] {
        std::fs::write(&mask, damaged).unwrap();
        let StoreError::Damaged(damage) = store.read_inputs(1, &record).unwrap_err() else {
            panic!("not damaged")
        };
        assert_eq!(damage, Damage::InputChanged { job: 1, index: 1 });
    }
    std::fs::remove_file(&mask).unwrap();
    let StoreError::Damaged(damage) = store.read_inputs(1, &record).unwrap_err() else {
        panic!("not damaged")
    };
    assert_eq!(damage, Damage::InputMissing { job: 1, index: 1 });
    std::fs::write(&mask, whole).unwrap();
    assert_eq!(store.read_inputs(1, &record).unwrap(), inputs(1));
}

#[test]
fn a_disk_that_does_not_take_the_images_takes_nothing_of_the_job() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    // The second image cannot be written: where it would be is a directory with something in it.
    let in_the_way = directory.path().join("pictures/1-1.input/x");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let error = store.accept(1, record_with_images(), &inputs(1)).unwrap_err();
    assert!(!error.is_damage());
    assert!(error.failure(store.path()).message.starts_with("cannot store jobs in "));
    assert!(matches!(store.record(1), Err(StoreError::NoSuchJob(1))));
    assert_eq!(names(directory.path()), ["1-1.input"]);
    std::fs::remove_dir_all(directory.path().join("pictures/1-1.input")).unwrap();
    store.accept(1, record_with_images(), &inputs(1)).unwrap();
    // Nor are there images of a job that the database does not take.
    assert!(store.accept(1, record_with_images(), &inputs(1)).is_err());
}

#[test]
fn a_record_without_images_is_as_it_was_and_one_with_images_names_their_checksums() {
    let plain = record(1000, "a fox", 1).encode().unwrap();
    assert_eq!(plain[..4], [1, 0, 0, 0]);
    let mut with = record_with_images();
    with.inputs = vec![1, 2];
    let bytes = with.encode().unwrap();
    assert_eq!(bytes[..4], [2, 0, 0, 0]);
    assert_eq!(JobRecord::decode(1, &bytes).unwrap(), with);
    for cut in 0..bytes.len() {
        assert!(JobRecord::decode(1, &bytes[..cut]).is_err(), "{cut} bytes");
    }
    for (record, golden) in [(record(1000, "a fox", 1), V2), (with.clone(), V3)] {
        let hex: String =
            record.encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "version {}", golden.as_bytes()[1] - b'0' + 1);
    }
    with.inputs.pop();
    let error = JobRecord::decode(1, &with.encode().unwrap()).unwrap_err();
    assert!(error.is_damage());
    assert!(error.to_string().ends_with("its request has 2 images, and 1 of them have a checksum"));
}
