//! The store opened again after crashes, damage, full disks and second daemons.

mod actor;
mod damage;
mod inputs;
mod killed;
mod lacking;
mod versions;

use std::path::Path;

use zimg_protocol::messages::{
    Generate, ImageInfo, JobId, ModelInfo, Params, Priority, Started, Timings,
};
use zimg_protocol::{Failure, Kind};

use super::error::{Damage, StoreError};
use super::job_store::{JobStore, StoreContents};
use super::record::{JobEnd, JobRecord};

const SIDE: u32 = 64;

/// Numbers that are the same in every run: splitmix64, https://prng.di.unimi.it/splitmix64.c.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

pub(super) fn record(uid: u32, prompt: &str, count: u32) -> JobRecord {
    let draw = Params {
        seed: Some(0),
        count: Some(count),
        width: Some(SIDE),
        height: Some(SIDE),
        ..Params::new(prompt)
    };
    JobRecord::new(
        uid,
        Generate {
            params: draw,
            priority: Priority::Batch,
            detach: true,
            previews: false,
            ..Generate::default()
        },
        1_700_000_000,
    )
}

fn started() -> Started {
    Started {
        model: ModelInfo { name: "tiny".into(), ..ModelInfo::default() },
        width: SIDE,
        height: SIDE,
        steps: 8,
        guidance: 0.0,
    }
}

fn image(index: u32) -> ImageInfo {
    let bytes = u64::from(3 * SIDE * SIDE);
    ImageInfo { index, seed: 7, width: SIDE, height: SIDE, bytes }
}

fn pixels(job: JobId, index: u32) -> Vec<u8> {
    let mut seeded = Seeded(job << 32 | u64::from(index));
    (0..image(index).bytes).map(|_| u8::try_from(seeded.below(256)).unwrap()).collect()
}

fn open(directory: &Path) -> (JobStore, StoreContents) {
    let (store, contents) = JobStore::open(directory, 1_700_000_000).unwrap();
    assert!(contents.aside.is_none(), "{:?}", contents.aside);
    (store, contents)
}

/// A directory with jobs in every state, and what is in it.
fn some_jobs(directory: &Path) -> Vec<(JobId, JobRecord)> {
    let (mut store, contents) = open(directory);
    let jobs: Vec<_> = contents.numbers.take(9).collect();
    for (job, count) in jobs.iter().zip([1, 2, 3].iter().cycle()) {
        // One prompt that does not fit a page of the file.
        let prompt = "a fox ".repeat(if *job == 4 { 2000 } else { 1 });
        store
            .accept(*job, record(1000 + u32::try_from(*job % 2).unwrap(), &prompt, *count), &[])
            .unwrap();
    }
    let end = |result| JobEnd { result, lived_s: 60 };
    for index in 0..3 {
        store.store_image(3, &started(), &image(index), &pixels(3, index)).unwrap();
    }
    store.end(3, end(Ok(Timings { steps: 8.0, ..Timings::default() }))).unwrap();
    store.store_image(5, &started(), &image(0), &pixels(5, 0)).unwrap();
    store.end(6, end(Err(Failure::new(Kind::Refused, "no")))).unwrap();
    // Pages that are free again.
    for job in 7..=9 {
        store.delete(job, 0).unwrap();
    }
    store.save_age(3600).unwrap();
    drop(store);
    let (_, contents) = open(directory);
    assert_eq!((contents.jobs.len(), contents.lived_s), (6, 3600));
    contents.jobs
}

fn check_images(store: &JobStore, jobs: &[(JobId, JobRecord)]) {
    for (job, record) in jobs {
        for stored in &record.images {
            assert_eq!(
                store.read(*job, stored, 0, usize::MAX).unwrap(),
                pixels(*job, stored.image.index)
            );
        }
    }
}

#[test]
fn stored_jobs_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = some_jobs(directory.path());
    let (mut store, contents) = open(directory.path());
    assert_eq!(contents.jobs, jobs);
    check_images(&store, &jobs);
    assert_eq!(jobs[2].1.images.len(), 3);
    assert_eq!(jobs[3].1.submit.params.prompt.len(), 12_000);
    assert!(matches!(jobs[5].1.end, Some(JobEnd { result: Err(_), lived_s: 60 })));
    assert_eq!(contents.numbers, 2001..3001);
    assert_eq!(store.reserve_ids(1000).unwrap(), 3001..4001);
    assert!(matches!(
        store.end(70, JobEnd { result: Ok(Timings::default()), lived_s: 0 }),
        Err(StoreError::NoSuchJob(70))
    ));
    store.delete(70, 3).unwrap();
}

