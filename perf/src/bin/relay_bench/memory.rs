//! What a session takes.

use anyhow::Result;
use pinhole_flow::SessionSlot;
use pinhole_srtp::kernels::Engine;

use crate::counting::account;
use crate::scene::Scene;

/// How many sessions the bytes are taken of.
const SESSIONS: u32 = 10_000;
/// Two RTP and two RTCP ports of a session, each with an entry in the table of pinholes.
const PINHOLES: f64 = 4.0 * size_of::<u32>() as f64;

/// Bytes of one session in the data plane: slot, pinholes, and what the relay holds beyond a relay with
/// no sessions, keys of RTP and RTCP included.
pub fn bytes_per_session(engine: Box<dyn Engine>) -> Result<f64> {
    let start = account().bytes;
    let none = Scene::open(0, pinhole_srtp::kernels::best())?;
    let empty = account().bytes - start - none.own_bytes();
    drop(none);
    let start = account().bytes;
    let some = Scene::open(SESSIONS, engine)?;
    let held = account().bytes - start - some.own_bytes() - empty;
    Ok(held as f64 / f64::from(SESSIONS) + size_of::<SessionSlot>() as f64 + PINHOLES)
}
