//! The process's log: one line per event on standard error.

use tracing_subscriber::EnvFilter;

/// The environment variable that sets the level, such as `PINHOLE_LOG=debug`.
const LEVEL: &str = "PINHOLE_LOG";

/// Starts the log. A line that cannot be written (full disk, closed pipe) is lost, nothing more.
pub fn start() {
    let filter = EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails only if a log was started before, which then goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .try_init();
}
