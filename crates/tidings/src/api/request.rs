//! Requests to one member or to all, and acknowledged sends.

use std::time::Duration;

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tidings_codec::{NodeId, To};

use crate::Bus;
use crate::api::request_builder::{Receiver, Request, Response, Responses, SingleRequest};
use crate::api::send::check_headers;
use crate::error::request::RequestError;
use crate::error::send::SendError;
use crate::handler::key::SendKey;
use crate::members::member::Member;
use crate::members::watch::MemberEvent;
use crate::receive::request::REQUEST_ID;
use crate::request::pending::OPEN;
use crate::request::responses::{Departures, OpenResponses, handled};
use crate::request::summary::{Responder, Summary};
use crate::send::outgoing::Address;
use crate::task::stage::Stage;

impl Bus {
    /// Sends an event to the process whose bus has this [`id`](Self::id), and returns its response:
    /// the value that its handler returned as `Ok(value)` or gave to
    /// [`Context::respond`](crate::Context::respond).
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:request-docs").start().await?;
    /// bus.on("stock.count", |fruit: String| async move {
    ///     Ok::<_, HandlerError>(fruit.len())
    /// })?;
    /// let response = bus.request::<usize, _, _>(bus.id(), "stock.count", "apples").await?;
    /// println!("{} has {}", response.from, response.value?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); when the node leaves or does not respond within
    /// [`timeout`](SingleRequest::timeout); and when 1,024 requests of this bus are open. A node whose
    /// handler failed, or that has none, does respond: with an error in
    /// [`Response::value`].
    pub fn request<'a, A, K, T>(
        &'a self,
        node: NodeId,
        event: K,
        data: &'a T,
    ) -> SingleRequest<'a, A, K, T>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        SingleRequest::new(self, Receiver::Node(node), event, data)
    }

    /// Sends an event to one member with this [role](crate::BusBuilder::role), chosen at random, and
    /// returns its response, as [`request`](Self::request). This bus is one of them if it has the
    /// role.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:request-role-docs").role("stock").start().await?;
    /// # bus.on("stock.count", |_: String| async { Ok::<_, HandlerError>(3_usize) })?;
    /// let response = bus.request_role::<usize, _, _>("stock", "stock.count", "apples").await?;
    /// assert_eq!(response.value?, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); when no member has the role, nor joins with it within half a
    /// second; and when the members are unknown.
    pub fn request_role<'a, A, K, T>(
        &'a self,
        role: &'a str,
        event: K,
        data: &'a T,
    ) -> SingleRequest<'a, A, K, T>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        SingleRequest::new(self, Receiver::Role(role), event, data)
    }

    /// Sends an event to every member, this one included, and returns the response of each one as it
    /// arrives: the value that its handler returned as `Ok(value)` or gave to
    /// [`Context::respond`](crate::Context::respond).
    ///
    /// If a process has several handlers for the event, all of them must succeed, and the first value
    /// that is not null is the response. A process without a handler responds with that fact, which
    /// can take 160 ms if it has no handlers at all.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:request-all-docs").start().await?;
    /// bus.on("stock.count", |fruit: String| async move {
    ///     Ok::<_, HandlerError>(fruit.len())
    /// })?;
    /// let mut responses = bus.request_all::<usize, _, _>("stock.count", "apples").await?;
    /// while let Some(response) = responses.next().await {
    ///     match response.value {
    ///         Ok(count) => println!("{} has {count}", response.from),
    ///         Err(error) => println!("{} has no response: {error}", response.from),
    ///     }
    /// }
    /// println!("{}", responses.summary().await);
    /// # Ok(()) }
    /// ```
    ///
    /// [`timeout`](Request::timeout) sets the time to wait:
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:request-timeout-docs").start().await?;
    /// let request = bus.request_all::<usize, _, _>("stock.count", "apples");
    /// let responses = request.timeout(std::time::Duration::from_millis(200)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when the members are unknown, because Redis
    /// does not respond or the ACL does not allow the list; and when 1,024 requests of this bus are
    /// open.
    pub fn request_all<'a, A, K, T>(&'a self, event: K, data: &'a T) -> Request<'a, A, K, T>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        Request::new(self, event, data)
    }
}

