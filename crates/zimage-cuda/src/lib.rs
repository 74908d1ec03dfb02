//! What tch lacks: finding libtorch_cuda, and GPU facilities.
