//! The settings by which the fleet decides.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::ready::ReadyWhen;

/// The largest number of workers of a supervisor.
pub(crate) const MAX_WORKERS: usize = 1024;

/// Ten years: longer times are cut to this, so that they can be added to any instant.
const FOREVER: Duration = Duration::from_hours(10 * 365 * 24);

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) workers: usize,
    pub(crate) ready_when: ReadyWhen,
    pub(crate) ready_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) crash_loop: CrashLoop,
    /// The longest time between two watchdog notifications of a ready worker.
    pub(crate) watchdog: Option<Duration>,
}

/// The number of deaths within a period after which a slot fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashLoop {
    pub(crate) deaths: usize,
    pub(crate) within: Duration,
}

impl Policy {
    /// Returns the policy with no time longer than [`FOREVER`].
    pub(super) fn bounded(mut self) -> Self {
        let times = [
            &mut self.ready_timeout,
            &mut self.stop_timeout,
            &mut self.crash_loop.within,
        ];
        let ready_after = match &mut self.ready_when {
            ReadyWhen::After(time) => Some(time),
            ReadyWhen::Notified | ReadyWhen::Accepts(_) => None,
        };
        let times = times.into_iter().chain(ready_after);
        for time in times.chain(&mut self.watchdog) {
            *time = (*time).min(FOREVER);
        }
        self.backoff = self.backoff.bounded(FOREVER);
        self
    }
}
