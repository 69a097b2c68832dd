//! The signalling process of Pinhole.
