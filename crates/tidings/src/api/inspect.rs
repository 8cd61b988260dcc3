//! `Bus::inspect` and `Bus::inspection`: the state of buses.

use tidings_codec::To;

use crate::api::request_builder::Request;
use crate::bus::Bus;
use crate::bus::inspector::{INSPECT, inspect};
use crate::handler::key::ControlKey;
use crate::observe::inspection::Inspection;

impl Bus {
    /// Returns the state of this bus, as other buses see it: its health, its handlers, and the gaps and
    /// failures that it reported last. It has no payloads, addresses or settings.
    pub fn inspection(&self) -> Inspection {
        inspect(&self.inner)
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
}
