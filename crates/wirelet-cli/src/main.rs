//! The program `wirelet`.
fn main() {}
