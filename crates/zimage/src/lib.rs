//! The Z-Image text-to-image model on libtorch.
