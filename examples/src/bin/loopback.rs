//! Two endpoints in one process.
fn main() {}
