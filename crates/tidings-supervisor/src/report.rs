//! What happened to the workers, for people and logs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::error::ReloadError;
use crate::exit::Exit;
use crate::shown::Shown;

/// Something that happened to the workers.
///
/// Its text is one line for people. In JSON, `what` tells which it is, and times are in seconds.
///
/// # Examples
///
/// ```
/// use tidings_supervisor::{Report, Supervisor};
///
/// let supervisor = Supervisor::of("./my-server").on_report(|report: &Report| {
///     if report.is_trouble() {
///         eprintln!("{report}");
///     }
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Report {
    /// A worker runs, and is not ready yet.
    Started {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: u32,
    },
    /// A worker can serve.
    Ready {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: u32,
        /// How long that took.
        #[serde(with = "crate::seconds")]
        after: Duration,
    },
    /// All workers can serve: at the start, and each time that it was not so before.
    AllReady,
    /// A worker was not ready in time, and is told to end.
    NotReady {
        /// Its slot.
        slot: usize,
        /// Its process, if it ever was one.
        pid: Option<u32>,
        /// How long it was waited for.
        #[serde(with = "crate::seconds")]
        within: Duration,
        /// What did not happen, by which it would have been known.
        missing: String,
    },
    /// A worker gave no sign of life for too long, and is killed.
    Silent {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: Option<u32>,
        /// How long it was waited for.
        #[serde(with = "crate::seconds")]
        within: Duration,
    },
    /// A worker that is not needed any more was told to end: it finishes what it has.
    Draining {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: Option<u32>,
    },
    /// A worker said itself that it ends; its slot gets another one.
    Stopping {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: Option<u32>,
    },
    /// A worker did not end in time, and is killed with all its processes.
    Killed {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: Option<u32>,
        /// How long it was waited for; none where the supervisor was told to wait no longer.
        #[serde(serialize_with = "crate::seconds::serialize_some")]
        grace: Option<Duration>,
    },
    /// A worker is gone.
    Exited {
        /// Its slot.
        slot: usize,
        /// Its process, if it ever was one.
        pid: Option<u32>,
        /// How it ended.
        exit: Exit,
        /// How long it ran.
        #[serde(with = "crate::seconds")]
        lived: Duration,
        /// It had been told to end, or had said that it does and had nothing to complain about.
        expected: bool,
    },
    /// A slot starts another worker after this time.
    Respawning {
        /// The slot.
        slot: usize,
        /// How long it waits.
        #[serde(with = "crate::seconds")]
        delay: Duration,
    },
    /// A slot starts no more workers until a reload: they die too often.
    GaveUp {
        /// The slot.
        slot: usize,
        /// All others are given up, too, and no reload is running: the supervisor ends.
        is_last: bool,
        /// How many died…
        deaths: usize,
        /// …within this time.
        #[serde(with = "crate::seconds")]
        within: Duration,
        /// How the last one ended.
        exit: Exit,
        /// What it wrote last.
        last_lines: Vec<String>,
    },
    /// Successors are being started.
    Reloading {
        /// In how many slots.
        workers: usize,
    },
    /// A reload waits for the one that is running.
    ReloadQueued,
    /// All workers are replaced.
    Reloaded {
        /// How many.
        workers: usize,
        /// How long that took.
        #[serde(with = "crate::seconds")]
        took: Duration,
    },
    /// A reload did not succeed; who was not replaced serves on.
    ReloadFailed {
        /// Why.
        #[serde(serialize_with = "as_text")]
        error: ReloadError,
    },
    /// There are more slots now, or fewer.
    Scaled {
        /// How many there were.
        from: usize,
        /// How many there are.
        to: usize,
    },
    /// All workers are told to end.
    Ending,
    /// No slot starts workers any more: the supervisor ends.
    NobodyLeft,
    /// The last worker is gone, and this is the last report.
    Ended {
        /// How many workers did not end within the grace, and were killed.
        killed: usize,
        /// Nobody asked for it: all slots were given up.
        gave_up: bool,
    },
    /// The supervisor itself stood still: it was stopped, frozen with its container, or starved of the
    /// processor. All deadlines of workers have moved on by that time.
    Paused {
        /// For how long.
        #[serde(with = "crate::seconds")]
        lasted: Duration,
    },
    /// Nobody took the reports for a while, and so many are missing here.
    Missed {
        /// How many.
        reports: u64,
    },
    /// Nobody took the last lines of a worker in time, and so many of them are missing.
    LinesMissed {
        /// Its slot.
        slot: usize,
        /// Its process.
        pid: u32,
        /// How many.
        lines: usize,
    },
}

