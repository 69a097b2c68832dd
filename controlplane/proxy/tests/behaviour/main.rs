//! Behaviour of the proxy, told with scripted phones and a scripted call manager. No sockets, no clock.

mod calls;
mod downgrade;
mod identity;
mod offers;
mod register;
mod stage;
