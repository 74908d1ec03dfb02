//! Flow-match schedule: the noise levels that the steps pass through.

use zimage_params::decimal;
pub use zimage_params::first_step;

/// Noise levels of `steps` Euler steps: `steps + 1` values from 1 (pure noise) to 0.
///
/// diffusers ≥ 0.39: `torch.linspace(1, 1/steps, steps)`, then
/// `FlowMatchEulerDiscreteScheduler`'s static shift `s·σ / (1 + (s − 1)·σ)` in float32, then 0.
pub fn sigmas(steps: u32, shift: f64) -> Vec<f32> {
    let shift = shift as f32;
    let mut sigmas: Vec<f32> = linspace(1.0, 1.0 / f64::from(steps), steps)
        .map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma))
        .collect();
    sigmas.push(0.0);
    sigmas
}

/// The model's time for a noise level: 0 at pure noise, towards 1 at the image.
///
/// The reference goes through timesteps of 0 to 1000 in float32, and so do we: `t = (1000 − 1000·σ)/1000`.
pub fn time(sigma: f32, train_timesteps: u32) -> f32 {
    (1000.0 - sigma * train_timesteps as f32) / 1000.0
}

/// So many of `steps` steps as a share of them is, rounded up; the share counts as it is typed.
pub fn part(steps: u32, share: f32) -> u32 {
    // 100 · 0.07 is 7.000000000000001.
    (f64::from(steps) * decimal(share) - 1e-9).ceil() as u32
}

/// `torch.linspace` in float32: the first half counts from the start, the second from the end.
fn linspace(start: f64, end: f64, count: u32) -> impl Iterator<Item = f32> {
    let (start, end) = (start as f32, end as f32);
    let step = if count > 1 { (end - start) / (count - 1) as f32 } else { 0.0 };
    (0..count).map(move |i| {
        if i < count / 2 || count == 1 {
            start + step * i as f32
        } else {
            end - step * (count - 1 - i) as f32
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the model card's schedule (research notes, shift 3).
    #[test]
    fn eight_steps_with_shift_3() {
        let want = [1.0, 0.954_545, 0.9, 0.833_333, 0.75, 0.642_857, 0.5, 0.3, 0.0];
        let got = sigmas(8, 3.0);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn one_step_goes_from_noise_to_image() {
        assert_eq!(sigmas(1, 3.0), [1.0, 0.0]);
    }

    /// All others are compared with the reference: `crates/zimage/tests/image_parity.rs`.
    #[test]
    fn a_strength_that_leaves_no_step_leaves_one() {
        for steps in [1, 8, 100] {
            assert_eq!(first_step(steps, f32::MIN_POSITIVE), steps - 1);
            assert_eq!(first_step(steps, 1.0), 0);
        }
    }

    #[test]
    fn a_part_of_the_steps_is_rounded_up() {
        for (steps, share, part) in
            [(8, 0.2, 2), (10, 0.3, 3), (10, 0.7, 7), (8, 1.0, 8), (1, 0.01, 1), (100, 0.07, 7)]
        {
            assert_eq!(super::part(steps, share), part, "{steps} {share}");
        }
    }

    #[test]
    fn time_runs_from_noise_to_image() {
        assert_eq!(time(1.0, 1000), 0.0);
        assert_eq!(time(0.0, 1000), 1.0);
    }
}
