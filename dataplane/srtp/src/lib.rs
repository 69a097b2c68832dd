//! SRTP and SRTCP (RFC 3711, 6188, 7714): key derivation, packet index, replay.