impl Report {
    /// Somebody should look at this one.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Exited { expected, .. } => !expected,
            Self::Ended { killed, gave_up } => *gave_up || *killed > 0,
            Self::NotReady { .. }
            | Self::Silent { .. }
            | Self::Killed { .. }
            | Self::GaveUp { .. }
            | Self::ReloadFailed { .. }
            | Self::NobodyLeft
            | Self::Paused { .. }
            | Self::Missed { .. }
            | Self::LinesMissed { .. } => true,
            _ => false,
        }
    }

    /// The slot that it is about, if it is about one.
    pub fn slot(&self) -> Option<usize> {
        match self {
            Self::Started { slot, .. }
            | Self::Ready { slot, .. }
            | Self::NotReady { slot, .. }
            | Self::Silent { slot, .. }
            | Self::Draining { slot, .. }
            | Self::Stopping { slot, .. }
            | Self::Killed { slot, .. }
            | Self::Exited { slot, .. }
            | Self::Respawning { slot, .. }
            | Self::GaveUp { slot, .. }
            | Self::LinesMissed { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { slot, pid } => write!(f, "worker {slot} started{}", Pid(Some(*pid))),
            Self::Ready { slot, pid, after } => {
                write!(
                    f,
                    "worker {slot} is ready{} after {after:.1?}",
                    Pid(Some(*pid))
                )
            }
            Self::AllReady => f.write_str("all workers are ready"),
            Self::NotReady {
                slot,
                pid,
                within,
                missing,
            } => write!(
                f,
                "worker {slot} was not ready within {within:.1?}{}: {missing}",
                Pid(*pid)
            ),
            Self::Silent { slot, pid, within } => write!(
                f,
                "worker {slot} gave no sign of life for {within:.1?}{}: it is killed",
                Pid(*pid)
            ),
            Self::Draining { slot, pid } => {
                write!(f, "worker {slot} was told to end{}", Pid(*pid))
            }
            Self::Stopping { slot, pid } => write!(f, "worker {slot} says it ends{}", Pid(*pid)),
            Self::Killed { slot, pid, grace } => {
                write!(f, "worker {slot} is killed{}", Pid(*pid))?;
                grace.map_or(Ok(()), |grace| {
                    write!(f, ": it did not end within {grace:.1?}")
                })
            }
            Self::Exited {
                slot,
                pid: None,
                exit,
                ..
            } => write!(f, "worker {slot} {exit}"),
            Self::Exited {
                slot,
                pid,
                exit,
                lived,
                ..
            } => write!(f, "worker {slot} {exit}{} after {lived:.1?}", Pid(*pid)),
            Self::Respawning { slot, delay } => {
                write!(f, "worker {slot} is started again in {delay:.1?}")
            }
            Self::GaveUp {
                slot,
                is_last,
                deaths,
                within,
                exit,
                last_lines,
            } => {
                let until = if *is_last { "" } else { " until a reload" };
                let died = Workers(*deaths);
                write!(f, "slot {slot} is given up{until}: {died} died within ")?;
                write!(f, "{within:.1?}, the last {exit}")?;
                if last_lines.is_empty() {
                    return f.write_str(" and wrote nothing");
                }
                f.write_str("; it wrote last:")?;
                let mut lines = last_lines.iter();
                lines.try_for_each(|line| write!(f, "\n    {}", Shown(line)))
            }
            Self::Reloading { workers } => write!(f, "reloading {}", Workers(*workers)),
            Self::ReloadQueued => f.write_str("a reload is running: the next begins after it"),
            Self::Reloaded { workers, took } => {
                write!(f, "reloaded {} in {took:.1?}", Workers(*workers))
            }
            Self::ReloadFailed { error } => write!(f, "the reload failed: {error}"),
            Self::Scaled { from, to } => write!(f, "scaled from {} to {to}", Workers(*from)),
            Self::Ending => f.write_str("all workers are told to end"),
            Self::NobodyLeft => f.write_str("all slots are given up: the supervisor ends"),
            Self::LinesMissed { slot, pid, lines } => write!(
                f,
                "{lines} lines of worker {slot} are missing{}: nobody took them in time",
                Pid(Some(*pid))
            ),
            Self::Ended { gave_up: true, .. } => f.write_str("gave up"),
            Self::Ended { killed: 0, .. } => f.write_str("stopped: all workers ended in time"),
            Self::Ended { killed, .. } => {
                write!(f, "stopped: {} had to be killed", Workers(*killed))
            }
            Self::Paused { lasted } => {
                write!(
                    f,
                    "the supervisor itself was paused for {lasted:.1?}: all deadlines moved on"
                )
            }
            Self::Missed { reports } => {
                write!(f, "{reports} reports are missing: nobody took them in time")
            }
        }
    }
}

