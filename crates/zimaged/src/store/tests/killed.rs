//! A writer killed at random moments: everything that it reported as stored is stored.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::inputs::{inputs, record_with_images};
use super::*;

/// The variable with the directory for the process that is killed.
const CHILD: &str = "ZIMG_STORE_KILLED";
const IMAGES: u32 = 2;

/// Accepts, stores images, ends and deletes until it is killed, and reports each step.
fn write_until_killed(directory: &Path) {
    let (mut store, contents) = open(directory);
    let mut out = std::io::stdout();
    for job in contents.numbers {
        let mut say = |what: &str| writeln!(out, "{what} {job}").unwrap();
        // Each second request has images.
        let images = if job % 2 == 0 { inputs(job) } else { Vec::new() };
        let mut record = record(1000, &format!("fox {job} {}", "x".repeat(3000)), IMAGES);
        record.submit.images = record_with_images().submit.images;
        record.submit.images.truncate(images.len());
        store.accept(job, record, &images).unwrap();
        say("accepted");
        for index in 0..IMAGES {
            store.store_image(job, &started(), &image(index), &pixels(job, index)).unwrap();
            say("image");
        }
        store.end(job, JobEnd { result: Ok(Timings::default()), lived_s: job }).unwrap();
        say("ended");
        if job % 3 == 0 {
            store.delete(job, IMAGES).unwrap();
            say("forgotten");
        }
    }
}

#[test]
fn what_a_killed_writer_reported_as_stored_is_stored() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&directory));
    }
    let name = "store::tests::killed::what_a_killed_writer_reported_as_stored_is_stored";
    let mut seeded = Seeded(5);
    let directory = tempfile::tempdir().unwrap();
    let mut said: Vec<(String, JobId)> = Vec::new();
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness has lines of its own.
        let mut words = lines.map(Result::unwrap).filter_map(|line| {
            let (what, job) = line.rsplit_once(' ')?;
            Some((what.rsplit(' ').next()?.to_owned(), job.parse().ok()?))
        });
        said.extend(words.by_ref().take(1 + seeded.below(20)));
        // Somewhere in what comes next, which is a matter of milliseconds.
        std::thread::sleep(std::time::Duration::from_micros(seeded.below(20_000) as u64));
        child.kill().unwrap();
        said.extend(words);
        child.wait().unwrap();

        let (store, contents) = open(directory.path());
        check_images(&store, &contents.jobs);
        for (job, record) in &contents.jobs {
            assert!(record.submit.params.prompt.starts_with(&format!("fox {job} ")));
            let images = store.read_inputs(*job, record).unwrap();
            assert_eq!(images, if job % 2 == 0 { inputs(*job) } else { Vec::new() });
        }
        for (what, job) in &said {
            let forgotten = said.contains(&("forgotten".to_owned(), *job));
            let images = said.iter().filter(|said| **said == ("image".to_owned(), *job)).count();
            match contents.jobs.iter().find(|(id, _)| id == job) {
                // What was being done when it was killed is done or not.
                Some((_, record)) => {
                    assert!(!forgotten, "round {round}: job {job} is back");
                    assert!(record.images.len() >= images, "round {round}: job {job}");
                    assert!(what != "ended" || record.end.is_some(), "round {round}: job {job}");
                }
                None => assert!(forgotten || job % 3 == 0, "round {round}: job {job} is lost"),
            }
        }
        let told: std::collections::HashSet<_> = said.iter().map(|(_, job)| job).collect();
        let untold = contents.jobs.iter().filter(|(job, _)| !told.contains(job)).count();
        assert!(untold <= round + 1, "at most the one that each killed writer was about");
    }
    assert!(said.len() > 100, "only {} things were said", said.len());
}
