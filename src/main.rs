//! The `glasstcp` program.
fn main() {}