/// How many.
struct Workers(usize);

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = self;
        write!(f, "{count} worker{}", if *count == 1 { "" } else { "s" })
    }
}

/// A process, where there is one.
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
    use crate::ready::Ready;

    fn not_ready(known: Ready) -> String {
        let report = Report::NotReady {
            slot: 2,
            pid: Some(77),
            within: Duration::from_secs(30),
            missing: known.missing(),
        };
        report.to_string()
    }

    #[test]
    fn of_a_worker_that_is_not_ready_is_said_what_was_waited_for() {
        assert_eq!(
            not_ready(Ready::Notified),
            "worker 2 was not ready within 30.0s (pid 77): it did not say READY=1 to NOTIFY_SOCKET"
        );
        let at = Ready::Accepts(([127, 0, 0, 1], 9000).into());
        let end = ": nothing of it accepts at 127.0.0.1:9000";
        assert!(not_ready(at).ends_with(end), "{}", not_ready(at));
    }

    fn gave_up(is_last: bool, deaths: usize) -> String {
        let report = Report::GaveUp {
            slot: 0,
            is_last,
            deaths,
            within: Duration::from_mins(1),
            exit: Exit::Signal(11),
            last_lines: Vec::new(),
        };
        report.to_string()
    }

    #[test]
    fn text_of_workers_is_shown_without_colours_and_escaped() {
        let lines = || {
            vec![
                "\u{1b}[31mred\u{1b}[0m\u{202e}\u{7}".to_owned(),
                "\tat x".to_owned(),
            ]
        };
        let shown = "red\\u{202e}\n        at x";
        let exit = || Exit::NotStarted("no `a\nb`".to_owned());
        let died = ReloadError::Died {
            slot: 1,
            exit: exit(),
            last_lines: lines(),
            replaced: 0,
        };
        let gave_up = Report::GaveUp {
            slot: 0,
            is_last: true,
            deaths: 1,
            within: Duration::from_mins(1),
            exit: exit(),
            last_lines: lines(),
        };
        for text in [died.to_string(), gave_up.to_string()] {
            assert!(text.contains(shown), "{text:?}");
            assert!(text.contains("not started: no `a\\nb`"), "{text:?}");
        }
    }

    #[test]
    fn only_where_there_is_somebody_to_reload_a_slot_is_given_up_until_then() {
        let end = "died within 60.0s, the last killed by SIGSEGV and wrote nothing";
        assert_eq!(
            gave_up(false, 2),
            format!("slot 0 is given up until a reload: 2 workers {end}")
        );
        assert_eq!(
            gave_up(true, 1),
            format!("slot 0 is given up: 1 worker {end}")
        );
    }

    #[test]
    fn who_never_ran_did_so_for_no_time() {
        let report = Report::Exited {
            slot: 1,
            pid: None,
            exit: Exit::NotStarted("there is no program `x`".to_owned()),
            lived: Duration::from_micros(583),
            expected: false,
        };
        assert_eq!(
            report.to_string(),
            "worker 1 not started: there is no program `x`"
        );
    }
}
