//! TLS: what a handshake uses. Which clients may ask, by the names of their certificates, is Python's to say.
//!
//! A handshake takes the configuration that is in force when it begins. Certificates that change make a new one, with
//! session tickets of its own, so that no session outlives the authority that let it in.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The configuration for new handshakes, from PEM. With `client_ca` a client has to have a certificate of it.
///
/// # Errors
/// What cannot be used, never quoting it.
pub fn configuration(cert: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(cert).map_err(|()| "the certificate is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key is not PEM")?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).map_err(|()| "the client authority is not PEM")? {
                roots.add(authority).map_err(|error| format!("the client authority: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| format!("the client authority: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut configuration =
        builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key: {error}"))?;
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(configuration))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ()> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| ())?;
    if found.is_empty() { Err(()) } else { Ok(found) }
}
