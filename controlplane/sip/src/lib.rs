//! SIP messages (RFC 3261), parsed leniently and forwarded with minimal edits.
