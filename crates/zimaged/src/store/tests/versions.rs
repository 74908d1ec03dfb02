//! Files of earlier versions, as they lie in `tests/fixtures/store`: each must be read for ever.

use std::fs;
use std::path::PathBuf;

use super::*;

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/store").join(version)
}

/// A copy that may be written to.
fn copy(from: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("pictures")).unwrap();
    for name in [
        "jobs.sqlite",
        "pictures/3-0.rgb",
        "pictures/3-1.rgb",
        "pictures/3-2.rgb",
        "pictures/5-0.rgb",
    ] {
        fs::copy(from.join(name), directory.path().join(name)).unwrap();
    }
    directory
}

/// The jobs that every fixture holds, in the newest version's words.
#[test]
fn version_1_is_read() {
    let fresh = tempfile::tempdir().unwrap();
    let jobs = some_jobs(fresh.path());
    // To make a new version's fixture: a directory that takes it.
    if let Some(directory) = std::env::var_os("ZIMG_MAKE_STORE_FIXTURE") {
        let _ = some_jobs(Path::new(&directory));
    }
    let directory = copy(&fixture("v1"));
    let (mut store, contents) = open(directory.path());
    assert_eq!((&contents.jobs, contents.lived_s), (&jobs, 3600));
    check_images(&store, &jobs);
    // And written to.
    assert_eq!(contents.numbers, 2001..3001);
    store.accept(2001, record(1000, "a fox", 1), &[]).unwrap();
    store.delete(3, 3).unwrap();
    drop(store);
    let (_, contents) = open(directory.path());
    assert_eq!(
        contents.jobs.iter().map(|(job, _)| *job).collect::<Vec<_>>(),
        [1, 2, 4, 5, 6, 2001]
    );
}
