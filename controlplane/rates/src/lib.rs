//! How often outsiders may ask, and how much they are sent: token buckets, one set for each source address and one for
//! all. TFTP and HTTP use the same ones. And whose turn it is among those who come. Time is an argument.

#![forbid(unsafe_code)]

mod bucket;
mod sources;
mod steps;
mod turns;

pub use bucket::{Bucket, Rate};
pub use sources::{Excess, Rates, Sources, is_same_source, network};
pub use steps::Steps;
pub use turns::{Turn, Turns};
