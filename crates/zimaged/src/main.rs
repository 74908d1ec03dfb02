//! zimaged

fn main() {}
