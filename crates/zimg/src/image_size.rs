//! Width and height of an image: as given, or from an aspect ratio and a number of pixels. An
//! invalid size is refused with the nearest valid ones, and rounded only with `--round`.

use zimg_client::limits::{SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, side_fits};
use zimg_client::{Failure, Kind};

use crate::cli::{AspectRatio, DrawOptions};
use zimg_image::size_of_shape;

/// A megapixel is 1024x1024 here, as in the sizes that models are trained at.
pub(crate) const MEGAPIXEL: f64 = (1024 * 1024) as f64;

/// How width and height are determined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SizeRequest {
    /// The model's default.
    ModelDefault,
    /// These, in pixels.
    Exact(u32, u32),
    /// This aspect ratio, with the model's number of pixels.
    Aspect(AspectRatio),
}

impl SizeRequest {
    /// From the options.
    ///
    /// # Errors
    ///
    /// `Refused`: an invalid size without `--round`.
    pub(crate) fn of(options: &DrawOptions) -> Result<Self, Failure> {
        let square = AspectRatio { width: 1.0, height: 1.0 };
        match (options.size, options.aspect, options.megapixels) {
            (Some((width, height)), ..) if side_fits(width) && side_fits(height) => {
                Ok(Self::Exact(width, height))
            }
            (Some((width, height)), ..) if options.round => {
                Ok(Self::Exact(nearest(width), nearest(height)))
            }
            (Some((width, height)), ..) => Err(refusal(width, height)),
            (None, aspect, Some(megapixels)) => {
                let (width, height) = fit(aspect.unwrap_or(square), megapixels * MEGAPIXEL);
                Ok(Self::Exact(width, height))
            }
            (None, Some(aspect), None) => Ok(Self::Aspect(aspect)),
            (None, None, None) => Ok(Self::ModelDefault),
        }
    }

    /// Width and height; `model` is the model's default size. None if the size depends on a model
    /// that is not known yet.
    pub(crate) fn size(self, model: Option<(u32, u32)>) -> Option<(u32, u32)> {
        match self {
            Self::ModelDefault => None,
            Self::Exact(width, height) => Some((width, height)),
            Self::Aspect(aspect) => {
                model.map(|(width, height)| fit(aspect, f64::from(width) * f64::from(height)))
            }
        }
    }
}

/// The nearest valid side.
fn nearest(side: u32) -> u32 {
    let below = side.clamp(SIZE_MIN, SIZE_MAX) / SIZE_MULTIPLE * SIZE_MULTIPLE;
    let above = (below + SIZE_MULTIPLE).min(SIZE_MAX);
    if side.abs_diff(below) < side.abs_diff(above) { below } else { above }
}

fn refusal(width: u32, height: u32) -> Failure {
    let below = |side: u32| side.clamp(SIZE_MIN, SIZE_MAX) / SIZE_MULTIPLE * SIZE_MULTIPLE;
    let above = |side: u32| side.clamp(SIZE_MIN, SIZE_MAX).next_multiple_of(SIZE_MULTIPLE);
    let message = format!(
        "the size is {width}x{height}, expected sides that are multiples of {SIZE_MULTIPLE} from {SIZE_MIN} \
         to {SIZE_MAX}"
    );
    let small = format!("{}x{}", below(width), below(height));
    let large = format!("{}x{}", above(width), above(height));
    let near = format!("{}x{}", nearest(width), nearest(height));
    let would = if small == large { small } else { format!("{small} or {large}") };
    Failure::new(Kind::Refused, message)
        .hint(format!("use {would}; --round takes the nearest, {near}"))
}

/// The valid size nearest to this aspect ratio and number of pixels.
fn fit(aspect: AspectRatio, pixels: f64) -> (u32, u32) {
    size_of_shape(aspect.width / aspect.height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(size: Option<(u32, u32)>, round: bool) -> DrawOptions {
        DrawOptions { size, round, ..DrawOptions::default() }
    }

    #[test]
    fn a_size_is_taken_as_it_is_or_refused() {
        assert_eq!(SizeRequest::of(&options(Some((80, 64)), true)), Ok(SizeRequest::Exact(80, 64)));
        let failure = SizeRequest::of(&options(Some((1000, 600)), false)).unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
        assert_eq!(
            failure.message,
            "the size is 1000x600, expected sides that are multiples of 16 from 64 to 2048"
        );
        assert_eq!(
            failure.hint.as_deref(),
            Some("use 992x592 or 1008x608; --round takes the nearest, 1008x608")
        );
        let failure = SizeRequest::of(&options(Some((0, 9999)), false)).unwrap_err();
        assert_eq!(
            failure.hint.as_deref(),
            Some("use 64x2048; --round takes the nearest, 64x2048")
        );
    }

    #[test]
    fn rounding_takes_the_nearest() {
        for (asked, taken) in
            [(0, 64), (64, 64), (71, 64), (72, 80), (1000, 1008), (u32::MAX, 2048)]
        {
            let shape = SizeRequest::of(&options(Some((asked, 64)), true));
            assert_eq!(shape, Ok(SizeRequest::Exact(taken, 64)), "{asked}");
        }
    }

    #[test]
    fn a_shape_is_kept_and_the_pixels_are_near() {
        let at = |width, height, megapixels: f64| {
            fit(AspectRatio { width, height }, megapixels * MEGAPIXEL)
        };
        assert_eq!(at(1.0, 1.0, 1.0), (1024, 1024));
        assert_eq!(at(1.0, 1.0, 4.0), (2048, 2048));
        assert_eq!(at(16.0, 9.0, 1.0), (1280, 720));
        assert_eq!(at(9.0, 16.0, 1.0), (720, 1280));
        assert_eq!(at(3.0, 2.0, 1.0), (1248, 832));
        assert_eq!(at(4.0, 3.0, 1.0), (1152, 864));
        // No two sides have exactly this one.
        let (width, height) = at(1.85, 1.0, 1.0);
        assert!((f64::from(width) / f64::from(height) / 1.85 - 1.0).abs() < 0.01);
        assert_eq!(at(32.0, 1.0, 1.0), (2048, 64));
    }

    #[test]
    fn the_models_pixels_are_taken_where_none_are_said() {
        let aspect = Some(AspectRatio { width: 16.0, height: 9.0 });
        let shape = SizeRequest::of(&DrawOptions { aspect, ..DrawOptions::default() }).unwrap();
        assert_eq!(shape.size(None), None);
        assert_eq!(shape.size(Some((1024, 1024))), Some((1280, 720)));
        let shape = SizeRequest::of(&DrawOptions {
            aspect,
            megapixels: Some(0.25),
            ..DrawOptions::default()
        });
        assert_eq!(shape.unwrap().size(None).map(|(w, h)| 9 * w == 16 * h), Some(true));
    }
}
