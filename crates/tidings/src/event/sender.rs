//! The sender of an event.

use std::fmt;
use std::ops::Deref;

use tidings_codec::NodeId;

/// The node that sent an event, as [`Context::sender`](crate::Context::sender) returns it: an
/// `Option<NodeId>` that can be printed. It is `None`, and prints `unknown`, for a sender that is no
/// bus, such as `redis-cli`.
///
/// ```
/// use tidings::{NodeId, Sender};
///
/// let node = NodeId::new(7);
/// let sender = Sender::from(Some(node));
/// assert_eq!(sender, Some(node));
/// assert_eq!(sender.to_string(), node.to_string());
/// assert_eq!(Sender::default().to_string(), "unknown");
/// ```
///
/// `*` returns the `Option`, for example to send an event back:
///
/// ```
/// use tidings::prelude::*;
///
/// async fn pong(ping: u64, context: Context) -> Result<(), HandlerError> {
///     if let Some(node) = *context.sender() {
///         context.bus().send_to(node, "pong", &ping).await?;
///     }
///     Ok(())
/// }
/// # let _ = pong;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender(Option<NodeId>);

impl From<Option<NodeId>> for Sender {
    fn from(node: Option<NodeId>) -> Self {
        Self(node)
    }
}

impl Deref for Sender {
    type Target = Option<NodeId>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl PartialEq<Option<NodeId>> for Sender {
    fn eq(&self, other: &Option<NodeId>) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => node.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}
