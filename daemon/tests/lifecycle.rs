//! Tests over daemons that are processes.

fn main() {}
