//! Where an image lies in what is generated, and the size of that: pure arithmetic.

use zimage_params::limits::{SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, side_fits};

use super::fault::InputFault;
use super::request::{InputFit, InputMargins, InputSize};

/// Weight of a wrong aspect ratio against a wrong number of pixels: 16:9 is meant exactly.
const SHAPE_COUNTS: f64 = 100.0;
/// The least that is left of an image, in pixels.
const LEFT_MIN: i64 = 16;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Which part of the image becomes which part of what is generated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Width and height of what is generated.
    pub(super) canvas: (u32, u32),
    /// The part of the image that is used.
    pub(super) part: Area,
    /// Its place in what is generated.
    pub(super) at: Area,
    source: (u32, u32),
    /// Width and height of the whole image after scaling.
    scaled: (u32, u32),
    fit: InputFit,
    pub(super) margins: InputMargins,
    /// Whether the size follows the image.
    follows: bool,
}

/// The valid size nearest to this aspect ratio and number of pixels.
pub fn size_of_shape(aspect: f64, pixels: f64) -> (u32, u32) {
    let sides = || (SIZE_MIN..=SIZE_MAX).step_by(SIZE_MULTIPLE as usize);
    let cost = |width: u32, height: u32| {
        let (width, height) = (f64::from(width), f64::from(height));
        let shape = (width / height / aspect).ln().abs();
        let area = (width * height / pixels).ln().abs();
        SHAPE_COUNTS * shape + area
    };
    let all = sides().flat_map(|width| sides().map(move |height| (width, height)));
    let best = all.min_by(|a, b| cost(a.0, a.1).total_cmp(&cost(b.0, b.1)));
    best.unwrap_or((SIZE_MIN, SIZE_MIN))
}

/// One direction of the image.
#[derive(Clone, Copy)]
struct Axis {
    /// Pixels of the image.
    length: u32,
    before: u32,
    after: u32,
}

impl Axis {
    fn total(self) -> f64 {
        f64::from(self.length) + f64::from(self.before) + f64::from(self.after)
    }

    fn has_margin(self) -> bool {
        self.before > 0 || self.after > 0
    }

    /// The side of what is generated that follows the image.
    fn side(self, scale: f64, fit: InputFit) -> u32 {
        let multiple = f64::from(SIZE_MULTIPLE);
        // A hair, so that a scale that is not exact loses no row.
        let units = self.total() * scale / multiple;
        let units = match fit {
            // Added parts take the rest; nothing of the image is lost.
            _ if self.has_margin() => (units - 1e-9).ceil(),
            InputFit::Crop => (units + 1e-9).floor(),
            InputFit::Pad => (units - 1e-9).ceil(),
            InputFit::Stretch => units.round(),
        };
        ((units * multiple) as u32).clamp(SIZE_MIN, SIZE_MAX)
    }

    /// Where the whole image begins and ends in a side of this length.
    fn place(self, side: u32, scale: f64) -> (i64, i64) {
        let slack = f64::from(side) - self.total() * scale;
        let start = f64::from(self.before) * scale
            + match (self.before > 0, self.after > 0) {
                (true, false) => slack,
                (false, true) => 0.0,
                _ => slack / 2.0,
            };
        // Pixels that are not scaled are not shifted by a half either.
        let from = if scale == 1.0 { (start + 1e-9).floor() } else { start.round() } as i64;
        let to = from + (f64::from(self.length) * scale).round() as i64;
        (from, to.max(from + 1))
    }

    /// What of the image is seen in a side of this length where it lies so: place, and part.
    fn seen(self, side: u32, (from, to): (i64, i64)) -> Option<((u32, u32), (u32, u32))> {
        let (first, last) = (from.max(0), to.min(i64::from(side)));
        if last - first < LEFT_MIN.min(i64::from(side)).min(to - from) {
            return None;
        }
        let length = (to - from) as f64;
        let of_image =
            |at: i64| ((at - from) as f64 / length * f64::from(self.length)).round() as u32;
        let (start, end) = (of_image(first).min(self.length - 1), of_image(last));
        let part = (start, end.max(start + 1) - start);
        Some(((first as u32, (last - first) as u32), part))
    }
}