#[test]
fn a_deleted_job_leaves_no_image_and_no_word_of_its_prompt() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    store.accept(1, record(1000, "a secret fox", 1), &[]).unwrap();
    store.store_image(1, &started(), &image(0), &pixels(1, 0)).unwrap();
    let prompt_is_there = || {
        let bytes = std::fs::read(directory.path().join("jobs.sqlite")).unwrap();
        bytes.windows(12).any(|window| window == b"a secret fox")
    };
    assert!(prompt_is_there());
    store.delete(1, 1).unwrap();
    assert!(!prompt_is_there());
    assert_eq!(std::fs::read_dir(directory.path().join("pictures")).unwrap().count(), 0);
}

#[test]
fn unreferenced_images_are_removed_and_foreign_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = some_jobs(directory.path());
    let at = |name: &str| directory.path().join("pictures").join(name);
    for name in ["5-1.rgb", "8-0.rgb", "3-0.rgb.new", "notes.txt", "x-0.rgb"] {
        std::fs::write(at(name), "x").unwrap();
    }
    let (store, contents) = open(directory.path());
    assert_eq!(contents.jobs, jobs);
    check_images(&store, &jobs);
    for (name, there) in [
        ("5-1.rgb", false),
        ("8-0.rgb", false),
        ("3-0.rgb.new", false),
        ("notes.txt", true),
        ("x-0.rgb", true),
    ] {
        assert_eq!(at(name).exists(), there, "{name}");
    }
}

#[test]
fn a_damaged_image_is_never_read_and_can_be_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = some_jobs(directory.path());
    let (mut store, _) = open(directory.path());
    let (job, record) = &jobs[2];
    let damaged = |store: &JobStore, index: usize| match store
        .read(*job, &record.images[index], 0, 100)
        .unwrap_err()
    {
        StoreError::Damaged(damage) => damage,
        other => panic!("{other}"),
    };
    let at = |index: u32| directory.path().join(format!("pictures/3-{index}.rgb"));
    let mut bytes = pixels(3, 1);
    bytes[5000] ^= 1;
    std::fs::write(at(1), &bytes).unwrap();
    assert_eq!(damaged(&store, 1), Damage::ImageChanged { job: 3, index: 1 });
    bytes.truncate(77);
    std::fs::write(at(1), &bytes).unwrap();
    assert_eq!(damaged(&store, 1), Damage::ImageChanged { job: 3, index: 1 });
    std::fs::remove_file(at(1)).unwrap();
    assert_eq!(damaged(&store, 1), Damage::ImageMissing { job: 3, index: 1 });
    store.truncate(3, 1).unwrap();
    drop(store);
    let (mut store, contents) = open(directory.path());
    assert_eq!((contents.jobs[2].1.images.len(), &contents.jobs[2].1.end), (1, &None));
    store.store_image(3, &started(), &image(1), &pixels(3, 1)).unwrap();
    drop(store);
    let (store, contents) = open(directory.path());
    assert_eq!(contents.jobs[2].1.images.len(), 2);
    check_images(&store, &contents.jobs);
}

#[test]
fn one_daemon_at_a_time_has_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _) = open(directory.path());
    let error = JobStore::open(directory.path(), 0).unwrap_err();
    let failure = error.failure(Path::new("/var/lib/zimaged"));
    assert_eq!(failure.kind, Kind::Busy);
    let pid = std::process::id();
    assert_eq!(
        failure.message,
        format!(
            "cannot store jobs in /var/lib/zimaged: another zimaged (process {pid}) stores its jobs there"
        )
    );
}

#[test]
fn its_files_are_readable_by_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let _ = some_jobs(directory.path());
    let mode = |name: &str| {
        std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("pictures"), 0o700);
    for file in ["jobs.sqlite", "lock", "pictures/3-0.rgb"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_full_disk_is_a_sentence_and_nothing_stored_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = some_jobs(directory.path());
    let (mut store, _) = open(directory.path());
    // A directory in whose stead there is a file takes nothing, not even from root.
    let (images, away) = (directory.path().join("pictures"), directory.path().join("away"));
    std::fs::rename(&images, &away).unwrap();
    std::fs::write(&images, "").unwrap();
    let error = store.store_image(5, &started(), &image(1), &pixels(5, 1)).unwrap_err();
    assert!(!error.is_damage());
    let failure = error.failure(store.path());
    assert_eq!(failure.kind, Kind::Io);
    assert!(failure.message.starts_with("cannot store jobs in "), "{failure}");
    std::fs::remove_file(&images).unwrap();
    std::fs::rename(&away, &images).unwrap();
    store.store_image(5, &started(), &image(1), &pixels(5, 1)).unwrap();
    drop(store);
    let (store, contents) = open(directory.path());
    assert_eq!(contents.jobs[4].1.images.len(), 2);
    check_images(&store, &contents.jobs);
    assert_eq!(contents.jobs.len(), jobs.len());
}
