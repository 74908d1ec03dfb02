//! zimage-worker

fn main() {}
