//! The one HTTP client that every AWS client and credential provider of the process shares.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::{info, warn};

use crate::vital::restarted;

/// Name of the variable. The AWS CLI and most SDKs honour it; the Rust SDK does not (as of aws-config 1.13), so we do.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// How often the bundle is looked at: a mounted ConfigMap or Secret changes under a running pod.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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
/// system's, and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. A bundle that changes is followed; one that
/// changes to something unreadable is not, and that is said.
///
/// # Errors
/// [`CaBundleError`] if `AWS_CA_BUNDLE` is set and not readable, or holds something else than certificates.
pub(super) async fn client() -> Result<SharedHttpClient, CaBundleError> {
    match std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) {
        None => Ok(with_trust(TrustStore::default())),
        Some(path) => following(PathBuf::from(path)).await,
    }
}

async fn following(path: PathBuf) -> Result<SharedHttpClient, CaBundleError> {
    let bundle = match read(&path).await {
        Ok(pem) => Bundle::new(pem),
        Err(problem) => Err(problem),
    };
    let bundle = Arc::new(RwLock::new(bundle.map_err(|problem| CaBundleError {
        path: path.clone(),
        problem,
    })?));
    let followed = Arc::downgrade(&bundle);
    tokio::spawn(restarted("following AWS_CA_BUNDLE", move || {
        follow(path.clone(), followed.clone())
    }));
    Ok(SharedHttpClient::new(Following { bundle }))
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|error| error.to_string())
}

/// Looks at the file again and again, for as long as somebody uses the client.
async fn follow(path: PathBuf, bundle: Weak<RwLock<Bundle>>) {
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let pem = read(&path).await;
        let Some(bundle) = bundle.upgrade() else { return };
        let next = {
            let current = bundle.read().unwrap_or_else(PoisonError::into_inner);
            pem.and_then(|pem| current.changed_to(pem))
        };
        match next {
            Ok(None) => told = None,
            Ok(Some(next)) => {
                info!(path = %path.display(), "AWS_CA_BUNDLE has changed; its certificates are trusted from now on.");
                *bundle.write().unwrap_or_else(PoisonError::into_inner) = next;
                told = None;
            }
            Err(problem) => {
                if told.as_ref() != Some(&problem) {
                    warn!(path = %path.display(), problem, "AWS_CA_BUNDLE has changed and cannot be used; the old one holds.");
                }
                told = Some(problem);
            }
        }
    }
}

/// A bundle of certificates and the client that trusts it.
#[derive(Debug)]
struct Bundle {
    pem: Vec<u8>,
    client: SharedHttpClient,
}

impl Bundle {
    fn new(pem: Vec<u8>) -> Result<Self, String> {
        let client = with_trust(parse_bundle(pem.clone())?);
        Ok(Self { pem, client })
    }

    /// What comes after this one, if the file now holds `pem`.
    fn changed_to(&self, pem: Vec<u8>) -> Result<Option<Self>, String> {
        if pem == self.pem {
            return Ok(None);
        }
        Self::new(pem).map(Some)
    }
}

/// A client whose trust follows a file. The SDK asks for a connector for every attempt, so the next one has the new trust.
#[derive(Debug)]
struct Following {
    bundle: Arc<RwLock<Bundle>>,
}

impl Following {
    fn current(&self) -> SharedHttpClient {
        self.bundle
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .client
            .clone()
    }
}

impl HttpClient for Following {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.current().http_connector(settings, components)
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.current().validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.current().validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.current().connector_metadata()
    }
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
