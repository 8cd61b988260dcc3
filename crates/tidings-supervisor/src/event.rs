//! Events of the supervisor and its workers, for logs and people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::error::ReloadError;
use crate::exit::Exit;
use crate::shown::LastOutput;

/// An event of a supervisor or one of its workers.
///
/// Its `Display` is one line for people, or several where a worker's last output is shown. In JSON,
/// `event` is the name of the event, and times are in seconds.
///
/// # Examples
///
/// ```
/// use tidings_supervisor::{Supervisor, SupervisorEvent};
///
/// let supervisor = Supervisor::new("./my-server").on_event(|event: &SupervisorEvent| {
///     if event.is_warning() {
///         eprintln!("{event}");
///     }
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SupervisorEvent {
    /// A worker process was started. It is not ready yet.
    Started {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: u32,
    },
    /// A worker is ready.
    Ready {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: u32,
        /// The time from its start until it was ready.
        #[serde(with = "crate::seconds")]
        after: Duration,
    },
    /// All workers are ready, and were not before.
    AllReady,
    /// A worker was not ready within the ready timeout, and is told to stop.
    NotReady {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id, if it was started.
        pid: Option<u32>,
        /// The ready timeout.
        #[serde(with = "crate::seconds")]
        timeout: Duration,
        /// The readiness condition that was not met.
        missing: String,
    },
    /// A worker sent no watchdog notification within the watchdog timeout, and is killed.
    WatchdogTimeout {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: Option<u32>,
        /// The watchdog timeout.
        #[serde(with = "crate::seconds")]
        timeout: Duration,
    },
    /// A worker was told to stop, and finishes its work.
    Draining {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: Option<u32>,
    },
    /// A worker announced that it stops. Its slot starts another one, once at most one worker that
    /// announced its stop is still finishing its work.
    StopAnnounced {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: Option<u32>,
    },
    /// A worker and its process group were killed.
    Killed {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: Option<u32>,
        /// The stop timeout that it exceeded; `None` if the supervisor was told to kill it at once.
        #[serde(serialize_with = "crate::seconds::serialize_some")]
        stop_timeout: Option<Duration>,
    },
    /// A worker exited.
    Exited {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id, if it was started.
        pid: Option<u32>,
        /// Its exit.
        exit: Exit,
        /// The time for which it ran.
        #[serde(with = "crate::seconds")]
        uptime: Duration,
        /// True if it was told to stop, or announced that it stops and exited with status 0.
        is_expected: bool,
    },
    /// A slot will start another worker after a delay, or later while two that announced their stop
    /// finish their work.
    Restarting {
        /// The slot.
        slot: usize,
        /// The delay.
        #[serde(with = "crate::seconds")]
        delay: Duration,
    },
    /// A slot starts no more workers until a reload, because too many of them died.
    SlotFailed {
        /// The slot.
        slot: usize,
        /// True if no other slot is left and no reload is running: then the supervisor stops.
        is_last: bool,
        /// The number of deaths within `within`.
        deaths: usize,
        /// The period in which they were counted.
        #[serde(with = "crate::seconds")]
        within: Duration,
        /// The exit of the last worker.
        exit: Exit,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// A reload begins.
    Reloading {
        /// The number of workers to replace.
        workers: usize,
    },
    /// A reload was requested while another one runs, and begins after it.
    ReloadQueued,
    /// A reload succeeded.
    Reloaded {
        /// The number of workers that were replaced.
        workers: usize,
        /// The time from the begin of the reload until all new workers were ready.
        #[serde(with = "crate::seconds")]
        took: Duration,
    },
    /// A reload failed. The workers that it did not replace keep running.
    ReloadFailed {
        /// The reason.
        #[serde(serialize_with = "as_text")]
        error: ReloadError,
    },
    /// The number of slots changed.
    Scaled {
        /// The number of slots before.
        from: usize,
        /// The number of slots now.
        to: usize,
    },
    /// The supervisor tells all workers to stop.
    Stopping,
    /// All slots have failed, and the supervisor stops.
    AllSlotsFailed,
    /// The last worker has exited. This is the last event.
    Stopped {
        /// The number of workers that did not exit within the stop timeout, and were killed.
        killed: usize,
        /// True if it stopped by itself because all slots have failed.
        all_failed: bool,
    },
    /// The supervisor process was paused: stopped, frozen with its container, or starved of the
    /// processor. All deadlines were moved by that time.
    Paused {
        /// The length of the pause.
        #[serde(with = "crate::seconds")]
        duration: Duration,
    },
    /// Events were dropped because [`on_event`](crate::Supervisor::on_event) did not keep up.
    EventsDropped {
        /// The number of events.
        events: u64,
    },
    /// The last lines of a worker were dropped because [`on_line`](crate::Supervisor::on_line) did not
    /// keep up.
    LinesDropped {
        /// The worker's slot.
        slot: usize,
        /// The worker's process id.
        pid: u32,
        /// The number of lines.
        lines: usize,
    },
}

impl SupervisorEvent {
    /// Returns whether the event deserves attention. Without [`on_event`](crate::Supervisor::on_event)
    /// it is logged as a warning.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Exited { is_expected, .. } => !is_expected,
            Self::Stopped { killed, all_failed } => *all_failed || *killed > 0,
            Self::NotReady { .. }
            | Self::WatchdogTimeout { .. }
            | Self::Killed { .. }
            | Self::SlotFailed { .. }
            | Self::ReloadFailed { .. }
            | Self::AllSlotsFailed
            | Self::Paused { .. }
            | Self::EventsDropped { .. }
            | Self::LinesDropped { .. } => true,
            _ => false,
        }
    }

    /// Returns the slot that the event is about, if it is about one.
    pub fn slot(&self) -> Option<usize> {
        match self {
            Self::Started { slot, .. }
            | Self::Ready { slot, .. }
            | Self::NotReady { slot, .. }
            | Self::WatchdogTimeout { slot, .. }
            | Self::Draining { slot, .. }
            | Self::StopAnnounced { slot, .. }
            | Self::Killed { slot, .. }
            | Self::Exited { slot, .. }
            | Self::Restarting { slot, .. }
            | Self::SlotFailed { slot, .. }
            | Self::LinesDropped { slot, .. } => Some(*slot),
            _ => None,
        }
    }

    /// Writes what happened to a worker, after `worker N`.
    fn fmt_worker(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { pid, .. } => write!(f, "started{}", Pid(Some(*pid))),
            Self::Ready { pid, after, .. } => {
                write!(f, "is ready{} after {after:.1?}", Pid(Some(*pid)))
            }
            Self::NotReady {
                pid,
                timeout,
                missing,
                ..
            } => write!(
                f,
                "was not ready within {timeout:.1?}{}: {missing}",
                Pid(*pid)
            ),
            Self::WatchdogTimeout { pid, timeout, .. } => write!(
                f,
                "is killed{}: no WATCHDOG=1 within {timeout:.1?}",
                Pid(*pid)
            ),
            Self::Draining { pid, .. } => write!(f, "was told to stop{}", Pid(*pid)),
            Self::StopAnnounced { pid, .. } => write!(f, "announced that it stops{}", Pid(*pid)),
            Self::Killed {
                pid, stop_timeout, ..
            } => {
                write!(f, "is killed{}", Pid(*pid))?;
                stop_timeout.map_or(Ok(()), |timeout| {
                    write!(f, ": it did not stop within {timeout:.1?}")
                })
            }
            Self::Exited {
                pid: None, exit, ..
            } => write!(f, "{exit}"),
            Self::Exited {
                pid, exit, uptime, ..
            } => write!(f, "{exit}{} after {uptime:.1?}", Pid(*pid)),
            Self::Restarting { delay, .. } => write!(f, "restarts in {delay:.1?}"),
            _ => Ok(()),
        }
    }

    /// Writes what happened to the supervisor, or to its slots.
    fn fmt_supervisor(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllReady => f.write_str("all workers are ready"),
            Self::Reloading { workers } => write!(f, "reloading {}", Workers(*workers)),
            Self::ReloadQueued => f.write_str("reload queued: another one is running"),
            Self::Reloaded { workers, took } => {
                write!(f, "reloaded {} in {took:.1?}", Workers(*workers))
            }
            Self::ReloadFailed { error } => write!(f, "reload failed: {error}"),
            Self::Scaled { from, to } => write!(f, "scaled from {} to {to}", Workers(*from)),
            Self::Stopping => f.write_str("stopping all workers"),
            Self::AllSlotsFailed => f.write_str("all slots failed: the supervisor stops"),
            Self::Stopped {
                all_failed: true, ..
            } => f.write_str("stopped: all slots failed"),
            Self::Stopped { killed: 0, .. } => f.write_str("stopped: all workers stopped in time"),
            Self::Stopped { killed, .. } => {
                write!(f, "stopped: {} had to be killed", Workers(*killed))
            }
            Self::Paused { duration } => write!(
                f,
                "the supervisor was paused for {duration:.1?}: all deadlines were moved"
            ),
            Self::EventsDropped { events } => {
                write!(f, "dropped {events} events: they were not read in time")
            }
            Self::LinesDropped { slot, pid, lines } => write!(
                f,
                "dropped {lines} lines of worker {slot}{}: they were not read in time",
                Pid(Some(*pid))
            ),
            Self::SlotFailed {
                slot,
                is_last,
                deaths,
                within,
                exit,
                last_lines,
            } => {
                let until = if *is_last { "" } else { " until a reload" };
                let died = Workers(*deaths);
                write!(f, "slot {slot} failed{until}: {died} died within ")?;
                let output = LastOutput(last_lines);
                write!(f, "{within:.1?}, the last one {exit}{output}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for SupervisorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotFailed { .. } | Self::LinesDropped { .. } => self.fmt_supervisor(f),
            event => match event.slot() {
                Some(slot) => {
                    write!(f, "worker {slot} ")?;
                    self.fmt_worker(f)
                }
                None => self.fmt_supervisor(f),
            },
        }
    }
}

