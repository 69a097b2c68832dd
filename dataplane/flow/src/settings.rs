//! The `[dataplane]` table of the configuration file: what both processes must agree on.
