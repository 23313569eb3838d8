//! What was read lately, kept for those who ask for the same thing in the same sweep: several policies that share a bucket
//! or a role cost one reading.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Readings older than this are dropped, whether anybody asks or not, unless the shelf is for rarer ones.
pub(crate) const RETENTION: Duration = Duration::from_mins(10);
/// How often the shelf is searched for those.
const CLEANING_INTERVAL: Duration = Duration::from_mins(1);
/// A failed reading serves those who wait for it, and hardly anybody else.
const FAILURE_AGE: Duration = Duration::from_secs(2);

/// Single-flight cache of readings by resource.
///
/// # Guarantees
/// * At most one reading of a resource is in flight; whoever else asks waits for it.
/// * A value is never older than the age that the caller allows, counted from the *start* of its reading.
/// * After [`Shelf::invalidate`], no reading that started before it is given to anybody who asks later.
/// * A reading that is cancelled leaves the previous state.
pub(crate) struct Shelf<K, V, E> {
    slots: Mutex<Slots<K, V, E>>,
    capacity: usize,
    retention: Duration,
}

struct Slots<K, V, E> {
    by_key: HashMap<K, Arc<Slot<V, E>>>,
    cleaned: Instant,
}

struct Slot<V, E> {
    /// Bumped by every write of ours to the resource.
    epoch: AtomicU64,
    kept: tokio::sync::Mutex<Option<Kept<V, E>>>,
}

struct Kept<V, E> {
    read_at: Instant,
    epoch: u64,
    value: Result<V, E>,
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Shelf<K, V, E> {
    /// A shelf for at most `capacity` resources; what is beyond is read anew each time.
    pub fn new(capacity: usize) -> Self {
        Self::keeping(capacity, RETENTION)
    }

    /// The same, for readings that may serve for `retention`.
    pub fn keeping(capacity: usize, retention: Duration) -> Self {
        Self {
            retention,
            slots: Mutex::new(Slots {
                by_key: HashMap::new(),
                cleaned: Instant::now(),
            }),
            capacity,
        }
    }

    /// The reading of `key`, not older than `max_age`; else made anew by `read`.
    ///
    /// # Errors
    /// Whatever the reading failed with.
    pub async fn get<F>(&self, key: &K, max_age: Duration, read: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let Some(slot) = self.slot(key) else {
            return read().await;
        };
        let mut kept = slot.kept.lock().await;
        if let Some(kept) = kept.as_ref() {
            let allowed = match kept.value {
                Ok(_) => max_age,
                Err(_) => max_age.min(FAILURE_AGE),
            };
            if kept.epoch == slot.epoch.load(Ordering::SeqCst) && kept.read_at.elapsed() < allowed {
                return kept.value.clone();
            }
        }
        let read_at = Instant::now();
        let epoch = slot.epoch.load(Ordering::SeqCst);
        let value = read().await;
        *kept = Some(Kept {
            read_at,
            epoch,
            value: value.clone(),
        });
        value
    }

    /// Forgets what was read of `key` before now, including what is being read.
    pub fn invalidate(&self, key: &K) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_key.get(key) {
            slot.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Forgets everything that was read before now.
    pub fn invalidate_all(&self) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.by_key.values() {
            slot.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn slot(&self, key: &K) -> Option<Arc<Slot<V, E>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.by_key.len() >= self.capacity || slots.cleaned.elapsed() > CLEANING_INTERVAL {
            slots.cleaned = Instant::now();
            slots.by_key.retain(|_, slot| slot.is_wanted(self.retention));
        }
        if let Some(slot) = slots.by_key.get(key) {
            return Some(slot.clone());
        }
        if slots.by_key.len() >= self.capacity {
            return None;
        }
        let slot = Arc::new(Slot {
            epoch: AtomicU64::new(0),
            kept: tokio::sync::Mutex::new(None),
        });
        slots.by_key.insert(key.clone(), slot.clone());
        Some(slot)
    }
}

impl<V, E> Slot<V, E> {
    /// Somebody holds it (a reading may be in flight), or its value may still serve.
    fn is_wanted(self: &Arc<Self>, retention: Duration) -> bool {
        if Arc::strong_count(self) > 1 {
            return true;
        }
        self.kept.try_lock().map_or(true, |kept| {
            kept.as_ref().is_some_and(|kept| kept.read_at.elapsed() < retention)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const AGE: Duration = Duration::from_mins(1);

    struct Source(AtomicUsize);

    impl Source {
        fn new() -> Self {
            Self(AtomicUsize::new(0))
        }

        async fn read(&self) -> Result<usize, &'static str> {
            let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(n)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_cost_one_reading() {
        let (shelf, source) = (Shelf::new(8), Source::new());
        let asked = futures::future::join_all((0..20).map(|_| shelf.get(&"b", AGE, || source.read()))).await;
        assert_eq!(asked, vec![Ok(1); 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_older_than_allowed_is_made_anew() {
        let (shelf, source) = (Shelf::new(8), Source::new());
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(1));
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(1));
        tokio::time::advance(AGE).await;
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(2));
        assert_eq!(shelf.get(&"b", Duration::ZERO, || source.read()).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_serves_as_long_as_the_shelf_keeps_it() {
        let (hour, source) = (Duration::from_hours(1), Source::new());
        for (shelf, expected) in [(Shelf::keeping(8, hour), 1), (Shelf::new(8), 3)] {
            for _ in 0..2 {
                let read = shelf.get(&"b", hour, || source.read()).await;
                tokio::time::advance(RETENTION + CLEANING_INTERVAL).await;
                if read != Ok(1) {
                    assert_eq!(read, Ok(source.0.load(Ordering::SeqCst)));
                }
            }
            assert_eq!(source.0.load(Ordering::SeqCst), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_write_nobody_gets_what_was_read_before_or_during_it() {
        let (shelf, source) = (Shelf::new(8), Source::new());
        let during = shelf.get(&"b", AGE, || source.read());
        let write = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            shelf.invalidate(&"b");
        };
        assert_eq!(tokio::join!(during, write).0, Ok(1));
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_that_was_read_before_is_given_once_all_of_it_is_stale() {
        let (shelf, source) = (Shelf::new(8), Source::new());
        assert_eq!(shelf.get(&"a", AGE, || source.read()).await, Ok(1));
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(2));
        shelf.invalidate_all();
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(3));
        assert_eq!(shelf.get(&"a", AGE, || source.read()).await, Ok(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_by_those_who_wait_and_then_forgotten() {
        let shelf: Shelf<_, usize, _> = Shelf::new(8);
        let fail = || async { Err("no") };
        assert_eq!(shelf.get(&"b", AGE, fail).await, Err("no"));
        tokio::time::advance(FAILURE_AGE).await;
        assert_eq!(shelf.get(&"b", AGE, || async { Ok(7) }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_reading_does_not_block_the_next() {
        let (shelf, source) = (Shelf::new(8), Source::new());
        let cancelled = tokio::time::timeout(Duration::from_millis(1), shelf.get(&"b", AGE, || source.read())).await;
        assert!(cancelled.is_err());
        assert_eq!(shelf.get(&"b", AGE, || source.read()).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_shelf_still_answers_and_does_not_grow() {
        let (shelf, source) = (Shelf::new(2), Source::new());
        for key in 0..50 {
            assert!(shelf.get(&key, AGE, || source.read()).await.is_ok());
        }
        assert_eq!(shelf.slots.lock().unwrap().by_key.len(), 2);
    }
}
