//! pinholectl: look at a running Pinhole.
fn main() {}
