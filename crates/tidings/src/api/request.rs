//! Questions to all members, and acknowledgements of what was sent.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tidings_codec::{Payload, To};

use crate::Bus;
use crate::error::request::{RequestError, ResponseError};
use crate::error::send::SendError;
use crate::handler::key::SendKey;
use crate::members::member::Member;
use crate::members::watch::MemberEvent;
use crate::receive::request::{REQUEST_ID, Reply};
use crate::request::pending::{OPEN, ResponseMessage};
use crate::request::responses::{Departures, OpenResponses};
use crate::request::summary::{Responder, Summary};
use crate::send::outgoing::Address;
use crate::task::stage::Stage;

/// How long answers are waited for, where nobody says so.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The answers to an event, as they come: [`Bus::request_all`] gives them. They end when every member
/// has answered or left, or when the time is up.
///
/// Dropping them is no harm: what still comes is ignored.
pub struct Responses<A> {
    replies: OpenResponses,
    answer: PhantomData<fn() -> A>,
}

/// What one member answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response<A> {
    /// The member.
    pub from: Responder,
    /// Its answer, or why there is none.
    pub value: Result<A, ResponseError>,
}

impl<A: DeserializeOwned> Responses<A> {
    /// The next answer; `None` when there will be none.
    pub async fn next(&mut self) -> Option<Response<A>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the answers that are still to come, and says what became of the whole ask, those
    /// that were read before included.
    pub async fn summary(self) -> Summary {
        self.replies.summary(decode::<A>).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response<A>>> {
        let polled = self.replies.poll_next(cx, decode);
        polled.map(|next| next.map(|(from, value)| Response { from, value }))
    }
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

/// An ask that is not made yet: await it.
#[must_use = "nobody is asked before it is awaited"]
pub struct Request<'a, A, K, T: ?Sized> {
    bus: &'a Bus,
    event: K,
    data: &'a T,
    timeout: Duration,
    answer: PhantomData<fn() -> A>,
}

impl<A, K, T: ?Sized> Request<'_, A, K, T> {
    /// How long answers are waited for, counted from when Redis took the event; 5 s by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl<'a, A, K, T> IntoFuture for Request<'a, A, K, T>
where
    A: DeserializeOwned,
    K: SendKey<T> + 'a,
    T: ?Sized + Sync,
{
    type Output = Result<Responses<A>, RequestError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            bus,
            event,
            data,
            timeout,
            answer: _,
        } = self;
        Box::pin(bus.in_runtime(async move {
            let replies = bus.ask(event, data, To::All, timeout).await?;
            Ok(Responses {
                replies,
                answer: PhantomData,
            })
        }))
    }
}

impl<A, K, T: ?Sized> fmt::Debug for Request<'_, A, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Sends an event to every member, this one included, and gives what their handlers return:
    /// one answer of each, as they arrive. A handler answers by returning `Ok(value)`, or with
    /// [`Context::respond`](crate::Context::respond).
    ///
    /// Where several handlers in one process hear the event, all of them must succeed, and the
    /// first value that is not null is the answer. A process without a handler says so, which can
    /// take it 160 ms where nobody listens to anything.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:ask-docs").start().await?;
    /// bus.on("stock.count", |fruit: String| async move {
    ///     Ok::<_, HandlerError>(fruit.len())
    /// })?;
    ///
    /// let mut answers = bus.request_all::<usize, _, _>("stock.count", "apples").await?;
    /// while let Some(answer) = answers.next().await {
    ///     match answer.value {
    ///         Ok(count) => println!("{} has {count}", answer.from),
    ///         Err(error) => println!("{} has no answer: {error}", answer.from),
    ///     }
    /// }
    /// println!("{}", answers.summary().await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Await what this returns, or first say how long answers are waited for:
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:ask-timeout-docs").start().await?;
    /// let asking = bus.request_all::<usize, _, _>("stock.count", "apples");
    /// let answers = asking.timeout(std::time::Duration::from_millis(200)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when nobody knows who is there, because
    /// Redis does not say or does not allow it; and when 1,024 asks of this bus are open.
    pub fn request_all<'a, A, K, T>(&'a self, event: K, data: &'a T) -> Request<'a, A, K, T>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        Request {
            bus: self,
            event,
            data,
            timeout: TIMEOUT,
            answer: PhantomData,
        }
    }

    /// Sends an event as an ask: what its receivers make of it comes back.
    async fn ask<K, T>(
        &self,
        event: K,
        data: &T,
        to: To,
        timeout: Duration,
    ) -> Result<OpenResponses, RequestError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        if *self.inner.stage.borrow() >= Stage::Leaving {
            return Err(SendError::Closed.into());
        }
        let name = event.name(data);
        let unwritten = || self.inner.outgoing.unwritten(name, 1);
        if let To::Node(node) = to {
            unwritten().wait(self.reach(node, name)).await?;
        }
        // Before the members are counted: one that leaves afterwards is told to have left.
        let departures = self.departed();
        let expected = unwritten().wait(self.expected_of(to)).await?;
        let dispatcher = &self.inner.dispatcher;
        let listen = |name, listener| dispatcher.listen(name, listener);
        let ask = self.inner.requests.open(listen, expected.len());
        let ask = ask.ok_or(RequestError::TooMany { limit: OPEN })?;
        let id = ask.id.to_string();
        let meta = &[(REQUEST_ID, &*id)];
        self.send(event, data, Address { to, meta }).await?;
        Ok(OpenResponses::new(ask, expected, departures, timeout))
    }

    /// As [`ask`](Self::ask), to the end.
    pub(crate) async fn acknowledged<K, T>(
        &self,
        event: K,
        data: &T,
        to: To,
        timeout: Duration,
    ) -> Result<Summary, RequestError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let asking = self.ask(event, data, to, timeout);
        let replies = self.in_runtime(asking).await?;
        Ok(replies.summary(acknowledge).await)
    }

    /// The members that leave from now on.
    fn departed(&self) -> Departures {
        let left = async |change| match change {
            MemberEvent::Left { member, .. } => Some(member.id),
            MemberEvent::Joined(_) => None,
        };
        self.departures().filter_map(left).boxed()
    }

    /// Which members an event is for. A node that is asked by its id is expected in any case.
    async fn expected_of(&self, to: To) -> Result<Vec<Responder>, RequestError> {
        let members = self.expected().await;
        let members = members.map(|all| all.into_iter().map(Responder::from).collect::<Vec<_>>());
        let node = match to {
            To::All => return Ok(members?),
            To::Others => {
                let mut others = members?;
                others.retain(|who| who.node != self.id());
                return Ok(others);
            }
            To::Node(node) => node,
        };
        let known = members.unwrap_or_default();
        let known = known.into_iter().find(|who| who.node == node);
        Ok(vec![known.unwrap_or_else(|| Responder::foreign(node))])
    }
}

fn decode<A: DeserializeOwned>(received: ResponseMessage) -> Result<A, ResponseError> {
    let format = received.format;
    let value = handled(received)?;
    Ok(Payload::new(format, &value).decode()?)
}

fn acknowledge(received: ResponseMessage) -> Result<(), ResponseError> {
    handled(received).map(drop)
}

fn handled(received: ResponseMessage) -> Result<Vec<u8>, ResponseError> {
    match received.reply {
        Reply::Handled(value) => Ok(value),
        Reply::Failed(text) => Err(ResponseError::Failed { text }),
        Reply::NoHandler => Err(ResponseError::NoHandler),
    }
}

impl From<Member> for Responder {
    fn from(member: Member) -> Self {
        Self {
            node: member.id,
            name: Some(member.name),
            role: member.role,
        }
    }
}
