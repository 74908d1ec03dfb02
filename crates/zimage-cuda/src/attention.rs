//! Which of libtorch's kernels attention may use.

#![expect(unsafe_code, reason = "a call into libtorch's C++")]

use std::marker::PhantomData;

unsafe extern "C" {
    fn zimg_use_cudnn_attention(yes: bool);
}

/// As long as it lives, attention does without cuDNN, which makes a plan for each number of tokens
/// that takes 40 to 60 ms: more than it saves where sequences are short.
///
/// The choice is the process's, and libtorch looks at it in each call.
#[derive(Debug)]
pub struct WithoutPlans(PhantomData<*const ()>);

impl WithoutPlans {
    /// Begins.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        // SAFETY: it sets a flag of libtorch's context, which lives as long as the process.
        unsafe { zimg_use_cudnn_attention(false) };
        Self(PhantomData)
    }
}

impl Drop for WithoutPlans {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { zimg_use_cudnn_attention(true) };
    }
}
