//! Contexts and gaps for unit tests that call a handler directly.

use std::time::SystemTime;

use tidings::{Bus, Context, Gap, GapReason, NodeId};

/// Describes a [`Context`] for a test that calls a handler itself, without sending an event.
///
/// The event has this name, no sender and no time, as one that `redis-cli` published, until the
/// builder says otherwise. `State<T>` needs no context: pass `State(value)` to the handler.
///
/// ```
/// use tidings::prelude::*;
/// use tidings_testkit::{context, memory_nodes};
///
/// struct Log;
///
/// impl Handler<String> for Log {
///     async fn handle(&self, user: String, context: &Context) -> Result<(), HandlerError> {
///         context.bus().send_to_all("log", &format!("{user} at {:?}", context.sequence())).await?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), HandlerError> {
/// let (node, other) = memory_nodes().await;
/// let lines = other.collect::<_, String>("log");
///
/// let context = context(&node, "user.renamed").sender(other.id(), 7).build();
/// Log.handle("Ada".to_owned(), &context).await?;
///
/// lines.wait_for(|line| line == "Ada at Some(7)").await;
/// # Ok(())
/// # }
/// ```
pub fn context(bus: &Bus, event_name: impl Into<String>) -> ContextBuilder {
    ContextBuilder {
        bus: bus.clone(),
        event_name: event_name.into(),
        sender: None,
        sent_at: None,
    }
}

/// Options of a [`Context`] for a test. Made by [`context`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ContextBuilder {
    bus: Bus,
    event_name: String,
    sender: Option<(NodeId, u64)>,
    sent_at: Option<SystemTime>,
}

impl ContextBuilder {
    /// Sets the node that sent the event, and the sequence number that it gave it.
    pub fn sender(self, node: NodeId, sequence: u64) -> Self {
        Self {
            sender: Some((node, sequence)),
            ..self
        }
    }

    /// Sets the time at which the event was sent. A context has milliseconds.
    pub fn sent_at(self, time: SystemTime) -> Self {
        Self {
            sent_at: Some(time),
            ..self
        }
    }

    /// Returns the context.
    pub fn build(self) -> Context {
        Context::for_tests(&self.bus, &self.event_name, self.sender, self.sent_at)
    }
}

/// Returns a [`Gap`] for a test that calls its gap handler itself.
///
/// ```
/// use tidings::{Gap, GapReason, NodeId};
/// use tidings_testkit::gap;
///
/// fn needs_reload(gap: &Gap) -> bool {
///     !matches!(gap.reason, GapReason::Overflow { .. })
/// }
///
/// assert!(needs_reload(&gap(None, None, GapReason::Reconnected)));
///
/// let overflow = GapReason::Overflow { handler: "log (String)".into() };
/// assert!(!needs_reload(&gap(NodeId::new(1), 3, overflow)));
/// ```
pub fn gap(
    sender: impl Into<Option<NodeId>>,
    missed: impl Into<Option<u64>>,
    reason: GapReason,
) -> Gap {
    Gap::for_tests(sender.into(), missed.into(), reason)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::memory_nodes;

    #[tokio::test]
    async fn a_context_says_what_its_builder_was_told() {
        let (node, other) = memory_nodes().await;
        let noon = UNIX_EPOCH + Duration::from_hours(12);

        let context = context(&node, "tick")
            .sender(other.id(), 7)
            .sent_at(noon)
            .build();

        assert_eq!(context.event_name(), "tick");
        assert_eq!(
            (*context.sender(), context.sequence()),
            (Some(other.id()), Some(7))
        );
        assert_eq!(context.sent_at(), Some(noon));
        assert_eq!(context.bus().id(), node.id());
    }

    #[tokio::test]
    async fn a_context_is_that_of_a_foreign_event_by_default() {
        let (node, _other) = memory_nodes().await;

        let context = context(&node, "tick").build();

        assert_eq!((*context.sender(), context.sequence()), (None, None));
        assert_eq!(context.sent_at(), None);
    }
}
