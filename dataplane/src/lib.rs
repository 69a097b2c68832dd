//! The poll-mode media process of Pinhole.
