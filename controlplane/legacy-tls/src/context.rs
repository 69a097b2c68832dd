//! What connections begin with: OpenSSL set up for old phones, in this process only.

use anyhow::Context as _;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Name};
use pinhole_legacy_tls::{Settings, Version};

/// As the settings say.
///
/// # Errors
/// When certificate or key cannot be used, or nothing is left to agree on.
pub fn context(settings: &Settings) -> anyhow::Result<SslContext> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    // Anything above refuses SHA-1 and MD5 in handshakes, and with them TLS 1.0 and 1.1.
    context.set_security_level(0);
    context.set_min_proto_version(Some(version(settings.oldest)))?;
    context.set_max_proto_version(Some(version(settings.newest)))?;
    let names: Vec<_> = settings.suites.iter().map(|suite| suite.name()).collect();
    context.set_cipher_list(&names.join(":")).context("legacy_tls.suites")?;
    context.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            // A resumed session would not be verified again.
            | SslOptions::NO_TICKET,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS,
    );
    let mut chain = settings.chain.iter().map(|der| X509::from_der(der));
    let first = chain.next().context("legacy_tls.certificate: there is none")?;
    context.set_certificate(&*first.context("legacy_tls.certificate")?)?;
    for above in chain {
        context.add_extra_chain_cert(above.context("legacy_tls.certificate")?)?;
    }
    let key = PKey::private_key_from_der(&settings.key).context("legacy_tls.key")?;
    context.set_private_key(&key).context("legacy_tls.key")?;
    // OpenSSL sees to it that the phone holds the key of its certificate. The control plane verifies the certificate.
    let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    context.set_verify_callback(mode, |_, _| true);
    context.set_client_ca_list(names_of(&settings.authorities)?);
    Ok(context.build())
}

fn names_of(authorities: &[Vec<u8>]) -> Result<Stack<X509Name>, ErrorStack> {
    let mut names = Stack::new()?;
    for der in authorities {
        names.push(X509Name::from_der(der)?)?;
    }
    Ok(names)
}

fn version(version: Version) -> SslVersion {
    match version {
        Version::Tls10 => SslVersion::TLS1,
        Version::Tls11 => SslVersion::TLS1_1,
        Version::Tls12 => SslVersion::TLS1_2,
    }
}
