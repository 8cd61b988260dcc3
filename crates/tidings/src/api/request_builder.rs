//! The requests of [`Bus`]: an event that is sent as a request when its builder is awaited, and the
//! responses to it.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, TryFutureExt};
use serde::de::DeserializeOwned;
use tidings_codec::{NodeId, Payload, To};

use crate::Bus;
use crate::error::request::{RequestError, ResponseError};
use crate::error::send::SendError;
use crate::handler::key::SendKey;
use crate::request::pending::ResponseMessage;
use crate::request::responses::{OpenResponses, handled};
use crate::request::summary::{Responder, Summary};
use crate::send::outgoing::Lane;

/// The time that a request waits for responses by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The responses to a request, as they arrive. [`Bus::request_all`] and [`Bus::request_others`] return
/// them.
///
/// They end when every member has responded or left, or at the timeout. Responses that arrive after
/// this was dropped are ignored.
pub struct Responses<A> {
    replies: OpenResponses,
    response: PhantomData<fn() -> A>,
}

/// The response of one member.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response<A> {
    /// The member.
    pub responder: Responder,
    /// The value that its handler returned, or why there is none.
    pub value: Result<A, ResponseError>,
}

impl<A: DeserializeOwned> Responses<A> {
    pub(crate) fn new(replies: OpenResponses) -> Self {
        Self {
            replies,
            response: PhantomData,
        }
    }

    /// Returns the next response, or `None` when there are no more.
    pub async fn next(&mut self) -> Option<Response<A>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the remaining responses, and returns the results of all members, those of responses
    /// that were read before included.
    pub async fn summary(self) -> Summary {
        self.replies.summary(decode::<A>).await
    }

    /// Waits for the response of this node.
    pub(crate) async fn of(
        mut self,
        node: NodeId,
        event: &str,
    ) -> Result<Response<A>, RequestError> {
        while let Some(response) = self.next().await {
            if response.responder.node == node {
                return Ok(response);
            }
        }
        if self.replies.is_closed() {
            return Err(SendError::Closed.into());
        }
        let event = event.to_owned();
        let summary = self.summary().await;
        if summary.left.iter().any(|member| member.node == node) {
            return Err(RequestError::Left { event, node });
        }
        let timeout = summary.timeout;
        Err(RequestError::TimedOut {
            event,
            node,
            timeout,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response<A>>> {
        let polled = self.replies.poll_next(cx, decode);
        polled.map(|next| next.map(|(responder, value)| Response { responder, value }))
    }
}

fn decode<A: DeserializeOwned>(received: ResponseMessage) -> Result<A, ResponseError> {
    let format = received.format;
    let value = handled(received)?;
    Ok(Payload::new(format, &value).decode()?)
}

impl<A: DeserializeOwned> Stream for Responses<A> {
    type Item = Response<A>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Response<A>>> {
        self.get_mut().poll(cx)
    }
}

impl<A> fmt::Debug for Responses<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Responses").field(&self.replies).finish()
    }
}

/// A request to all members, or to all others, that is sent when this is awaited.
/// [`Bus::request_all`], [`Bus::request_others`] and [`Bus::inspect`] return it.
///
/// If its future is dropped, the event may be sent and handled all the same; responses are ignored.
#[must_use = "nothing is sent before it is awaited"]
pub struct Request<'a, A, K, T: ?Sized> {
    parts: RequestParts<'a, K, T>,
    to: To,
    response: PhantomData<fn() -> A>,
}

/// A request to one member that is sent when this is awaited. [`Bus::request`] and
/// [`Bus::request_role`] return it.
///
/// If its future is dropped, the event may be sent and handled all the same; the response is ignored.
#[must_use = "nothing is sent before it is awaited"]
pub struct SingleRequest<'a, A, K, T: ?Sized> {
    parts: RequestParts<'a, K, T>,
    to: Receiver<'a>,
    response: PhantomData<fn() -> A>,
}

/// The member that a request is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receiver<'a> {
    Node(NodeId),
    /// Any member with this role.
    Role(&'a str),
}

/// The event of a request, and the time to wait for responses.
pub(crate) struct RequestParts<'a, K, T: ?Sized> {
    pub(crate) bus: &'a Bus,
    pub(crate) event: K,
    pub(crate) data: &'a T,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) timeout: Duration,
}

impl<'a, K, T: ?Sized> RequestParts<'a, K, T> {
    pub(crate) fn new(bus: &'a Bus, event: K, data: &'a T) -> Self {
        Self {
            bus,
            event,
            data,
            headers: Vec::new(),
            timeout: TIMEOUT,
        }
    }
}

impl<'a, A, K, T: ?Sized> Request<'a, A, K, T> {
    pub(crate) fn new(bus: &'a Bus, to: To, event: K, data: &'a T) -> Self {
        Self {
            parts: RequestParts::new(bus, event, data),
            to,
            response: PhantomData,
        }
    }

    /// Sets the time to wait for responses, counted from when Redis accepted the event. The default
    /// is 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.parts.timeout = timeout;
        self
    }

    /// Adds a header, as [`Sending::header`](crate::Sending::header).
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.parts.headers.push((name, value));
        self
    }
}

impl<'a, A, K, T: ?Sized> SingleRequest<'a, A, K, T> {
    pub(crate) fn new(bus: &'a Bus, to: Receiver<'a>, event: K, data: &'a T) -> Self {
        Self {
            parts: RequestParts::new(bus, event, data),
            to,
            response: PhantomData,
        }
    }

    /// Sets the time to wait for the response, counted from when Redis accepted the event. The
    /// default is 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.parts.timeout = timeout;
        self
    }

    /// Adds a header, as [`Sending::header`](crate::Sending::header).
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.parts.headers.push((name, value));
        self
    }
}

impl<'a, A, K, T> IntoFuture for Request<'a, A, K, T>
where
    A: DeserializeOwned + 'a,
    K: SendKey<T> + 'a,
    T: ?Sized + Sync,
{
    type Output = Result<Responses<A>, RequestError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let bus = self.parts.bus;
        let opening = bus.in_runtime(self.parts.open(self.to, Lane::Requests));
        Box::pin(opening.map_ok(Responses::new))
    }
}

impl<'a, A, K, T> IntoFuture for SingleRequest<'a, A, K, T>
where
    A: DeserializeOwned + 'a,
    K: SendKey<T> + 'a,
    T: ?Sized + Sync,
{
    type Output = Result<Response<A>, RequestError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let bus = self.parts.bus;
        Box::pin(bus.in_runtime(self.parts.response(self.to)))
    }
}

impl<A, K, T: ?Sized> fmt::Debug for Request<'_, A, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("timeout", &self.parts.timeout)
            .finish_non_exhaustive()
    }
}

impl<A, K, T: ?Sized> fmt::Debug for SingleRequest<'_, A, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleRequest")
            .field("to", &self.to)
            .field("timeout", &self.parts.timeout)
            .finish_non_exhaustive()
    }
}