/// A number of workers.
struct Workers(usize);

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = self;
        write!(f, "{count} worker{}", if *count == 1 { "" } else { "s" })
    }
}

/// The id of a process, if there is one.
struct Pid(Option<u32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
    }
}

fn as_text<S: serde::Serializer>(error: &ReloadError, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::ReadyWhen;

    fn not_ready(known: ReadyWhen) -> String {
        let event = SupervisorEvent::NotReady {
            slot: 2,
            pid: Some(77),
            timeout: Duration::from_secs(30),
            missing: known.missing(),
        };
        event.to_string()
    }

    #[test]
    fn not_ready_names_the_readiness_condition() {
        assert_eq!(
            not_ready(ReadyWhen::Notified),
            "worker 2 was not ready within 30.0s (pid 77): no READY=1 received on NOTIFY_SOCKET"
        );
        let at = ReadyWhen::Accepts(([127, 0, 0, 1], 9000).into());
        let end = ": none of its processes accepts connections at 127.0.0.1:9000";
        assert!(not_ready(at).ends_with(end), "{}", not_ready(at));
    }

    fn slot_failed(is_last: bool, deaths: usize) -> String {
        let event = SupervisorEvent::SlotFailed {
            slot: 0,
            is_last,
            deaths,
            within: Duration::from_mins(1),
            exit: Exit::Signal(11),
            last_lines: Vec::new(),
        };
        event.to_string()
    }

    #[test]
    fn worker_output_is_shown_escaped_and_without_colours() {
        let lines = || {
            vec![
                "\u{1b}[31mred\u{1b}[0m\u{202e}\u{7}".to_owned(),
                "\tat x".to_owned(),
            ]
        };
        let shown = "red\\u{202e}\n        at x";
        let exit = || Exit::NotStarted("no `a\nb`".to_owned());
        let died = ReloadError::Exited {
            slot: 1,
            exit: exit(),
            last_lines: lines(),
            replaced: 0,
        };
        let slot_failed = SupervisorEvent::SlotFailed {
            slot: 0,
            is_last: true,
            deaths: 1,
            within: Duration::from_mins(1),
            exit: exit(),
            last_lines: lines(),
        };
        for text in [died.to_string(), slot_failed.to_string()] {
            assert!(text.contains(shown), "{text:?}");
            assert!(text.contains("cannot start: no `a\\nb`"), "{text:?}");
        }
    }

    #[test]
    fn a_failed_slot_mentions_a_reload_unless_it_is_the_last_one() {
        let end = "died within 60.0s, the last one killed by SIGSEGV";
        assert_eq!(
            slot_failed(false, 2),
            format!("slot 0 failed until a reload: 2 workers {end}")
        );
        assert_eq!(
            slot_failed(true, 1),
            format!("slot 0 failed: 1 worker {end}")
        );
    }

    #[test]
    fn a_worker_that_never_started_has_no_uptime() {
        let event = SupervisorEvent::Exited {
            slot: 1,
            pid: None,
            exit: Exit::NotStarted("there is no program `x`".to_owned()),
            uptime: Duration::from_micros(583),
            is_expected: false,
        };
        assert_eq!(
            event.to_string(),
            "worker 1 cannot start: there is no program `x`"
        );
    }
}
