//! `Bus::inspect` and `Bus::inspection`: the state of buses; and `Bus::contract_of`.

use std::time::Duration;

use tidings_codec::{NodeId, To};
use tokio::time::Instant;

use crate::api::request_builder::{Receiver, Request, Response, SingleRequest, TIMEOUT};
use crate::bus::Bus;
use crate::bus::contract::{CONTRACT, ContractPart, ContractParts};
use crate::bus::inspector::{INSPECT, inspect};
use crate::error::request::RequestError;
use crate::handler::contract;
use crate::handler::key::ControlKey;
use crate::observe::inspection::Inspection;

/// The time in which another program has to send all parts of its contract.
const CONTRACT_TIMEOUT: Duration = Duration::from_secs(30);

impl Bus {
    /// Returns the state of this bus, as other buses see it: its health, its handlers, and the gaps and
    /// failures that it reported last. It has no payloads, addresses or settings.
    pub fn inspection(&self) -> Inspection {
        inspect(&self.inner, contract::published)
    }

    /// Asks all other buses of the namespace for their [`inspection`](Self::inspection), and returns
    /// the response of each one as it arrives. Each makes a new one at most once a second.
    ///
    /// A member that does not respond in time is disconnected, stuck or of an older version; the
    /// [summary](crate::Responses::summary) names it. A bus with
    /// [`inspection(false)`](crate::BusBuilder::inspection) responds
    /// [`NoHandler`](crate::ResponseError::NoHandler). The texts of an inspection are untrusted input.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let shop = Bus::builder("memory:inspect-docs").start().await?;
    /// # shop.members().await?;
    /// let bus = Bus::builder("memory:inspect-docs").membership(false).start().await?;
    /// let mut responses = bus.inspect().await?;
    /// while let Some(response) = responses.next().await {
    ///     match response.value {
    ///         Ok(it) => println!("{} is ready: {}", response.responder, it.health.is_ready),
    ///         Err(error) => println!("{}: {error}", response.responder),
    ///     }
    /// }
    /// let summary = responses.summary().await;
    /// # assert_eq!(summary.handled.len(), 1);
    /// println!("{} did not respond", summary.timed_out.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request_all`](Self::request_all).
    pub fn inspect(&self) -> Request<'_, Inspection, ControlKey, ()> {
        Request::new(self, To::Others, ControlKey(INSPECT), &())
    }

    /// Asks the process whose bus has this [`id`](Self::id) for the contract of its program, as JSON
    /// without annotations: what `contract()` returns there with the feature `schema`.
    ///
    /// The hash of a contract is in each [`Inspection`]: ask one node of those that have the same. A
    /// response of [`NoHandler`](crate::ResponseError::NoHandler) means that the program has no contract,
    /// or that its bus has [`inspection(false)`](crate::BusBuilder::inspection). The text is untrusted
    /// input.
    ///
    /// ```
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let shop = Bus::builder("memory:contract-of-docs").start().await?;
    /// let bus = Bus::builder("memory:contract-of-docs").start().await?;
    /// let response = bus.contract_of(shop.id()).await?;
    /// match response.value {
    ///     Ok(contract) => println!("{}: {} bytes", response.responder, contract.len()),
    ///     Err(error) => println!("{}: {error}", response.responder),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and when not all of the contract has arrived within 30 seconds. A
    /// contract of more than 16 MiB is an error of the response.
    pub async fn contract_of(&self, node: NodeId) -> Result<Response<String>, RequestError> {
        let deadline = Instant::now() + CONTRACT_TIMEOUT;
        let mut contract = ContractParts::default();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RequestError::TimedOut {
                    event: CONTRACT.to_owned(),
                    node,
                    timeout: CONTRACT_TIMEOUT,
                });
            }
            let have = contract.text.len() as u64;
            let key = ControlKey(CONTRACT);
            let asking =
                SingleRequest::<ContractPart, _, _>::new(self, Receiver::Node(node), key, &have);
            let Response { responder, value } = asking.timeout(left.min(TIMEOUT)).await?;
            let value = match value.and_then(|part| contract.add(&part)) {
                Ok(false) => continue,
                Ok(true) => Ok(contract.text),
                Err(error) => Err(error),
            };
            return Ok(Response { responder, value });
        }
    }
}
