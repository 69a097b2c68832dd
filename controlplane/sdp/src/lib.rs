//! SDP (RFC 8866) and security descriptions (RFC 4568), edited without loss.
