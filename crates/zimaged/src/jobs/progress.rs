//! Progress of a job: its complete images, and the resume point with the latents from which another
//! worker continues to the same image, bit for bit.

use bytes::Bytes;
use zimage_ipc::Point;
use zimage_params::{SecondPass, seed_of_image};
use zimg_protocol::limits::{image_bytes, latents_bytes_max};
use zimg_protocol::messages::{ImageInfo, Params, Started, Step, Timings};

/// A violation of the worker protocol, in words that continue "the worker broke the protocol:".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub &'static str);

/// The progress of one job.
#[derive(Debug)]
pub(crate) struct Progress {
    count: u32,
    seed: u64,
    /// The second pass of each image, if there is one.
    second: Option<SecondPass>,
    /// What the defaults became, once a worker has said it.
    started: Option<Started>,
    /// Complete images.
    whole: u32,
    /// Bytes of the announced image that are still to come.
    missing: u64,
    /// The resume point, and its latents.
    point: Point,
    latents: Bytes,
    /// The latents of the next resume point, while they arrive.
    arriving: Option<(Point, Vec<u8>)>,
}

/// The resume point of a job that has not begun.
const BEGINNING: Point = Point { image: 0, step: 0, bytes: 0, timings: NO_TIME };
const NO_TIME: Timings = Timings { queued: 0.0, text: 0.0, steps: 0.0, decode: 0.0, total: 0.0 };

impl Progress {
    /// A job that has not begun.
    pub(crate) fn new(asked: &Params) -> Self {
        Self {
            count: asked.images(),
            seed: asked.first_seed(),
            second: asked.second_pass(),
            started: None,
            whole: 0,
            missing: 0,
            point: BEGINNING,
            latents: Bytes::new(),
            arriving: None,
        }
    }

    /// So many images are in the store already.
    pub(crate) fn go_on_after(&mut self, images: u32) {
        self.whole = images;
        self.point = Point { image: images, ..BEGINNING };
    }

    /// A worker takes it over: where it goes on, unless at the beginning. What another worker had
    /// not sent to its end is forgotten.
    pub(crate) fn take_over(&mut self) -> Option<(Point, Bytes)> {
        self.missing = 0;
        self.arriving = None;
        (self.point != BEGINNING).then(|| (self.point, self.latents.clone()))
    }

    /// The worker says what the defaults became: whether for the first time.
    pub(crate) fn started(&mut self, started: &Started) -> Result<bool, Violation> {
        if image_bytes(started.width, started.height).is_none() || started.steps == 0 {
            return Err(Violation("a job of an impossible size"));
        }
        match &self.started {
            None => {
                self.started = Some(started.clone());
                Ok(true)
            }
            Some(before) if before == started => Ok(false),
            Some(_) => Err(Violation("the job is another than before")),
        }
    }

    /// What the defaults became.
    pub(crate) fn shape(&self) -> Option<&Started> {
        self.started.as_ref()
    }

    /// Steps of an image, in all its passes; 0 until a worker has said how many.
    fn steps(&self) -> u32 {
        let steps = self.started.as_ref().map_or(0, |started| started.steps);
        steps + self.second.map_or(0, |pass| pass.steps(steps))
    }

    /// The size of an image while this step is computed.
    pub(crate) fn size_at(&self, step: u32) -> Option<(u32, u32)> {
        let started = self.started.as_ref()?;
        let size = (started.width, started.height);
        Some(match self.second {
            Some(pass) if step <= started.steps => pass.first_size(size),
            _ => size,
        })
    }

    /// The worker has done a step.
    pub(crate) fn step(&self, step: &Step) -> Result<(), Violation> {
        let steps = self.steps();
        let fits = step.image == self.whole
            && step.of == steps
            && (1..=steps).contains(&step.step)
            && step.ms.is_finite();
        if !fits {
            return Err(Violation("an impossible step"));
        }
        Ok(())
    }

    /// The worker announces the latents of a step.
    pub(crate) fn latents(&mut self, point: Point) -> Result<(), Violation> {
        let Some(started) = &self.started else { return Err(Violation("latents of nothing")) };
        if self.arriving.is_some() || self.missing > 0 {
            return Err(Violation("latents within an image"));
        }
        // The next image's beginning is known without latents.
        let limit = match point.step {
            0 => 0,
            _ => latents_bytes_max(started.width, started.height),
        };
        if point.image != self.whole || point.step > self.steps() || point.bytes > limit {
            return Err(Violation("latents of an impossible step or size"));
        }
        if point.bytes == 0 {
            self.point = point;
            self.latents = Bytes::new();
        } else {
            self.arriving = Some((point, Vec::new()));
        }
        Ok(())
    }

