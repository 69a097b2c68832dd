//! Behaviour of the proxy, told with scripted phones and a scripted call manager. No sockets, no clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop where it stands")]

mod adopt;
mod arbitrary;
mod attacks;
mod authenticated;
mod calls;
mod downgrade;
mod identity;
mod limits;
mod loss;
mod offers;
mod passing;
mod register;
mod sdes;
mod skinny;
mod stage;
mod transactions;
mod workers;
