//! The meeting place of `memory:` addresses, seen from outside of any bus.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::error::connect::ConnectError;
use crate::namespace::Namespace;

/// Publishes a frame as a program that is no node would, byte for byte: what `PUBLISH` is on Redis.
/// For tests of what a foreign or a hostile frame does. Returns how many buses got it; 0 also where
/// nobody meets.
///
/// ```
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:foreign").namespace("shop").start().await?;
/// let mut keys = bus.stream::<_, String>("cache.clear")?;
///
/// let frame = r#"{"event":"cache.clear","data":"user:7"}"#;
/// assert_eq!(tidings::memory::publish("foreign", "shop", frame).await, 1);
///
/// assert_eq!(keys.next().await.as_deref(), Some("user:7"));
/// # Ok(())
/// # }
/// ```
pub async fn publish(name: &str, namespace: &str, frame: impl Into<Bytes>) -> u64 {
    let Ok(namespace) = Namespace::parse(namespace) else {
        return 0;
    };
    let place = Place::of(name, &namespace.channel());
    place.publish(frame.into()).await
}

/// How many bytes may wait for one bus; Redis's own limit for a hearer.
const INBOX: usize = 32 << 20;

/// No frame that announces a change is longer.
const ANNOUNCEMENT: usize = 128 << 10;

/// How long a sender waits for a bus whose inbox is full, before that bus is cut off.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places that there are, by name and channel.
type Places = HashMap<(String, String), Weak<Place>>;

/// All that meet under one name.
#[derive(Debug, Default)]
pub(crate) struct Place {
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    /// Only one frame at a time, so that all hear all frames in the same order.
    turn: tokio::sync::Mutex<()>,
    stored: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Place {
    /// The one of this name and channel.
    pub(crate) fn of(name: &str, channel: &str) -> Arc<Self> {
        static PLACES: OnceLock<Mutex<Places>> = OnceLock::new();
        let at = (name.to_owned(), channel.to_owned());
        let places = PLACES.get_or_init(Mutex::default);
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&at).and_then(Weak::upgrade) {
            return place;
        }
        places.retain(|_, place| place.strong_count() > 0);
        let place = Arc::new(Self::default());
        places.insert(at, Arc::downgrade(&place));
        place
    }

    /// Gives a frame to all; returns how many these are.
    pub(crate) async fn publish(&self, frame: Bytes) -> u64 {
        let _turn = self.turn.lock().await;
        let inboxes = self.inboxes();
        for inbox in &inboxes {
            inbox.put(frame.clone()).await;
        }
        inboxes.len() as u64
    }

    /// From now on what is published is put in here, too.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) {
        self.lock().push(Arc::downgrade(inbox));
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let mut inboxes = self.lock();
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets nothing be sent or changed here until the guard is dropped. Everything that is asked for
    /// meanwhile is done afterwards, in the order in which it was asked for.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What those who meet here keep together, for as long as one of them is there: of one type.
    pub(crate) fn stored<T: Default + Send + Sync + 'static>(&self) -> &T {
        let stored = self.stored.get_or_init(|| Box::<T>::default());
        stored.downcast_ref().expect("all keep things of one type")
    }

    /// Changes what is kept and announces that with frames, as one step, as a script does on Redis.
    /// It waits for room before the change: there is no way back after it.
    pub(crate) async fn change<T, F: IntoIterator<Item = Vec<u8>>>(
        &self,
        change: impl FnOnce() -> (T, F),
    ) -> T {
        let _turn = self.turn.lock().await;
        for inbox in self.inboxes() {
            let _ = tokio::time::timeout(PATIENCE, inbox.wait_for_room(ANNOUNCEMENT)).await;
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

/// The frames that one bus has not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inside: Mutex<ServerState>,
    reader: AtomicWaker,
    room: Notify,
}

#[derive(Debug, Default)]
struct ServerState {
    frames: VecDeque<Bytes>,
    bytes: usize,
    is_cut_off: bool,
}

impl Inbox {
    async fn put(&self, frame: Bytes) {
        if !self.has_room(frame.len()) {
            let _ = tokio::time::timeout(PATIENCE, self.wait_for_room(frame.len())).await;
        }
        self.put_now(frame);
    }

    /// Where there is no room, who hears is cut off.
    fn put_now(&self, frame: Bytes) {
        let has_room = self.has_room(frame.len());
        let mut inside = self.lock();
        if has_room && !inside.is_cut_off {
            inside.bytes += frame.len();
            inside.frames.push_back(frame);
        } else {
            inside.is_cut_off = true;
        }
        drop(inside);
        self.reader.wake();
    }

    async fn wait_for_room(&self, bytes: usize) {
        while !self.has_room(bytes) {
            self.room.notified().await;
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let inside = self.lock();
        inside.is_cut_off || inside.bytes + bytes <= INBOX
    }

    /// Takes all that waits; wakes `reader` when there is something.
    pub(crate) fn take(
        &self,
        frames: &mut Vec<Bytes>,
        reader: &Waker,
    ) -> Poll<Result<(), ConnectError>> {
        self.reader.register(reader);
        let mut inside = self.lock();
        if inside.is_cut_off {
            return Poll::Ready(Err(ConnectError::Lost));
        }
        if inside.frames.is_empty() {
            return Poll::Pending;
        }
        frames.extend(inside.frames.drain(..));
        inside.bytes = 0;
        self.room.notify_one();
        Poll::Ready(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
