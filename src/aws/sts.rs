//! STS: whom AWS takes us for.

use std::time::Duration;

use super::classify::Failure;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::names::{AccountId, Partition};
use crate::domain::observed::{CallerIdentity, ErrorClass, Read};

/// The account behind a set of credentials does not change while they are the same; asked again in case they are not.
const MAX_AGE: Duration = Duration::from_mins(5);
const OPERATION: &str = "GetCallerIdentity";

impl AccountSession {
    /// `sts:GetCallerIdentity`, at most five minutes old.
    ///
    /// # Errors
    /// Why AWS did not say it; [`ErrorClass::Credentials`] if there are no usable credentials.
    pub async fn caller_identity(&self) -> Read<CallerIdentity> {
        let read = || self.get_caller_identity();
        let caller = self.shared.readings.caller.get(&(), MAX_AGE, read).await;
        caller.map_err(Into::into)
    }

    async fn get_caller_identity(&self) -> Result<CallerIdentity, Failure> {
        let request = self.home_clients().sts.get_caller_identity().send();
        let output = self.shared.caller.read(Service::Sts, OPERATION, request).await?;
        let account = output.account().and_then(|id| AccountId::new(id).ok());
        let account = account.ok_or_else(|| Failure::incomplete(OPERATION, "account id"))?;
        let arn = output.arn().ok_or_else(|| Failure::incomplete(OPERATION, "ARN"))?;
        Ok(CallerIdentity {
            account,
            partition: partition(arn)?,
            arn: arn.to_owned(),
        })
    }
}

fn partition(arn: &str) -> Result<Partition, Failure> {
    let name = arn.split(':').nth(1).unwrap_or_default();
    [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov]
        .into_iter()
        .find(|p| p.as_str() == name)
        .ok_or_else(|| {
            let message = format!("the caller is in partition {name:?}, which is not supported");
            Failure::new(OPERATION, ErrorClass::Terminal, message)
        })
}
