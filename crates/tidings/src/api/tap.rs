//! `Bus::tap`: a view of everything on the channel that is no handler.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::api::tap_item::{TapItem, TappedEvent, Unreadable};
use crate::bus::{Bus, WeakBus};
use crate::error::failure::Failure;
use crate::error::subscribe::SubscribeError;
use crate::observe::tap::{Contents, Entry, TapBounds, TapQueue, TappedFrame};
use crate::task::stage::Stage;

/// Limits of the queue of a [`Tap`].
///
/// | | default |
/// |---|---|
/// | [`queue`](Self::queue) | 32,768 items |
/// | [`bytes`](Self::bytes) | 16 MiB |
#[derive(Clone, Debug)]
#[must_use = "give it to `tap`"]
pub struct TapOptions {
    bounds: TapBounds,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self {
            bounds: TapBounds {
                items: 32_768,
                bytes: 16 << 20,
            },
        }
    }
}

impl TapOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The maximum number of items that wait in the tap. Up to 1,024 gaps come on top.
    pub fn queue(mut self, items: usize) -> Self {
        self.bounds.items = items;
        self
    }

    /// The maximum number of bytes of the frames that wait in the tap. A larger frame fits if no
    /// other one waits.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    fn checked(self) -> Result<TapBounds, SubscribeError> {
        let what = match self.bounds {
            TapBounds { items: 0, .. } => "queue",
            TapBounds { bytes: 0, .. } => "bytes",
            bounds => return Ok(bounds),
        };
        Err(SubscribeError::Zero { what })
    }
}

impl Bus {
    /// Returns a stream of everything that this bus receives, for observers: events of every name and
    /// to any recipient, events of the buses themselves (`tidings.…`), frames that cannot be read, and
    /// losses where they happened.
    ///
    /// A tap is no handler: it responds to no request, and an acknowledged send counts this process as
    /// one without a handler. It receives each event once, those of this bus included. With a
    /// [journal](crate::Journal), it receives the events of the journal, too; with
    /// [`start_with_tap`](crate::BusBuilder::start_with_tap), from where the bus
    /// [begins](crate::Journal::since).
    ///
    /// The queue of a tap is bounded, and never holds up the bus or a sender. What does not fit is a
    /// [`Gap`](crate::Gap) with the exact number, at the place where it is missing.
    ///
    /// ```
    /// use tidings::{TapItem, TapOptions};
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:tap-docs").membership(false).start().await?;
    /// let mut tap = bus.tap(TapOptions::new())?;
    /// bus.send_to_others("user.renamed", &7).await?;
    /// while let Some(item) = tap.next().await {
    ///     match item {
    ///         TapItem::Event(event) => {
    ///             println!("{} {} {}", event.sender(), event.name(), event.decode::<u64>()?);
    /// #           assert_eq!((event.name(), event.decode::<u64>()?), ("user.renamed", 7));
    /// #           break;
    ///         }
    ///         TapItem::Gap(gap) => println!("{gap}"),
    ///         TapItem::Unreadable(frame) => println!("{}", frame.failure()),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When an option is zero, or the bus is shut down.
    pub fn tap(&self, options: TapOptions) -> Result<Tap, SubscribeError> {
        let tap = self.open_tap(options)?;
        // It knows the names of senders.
        self.view();
        Ok(tap)
    }

    pub(crate) fn open_tap(&self, options: TapOptions) -> Result<Tap, SubscribeError> {
        let bounds = options.checked()?;
        let queue = Arc::new(TapQueue::new(bounds));
        self.inner.reports.taps.add(Arc::clone(&queue));
        // A bus that ends later closes its taps.
        if *self.inner.stage.borrow() != Stage::Open {
            self.inner.reports.taps.remove(&queue);
            return Err(SubscribeError::Closed);
        }
        // From now on, frames are awaited.
        self.inner.dispatcher.changed.notify_waiters();
        Ok(Tap {
            queue,
            bus: self.downgrade(),
            current: None,
        })
    }
}

/// A stream of everything that a bus receives, from [`Bus::tap`]. It ends when the bus is shut down or
/// dropped, and does not keep it alive.
pub struct Tap {
    queue: Arc<TapQueue>,
    bus: WeakBus,
    /// The frame whose items are returned next.
    current: Option<Current>,
}

struct Current {
    frame: Arc<TappedFrame>,
    sender_name: Option<Arc<str>>,
    next: usize,
    /// The number of items of the frame that are returned.
    items: usize,
}

impl Tap {
    /// Returns the next item, or `None` at the end of the stream.
    ///
    /// Cancel safe: dropping the future loses no item.
    pub async fn next(&mut self) -> Option<TapItem> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<TapItem>> {
        loop {
            if let Some(item) = self.current.as_mut().and_then(Current::next) {
                return Poll::Ready(Some(item));
            }
            self.current = match std::task::ready!(self.queue.poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Entry::Gap(gap)) => return Poll::Ready(Some(TapItem::Gap(gap))),
                Some(Entry::Frame { frame, items }) => Some(Current {
                    sender_name: self.sender_name(&frame),
                    frame,
                    next: 0,
                    items,
                }),
            };
        }
    }

    /// The name of the sender among the members, if they are known.
    fn sender_name(&self, frame: &TappedFrame) -> Option<Arc<str>> {
        let (sender, bus) = (frame.sender()?, self.bus.upgrade()?);
        bus.view().name(sender)
    }
}

impl Current {
    fn next(&mut self) -> Option<TapItem> {
        if self.next == self.items {
            return None;
        }
        let (frame, index) = (&self.frame, self.next);
        self.next += 1;
        let failure = match &frame.contents {
            Contents::Events(header, events) => match events[index] {
                Ok(event) => {
                    let number = header.seq.map(|first| first + index as u64);
                    let name = self.sender_name.clone();
                    let event = TappedEvent::new(frame, *header, event, number, name);
                    return Some(TapItem::Event(event));
                }
                Err(source) => Failure::Event {
                    sender: header.from,
                    source,
                },
            },
            Contents::Unreadable(source) => Failure::Frame {
                bytes: frame.bytes.len(),
                source: *source,
            },
            Contents::Foreign(position) => Failure::ForeignEntry {
                position: position.to_string(),
            },
        };
        Some(TapItem::Unreadable(Unreadable::new(frame, failure)))
    }
}

impl Stream for Tap {
    type Item = TapItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TapItem>> {
        self.get_mut().poll(cx)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.inner.reports.taps.remove(&self.queue);
            bus.inner.dispatcher.changed.notify_waiters();
        }
        self.queue.clear();
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}
