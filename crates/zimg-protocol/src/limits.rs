//! Limits of the protocol: constants that both sides check, not settings. Those of generation
//! parameters are in `zimage_params::limits`.

use std::time::Duration;

pub use zimage_params::limits::{
    COUNT_MAX, PROMPT_BYTES, SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, side_fits,
};

/// The longest frame body (kind and payload) from client to daemon.
pub const TO_DAEMON_BYTES: usize = 256 << 10;
/// The most bytes of a request's images in one `kind::IMAGE` frame.
pub const IMAGE_CHUNK_BYTES: usize = TO_DAEMON_BYTES - 1;
/// The most pixel bytes in one `kind::PIXELS` frame.
pub const CHUNK_BYTES: usize = 1 << 20;
/// The longest frame body (kind and payload) from daemon to client, and both ways between daemon
/// and worker.
pub const TO_CLIENT_BYTES: usize = 1 + CHUNK_BYTES;

/// The most parameters in a request's list.
pub const PARAMETERS_MAX: usize = 64;
/// The longest name of a parameter, in bytes.
pub const PARAMETER_NAME_BYTES: usize = 64;
/// The longest name of a user on whose behalf a front end asks, in bytes.
pub const USER_BYTES: usize = 128;
/// The most images that a request brings, and the most descriptors that come with it.
pub const IMAGES_MAX: usize = 4;
/// Characters of a prompt in a list of jobs.
pub const PROMPT_SHOWN: usize = 200;
/// The most channels of latents.
pub const LATENT_CHANNELS_MAX: u64 = 16;
/// How long each side waits for the other's 16 bytes.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that takes no byte for this long is dropped.
pub const NO_PROGRESS: Duration = Duration::from_secs(30);

/// Bytes of an 8-bit RGB image: 3 · width · height, or `None` unless both sides are within
/// [`SIZE_MIN`] and [`SIZE_MAX`] and multiples of [`SIZE_MULTIPLE`].
pub fn image_bytes(width: u32, height: u32) -> Option<usize> {
    (side_fits(width) && side_fits(height)).then(|| 3 * width as usize * height as usize)
}

/// The most bytes that an image's latents can have: float32, at most [`LATENT_CHANNELS_MAX`]
/// channels, an eighth of the image's sides.
pub fn latents_bytes_max(width: u32, height: u32) -> u64 {
    4 * LATENT_CHANNELS_MAX * u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_three_bytes_a_pixel_or_is_refused() {
        assert_eq!(image_bytes(2048, 64), Some(3 * 2048 * 64));
        for (width, height) in [(0, 64), (48, 64), (64, 65), (2064, 64), (u32::MAX, u32::MAX)] {
            assert_eq!(image_bytes(width, height), None, "{width}x{height}");
        }
    }

    #[test]
    fn latents_have_four_mebibytes_at_most() {
        assert_eq!(latents_bytes_max(64, 128), 4 * 16 * 8 * 16);
        assert_eq!(latents_bytes_max(SIZE_MAX, SIZE_MAX), 4 << 20);
    }
}
