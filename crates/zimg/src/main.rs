//! zimg

fn main() {}
