//! Previews from the real worker with the built-in model.

use std::time::Instant;

use zimg_protocol::messages::Params;
use zimg_tests::Worker;

#[test]
fn requested_previews_change_no_bit_of_the_image() {
    let mut worker = Worker::start();
    let job = Params {
        width: Some(128),
        height: Some(64),
        count: Some(2),
        ..Params::new("a red circle")
    };
    let without = worker.draw(1, &job, None);
    assert_eq!((without.previews.len(), without.images.len()), (0, 2));
    let begun = Instant::now();
    worker.submit(2, &job, true, None);
    let with = worker.follow(2, |_, _| {});
    let most = 1 + begun.elapsed().as_millis() / 100;
    assert!(with.images == without.images);
    assert!(!with.previews.is_empty() && with.previews.len() as u128 <= most);
    let mut last = (0, 0);
    for preview in &with.previews {
        assert_eq!((preview.width, preview.height, preview.rgb.len()), (16, 8, 3 * 16 * 8));
        assert!((preview.image, preview.step) > last, "{last:?}");
        last = (preview.image, preview.step);
        assert!(with.steps.contains(&last) && preview.step < 8, "the image itself comes then");
    }
}

#[test]
fn a_long_job_has_ten_a_second_at_most() {
    let mut worker = Worker::start();
    let job =
        Params { width: Some(64), height: Some(64), steps: Some(100), ..Params::new("a star") };
    let begun = Instant::now();
    worker.submit(1, &job, true, None);
    let run = worker.follow(1, |_, _| {});
    let most = 1 + begun.elapsed().as_millis() / 100;
    let previews = run.previews.len() as u128;
    assert!(previews >= 2 && previews <= most, "{previews} in {:?}", begun.elapsed());
}
