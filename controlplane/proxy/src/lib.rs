//! Phones, registrations, calls, legs and ports, without sockets.
