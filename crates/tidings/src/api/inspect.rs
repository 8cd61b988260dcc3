//! `Bus::inspect` and `Bus::inspection`: the state of buses; and `Bus::contract_of`.

use tidings_codec::{NodeId, To};

use crate::api::request_builder::{Receiver, Request, Response, SingleRequest};
use crate::bus::Bus;
use crate::bus::contract::{CONTRACT, ContractPart};
use crate::bus::inspector::{INSPECT, inspect};
use crate::error::request::{RequestError, ResponseError};
use crate::handler::contract;
use crate::handler::key::ControlKey;
use crate::observe::inspection::Inspection;

/// The maximum number of bytes of another program's contract.
const MAX_CONTRACT: usize = 16 << 20;

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
    /// As [`request`](Self::request). A contract of more than 16 MiB is an error of the response.
    pub async fn contract_of(&self, node: NodeId) -> Result<Response<String>, RequestError> {
        let mut contract = String::new();
        loop {
            let have = contract.len() as u64;
            let key = ControlKey(CONTRACT);
            let asking =
                SingleRequest::<ContractPart, _, _>::new(self, Receiver::Node(node), key, &have);
            let Response { responder, value } = asking.await?;
            let part = match value {
                Ok(part) => part,
                Err(error) => {
                    let value = Err(error);
                    return Ok(Response { responder, value });
                }
            };
            contract += &part.text;
            let is_too_large = contract.len() > MAX_CONTRACT;
            if is_too_large || (part.text.is_empty() && !part.is_last) {
                let text = format!("its contract is no text of at most {MAX_CONTRACT} bytes");
                let value = Err(ResponseError::Failed { text });
                return Ok(Response { responder, value });
            }
            if part.is_last {
                let value = Ok(contract);
                return Ok(Response { responder, value });
            }
        }
    }
}
