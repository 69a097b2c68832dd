//! Next hops: where packets to signalled addresses go on the wire.
//!
//! The kernel knows routes and neighbours (the twins carry the addresses, so ARP stays with it).
//! One thread follows both through rtnetlink, keeps the data plane's next-hop table current, and
//! provokes address resolution where the kernel has no reason to do it: media never passes through it.

mod netlink;
mod resolver;
mod table;

pub use resolver::{Interface, Resolver};
pub use table::{NextHops, Update};
