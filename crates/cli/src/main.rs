//! The everynode command.

fn main() {}
