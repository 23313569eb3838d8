//! Waiting for something to become true, with a bound and a reason.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::Result;

/// How long a test waits for the operator to do what it should. Far above what it takes: two cores may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks again and again until `look` says `Ok`, at most for `limit`. The last `Err` says what was missing.
///
/// # Errors
/// When time is up: `what`, and the last thing that was missing.
pub async fn eventually<T, E, F, L>(limit: Duration, what: &str, mut look: L) -> Result<T>
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    E: Display,
{
    let deadline = Instant::now() + limit;
    let mut last = String::from("nothing was seen at all");
    while Instant::now() < deadline {
        match timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(missing)) => last = missing.to_string(),
            Err(_) => break,
        }
        sleep(PAUSE).await;
    }
    Err(format!("waited {limit:?} in vain for: {what}\n  last seen: {last}").into())
}

/// Looks again and again for the whole of `span`; fails as soon as `look` says `Err`.
///
/// For "this does not happen", which no single look can show.
///
/// # Errors
/// With what `look` saw.
pub async fn throughout<E, F, L>(span: Duration, what: &str, mut look: L) -> Result<()>
where
    L: FnMut() -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let end = Instant::now() + span;
    while Instant::now() < end {
        look().await.map_err(|seen| format!("{what}: {seen}"))?;
        sleep(PAUSE).await;
    }
    Ok(())
}