    /// Bytes of the announced latents have come.
    pub(crate) fn latent_bytes(&mut self, chunk: &[u8]) -> Result<(), Violation> {
        let Some((point, bytes)) = &mut self.arriving else {
            return Err(Violation("stray latents"));
        };
        let missing = point.bytes - bytes.len() as u64;
        if chunk.is_empty() || chunk.len() as u64 > missing {
            return Err(Violation("more latents than announced"));
        }
        bytes.extend_from_slice(chunk);
        if chunk.len() as u64 == missing
            && let Some((point, bytes)) = self.arriving.take()
        {
            self.point = point;
            self.latents = bytes.into();
        }
        Ok(())
    }

    /// The worker announces an image.
    pub(crate) fn image(&mut self, image: &ImageInfo) -> Result<(), Violation> {
        if self.missing > 0 || self.arriving.is_some() {
            return Err(Violation("an image within an image"));
        }
        if image.index != self.whole || image.index >= self.count {
            return Err(Violation("an image out of order"));
        }
        if image.seed != seed_of_image(self.seed, image.index.into()) {
            return Err(Violation("an image of another seed"));
        }
        let shape = self.started.as_ref().map(|started| (started.width, started.height));
        let bytes = image_bytes(image.width, image.height);
        if shape != Some((image.width, image.height))
            || bytes.is_none_or(|bytes| bytes as u64 != image.bytes)
        {
            return Err(Violation("an image of an impossible size"));
        }
        self.missing = image.bytes;
        Ok(())
    }

    /// So many bytes of the announced image have come: whether it is whole now.
    pub(crate) fn pixels(&mut self, bytes: usize) -> Result<bool, Violation> {
        match self.missing.checked_sub(bytes as u64) {
            Some(missing) if bytes > 0 => self.missing = missing,
            _ => return Err(Violation("pixels that do not fit the image")),
        }
        if self.missing > 0 {
            return Ok(false);
        }
        self.whole += 1;
        // Whatever happens now, this image is not generated again.
        let timings = self.point.timings;
        self.point = Point { image: self.whole, timings, ..BEGINNING };
        self.latents = Bytes::new();
        Ok(true)
    }

    /// Images that have come whole.
    pub(crate) fn whole(&self) -> u32 {
        self.whole
    }

    /// Whether all images have come.
    pub(crate) fn is_complete(&self) -> bool {
        self.whole == self.count
    }

