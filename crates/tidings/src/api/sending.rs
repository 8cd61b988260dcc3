//! The sends of [`Bus`]: an event that is sent when its builder is awaited, and the receipt for it.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tidings_codec::To;

use crate::Bus;
use crate::api::request_builder::RequestParts;
use crate::error::request::RequestError;
use crate::error::send::SendError;
use crate::event::position::JournalPosition;
use crate::handler::key::SendKey;
use crate::request::summary::Summary;

/// Redis's confirmation that it has accepted an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The sequence number of the event: a bus counts the events that it sends from 1.
    pub sequence: u64,
    /// The number of connections that received the frame of the event, this bus's own included.
    /// `None` with a journal, and in a Redis Cluster, where a server counts only its own connections.
    pub receivers: Option<u64>,
    pub(crate) position: Option<JournalPosition>,
}

impl Receipt {
    /// Returns the position of the event in the [journal](crate::Journal); `None` without a journal.
    pub fn position(&self) -> Option<JournalPosition> {
        self.position
    }
}

pin_project! {
    /// An event that is sent when this is awaited. [`Bus::publish`], [`Bus::send_to_all`],
    /// [`Bus::send_to_others`] and [`Bus::send_to`] return it.
    ///
    /// `.await` ends when Redis has accepted the event, [`acknowledged`](Self::acknowledged) when its
    /// receivers have handled it. [`header`](Self::header) adds a header.
    #[must_use = "nothing is sent before it is awaited"]
    pub struct Sending<'a, K, T: ?Sized, F> {
        bus: &'a Bus,
        event: K,
        data: &'a T,
        to: To,
        #[pin]
        sending: F,
    }
}

impl<'a, K, T: ?Sized, F> Sending<'a, K, T, F> {
    pub(crate) fn new(bus: &'a Bus, event: K, data: &'a T, to: To, sending: F) -> Self {
        Self {
            bus,
            event,
            data,
            to,
            sending,
        }
    }
}

impl<'a, K: SendKey<T>, T: ?Sized + Sync, F> Sending<'a, K, T, F> {
    /// Adds a header: a text that handlers read with [`Context::header`](crate::Context::header),
    /// without a place in the payload.
    ///
    /// An event has at most 32 headers, with 8 KiB of names and values in total. A name follows the
    /// rules of event names. Reserved names are those that begin with `tidings.`, `request`,
    /// `outcome`, `error`, and those of trace context: `traceparent`, `tracestate`, `baggage`. An
    /// event with a header that breaks a rule is not sent: [`SendError::Header`]. If a name is given
    /// twice, the last value is used.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:header-docs").start().await?;
    /// bus.on("cache.clear", |key: String, context: Context| async move {
    ///     println!("drop {key} of {:?}", context.header("tenant"));
    /// })?;
    /// bus.send_to_all("cache.clear", "user:7").header("tenant", "acme").await?;
    /// # Ok(()) }
    /// ```
    pub fn header(self, name: &'a str, value: &'a str) -> SendingWithHeaders<'a, K, T> {
        self.without_headers().header(name, value)
    }

    /// Sends the event and waits until every member that it is for has handled it, until `timeout`
    /// has passed since Redis accepted it, or until this bus ends. The summary names the members that
    /// did not handle it, each with the reason.
    ///
    /// It works as [`Bus::request_all`], without the responses. Each member sends one event for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:acknowledged-docs").start().await?;
    /// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
    /// let sending = bus.send_to_all("cache.clear", "user:7");
    /// let summary = sending.acknowledged(Duration::from_secs(2)).await?;
    /// if !summary.is_complete() {
    ///     // Such as `3 handled, 1 failed: api-2 (no such user), 1 did not respond within 2s: job-1`.
    ///     eprintln!("{summary}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when the members are unknown, because Redis
    /// does not respond or the ACL does not allow the list, unless the event is for one node; and when
    /// 1,024 requests of this bus are open.
    pub fn acknowledged(
        self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Summary, RequestError>> + Send + use<'a, K, T, F> {
        self.without_headers().acknowledged(timeout)
    }

    fn without_headers(self) -> SendingWithHeaders<'a, K, T> {
        SendingWithHeaders {
            parts: RequestParts::new(self.bus, self.event, self.data),
            to: self.to,
        }
    }
}

impl<K, T: ?Sized, F: Future<Output = Result<Receipt, SendError>>> Future for Sending<'_, K, T, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().sending.poll(cx)
    }
}

impl<K, T: ?Sized, F> fmt::Debug for Sending<'_, K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// An event with headers that is sent when this is awaited. [`Sending::header`] returns it.
#[must_use = "nothing is sent before it is awaited"]
pub struct SendingWithHeaders<'a, K, T: ?Sized> {
    parts: RequestParts<'a, K, T>,
    to: To,
}

impl<'a, K: SendKey<T>, T: ?Sized + Sync> SendingWithHeaders<'a, K, T> {
    /// Adds one more header, as [`Sending::header`].
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.parts.headers.push((name, value));
        self
    }

    /// Sends the event and waits until its receivers have handled it, as [`Sending::acknowledged`].
    ///
    /// # Errors
    ///
    /// As [`Sending::acknowledged`], and when a header is invalid.
    pub fn acknowledged(
        mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Summary, RequestError>> + Send + use<'a, K, T> {
        self.parts.timeout = timeout;
        self.parts.acknowledged(self.to)
    }
}

impl<'a, K: SendKey<T> + 'a, T: ?Sized + Sync> IntoFuture for SendingWithHeaders<'a, K, T> {
    type Output = Result<Receipt, SendError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { parts, to } = self;
        Box::pin(async move {
            let headers = &parts.headers;
            parts
                .bus
                .send_with(parts.event, parts.data, to, headers)
                .await
        })
    }
}

impl<K, T: ?Sized> fmt::Debug for SendingWithHeaders<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendingWithHeaders")
            .field("to", &self.to)
            .field("headers", &self.parts.headers)
            .finish_non_exhaustive()
    }
}
