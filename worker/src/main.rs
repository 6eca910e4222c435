//! The worker process: wiring only.

fn main() {}
