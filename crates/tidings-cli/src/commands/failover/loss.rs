//! What the members have missed during a failover, as they say themselves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tidings::{Bus, HealthInspection, NodeId};
use tokio::time::sleep;

/// The health of each member that answers.
pub(super) struct Members {
    health: HashMap<NodeId, HealthInspection>,
}

/// The difference that a failover made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// The members that answered before.
    pub(super) members: usize,
    /// How many of them receive events again.
    pub(super) receiving: usize,
    /// The events that they have received since then, added up.
    pub(super) received: u64,
    /// The events that they have missed since then, added up.
    pub(super) missed: u64,
}

impl Members {
    pub(super) async fn inspect(bus: &Bus, limit: Duration) -> anyhow::Result<Self> {
        let mut responses = bus.inspect().timeout(limit).await?;
        let mut health = HashMap::new();
        while let Some(response) = responses.next().await {
            if let Ok(inspection) = response.value {
                health.insert(response.responder.node, inspection.health);
            }
        }
        Ok(Self { health })
    }

    /// Asks until all members from before receive, for this time at most.
    pub(super) async fn that_receive(bus: &Bus, before: &Self, limit: Duration) -> Self {
        let until = Instant::now() + limit;
        loop {
            let now = Self::inspect(bus, limit).await;
            let now = now.unwrap_or(Self {
                health: HashMap::new(),
            });
            let is_there = |id| now.health.get(id).is_some_and(|health| health.is_ready);
            if before.health.keys().all(is_there) || Instant::now() > until {
                return now;
            }
            // Its answer is kept for a second.
            sleep(Duration::from_millis(300)).await;
        }
    }
}

impl Losses {
    pub(super) fn between(before: &Members, after: &Members) -> Self {
        let mut losses = Self {
            members: before.health.len(),
            ..Self::default()
        };
        for (id, before) in &before.health {
            let Some(after) = after.health.get(id) else {
                continue;
            };
            losses.receiving += usize::from(after.is_ready);
            losses.received += after.received.saturating_sub(before.received);
            losses.missed += after.missed.saturating_sub(before.missed);
        }
        losses
    }

    pub(super) fn is_clean(&self) -> bool {
        self.receiving == self.members && self.missed == 0
    }
}
