//! TLS with a certificate of our authority, without certificates of phones: what they prove, they prove inside.

use std::sync::Arc;

use pinhole_trust::Identity;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;

/// TLS 1.2 and 1.3 with this certificate and key.
///
/// # Errors
/// When they cannot be used.
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, String> {
    let library = |error: openssl::error::ErrorStack| error.to_string();
    let chain = vec![CertificateDer::from(identity.certificate.to_der().map_err(library)?)];
    let key = PrivatePkcs8KeyDer::from(identity.key.private_key_to_pkcs8().map_err(library)?);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let config = builder.with_single_cert(chain, PrivateKeyDer::Pkcs8(key));
    let mut config = config.map_err(|error| error.to_string())?;
    // Phones come once a year, or ask once.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
