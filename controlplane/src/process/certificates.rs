//! Certificates, keys and authorities, as the configuration names their files.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use pinhole_admin::{Event, EventKind};
use pinhole_devices::{Listener, Verifier};
use pinhole_legacy_tls::Settings;
use rustls::sign::CertifiedKey;

use super::{StartError, refused};
use crate::config::{self, Config};
use crate::events::Events;
use crate::legacy::Legacy;
use crate::provisioning::Office;
use crate::tls::{Acceptor, Acceptors, Caller, Files, FilesError, Known, Ours, Pinned, StandIns, Trust};

/// Our certificate and key, and who is trusted at the listeners for signalling; warns of what will be a trouble.
pub(super) fn trust(
    config: &Config,
    office: Option<&Arc<Office>>,
    events: &Events,
) -> Result<Acceptors, StartError> {
    let read = Files::of(&config.outside).read().map_err(|mut errors| bad_files(errors.swap_remove(0)))?;
    let verifier = Verifier::read(&config.trust()).map_err(|mut mistakes| mistakes.swap_remove(0))?;
    for warning in verifier.warnings(SystemTime::now()) {
        events.emit(Event::new(EventKind::Warning, warning));
    }
    let pinned: Pinned = match office {
        Some(office) => office.pinned(),
        None => Arc::new(|_, _| false),
    };
    let ours = read.certified_key(&rustls::crypto::aws_lc_rs::default_provider()).map_err(bad_files)?;
    let verifier = Arc::new(verifier);
    let at = |listener| {
        let trust = Trust::new(Arc::clone(&verifier), listener, Arc::clone(&pinned));
        Acceptor::new(ours.clone(), config.outside.tls_min, trust)
    };
    let callers = callers(config, &ours)?;
    Ok(Acceptors { sip: at(Listener::Sip), sccp: at(Listener::Sccp), callers })
}

/// How call managers are reached that are reached by TLS.
fn callers(config: &Config, ours: &CertifiedKey) -> Result<HashMap<(usize, SocketAddr), Caller>, StartError> {
    let mut callers = HashMap::new();
    for (n, cluster) in config.clusters.iter().enumerate() {
        let ours = match &cluster.phone_authority {
            None => Ours::Own(ours.clone()),
            Some(files) => {
                let stand_ins = StandIns::read(&files.certificate, &files.key).map_err(|source| {
                    let key = format!("cluster[{n}].phone_authority.{}", source.key);
                    StartError::CallManager { key, source }
                })?;
                Ours::StandIn(Arc::new(stand_ins))
            }
        };
        for (m, sccp) in cluster.sccp.iter().enumerate() {
            let Some(authority) = &sccp.authority else { continue };
            let known = Known::read(authority, sccp.certificate_name.as_deref()).map_err(|source| {
                StartError::CallManager { key: format!("cluster[{n}].sccp[{m}].{}", source.key), source }
            })?;
            let caller = Caller::new(known, ours.clone());
            let caller = caller.map_err(|error| refused("TLS to a call manager")(io::Error::other(error)))?;
            callers.insert((n, sccp.call_manager), caller);
        }
    }
    Ok(callers)
}

/// What the process for old phones is told.
pub(super) fn legacy_settings(
    config: &Config,
    legacy: &config::LegacyTls,
    trusted: &Acceptors,
) -> Result<Settings, StartError> {
    let settings = Legacy::settings(config, legacy, trusted).map_err(bad_files)?;
    if settings.encode().is_err() {
        return Err(StartError::Legacy("too many authorities or certificates to tell the process of".into()));
    }
    Ok(settings)
}

fn bad_files(source: FilesError) -> StartError {
    StartError::Tls { key: source.key(), source }
}
