//! Reads the `[dataplane]` table. The rest of the file is the control plane's business.

use std::path::Path;

use pinhole_flow::settings::DataplaneSettings;
use serde::Deserialize;

use crate::StartError;

/// The file, as far as this process reads it.
#[derive(Deserialize)]
struct File {
    dataplane: Option<DataplaneSettings>,
}

/// Loads and validates the settings.
///
/// # Errors
/// The first thing found wrong, with the file's name and the line where known.
pub fn load(path: &Path) -> Result<DataplaneSettings, StartError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| StartError::ReadConfig { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<DataplaneSettings, StartError> {
    let path = path.to_owned();
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map(|span| span.start);
        let line = start.map(|at| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1);
        let message = error.message().replace('\n', " ");
        // The parser says what is wrong with a value, not which key has it.
        let key = line.and_then(|line| text.lines().nth(line - 1)).and_then(|line| line.split_once('='));
        let message = match key.map(|(key, _)| key.trim()) {
            Some(key) if !message.contains(key) => format!("{key}: {message}"),
            _ => message,
        };
        StartError::ParseConfig { path: path.clone(), line, message }
    })?;
    let settings = file.dataplane.ok_or_else(|| StartError::NoTable { path: path.clone() })?;
    match settings.validate() {
        Ok(()) => Ok(settings),
        Err(source) => Err(StartError::Settings { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "[[dataplane.port]]\nname = \"outside\"\ndevice = \"af_xdp:out0\"\ntap = \"outside\"\n\
        media_address = \"203.0.113.5\"\nmedia_ports = \"16384-32767\"\n";

    fn refusal(text: &str) -> (String, u8) {
        let error = parse(Path::new("pinhole.toml"), text).unwrap_err();
        (error.to_string(), error.exit_code())
    }

    #[test]
    fn other_tables_are_not_read() {
        let text =
            format!("[dataplane]\nworker_cores = [3, 4]\n{PORT}\n[outside]\nlisten = 5\n[whatever]\nx = 1\n");
        let settings = parse(Path::new("pinhole.toml"), &text).unwrap();
        assert_eq!(settings.worker_cores, [3, 4]);
        assert_eq!(settings.port.len(), 1);
    }

    #[test]
    fn unknown_key_is_refused_with_its_line() {
        let (message, code) = refusal(&format!("[dataplane]\nworker_cor = 3\n{PORT}"));
        assert!(message.starts_with("pinhole.toml line 2: ") && message.contains("worker_cor"), "{message}");
        assert!(!message.contains('\n'));
        assert_eq!(code, 2);
    }

    #[test]
    fn missing_table_and_missing_ports_are_refused() {
        assert!(refusal("[outside]\n").0.contains("no [dataplane] table"));
        assert!(refusal("[dataplane]\n").0.contains("no [[dataplane.port]]"));
    }

    #[test]
    fn an_mtu_that_no_buffer_holds_is_refused() {
        let (message, code) = refusal(&format!("[dataplane]\n{PORT}mtu = 9000\n"));
        assert!(message.contains("mtu = 9000") && message.contains("1900"), "{message}");
        assert_eq!(code, 2);
    }

    #[test]
    fn an_absent_file_is_named() {
        let error = load(Path::new("/nonexistent/pinhole.toml")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/pinhole.toml"));
        assert_eq!(error.exit_code(), 2);
    }
}
