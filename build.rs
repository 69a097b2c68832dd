//! Generates the DPDK bindings of dataplane/dpdk-sys.
fn main() {}
