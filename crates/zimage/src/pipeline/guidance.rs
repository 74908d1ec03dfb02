//! Classifier-free guidance: how a step's predictions for the prompt and for the negative prompt
//! are combined.
//!
//! Source: diffusers `pipeline_z_image.py` (`guidance_scale`, `cfg_truncation`,
//! `cfg_normalization`); `guidance_rescale` is `rescale_noise_cfg` of its Stable Diffusion
//! pipelines, from Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed",
//! section 3.4.

use tch::Tensor;

use crate::error::Result;
use crate::params::ResolvedParams;

/// The model's output at time `t` with guidance; `negative` predicts the output for the negative
/// prompt, and is called only where guidance is on.
///
/// # Errors
/// Those of `negative`; or when libtorch fails (out of memory).
pub(super) fn apply(
    params: &ResolvedParams,
    t: f32,
    positive: Tensor,
    negative: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    let scale = scale_at(params, t);
    if scale <= 0.0 {
        return Ok(positive);
    }
    let guided = extrapolate(&positive, &negative()?, scale)?;
    let guided = rescale(&positive, guided, params.guidance_rescale)?;
    limit_norm(&positive, guided, params.guidance_normalization)
}

/// The guidance at time `t` (0 = noise, 1 = image): off after the truncation.
pub(super) fn scale_at(params: &ResolvedParams, t: f32) -> f32 {
    if t > params.guidance_truncation { 0.0 } else { params.guidance }
}

/// `positive + scale · (positive − negative)`
fn extrapolate(positive: &Tensor, negative: &Tensor, scale: f32) -> Result<Tensor> {
    let difference = positive.f_sub(negative)?.f_mul_scalar(f64::from(scale))?;
    Ok(positive.f_add(&difference)?)
}

/// Mixes `guided` with itself at the standard deviation of `positive`: `phi` of the rescaled one;
/// 0 is none. The deviation is over all elements, as there is one image in a batch.
fn rescale(positive: &Tensor, guided: Tensor, phi: f32) -> Result<Tensor> {
    if phi <= 0.0 {
        return Ok(guided);
    }
    let deviation = |x: &Tensor| -> Result<f64> { Ok(x.f_std(true)?.f_double_value(&[])?) };
    let (target, now) = (deviation(positive)?, deviation(&guided)?);
    if now <= 0.0 {
        return Ok(guided);
    }
    let phi = f64::from(phi);
    Ok(guided.f_mul_scalar(phi * target / now + (1.0 - phi))?)
}

/// Scales `guided` down to `limit` times the norm of `positive`; 0 is no limit.
fn limit_norm(positive: &Tensor, guided: Tensor, limit: f32) -> Result<Tensor> {
    if limit <= 0.0 {
        return Ok(guided);
    }
    let norm = |x: &Tensor| -> Result<f64> { Ok(x.f_norm()?.f_double_value(&[])?) };
    let (most, now) = (norm(positive)? * f64::from(limit), norm(&guided)?);
    if now > most { Ok(guided.f_mul_scalar(most / now)?) } else { Ok(guided) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Defaults, InputImages, Limits, Params};

    fn params(change: impl FnOnce(&mut Params)) -> ResolvedParams {
        let defaults = Defaults { size: 256, steps: 8, guidance: 0.0 };
        let limits = Limits {
            multiple: 16,
            side_min: 64,
            side_max: 2048,
            tokens_max: 1504,
            initial_image: true,
            mask: true,
        };
        let mut params = Params { guidance: Some(4.0), ..Params::default() };
        change(&mut params);
        ResolvedParams::new(&params, defaults, limits, InputImages::NONE).unwrap()
    }

    #[test]
    fn truncation_turns_guidance_off_late() {
        let params = params(|p| p.guidance_truncation = Some(0.5));
        assert_eq!(scale_at(&params, 0.5), 4.0);
        assert_eq!(scale_at(&params, 0.51), 0.0);
    }

    #[test]
    fn guidance_extrapolates_and_is_limited_in_norm() {
        let (positive, negative) =
            (Tensor::from_slice(&[3.0, 4.0]), Tensor::from_slice(&[3.0, 0.0]));
        let output = |params: &ResolvedParams, t| {
            apply(params, t, positive.shallow_clone(), || Ok(negative.shallow_clone())).unwrap()
        };
        assert_eq!(output(&params(|_| {}), 0.1), Tensor::from_slice(&[3.0, 20.0]));
        let rescaled = |phi| output(&params(|p| p.guidance_rescale = Some(phi)), 0.1);
        assert_eq!(rescaled(0.0), Tensor::from_slice(&[3.0, 20.0]));
        // By hand: the deviations are 1/sqrt(2) and 17/sqrt(2), so all of it has a factor of 1/17
        // and half of it of (1/17 + 1)/2 = 9/17.
        for (phi, factor) in [(1.0, 1.0 / 17.0), (0.5, 9.0 / 17.0)] {
            let expected = Tensor::from_slice(&[3.0 * factor, 20.0 * factor]);
            assert!(rescaled(phi).allclose(&expected, 1e-6, 1e-9, false), "{phi}");
        }
        let limited = output(&params(|p| p.guidance_normalization = Some(1.0)), 0.1);
        assert!((limited.norm().double_value(&[]) - 5.0).abs() < 1e-6);
        let off = params(|p| p.guidance_truncation = Some(0.5));
        let untouched = apply(&off, 0.6, positive.shallow_clone(), || panic!("not predicted"));
        assert_eq!(untouched.unwrap(), positive);
    }
}