/// Places an image of this size.
pub(super) fn plan(
    source: (u32, u32),
    size: InputSize,
    fit: InputFit,
    margins: InputMargins,
) -> Result<Plan, InputFault> {
    let across = Axis { length: source.0, before: margins.left, after: margins.right };
    let down = Axis { length: source.1, before: margins.top, after: margins.bottom };
    let (wide, high) = (across.total(), down.total());
    let (most, least) = (f64::from(SIZE_MAX), f64::from(SIZE_MIN));
    let own = (most / wide.max(high)).min(1.0).max(least / wide.min(high));
    let canvas = match size {
        InputSize::OfImage => (across.side(own, fit), down.side(own, fit)),
        InputSize::Exact(width, height) if side_fits(width) && side_fits(height) => (width, height),
        InputSize::Exact(width, height) => return Err(InputFault::Size(width, height)),
        InputSize::Shape { aspect, pixels } => {
            let area = (wide * high).clamp(least * least, most * most);
            size_of_shape(aspect.unwrap_or(wide / high), pixels.unwrap_or(area))
        }
    };
    let (x, y) = (f64::from(canvas.0) / wide, f64::from(canvas.1) / high);
    let (x, y) = match (fit, size) {
        (InputFit::Stretch, _) => (x, y),
        (_, InputSize::OfImage) => (own, own),
        (InputFit::Crop, _) => (x.max(y), x.max(y)),
        (InputFit::Pad, _) => (x.min(y), x.min(y)),
    };
    let (h, v) = (across.place(canvas.0, x), down.place(canvas.1, y));
    let too_small = || InputFault::Margins(wide as u32, high as u32);
    let (at_x, part_x) = across.seen(canvas.0, h).ok_or_else(too_small)?;
    let (at_y, part_y) = down.seen(canvas.1, v).ok_or_else(too_small)?;
    let area = |x: (u32, u32), y: (u32, u32)| Area { x: x.0, y: y.0, width: x.1, height: y.1 };
    Ok(Plan {
        canvas,
        part: area(part_x, part_y),
        at: area(at_x, at_y),
        source,
        scaled: ((h.1 - h.0) as u32, (v.1 - v.0) as u32),
        fit,
        margins,
        follows: size == InputSize::OfImage,
    })
}