impl Bus {
    /// Sends a request to all members.
    pub(crate) async fn responses<A, K, T>(
        &self,
        event: K,
        data: &T,
        headers: Vec<(&str, &str)>,
        timeout: Duration,
    ) -> Result<Responses<A>, RequestError>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let open = self.ask(event, data, To::All, headers, timeout);
        open.await.map(Responses::new)
    }

    /// Sends a request to one member, and waits for its response.
    pub(crate) async fn response<A, K, T>(
        &self,
        to: Receiver<'_>,
        event: K,
        data: &T,
        headers: Vec<(&str, &str)>,
        timeout: Duration,
    ) -> Result<Response<A>, RequestError>
    where
        A: DeserializeOwned,
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let name = event.name(data);
        let node = match to {
            Receiver::Node(node) => node,
            Receiver::Role(role) => {
                let nodes = self.nodes_with_role(role, name).await?;
                nodes[fastrand::usize(..nodes.len())]
            }
        };
        let open = self.ask(event, data, To::Node(node), headers, timeout);
        Responses::new(open.await?).of(node, name).await
    }

    /// Sends an event as a request.
    async fn ask<K, T>(
        &self,
        event: K,
        data: &T,
        to: To,
        headers: Vec<(&str, &str)>,
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
        check_headers(name, &headers)?;
        let unwritten = || self.inner.outgoing.unwritten(name, 1);
        if let To::Node(node) = to {
            unwritten().wait(self.reach(node, name)).await?;
        }
        // Before the members are counted: one that leaves afterwards is recorded as having left.
        let departures = self.departed();
        let expected = unwritten().wait(self.expected_of(to)).await?;
        let dispatcher = &self.inner.dispatcher;
        let listen = |name, listener| dispatcher.listen(name, listener);
        let ask = self.inner.requests.open(listen, expected.len());
        let ask = ask.ok_or(RequestError::TooMany { limit: OPEN })?;
        let id = ask.id.to_string();
        let mut meta = headers;
        meta.push((REQUEST_ID, &id));
        self.send(event, data, Address { to, meta: &meta }).await?;
        Ok(OpenResponses::new(ask, expected, departures, timeout))
    }

    /// Sends a request, and waits for all of its responses.
    pub(crate) async fn acknowledged<K, T>(
        &self,
        event: K,
        data: &T,
        to: To,
        headers: Vec<(&str, &str)>,
        timeout: Duration,
    ) -> Result<Summary, RequestError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let asking = self.ask(event, data, to, headers, timeout);
        let replies = self.in_runtime(asking).await?;
        Ok(replies
            .summary(|received| handled(received).map(drop))
            .await)
    }

    /// Returns a stream of the members that leave from now on.
    fn departed(&self) -> Departures {
        let left = async |change| match change {
            MemberEvent::Left { member, .. } => Some(member.id),
            MemberEvent::Joined(_) => None,
        };
        self.departures().filter_map(left).boxed()
    }

    /// Returns the members that an event is for. A node that is addressed by its id is always one.
    async fn expected_of(&self, to: To) -> Result<Vec<Responder>, RequestError> {
        let members = self.expected().await;
        let members = members.map(|all| all.into_iter().map(Responder::from).collect::<Vec<_>>());
        let node = match to {
            To::All => return Ok(members?),
            To::Others => {
                let mut others = members?;
                others.retain(|member| member.node != self.id());
                return Ok(others);
            }
            To::Node(node) => node,
        };
        let known = members.unwrap_or_default();
        let known = known.into_iter().find(|member| member.node == node);
        Ok(vec![known.unwrap_or_else(|| Responder::foreign(node))])
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
