//! The schedule of an open loop, in steps finer than a millisecond.

use std::io;

use crate::clock::now_ns;

/// The shortest step. The kernel's timer keeps it, and steps alone do not occupy a core.
const SHORTEST_NS: u64 = 100_000;

const SECOND_NS: u64 = 1_000_000_000;

/// A step of the open loop: the time at which these events are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at_ns: u64,
    pub(crate) events: u64,
}

/// Counts the steps that are due.
#[derive(Debug)]
pub(crate) struct Pacer {
    timer: Timer,
    start_ns: u64,
    step_ns: u64,
    events: u64,
    given: u64,
    due: u64,
}

impl Pacer {
    pub(crate) fn new(per_second: u64) -> io::Result<Self> {
        let (step_ns, events) = steps(per_second);
        let start_ns = now_ns();
        Ok(Self {
            timer: Timer::new(start_ns, step_ns)?,
            start_ns,
            step_ns,
            events,
            given: 0,
            due: 0,
        })
    }

    /// Returns the next step, once it is due. A late step keeps its scheduled time. Dropping the
    /// future loses no step.
    pub(crate) async fn next(&mut self) -> io::Result<Step> {
        while self.due == 0 {
            self.due = self.timer.expired().await?;
        }
        self.due -= 1;
        self.given += 1;
        Ok(Step {
            at_ns: self.start_ns + self.given * self.step_ns,
            events: self.events,
        })
    }
}

/// Returns the length of a step and the events in it.
fn steps(per_second: u64) -> (u64, u64) {
    let per_second = per_second.max(1);
    let events = (per_second * SHORTEST_NS).div_ceil(SECOND_NS);
    (SECOND_NS * events / per_second, events)
}

#[cfg(target_os = "linux")]
use kernel::Timer;
#[cfg(not(target_os = "linux"))]
use runtime::Timer;

#[cfg(target_os = "linux")]
mod kernel {
    //! The kernel's timer: tokio's has a resolution of one millisecond.

    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// Counts steps from `start_ns` on, however long it takes to set the timer.
        pub(super) fn new(start_ns: u64, step_ns: u64) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let times = Itimerspec {
                it_interval: timespec(step_ns),
                it_value: timespec(start_ns + step_ns),
            };
            timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times)?;
            #[expect(
                deprecated,
                reason = "the timer is ours for as long as it lives; the successor is unsafe"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Waits for the next step, and returns how many have passed.
        pub(super) async fn expired(&self) -> io::Result<u64> {
            let mut count = [0; 8];
            self.0
                .async_io(Interest::READABLE, |timer| {
                    Ok(rustix::io::read(timer, &mut count)?)
                })
                .await?;
            Ok(u64::from_ne_bytes(count))
        }
    }

    fn timespec(ns: u64) -> Timespec {
        Timespec {
            tv_sec: (ns / 1_000_000_000).cast_signed(),
            tv_nsec: (ns % 1_000_000_000).cast_signed(),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod runtime {
    //! tokio's timer, with a resolution of one millisecond: shorter steps come several at once.

    use std::io;
    use std::time::Duration;

    use tokio::time::{Interval, interval};

    #[derive(Debug)]
    pub(super) struct Timer(Interval);

    impl Timer {
        pub(super) fn new(_start_ns: u64, step_ns: u64) -> io::Result<Self> {
            Ok(Self(interval(Duration::from_nanos(step_ns))))
        }

        pub(super) async fn expired(&mut self) -> io::Result<u64> {
            self.0.tick().await;
            Ok(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_one_event_or_is_100_us_long() {
        assert_eq!(steps(1_000), (1_000_000, 1));
        assert_eq!(steps(5_000), (200_000, 1));
        assert_eq!(steps(50_000), (100_000, 5));
        assert_eq!(steps(100_000), (100_000, 10));
        assert_eq!(steps(200_000), (100_000, 20));
    }
}
