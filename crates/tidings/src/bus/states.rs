//! The values that handlers take as `State<T>`.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use crate::task::panic::caught;

/// One value per type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(state));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl Drop for States {
    /// The last clone of a bus may be dropped within a handler, where a panic must not escape.
    fn drop(&mut self) {
        for (_, state) in self.0.drain() {
            if let Err(panic) = caught(|| drop(state)) {
                tracing::error!(panic, "a state panicked when it was dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Explosive<const N: u8>(#[expect(dead_code, reason = "it counts who is there")] Arc<()>);

    impl<const N: u8> Drop for Explosive<N> {
        fn drop(&mut self) {
            panic!("it went off");
        }
    }

    #[test]
    fn states_that_panic_when_they_are_dropped_harm_nobody() {
        let guard = Arc::new(());
        let mut states = States::default();
        states.insert(Explosive::<1>(Arc::clone(&guard)));
        states.insert(Explosive::<2>(Arc::clone(&guard)));

        drop(states);

        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
