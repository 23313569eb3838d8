//! The `aidp` binary.

fn main() {}
