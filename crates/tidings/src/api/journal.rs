//! Looking at the journal of a namespace, and trimming it.

use std::fmt;
use std::sync::Arc;

use crate::bus::Bus;
use crate::error::journal::JournalError;
use crate::event::position::JournalPosition;
use crate::journal::access::{DurableName, JournalInfo, info, positions, read, run};
use crate::journal::state::JournalState;

/// The journal of the namespace of a bus, from [`Bus::journal`]: for tools that show it, remove
/// names, or trim it.
#[derive(Clone)]
pub struct JournalHandle {
    state: Arc<JournalState>,
    bus: Bus,
}

impl Bus {
    /// Returns the journal of the namespace; `None` if the bus has [none](crate::Journal).
    ///
    /// ```
    /// use tidings::Journal;
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:journal-info").journal(Journal::default()).start().await?;
    /// let journal = bus.journal().ok_or("the bus has a journal")?;
    /// println!("{:?}", journal.info().await?);
    /// for name in journal.positions().await? {
    ///     println!("{} is at {:?}", name.name, name.position);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn journal(&self) -> Option<JournalHandle> {
        let state = Arc::clone(self.inner.journal.as_ref()?);
        let bus = self.clone();
        Some(JournalHandle { state, bus })
    }
}

impl JournalHandle {
    /// Returns the extent of the journal.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable or rejects a command.
    pub async fn info(&self) -> Result<JournalInfo, JournalError> {
        let reading = read(&self.state, "cannot read the journal", info);
        self.bus.in_runtime(reading).await
    }

    /// Returns all [durable names](crate::Journal::durable) with their positions. A name keeps what
    /// its process asked for, also when no process uses it any more.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable or rejects a command.
    pub async fn positions(&self) -> Result<Vec<DurableName>, JournalError> {
        let doing = "cannot read the positions of durable names";
        let reading = read(&self.state, doing, positions);
        self.bus.in_runtime(reading).await
    }

    /// Removes a durable name with its position. Returns `false` if there is none. A process that uses
    /// the name stores it again.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable or rejects the command, or does not confirm it.
    pub async fn remove_position(&self, name: &str) -> Result<bool, JournalError> {
        let doing = "cannot remove the position of a durable name";
        let removing = run(&self.state, doing, async |store| store.remove(name).await);
        self.bus.in_runtime(removing).await
    }

    /// Removes the entries before this position, whatever the retention is. Processes that have not
    /// read them are told by a [gap](crate::GapReason::Trimmed). The last entry stays. Returns `false`
    /// if there was nothing to remove.
    ///
    /// # Errors
    ///
    /// When Redis is unreachable or rejects a command, or does not confirm it.
    pub async fn trim(&self, before: JournalPosition) -> Result<bool, JournalError> {
        let doing = "cannot trim the journal";
        let trimming = run(&self.state, doing, async |store| store.trim(before).await);
        self.bus.in_runtime(trimming).await
    }
}

impl fmt::Debug for JournalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalHandle").finish_non_exhaustive()
    }
}
