//! The resources of this process, and its processor time.

use std::fmt;
use std::fs::read_dir;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

const LOOK: Duration = Duration::from_millis(20);

/// Tasks, threads and descriptors of this process. Other systems than Linux count only the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    tasks: usize,
    threads: usize,
    descriptors: usize,
}

impl Resources {
    /// Returns the current resources.
    pub(crate) fn now() -> Self {
        let entries = |path| read_dir(path).map_or(0, Iterator::count);
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
        }
    }

    /// Returns the resources once nothing has ended for a second.
    pub(crate) async fn at_rest() -> Self {
        let mut least = Self::now();
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_secs(1) {
            sleep(LOOK).await;
            let now = Self::now();
            if now.is_less_than(least) {
                (least, since) = (now, Instant::now());
            }
        }
        least
    }

    /// Waits until no more resources are used than these.
    pub(crate) async fn released(self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            let now = Self::now();
            if !self.is_less_than(now) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "resources not released: {self} before, {now} after"
                ));
            }
            sleep(LOOK).await;
        }
    }

    /// Returns whether any count is lower.
    fn is_less_than(self, other: Self) -> bool {
        self.tasks < other.tasks
            || self.threads < other.threads
            || self.descriptors < other.descriptors
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            threads,
            descriptors,
        } = self;
        write!(
            f,
            "{tasks} tasks, {threads} threads, {descriptors} descriptors"
        )
    }
}

/// Returns the processor time of this process while it sleeps.
pub(crate) async fn busy_for(time: Duration) -> Duration {
    let before = processor_time();
    sleep(time).await;
    processor_time().saturating_sub(before)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds)
}
