//! The scheduler process: wiring only.

fn main() {}
