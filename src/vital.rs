//! Tasks without which the operator must not go on: whichever ends too soon ends the process, or is started anew.
//!
//! A replica whose election has died would say "ready" and never lead; one whose endpoints have died would be believed by
//! nobody. Kubernetes starts a process that ends again; nothing starts a task again that nobody looks at.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use tracing::error;

/// Pause before a task that panicked is started anew.
const PAUSE: Duration = Duration::from_secs(5);

/// A task ended that should not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ended, without which the operator does not go on: {how}")]
pub struct EndedEarly {
    /// The task, for a human.
    pub what: &'static str,
    /// How it ended.
    pub how: String,
}

/// A task that has to live until it is told to end.
pub(crate) struct Vital {
    what: &'static str,
    task: JoinHandle<Result<(), String>>,
}

impl Vital {
    /// Starts it.
    pub(crate) fn spawn<E: Display>(
        what: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        let task = tokio::spawn(async move { work.await.map_err(|error| error.to_string()) });
        Self { what, task }
    }

    /// Waits for its end, which nobody asked for. Not to be awaited again after that.
    pub(crate) async fn ended(&mut self) -> EndedEarly {
        let how = match (&mut self.task).await {
            Ok(Ok(())) => "it came to its end".to_owned(),
            Ok(Err(problem)) => problem,
            Err(error) => told(error),
        };
        EndedEarly { what: self.what, how }
    }

    /// Waits, at most for `limit`, for the end that it was asked for.
    ///
    /// # Errors
    /// [`EndedEarly`] if it panicked on the way.
    pub(crate) async fn end(self, limit: Duration) -> Result<(), EndedEarly> {
        let Self { what, task } = self;
        match timeout(limit, task).await {
            Ok(Err(error)) => Err(EndedEarly { what, how: told(error) }),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// What a panic said, if it can be told.
fn told(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_else(|| "without a word".to_owned()))
        }
        Err(error) => error.to_string(),
    }
}

/// Runs `work`, and runs it anew after a panic, until it comes to its end. For what others can do without for a while.
pub(crate) async fn restarted<W: Future<Output = ()> + Send + 'static>(what: &'static str, work: impl Fn() -> W) {
    while let Err(panic) = tokio::spawn(work()).await {
        error!(
            how = told(panic),
            "{what} ended, a bug in the operator; it is started anew."
        );
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ended(what: &'static str, how: &str) -> EndedEarly {
        EndedEarly {
            what,
            how: how.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_panic_an_error_and_a_plain_end_are_all_too_soon() {
        let panicking = async {
            assert_eq!(1, 2, "broken");
            Ok::<(), Infallible>(())
        };
        let how = Vital::spawn("the first", panicking).ended().await.how;
        assert!(how.starts_with("it panicked: ") && how.contains("broken"), "{how}");
        let failing = async { Err("no more files") };
        assert_eq!(
            Vital::spawn("the second", failing).ended().await,
            ended("the second", "no more files")
        );
        let ending = async { Ok::<(), Infallible>(()) };
        assert_eq!(
            Vital::spawn("the third", ending).ended().await,
            ended("the third", "it came to its end")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_asked_for_is_waited_for_within_its_limit() {
        let ending = async { Ok::<(), Infallible>(()) };
        assert_eq!(Vital::spawn("it", ending).end(Duration::from_secs(1)).await, Ok(()));
        let endless = std::future::pending::<Result<(), Infallible>>();
        assert_eq!(Vital::spawn("it", endless).end(Duration::from_secs(1)).await, Ok(()));
        let panicking = async {
            assert_eq!(1, 2);
            Ok::<(), Infallible>(())
        };
        assert!(Vital::spawn("it", panicking).end(Duration::from_secs(1)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_run_anew_until_it_ends() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        restarted("it", move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert_eq!(run, 2, "the first two runs fail") }
        })
        .await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }
}
