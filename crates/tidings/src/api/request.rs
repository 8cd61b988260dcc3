//! Requests to one member or to all, and acknowledged sends.

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tidings_codec::{NodeId, To};

use crate::Bus;
use crate::api::request_builder::{
    Receiver, Request, RequestParts, Response, Responses, SingleRequest,
};
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
use crate::send::outgoing::{Address, Lane};
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
    /// println!("{} has {}", response.responder, response.value?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); when the node leaves or does not respond within
    /// [`timeout`](SingleRequest::timeout); and when 1,024 requests of this bus are open. A node whose
    /// handler failed, or that has none, does respond: with an error in
    /// [`Response::value`].
    pub fn request<'a, A: DeserializeOwned, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        node: NodeId,
        event: K,
        data: &'a T,
    ) -> SingleRequest<'a, A, K, T> {
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
    pub fn request_role<'a, A: DeserializeOwned, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        role: &'a str,
        event: K,
        data: &'a T,
    ) -> SingleRequest<'a, A, K, T> {
        SingleRequest::new(self, Receiver::Role(role), event, data)
    }

    /// Sends an event to every member, this one included, and returns the response of each one as it
    /// arrives: the value that its handler returned as `Ok(value)` or gave to
    /// [`Context::respond`](crate::Context::respond).
    ///
    /// If a process has several handlers for the event, all of them must succeed, and the first value
    /// that is not null is the response. A process without a handler responds with that fact, which
    /// can take 160 ms if it has no handlers at all. [`timeout`](Request::timeout) sets the time to
    /// wait.
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
    ///         Ok(count) => println!("{} has {count}", response.responder),
    ///         Err(error) => println!("{} has no response: {error}", response.responder),
    ///     }
    /// }
    /// println!("{}", responses.summary().await);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when the members are unknown, because Redis
    /// does not respond or the ACL does not allow the list; and when 1,024 requests of this bus are
    /// open.
    pub fn request_all<'a, A: DeserializeOwned, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Request<'a, A, K, T> {
        Request::new(self, To::All, event, data)
    }

    /// Sends an event to every member except this one, and returns the response of each one as it
    /// arrives, as [`request_all`](Self::request_all). For a program that observes or controls the
    /// others: this bus does not respond, and is not waited for.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let shop = Bus::builder("memory:request-others-docs").start().await?;
    /// # shop.on("stock.count", |fruit: String| async move { Ok::<_, HandlerError>(fruit.len()) })?;
    /// # shop.members().await?;
    /// let bus = Bus::builder("memory:request-others-docs").membership(false).start().await?;
    /// let mut responses = bus.request_others::<usize, _, _>("stock.count", "apples").await?;
    /// while let Some(response) = responses.next().await {
    ///     println!("{} has {:?}", response.responder, response.value);
    /// }
    /// # assert_eq!(responses.summary().await.handled.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request_all`](Self::request_all).
    pub fn request_others<'a, A: DeserializeOwned, K: SendKey<T>, T: ?Sized + Sync>(
        &'a self,
        event: K,
        data: &'a T,
    ) -> Request<'a, A, K, T> {
        Request::new(self, To::Others, event, data)
    }
}

impl<K: SendKey<T>, T: ?Sized + Sync> RequestParts<'_, K, T> {
    /// Sends the event as a request.
    pub(crate) async fn open(self, to: To, lane: Lane) -> Result<OpenResponses, RequestError> {
        let inner = &self.bus.inner;
        if *inner.stage.borrow() >= Stage::Leaving {
            return Err(SendError::Closed.into());
        }
        let name = self.event.name(self.data);
        check_headers(name, &self.headers)?;
        let unwritten = || inner.outgoing.unwritten(name, 1);
        if let To::Node(node) = to {
            unwritten().wait(self.bus.reach(node, name)).await?;
        }
        // Before the members are counted: one that leaves afterwards is recorded as having left.
        let departures = self.bus.departed();
        let expected = unwritten().wait(self.bus.expected_of(to)).await?;
        let listen = |name, listener| inner.dispatcher.listen(name, listener);
        let request = inner.requests.open(listen, expected.len());
        let request = request.ok_or(RequestError::TooMany { limit: OPEN })?;
        let id = request.id.to_string();
        let (mut meta, timeout) = (self.headers, self.timeout);
        meta.push((REQUEST_ID, &id));
        let meta = &meta[..];
        let address = Address { to, meta, lane };
        self.bus.send(self.event, self.data, address).await?;
        Ok(OpenResponses::new(request, expected, departures, timeout))
    }

    /// Sends the request to one member, and waits for its response.
    pub(crate) async fn response<A: DeserializeOwned>(
        self,
        to: Receiver<'_>,
    ) -> Result<Response<A>, RequestError> {
        let (event, data) = (self.event, self.data);
        let name = event.name(data);
        let node = match to {
            Receiver::Node(node) => node,
            Receiver::Role(role) => {
                let nodes = self.bus.nodes_with_role(role, name).await?;
                nodes[fastrand::usize(..nodes.len())]
            }
        };
        let open = self.open(To::Node(node), Lane::Requests).await?;
        Responses::new(open).of(node, name).await
    }

    /// Sends the request, and waits for all of its responses.
    pub(crate) async fn acknowledged(self, to: To) -> Result<Summary, RequestError> {
        let bus = self.bus;
        let replies = bus.in_runtime(self.open(to, Lane::Events)).await?;
        let handled = |received| handled(received).map(drop);
        Ok(replies.summary(handled).await)
    }
}

impl Bus {
    /// Returns a stream of the members that leave from now on.
    fn departed(&self) -> Departures {
        let left = async |change| match change {
            MemberEvent::Left { member, .. } => Some(member.id),
            MemberEvent::Joined(_) => None,
        };
        self.view().watch_departures().filter_map(left).boxed()
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
