//! Estimates of how long steps and decoding take on a worker's device, from measurements: for
//! clients that wait, and for the timeout of a worker that reports nothing.

use std::time::Duration;

/// Sizes whose times are stored; of more, those seen last.
const SIZES_MAX: usize = 32;
/// The weight of a new measurement in the estimate: the last few count.
const NEW: f32 = 0.25;

/// What the time of a step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub width: u32,
    pub height: u32,
    /// Guidance needs two predictions a step.
    pub guided: bool,
}

/// The measurements of one worker, the size seen last at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimates {
    seen: Vec<(Shape, Measured)>,
    /// How long the warm-up took, at the model's own size.
    warm_up: Option<(Shape, Duration)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    step_ms: Option<f32>,
    /// From an image's last step to its last pixel.
    decode_ms: Option<f32>,
}

impl Estimates {
    /// Records how long a step took.
    pub(crate) fn step(&mut self, shape: Shape, ms: f32) {
        if ms.is_finite() && ms >= 0.0 {
            let step = &mut self.of(shape).step_ms;
            *step = Some(step.map_or(ms, |old| old + NEW * (ms - old)));
        }
    }

    /// Records how long after its last step an image was complete.
    pub(crate) fn decode(&mut self, shape: Shape, took: Duration) {
        let ms = took.as_secs_f32() * 1e3;
        let decode = &mut self.of(shape).decode_ms;
        *decode = Some(decode.map_or(ms, |old| old + NEW * (ms - old)));
    }

    /// Records how long a warm-up took, at the model's own size.
    pub(crate) fn warm_up(&mut self, width: u32, height: u32, took: Duration) {
        self.warm_up = Some((Shape { width, height, guided: false }, took));
    }

    /// How long so many steps and decodings take, if a step of this shape has been measured.
    pub(crate) fn work(&self, shape: Shape, steps: u64, images: u64) -> Option<Duration> {
        let (_, measured) = self.seen.iter().find(|(seen, _)| *seen == shape)?;
        let steps = f64::from(measured.step_ms?) * steps as f64;
        let images = f64::from(measured.decode_ms.unwrap_or(0.0)) * images as f64;
        Some(Duration::from_secs_f64((steps + images) / 1e3))
    }

    /// The longest time that one step is expected to take: as measured, or scaled from another size
    /// by the square of the pixels, which is the cost of attention.
    pub(crate) fn step_at_most(&self, shape: Shape) -> Option<Duration> {
        if let Some(step) = self.work(shape, 1, 0) {
            return Some(step);
        }
        let measured = self.seen.iter().rev().filter_map(|(seen, measured)| {
            Some((*seen, Duration::from_secs_f32(measured.step_ms? / 1e3)))
        });
        let (seen, took) = measured.chain(self.warm_up).next()?;
        let more = (shape.pixels() / seen.pixels()).max(1.0);
        let twice = if shape.guided && !seen.guided { 2.0 } else { 1.0 };
        Some(took.mul_f64((more * more * twice).min(1e6)))
    }

    fn of(&mut self, shape: Shape) -> &mut Measured {
        let old = self.seen.iter().position(|(seen, _)| *seen == shape);
        let entry = old.map_or((shape, Measured::default()), |place| self.seen.remove(place));
        if self.seen.len() == SIZES_MAX {
            self.seen.remove(0);
        }
        self.seen.push(entry);
        let last = self.seen.len() - 1;
        &mut self.seen[last].1
    }
}

impl Shape {
    fn pixels(self) -> f64 {
        f64::from(self.width.max(1)) * f64::from(self.height.max(1))
    }
}

/// "about 12 s", or minutes.
pub(crate) fn about(time: Duration) -> String {
    match time.as_secs_f32().round() as u64 {
        0 => "less than a second".into(),
        seconds @ 1..100 => format!("about {seconds} s"),
        seconds => format!("about {} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: u32) -> Shape {
        Shape { width, height: 512, guided: false }
    }

    #[test]
    fn nothing_is_said_before_something_was_measured() {
        let mut estimates = Estimates::default();
        assert_eq!(estimates.work(shape(512), 8, 1), None);
        assert_eq!(estimates.step_at_most(shape(512)), None);
        estimates.step(shape(512), 100.0);
        assert_eq!(estimates.work(shape(512), 8, 1), Some(Duration::from_millis(800)));
        assert_eq!(estimates.work(shape(1024), 8, 1), None, "another size");
        estimates.decode(shape(512), Duration::from_millis(50));
        assert_eq!(estimates.work(shape(512), 16, 2), Some(Duration::from_millis(1700)));
        estimates.step(shape(512), f32::NAN);
        estimates.step(shape(512), 200.0);
        assert_eq!(estimates.work(shape(512), 1, 0), Some(Duration::from_millis(125)));
    }

    #[test]
    fn an_unknown_size_is_scaled_upwards_only() {
        let mut estimates = Estimates::default();
        estimates.warm_up(512, 512, Duration::from_secs(1));
        let at_most = |estimates: &Estimates, width, guided| {
            estimates.step_at_most(Shape { guided, ..shape(width) }).unwrap().as_millis()
        };
        assert_eq!(at_most(&estimates, 512, false), 1000);
        assert_eq!(at_most(&estimates, 1024, false), 4000);
        assert_eq!(at_most(&estimates, 1024, true), 8000);
        assert_eq!(at_most(&estimates, 256, false), 1000);
        estimates.step(shape(512), 100.0);
        assert_eq!(at_most(&estimates, 1024, false), 400, "a step says more than a warm-up");
    }

    #[test]
    fn a_few_sizes_are_remembered() {
        let mut estimates = Estimates::default();
        for width in 0..1000 {
            estimates.step(shape(width), 1.0);
            estimates.step(shape(7), 1.0);
        }
        assert_eq!(estimates.seen.len(), SIZES_MAX);
        assert!(estimates.work(shape(7), 1, 0).is_some());
        assert!(estimates.work(shape(900), 1, 0).is_none());
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said =
            [0, 499, 500, 99_000, 120_000, 121_000].map(|ms| about(Duration::from_millis(ms)));
        assert_eq!(
            said,
            [
                "less than a second",
                "less than a second",
                "about 1 s",
                "about 99 s",
                "about 2 min",
                "about 3 min"
            ]
        );
    }
}
