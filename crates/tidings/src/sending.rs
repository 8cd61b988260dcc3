//! An event on its way, for who awaits it: until Redis took it, or until its receivers handled it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tidings_codec::To;

use crate::ask::{AskError, Summary};
use crate::key::SendKey;
use crate::{Bus, Receipt, SendError};

pin_project! {
    /// An event that is sent when this is awaited: [`Bus::send_to_all`] and its like give it.
    ///
    /// Awaited as it is, it ends when Redis took the event. [`acknowledged`](Self::acknowledged)
    /// ends when those who hear it have handled it.
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

impl<'a, K, T, F> Sending<'a, K, T, F>
where
    K: SendKey<T>,
    T: ?Sized + Sync,
{
    /// Sends the event and waits until every member that it is for has handled it, at most so long
    /// after Redis took it; says who did not, and why.
    ///
    /// As an ask does ([`Bus::ask_all`]), without the answers. It costs an event more of each
    /// member.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:acknowledged-docs").start().await?;
    /// bus.on("cache.clear", |key: String| async move { println!("drop {key}") })?;
    /// let sending = bus.send_to_all("cache.clear", "user:7");
    /// let summary = sending.acknowledged(Duration::from_secs(2)).await?;
    /// println!("{summary}");                        // such as `3 handled`
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the event was not sent, or may not have been; when nobody knows who is there, because
    /// Redis does not say or does not allow it, unless it is for one node; and when 1,024 asks of
    /// this bus are open.
    pub fn acknowledged(
        self,
        deadline: Duration,
    ) -> impl Future<Output = Result<Summary, AskError>> + Send + use<'a, K, T, F> {
        let Self {
            bus,
            event,
            data,
            to,
            sending: _,
        } = self;
        bus.acknowledged(event, data, to, deadline)
    }
}

impl<K, T, F> Future for Sending<'_, K, T, F>
where
    T: ?Sized,
    F: Future<Output = Result<Receipt, SendError>>,
{
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