    /// Where another worker would go on.
    pub(crate) fn point(&self) -> Point {
        self.point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_protocol::messages::ModelInfo;

    const BYTES: usize = 3 * 64 * 64;

    fn progress(count: u32) -> Progress {
        let mut progress =
            Progress::new(&Params { count: Some(count), seed: Some(7), ..Params::new("a fox") });
        assert_eq!(progress.started(&started()), Ok(true));
        progress
    }

    fn started() -> Started {
        Started {
            model: ModelInfo { name: "m".into(), ..ModelInfo::default() },
            width: 64,
            height: 64,
            steps: 8,
            guidance: 0.0,
        }
    }

    fn image(index: u32) -> ImageInfo {
        ImageInfo { index, seed: 7 + u64::from(index), width: 64, height: 64, bytes: BYTES as u64 }
    }

    fn point(image: u32, step: u32, bytes: u64) -> Point {
        Point { image, step, bytes, timings: Timings::default() }
    }

    #[test]
    fn images_come_in_order_and_whole() {
        let mut job = progress(2);
        for index in 0..2 {
            assert!(!job.is_complete());
            job.image(&image(index)).unwrap();
            assert_eq!(job.pixels(BYTES - 5), Ok(false));
            assert_eq!(job.pixels(5), Ok(true));
            assert_eq!(job.whole(), index + 1);
        }
        assert!(job.is_complete());
    }

    #[test]
    fn what_does_not_fit_is_wrong() {
        assert!(progress(1).image(&ImageInfo { bytes: 1, ..image(0) }).is_err());
        assert!(progress(1).image(&ImageInfo { width: 128, ..image(0) }).is_err());
        assert!(progress(1).image(&ImageInfo { seed: 8, ..image(0) }).is_err());
        assert!(progress(1).image(&image(1)).is_err());
        assert!(progress(1).pixels(1).is_err());
        assert!(progress(1).pixels(0).is_err());
        let mut one = progress(1);
        one.image(&image(0)).unwrap();
        assert!(one.image(&image(0)).is_err());
        assert!(one.latents(point(0, 1, 64)).is_err());
        assert!(one.pixels(BYTES + 1).is_err());
        one.pixels(BYTES).unwrap();
        assert!(one.image(&image(1)).is_err());
        let step = |step| Step { image: 0, step, of: 8, ms: 1.0 };
        let fits = [0, 1, 8, 9].map(|at| progress(1).step(&step(at)).is_ok());
        assert_eq!(fits, [false, true, true, false]);
        assert!(progress(2).step(&Step { image: 1, ..step(1) }).is_err());
        assert!(progress(2).step(&Step { ms: f32::NAN, ..step(1) }).is_err());
        let unborn = Progress::new(&Params::new(""));
        assert!({ unborn }.image(&image(0)).is_err());
        let impossible = Started { width: 65, ..started() };
        assert!(Progress::new(&Params::new("")).started(&impossible).is_err());
    }

    #[test]
    fn a_second_pass_has_steps_of_its_own_at_the_whole_size() {
        let asked = Params { hires: Some(2.0), seed: Some(7), ..Params::new("a fox") };
        let mut job = Progress::new(&asked);
        assert_eq!(job.size_at(1), None);
        let started = Started { width: 128, height: 192, ..started() };
        assert_eq!(job.started(&started), Ok(true));
        let fits = |at, of| job.step(&Step { image: 0, step: at, of, ms: 1.0 }).is_ok();
        let found = [(8, 8), (8, 12), (12, 12), (13, 12), (13, 13)].map(|(at, of)| fits(at, of));
        assert_eq!(found, [false, true, true, false, false]);
        assert_eq!(
            [1, 8, 9, 12].map(|at| job.size_at(at)),
            [Some((64, 96)), Some((64, 96)), Some((128, 192)), Some((128, 192))]
        );
        for (step, fits) in [(11, true), (12, true), (13, false)] {
            assert_eq!(job.latents(point(0, step, 4)).is_ok(), fits, "{step}");
            job.take_over();
        }
    }

    #[test]
    fn the_last_whole_latents_are_where_another_worker_goes_on() {
        let mut job = progress(2);
        assert_eq!(job.take_over(), None, "from the beginning");
        job.latents(point(0, 3, 6)).unwrap();
        job.latent_bytes(b"abc").unwrap();
        assert_eq!(job.take_over(), None, "half of them are no use");
        job.latents(point(0, 3, 6)).unwrap();
        job.latent_bytes(b"abc").unwrap();
        job.latent_bytes(b"def").unwrap();
        job.latents(point(0, 4, 6)).unwrap();
        job.latent_bytes(b"gh").unwrap();
        assert_eq!(job.take_over(), Some((point(0, 3, 6), Bytes::from_static(b"abcdef"))));
        assert_eq!(job.started(&started()), Ok(false));
        assert!(job.started(&Started { steps: 9, ..started() }).is_err());
    }

    #[test]
    fn a_whole_image_is_never_generated_again_and_half_a_one_is() {
        let mut job = progress(2);
        job.latents(point(0, 8, 1)).unwrap();
        job.latent_bytes(b"a").unwrap();
        job.image(&image(0)).unwrap();
        job.pixels(BYTES - 1).unwrap();
        assert_eq!(job.take_over(), Some((point(0, 8, 1), Bytes::from_static(b"a"))));
        job.image(&image(0)).unwrap();
        job.pixels(BYTES).unwrap();
        assert_eq!(job.take_over(), Some((point(1, 0, 0), Bytes::new())));
    }

    #[test]
    fn latents_are_bounded_by_the_size() {
        let mut job = progress(1);
        for (point, fits) in [
            (point(0, 1, 16 * 8 * 8 * 4), true),
            (point(0, 1, 16 * 8 * 8 * 4 + 1), false),
            (point(0, 9, 4), false),
            (point(1, 1, 4), false),
            (point(0, 0, 4), false),
            (point(0, 0, 0), true),
        ] {
            assert_eq!(job.latents(point).is_ok(), fits, "{point:?}");
            job.take_over();
        }
        job.latents(point(0, 1, 4)).unwrap();
        assert!(job.latents(point(0, 1, 4)).is_err());
        assert!(job.image(&image(0)).is_err());
        assert!(job.latent_bytes(b"").is_err());
        assert!(job.latent_bytes(b"12345").is_err());
        job.latent_bytes(b"1234").unwrap();
        assert!(job.latent_bytes(b"1").is_err());
    }
}
