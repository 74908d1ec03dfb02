//! The second pass of an image (`hires`): which sizes and steps both passes have.

use crate::conversion::decimal;
use crate::error::ParamsError;
use crate::limits::{HIRES_STRENGTH, SIZE_MIN, SIZE_MULTIPLE, nearest_side};
use crate::parameter::Parameter;
use crate::table::Params;
use crate::value::Value;

/// The first step that is computed of an image with an initial image: those before it are left out, and
/// at least one is computed.
///
/// diffusers' `get_timesteps`, in Python's numbers: `int(steps - min(steps * strength, steps))`. The
/// strength counts as it is typed: the float32 of 0.3 is above 0.3, and a third of 10 steps would be 4.
pub fn first_step(steps: u32, strength: f32) -> u32 {
    let all = f64::from(steps);
    let computed = (all * decimal(strength)).min(all);
    ((all - computed) as u32).min(steps.saturating_sub(1))
}

/// The side of the first pass of a side of the image: what the factor leaves of it, up to a multiple of 16,
/// so that nothing has to be added after it is enlarged.
fn first_side(side: u32, factor: f32) -> u32 {
    // A quotient that is whole may be a little more.
    let exact = (f64::from(side) / decimal(factor).max(1.0) - 1e-9).ceil() as u32;
    exact.next_multiple_of(SIZE_MULTIPLE)
}

/// A second pass: the image is drawn smaller, enlarged and drawn again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondPass {
    /// By how much it is enlarged.
    pub factor: f32,
    /// How much of the enlarged image is drawn again.
    pub strength: f32,
}

impl SecondPass {
    /// The size of the first pass of an image of this size.
    pub fn first_size(self, (width, height): (u32, u32)) -> (u32, u32) {
        (first_side(width, self.factor), first_side(height, self.factor))
    }

    /// Steps that it adds to this many.
    pub fn steps(self, steps: u32) -> u32 {
        steps - first_step(steps, self.strength)
    }
}

impl Params {
    /// The second pass, if there is one.
    pub fn second_pass(&self) -> Option<SecondPass> {
        let factor = self.hires.filter(|factor| *factor > 1.0)?;
        Some(SecondPass { factor, strength: self.hires_strength.unwrap_or(HIRES_STRENGTH) })
    }

    /// Steps of both passes, where this many are asked for.
    pub fn steps_of_passes(&self, steps: u32) -> u32 {
        steps + self.second_pass().map_or(0, |pass| pass.steps(steps))
    }

    /// The side of an image for which none is given, of a model with this one.
    pub fn usual_side(&self, model: u32) -> u32 {
        match self.second_pass() {
            Some(pass) => nearest_side((f64::from(model) * decimal(pass.factor)).round() as u32),
            None => model,
        }
    }

    /// Whether an image of this size can begin as much smaller as its second pass asks.
    ///
    /// # Errors
    ///
    /// [`ParamsError::HiresTooSmall`].
    pub fn check_first_size(&self, (width, height): (u32, u32)) -> Result<(), ParamsError> {
        let Some(pass) = self.second_pass() else { return Ok(()) };
        let (factor, size) = (pass.factor, (width, height));
        let first = pass.first_size(size);
        match first.0.min(first.1) < SIZE_MIN {
            true => Err(ParamsError::HiresTooSmall { factor, size, first }),
            false => Ok(()),
        }
    }

    /// Whether no second pass is asked of an image that begins with other images.
    ///
    /// # Errors
    ///
    /// [`ParamsError::HiresOfImage`].
    pub fn check_with_images(&self) -> Result<(), ParamsError> {
        match (Parameter::named("hires"), self.second_pass()) {
            (Some(parameter), Some(pass)) => {
                Err(ParamsError::HiresOfImage { parameter, found: Value::Real(pass.factor) })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hires(factor: f32) -> Params {
        Params { hires: Some(factor), ..Params::new("a fox") }
    }

    #[test]
    fn the_first_pass_is_smaller_by_the_factor_and_never_too_small_to_be_enlarged() {
        for (size, factor, first) in [
            ((2048, 2048), 2.0, (1024, 1024)),
            ((1360, 768), 2.0, (688, 384)),
            ((1024, 1024), 1.5, (688, 688)),
            ((1536, 1024), 1.1, (1408, 944)),
            ((1024, 1024), 1.0, (1024, 1024)),
        ] {
            let params = hires(factor);
            let found = params.second_pass().map_or(size, |pass| pass.first_size(size));
            assert_eq!(found, first, "{size:?} {factor}");
            params.check_first_size(size).unwrap();
            assert!(f64::from(first.0) * f64::from(factor) >= f64::from(size.0) - 1e-3);
        }
        assert_eq!(Params::new("").second_pass(), None);
        let error = hires(4.0).check_first_size((192, 1024)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`hires` is 4 and the size 192x1024: the image would begin at 48x256, expected sides of at \
             least 64"
        );
        assert_eq!(error.hint().unwrap(), "use a `hires` of at most 3, or a larger size");
    }

    #[test]
    fn the_usual_size_grows_with_the_factor() {
        for (factor, side) in [(1.0, 1024), (1.5, 1536), (2.0, 2048), (4.0, 2048), (1.3, 1328)] {
            assert_eq!(hires(factor).usual_side(1024), side, "{factor}");
        }
        assert_eq!(Params::new("").usual_side(1024), 1024);
    }

    #[test]
    fn the_second_pass_has_the_steps_of_its_strength() {
        let of = |strength| Params { hires_strength: strength, ..hires(2.0) };
        for (strength, steps) in [(None, 4), (Some(0.3), 3), (Some(1.0), 8), (Some(0.01), 1)] {
            assert_eq!(of(strength).steps_of_passes(8), 8 + steps, "{strength:?}");
        }
        assert_eq!(Params { hires: None, ..of(Some(0.5)) }.steps_of_passes(8), 8);
        assert_eq!(Params { hires: Some(1.0), ..of(Some(0.5)) }.steps_of_passes(8), 8);
    }

    #[test]
    fn an_image_with_images_has_one_pass() {
        hires(1.0).check_with_images().unwrap();
        let error = hires(2.0).check_with_images().unwrap_err();
        assert_eq!(error.to_string(), "`hires` is 2 and the request has images to begin with");
        assert!(error.hint().unwrap().contains("`strength`"));
    }
}
