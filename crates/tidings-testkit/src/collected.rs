//! A list of received items, to wait for and to inspect.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The timeout of a wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// The items that a failed wait prints.
const PRINTED: usize = 20;

/// A list that grows while a test waits for items. Clones share it.
#[derive(Debug)]
pub struct Collected<T> {
    list: Arc<SharedList<T>>,
}

#[derive(Debug)]
struct SharedList<T> {
    items: Mutex<Vec<Arc<T>>>,
    grown: Notify,
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self {
            list: Arc::clone(&self.list),
        }
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        let list = SharedList {
            items: Mutex::default(),
            grown: Notify::new(),
        };
        Self {
            list: Arc::new(list),
        }
    }
}

impl<T: Debug> Collected<T> {
    /// Adds an item.
    pub fn push(&self, item: T) {
        self.lock().push(Arc::new(item));
        self.list.grown.notify_waiters();
    }

    /// Returns the first item that satisfies `wanted`, as soon as there is one. Each item is
    /// checked once.
    ///
    /// # Panics
    ///
    /// After ten seconds, with the number of items and the last 20 of them.
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&T) -> bool) -> impl Future<Output = Arc<T>> {
        let mut seen = 0;
        self.until(move |items| {
            let new = &items[seen..];
            seen = items.len();
            new.iter().find(|item| wanted(item)).cloned()
        })
    }

    /// Returns the items, as soon as there are `len` of them.
    ///
    /// # Panics
    ///
    /// After ten seconds, with the number of items and the last 20 of them.
    #[track_caller]
    pub fn wait_for_len(&self, len: usize) -> impl Future<Output = Vec<Arc<T>>> {
        self.until(move |items| (items.len() >= len).then(|| items.to_vec()))
    }

    /// Returns the items collected so far.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().clone()
    }

    #[track_caller]
    fn until<F>(&self, mut find: impl FnMut(&[Arc<T>]) -> Option<F>) -> impl Future<Output = F> {
        let line = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + DEADLINE;
            loop {
                let grown = self.list.grown.notified();
                tokio::pin!(grown);
                grown.as_mut().enable();
                if let Some(found) = find(&self.lock()) {
                    return found;
                }
                let grew = timeout_at(deadline, grown).await;
                assert!(
                    grew.is_ok(),
                    "{line}: waited {DEADLINE:?}, and had {}",
                    summary(&self.lock())
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.list
            .items
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of items and the last of them: a failed wait for 50,000 items must not print them
/// all.
fn summary<T: Debug>(items: &[Arc<T>]) -> String {
    let last = &items[items.len().saturating_sub(PRINTED)..];
    let which = if last.len() < items.len() {
        ", the last of them "
    } else {
        " "
    };
    format!("{} items{which}{last:?}", items.len())
}

#[cfg(test)]
mod tests {
    use super::Collected;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "had 3 items [0, 1, 2]")]
    async fn a_failed_wait_prints_a_few_items_whole() {
        let items = Collected::default();
        (0..3).for_each(|item| items.push(item));
        items.wait_for_len(4).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "had 50000 items, the last of them [49980, 49981,")]
    async fn a_failed_wait_prints_the_last_20_of_many_items() {
        let items = Collected::default();
        (0..50_000).for_each(|item| items.push(item));
        items.wait_for(|item| *item > 50_000).await;
    }
}
