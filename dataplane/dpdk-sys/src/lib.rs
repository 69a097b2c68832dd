//! Raw bindings to the packaged DPDK: bindgen's output and nothing else.
//!
//! The allow-list, and how DPDK is found, stand in the top-level `build.rs`. Nobody but the `dpdk`
//! crate uses this one.
#![no_std]
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
