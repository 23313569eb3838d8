//! The one HTTP client that every AWS client and credential provider of the process shares.

use std::path::PathBuf;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Name of the variable. The AWS CLI and most SDKs honour it; the Rust SDK does not (as of aws-config 1.13), so we do.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Why the file that `AWS_CA_BUNDLE` names is no bundle of certificates.
#[derive(Debug, thiserror::Error)]
#[error("AWS_CA_BUNDLE={}: {problem}", path.display())]
pub struct CaBundleError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Builds the client. As with the other AWS SDKs, the certificates of `AWS_CA_BUNDLE` (PEM, one or more) replace the
/// system's, and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured.
///
/// # Errors
/// [`CaBundleError`] if `AWS_CA_BUNDLE` is set and not readable, or holds something else than certificates.
pub(super) async fn client() -> Result<SharedHttpClient, CaBundleError> {
    let trust = match std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) {
        None => TrustStore::default(),
        Some(path) => trust_store(PathBuf::from(path)).await?,
    };
    Ok(with_trust(trust))
}

async fn trust_store(path: PathBuf) -> Result<TrustStore, CaBundleError> {
    match tokio::fs::read(&path).await {
        Err(error) => Err(error.to_string()),
        Ok(pem) => parse_bundle(pem),
    }
    .map_err(|problem| CaBundleError { path, problem })
}

/// The SDK panics on a bundle it cannot read, so it is read here first.
fn parse_bundle(pem: Vec<u8>) -> Result<TrustStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
        roots
            .add(certificate)
            .map_err(|e| format!("certificate {}: {e}", roots.len() + 1))?;
    }
    if roots.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

fn with_trust(trust: TrustStore) -> SharedHttpClient {
    // The constructor that the SDK's own default client uses: the plain `build_https` knows no proxies.
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        if let Ok(context) = TlsContext::builder().with_trust_store(trust.clone()).build() {
            connector.set_tls_context(context);
        }
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        assert_eq!(parse_bundle(Vec::new()).unwrap_err(), "no certificate in it");
        let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec();
        assert_eq!(parse_bundle(key).unwrap_err(), "no certificate in it");
    }

    #[test]
    fn a_broken_certificate_is_refused_and_not_skipped() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        let problem = parse_bundle(pem).unwrap_err();
        assert!(problem.starts_with("certificate 1: "), "{problem}");
    }
}
