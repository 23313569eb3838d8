//! People and sessions with rights of their own, for the emulator that refuses what policies forbid.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::emulator::{ACCOUNT, REGION};
use crate::world::World;
use crate::{Error, Result};

/// A role's session as two clients of S3, which differ in the transport only. Neither retries.
#[derive(Debug, Clone)]
pub struct Session {
    /// Over TLS, as a training pod asks.
    pub https: aws_sdk_s3::Client,
    /// In plaintext.
    pub http: aws_sdk_s3::Client,
}

/// A trust policy that lets every principal of the account assume the role, who has the right to.
#[must_use]
pub fn account_trust() -> Value {
    json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")}, "Action": "sts:AssumeRole",
    }})
}

/// A document that allows everything.
#[must_use]
pub fn everything() -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
}

impl Aws {
    /// Creates a user who may do everything, and returns an access key and its secret.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_administrator(&self, name: &str) -> Result<(String, String)> {
        self.iam.create_user().user_name(name).send().await?;
        let put = self.iam.put_user_policy().user_name(name).policy_name("everything");
        put.policy_document(everything().to_string()).send().await?;
        let answer = self.iam.create_access_key().user_name(name).send().await?;
        let key = answer.access_key.ok_or("CreateAccessKey without a key")?;
        Ok((key.access_key_id, key.secret_access_key))
    }

    /// Creates a role that every principal of the account may assume, with one inline document, and returns its ARN.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_assumable_role(&self, name: &str, document: &Value) -> Result<String> {
        self.create_role(name, &account_trust()).await?;
        let put = self.iam.put_role_policy().role_name(name).policy_name("own");
        put.policy_document(document.to_string()).send().await?;
        Ok(format!("arn:aws:iam::{ACCOUNT}:role/{name}"))
    }

    /// Gives a role the trust of [`account_trust`], so that a test can act as it: the emulator takes no web identity.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn open_trust(&self, role: &str) -> Result<()> {
        let update = self.iam.update_assume_role_policy().role_name(role);
        update.policy_document(account_trust().to_string()).send().await?;
        Ok(())
    }
}

impl World {
    /// A session of the role with this ARN.
    ///
    /// # Errors
    /// When the role's trust refuses it, or the proxy's CA can't be read.
    pub async fn assume(&self, role_arn: &str) -> Result<Session> {
        let known = self.surroundings().known_key.as_ref();
        let (access_key, secret) = known.ok_or("only the emulator that enforces policies has sessions")?;
        let sts = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::v2026_01_12())
            .endpoint_url(self.proxy.plain_endpoint())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(access_key, secret, None, None, "e2e"))
            .build();
        let assume = aws_sdk_sts::Client::from_conf(sts).assume_role();
        let answer = assume.role_arn(role_arn).role_session_name("judge").send().await?;
        let keys = answer.credentials.ok_or("AssumeRole without credentials")?;
        let token = Some(keys.session_token);
        let credentials = Credentials::new(keys.access_key_id, keys.secret_access_key, token, None, "session");
        Ok(Session {
            https: self.client(&self.proxy.endpoint(), &credentials)?,
            http: self.client(&self.proxy.plain_endpoint(), &credentials)?,
        })
    }

    fn client(&self, endpoint: &str, credentials: &Credentials) -> Result<aws_sdk_s3::Client> {
        let trust = TrustStore::empty().with_pem_certificate(std::fs::read(&self.surroundings().ca)?);
        let context = TlsContext::builder().with_trust_store(trust).build()?;
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https();
        let configuration = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials.clone())
            .build();
        Ok(aws_sdk_s3::Client::from_conf(configuration))
    }
}

/// What came of a call: `ok`; `refused` for want of a right; else the server's error code.
///
/// # Errors
/// When the call never got an answer.
pub fn outcome<T, E>(answer: std::result::Result<T, SdkError<E>>) -> Result<String>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok("ok".to_owned()),
        Err(SdkError::ServiceError(error)) => {
            let (status, code) = (error.raw().status().as_u16(), error.err().code());
            // A HEAD is refused without a body; the emulator has two words for the same, by what refused.
            Ok(match (status, code) {
                (403, None | Some("AccessDenied" | "AccessDeniedException")) => "refused".to_owned(),
                (_, Some(code)) => code.to_owned(),
                (_, None) => status.to_string(),
            })
        }
        Err(other) => Err(Error::from(other)),
    }
}
