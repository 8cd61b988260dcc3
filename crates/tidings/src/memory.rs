//! The server of `memory:` addresses, and a function that publishes to it from outside of any bus.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::connect::ConnectError;
use crate::namespace::Namespace;
use crate::task::milliseconds;
use crate::task::mutex::Mutex;

/// Publishes a frame as a foreign program would, byte for byte, as `PUBLISH` does on Redis: for tests
/// of foreign or hostile frames. Returns the number of buses that got it.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:foreign").namespace("shop").start().await?;
/// let mut keys = bus.stream::<_, String>("cache.clear")?;
///
/// let frame = r#"{"event":"cache.clear","data":"user:7"}"#;
/// assert_eq!(tidings::memory::publish("foreign", "shop", frame).await, 1);
///
/// assert_eq!(keys.next().await.as_deref(), Some("user:7"));
/// # Ok(()) }
/// ```
pub async fn publish(name: &str, namespace: &str, frame: impl Into<Bytes>) -> u64 {
    let Ok(namespace) = Namespace::parse(namespace) else {
        return 0;
    };
    let place = Place::of(name, &namespace.channel());
    place.publish(frame.into()).await
}

/// The maximum bytes that wait for one bus: Redis's own limit for a subscriber.
const INBOX: usize = 32 << 20;

/// The maximum size of a notification of a change.
const ANNOUNCEMENT: usize = 128 << 10;

/// The wait for room in a full inbox, before its bus is disconnected.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// The places by name and channel.
type Places = HashMap<(String, String), Weak<Place>>;

/// The buses and shared state of one name and channel.
#[derive(Debug, Default)]
pub(crate) struct Place {
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    /// One frame at a time, so that all buses receive the frames in the same order.
    turn: tokio::sync::Mutex<()>,
    stored: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Place {
    /// Returns the place of this name and channel.
    pub(crate) fn of(name: &str, channel: &str) -> Arc<Self> {
        static PLACES: OnceLock<Mutex<Places>> = OnceLock::new();
        let at = (name.to_owned(), channel.to_owned());
        let places = PLACES.get_or_init(Mutex::default);
        let mut places = places.lock();
        if let Some(place) = places.get(&at).and_then(Weak::upgrade) {
            return place;
        }
        places.retain(|_, place| place.strong_count() > 0);
        let place = Arc::new(Self::default());
        places.insert(at, Arc::downgrade(&place));
        place
    }

    /// Publishes a frame, and returns the number of buses that got it.
    pub(crate) async fn publish(&self, frame: Bytes) -> u64 {
        let _turn = self.turn.lock().await;
        let inboxes = self.inboxes();
        for inbox in &inboxes {
            inbox.put(frame.clone()).await;
        }
        inboxes.len() as u64
    }

    /// Subscribes an inbox.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) {
        self.inboxes.lock().push(Arc::downgrade(inbox));
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let mut inboxes = self.inboxes.lock();
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Blocks all sends and changes until the guard is dropped. They are then done in order.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Returns the shared state, which lives as long as the place.
    pub(crate) fn stored<T: Default + Send + Sync + 'static>(&self) -> &T {
        let stored = self.stored.get_or_init(|| Box::<T>::default());
        stored.downcast_ref().expect("shared state is of one type")
    }

    /// Changes the shared state and publishes frames in one step, as a script does on Redis. Waits
    /// for room before the change, which cannot be undone.
    pub(crate) async fn change<T, F: IntoIterator<Item = Vec<u8>>>(
        &self,
        change: impl FnOnce() -> (T, F),
    ) -> T {
        let _turn = self.turn.lock().await;
        for inbox in self.inboxes() {
            let _ = tokio::time::timeout(ROOM_TIMEOUT, inbox.wait_for_room(ANNOUNCEMENT)).await;
        }
        let (answer, frames) = change();
        for frame in frames.into_iter().map(Bytes::from) {
            for inbox in self.inboxes() {
                inbox.put_now(frame.clone());
            }
        }
        answer
    }
}

/// Returns the milliseconds since 1970, by the clock of the server: Tokio's.
pub(crate) fn now() -> u64 {
    static FIRST: LazyLock<(Instant, Duration)> =
        LazyLock::new(|| (Instant::now(), UNIX_EPOCH.elapsed().unwrap_or_default()));
    let (first, since_1970) = *FIRST;
    milliseconds(since_1970 + first.elapsed())
}

/// The frames that a bus has not received yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<ServerState>,
    reader: AtomicWaker,
    room: Notify,
}

#[derive(Debug, Default)]
struct ServerState {
    frames: VecDeque<Bytes>,
    bytes: usize,
    is_disconnected: bool,
}

impl Inbox {
    async fn put(&self, frame: Bytes) {
        if !self.has_room(frame.len()) {
            let _ = tokio::time::timeout(ROOM_TIMEOUT, self.wait_for_room(frame.len())).await;
        }
        self.put_now(frame);
    }

    /// Adds a frame, or disconnects the bus if there is no room.
    fn put_now(&self, frame: Bytes) {
        let has_room = self.has_room(frame.len());
        let mut state = self.state.lock();
        if has_room && !state.is_disconnected {
            state.bytes += frame.len();
            state.frames.push_back(frame);
        } else {
            state.is_disconnected = true;
        }
        drop(state);
        self.reader.wake();
    }

    async fn wait_for_room(&self, bytes: usize) {
        while !self.has_room(bytes) {
            self.room.notified().await;
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let state = self.state.lock();
        state.is_disconnected || state.bytes + bytes <= INBOX
    }

    /// Takes all waiting frames; wakes `reader` when there are some.
    pub(crate) fn take(
        &self,
        frames: &mut Vec<Bytes>,
        reader: &Waker,
    ) -> Poll<Result<(), ConnectError>> {
        self.reader.register(reader);
        let mut state = self.state.lock();
        if state.is_disconnected {
            return Poll::Ready(Err(ConnectError::Lost));
        }
        if state.frames.is_empty() {
            return Poll::Pending;
        }
        frames.extend(state.frames.drain(..));
        state.bytes = 0;
        self.room.notify_one();
        Poll::Ready(Ok(()))
    }
}