impl Plan {
    /// What is done, in words; nothing if the image is taken as it is.
    pub(super) fn notes(&self) -> Vec<String> {
        let Self { canvas, at, source, scaled, fit, margins, .. } = self;
        let mut notes = vec![format!("{}x{}", source.0, source.1)];
        if scaled != source {
            let how = if *fit == InputFit::Stretch { "stretched" } else { "scaled" };
            notes.push(format!("{how} to {}x{}", scaled.0, scaled.1));
        }
        if (at.width, at.height) != *scaled {
            notes.push(format!("cropped to {}x{}", at.width, at.height));
        }
        if (at.width, at.height) != *canvas {
            let how = if margins.is_empty() { "padded" } else { "extended" };
            notes.push(format!("{how} to {}x{}", canvas.0, canvas.1));
        }
        let rounds = [source.0, source.1].iter().any(|side| side % SIZE_MULTIPLE != 0);
        if self.follows && rounds && notes.len() > 1 {
            notes.push(format!("for sides that are multiples of {SIZE_MULTIPLE}"));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn planned(source: (u32, u32), size: InputSize, fit: InputFit, margins: [u32; 4]) -> Plan {
        let [left, top, right, bottom] = margins;
        plan(source, size, fit, InputMargins { left, top, right, bottom }).unwrap()
    }

    fn area(x: u32, y: u32, width: u32, height: u32) -> Area {
        Area { x, y, width, height }
    }

    #[test]
    fn sizes_follow_the_image() {
        let own = InputSize::OfImage;
        for (source, fit, margins, canvas, part, at) in [
            (
                (640, 480),
                InputFit::Crop,
                [0; 4],
                (640, 480),
                area(0, 0, 640, 480),
                area(0, 0, 640, 480),
            ),
            // Not scaled: a few rows are cut off on both sides.
            (
                (1000, 600),
                InputFit::Crop,
                [0; 4],
                (992, 592),
                area(4, 4, 992, 592),
                area(0, 0, 992, 592),
            ),
            (
                (1001, 601),
                InputFit::Crop,
                [0; 4],
                (992, 592),
                area(5, 5, 992, 592),
                area(0, 0, 992, 592),
            ),
            (
                (1000, 600),
                InputFit::Pad,
                [0; 4],
                (1008, 608),
                area(0, 0, 1000, 600),
                area(4, 4, 1000, 600),
            ),
            (
                (1000, 600),
                InputFit::Stretch,
                [0; 4],
                (1008, 608),
                area(0, 0, 1000, 600),
                area(0, 0, 1008, 608),
            ),
            // Large ones are made smaller, small ones larger.
            (
                (4000, 3000),
                InputFit::Crop,
                [0; 4],
                (2048, 1536),
                area(0, 0, 4000, 3000),
                area(0, 0, 2048, 1536),
            ),
            (
                (3000, 4000),
                InputFit::Crop,
                [0; 4],
                (1536, 2048),
                area(0, 0, 3000, 4000),
                area(0, 0, 1536, 2048),
            ),
            ((32, 48), InputFit::Crop, [0; 4], (64, 96), area(0, 0, 32, 48), area(0, 0, 64, 96)),
            // Added parts take what rounding leaves, and the image stays as it is.
            (
                (512, 512),
                InputFit::Crop,
                [0, 0, 256, 0],
                (768, 512),
                area(0, 0, 512, 512),
                area(0, 0, 512, 512),
            ),
            (
                (512, 512),
                InputFit::Crop,
                [256, 0, 0, 0],
                (768, 512),
                area(0, 0, 512, 512),
                area(256, 0, 512, 512),
            ),
            (
                (500, 512),
                InputFit::Crop,
                [0, 0, 100, 0],
                (608, 512),
                area(0, 0, 500, 512),
                area(0, 0, 500, 512),
            ),
            (
                (500, 512),
                InputFit::Crop,
                [100, 0, 0, 0],
                (608, 512),
                area(0, 0, 500, 512),
                area(108, 0, 500, 512),
            ),
            (
                (500, 512),
                InputFit::Crop,
                [50, 0, 50, 0],
                (608, 512),
                area(0, 0, 500, 512),
                area(54, 0, 500, 512),
            ),
            (
                (512, 500),
                InputFit::Crop,
                [0, 0, 128, 0],
                (640, 496),
                area(0, 2, 512, 496),
                area(0, 0, 512, 496),
            ),
            (
                (2048, 2048),
                InputFit::Crop,
                [1024, 0, 1024, 0],
                (2048, 1024),
                area(0, 0, 2048, 2048),
                area(512, 0, 1024, 1024),
            ),
        ] {
            let found = planned(source, own, fit, margins);
            assert_eq!(
                (found.canvas, found.part, found.at),
                (canvas, part, at),
                "{source:?} {fit:?} {margins:?}"
            );
        }
    }

    #[test]
    fn images_of_another_shape_are_fitted() {
        let exact = |fit| planned((400, 200), InputSize::Exact(256, 256), fit, [0; 4]);
        let crop = exact(InputFit::Crop);
        assert_eq!((crop.part, crop.at), (area(100, 0, 200, 200), area(0, 0, 256, 256)));
        let pad = exact(InputFit::Pad);
        assert_eq!((pad.part, pad.at), (area(0, 0, 400, 200), area(0, 64, 256, 128)));
        let stretch = exact(InputFit::Stretch);
        assert_eq!((stretch.part, stretch.at), (area(0, 0, 400, 200), area(0, 0, 256, 256)));
        assert_eq!(crop.notes(), ["400x200", "scaled to 512x256", "cropped to 256x256"]);
        assert_eq!(pad.notes(), ["400x200", "scaled to 256x128", "padded to 256x256"]);
        assert_eq!(stretch.notes(), ["400x200", "stretched to 256x256"]);
        let shape = InputSize::Shape { aspect: None, pixels: Some(256.0 * 256.0) };
        assert_eq!(planned((4000, 2000), shape, InputFit::Crop, [0; 4]).canvas, (352, 176));
        let shape = InputSize::Shape { aspect: Some(1.0), pixels: None };
        assert_eq!(planned((512, 512), shape, InputFit::Crop, [0; 4]).canvas, (512, 512));
    }

    #[test]
    fn what_is_done_is_said() {
        let said =
            |source, margins| planned(source, InputSize::OfImage, InputFit::Crop, margins).notes();
        assert_eq!(said((640, 480), [0; 4]), ["640x480"]);
        let rounded = "for sides that are multiples of 16";
        assert_eq!(said((1000, 600), [0; 4]), ["1000x600", "cropped to 992x592", rounded]);
        assert_eq!(
            said((4000, 3200), [0; 4]),
            ["4000x3200", "scaled to 2048x1638", "cropped to 2048x1632"]
        );
        assert_eq!(said((512, 512), [0, 0, 256, 0]), ["512x512", "extended to 768x512"]);
    }

    #[test]
    fn margins_that_leave_nothing_of_the_image_are_refused() {
        let margins = InputMargins { left: u32::MAX, top: 9000, right: 9000, bottom: u32::MAX };
        let found = plan((64, 64), InputSize::OfImage, InputFit::Crop, margins);
        assert!(matches!(found, Err(InputFault::Margins(..))), "{found:?}");
        let found =
            plan((64, 64), InputSize::Exact(65, 64), InputFit::Crop, InputMargins::default());
        assert_eq!(found, Err(InputFault::Size(65, 64)));
    }

    proptest! {
        /// Whatever the image: both rectangles lie inside, what is generated is valid, and the same
        /// options give the same again.
        #[test]
        fn rectangles_lie_inside(
            width in 1_u32..20_000, height in 1_u32..20_000,
            margins in prop::array::uniform4(0_u32..3000),
            fit in prop::sample::select(vec![InputFit::Crop, InputFit::Pad, InputFit::Stretch]),
            exact in prop::option::of((4_u32..=128, 4_u32..=128)),
        ) {
            let size = exact.map_or(InputSize::OfImage, |(w, h)| InputSize::Exact(16 * w, 16 * h));
            let [left, top, right, bottom] = margins;
            let margins = InputMargins { left, top, right, bottom };
            if let Ok(found) = plan((width, height), size, fit, margins) {
                let Plan { canvas, part, at, .. } = found;
                prop_assert!(side_fits(canvas.0) && side_fits(canvas.1));
                prop_assert!(part.x + part.width <= width && part.y + part.height <= height, "{part:?}");
                prop_assert!(at.x + at.width <= canvas.0 && at.y + at.height <= canvas.1, "{at:?}");
                prop_assert!(part.width > 0 && part.height > 0 && at.width > 0 && at.height > 0);
            }
        }
    }
}
