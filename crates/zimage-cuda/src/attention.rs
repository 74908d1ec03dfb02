//! The choice of libtorch's attention kernels.

#![expect(unsafe_code, reason = "a call into libtorch's C++")]

use std::marker::PhantomData;

unsafe extern "C" {
    fn zimg_use_cudnn_attention(yes: bool);
}

/// A guard: while it exists, attention does not use cuDNN, which builds a plan for each sequence
/// length in 40 to 60 ms. Short sequences do not save that much.
///
/// The setting is global to the process; libtorch reads it in each call.
#[derive(Debug)]
pub struct WithoutCudnnAttention(PhantomData<*const ()>);

impl WithoutCudnnAttention {
    /// Switches cuDNN's attention off until the guard is dropped.
    #[expect(clippy::new_without_default, reason = "it changes a global setting")]
    pub fn new() -> Self {
        // SAFETY: it sets a flag of libtorch's context, which lives as long as the process.
        unsafe { zimg_use_cudnn_attention(false) };
        Self(PhantomData)
    }
}

impl Drop for WithoutCudnnAttention {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { zimg_use_cudnn_attention(true) };
    }
}
