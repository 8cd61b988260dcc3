//! One round: servers and buses, faults one after the other, and the audit.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::check::{Account, Audit, audit};
use super::faults::{JournalFault, JournalStep};
use super::fleet::{BUSES, Fleet};
use super::log::{Deleted, Happened, Record, Remains, SenderLog, SubscriberLog};
use super::servers::{Servers, Topology};

/// The longest wait after a fault for the events that are due.
const WAITS_FOR_EVENTS: Duration = Duration::from_secs(5);

/// The time between the last event of a sender and the fault that makes Redis forget it.
const SILENT_BEFORE: Duration = Duration::from_millis(30);

/// The time of traffic before the first fault, and after the last one.
const QUIET: Duration = Duration::from_millis(500);

/// The time after the last send in which everything must be received or reported: a silent sender
/// states its position after some heartbeats.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(300);

/// A round to go through.
#[derive(Clone, Debug)]
pub struct Round {
    /// The servers.
    pub topology: Topology,
    /// The faults.
    pub steps: Vec<JournalStep>,
    /// The events a second, of all senders.
    pub rate: u64,
    /// The least number of events between two faults.
    pub events_per_fault: u64,
    /// For how long the journal keeps events; the default without it.
    pub retention: Option<Duration>,
    /// The arguments that let this program run as a subscriber that can be killed.
    pub process: Option<[&'static str; 2]>,
    /// Makes the sizes of bursts, and the pauses.
    pub seed: u64,
}

/// The result of a round.
#[derive(Debug)]
pub struct RoundEnd {
    /// The check of every event.
    pub audit: Audit,
    /// The journal in the end.
    pub remains: Remains,
    /// The faults, and what was sent meanwhile.
    pub struck: Vec<Struck>,
    /// The time after the last send until everything was received or reported.
    pub settled_within: Duration,
    /// Errors of the shutdown.
    pub complaints: Vec<String>,
}

/// A fault that happened.
#[derive(Clone, Debug)]
pub struct Struck {
    /// The time since the start of the round.
    pub during: Range<Duration>,
    /// The events that were sent during the fault.
    pub sent: u64,
    /// The longest time without an event at a subscriber, in which the fault happened.
    pub pause: Duration,
}

impl Round {
    /// Goes through all faults, and checks every event.
    ///
    /// # Errors
    ///
    /// When a server or a bus does not start, or does not answer as expected.
    pub async fn go_through(self) -> Result<RoundEnd> {
        let mut servers = Servers::start(self.topology, BUSES).await;
        let mut fleet = Fleet::start(&servers, self.rate, self.retention, self.seed).await?;
        if let Some(role) = self.process {
            fleet.start_process(role).await?;
        }
        sleep(QUIET).await;
        let mut happened = Happened {
            trimmed: self.retention.is_some(),
            ..Happened::default()
        };
        let (mut deleted, mut struck) = (Vec::new(), Vec::new());
        let last_lossy = self.steps.iter().rposition(|step| step.what.is_lossy());
        for (index, step) in self.steps.into_iter().enumerate() {
            happened.add(step.what);
            if Some(index) == last_lossy {
                silence(&fleet, step).await;
            }
            let (from, sent) = (fleet.elapsed(), fleet.sent());
            deleted.extend(strike(step, &mut servers, &mut fleet).await?);
            struck.push(Struck {
                during: from..fleet.elapsed(),
                sent: fleet.sent() - sent,
                pause: Duration::ZERO,
            });
            sleep(step.rest).await;
            wait_for_events(&fleet, (index as u64 + 1) * self.events_per_fault).await;
        }
        sleep(QUIET).await;
        fleet.all_are_ready().await?;
        let senders = fleet.end_sending().await;
        let ended = Instant::now();
        let (audit, remains) = settle(&servers, &fleet, &senders, happened, &deleted).await?;
        let settled_within = ended.elapsed();
        let logs = fleet.logs();
        for one in &mut struck {
            one.pause = longest_pause(&logs, &one.during);
        }
        Ok(RoundEnd {
            audit,
            remains,
            struck,
            settled_within,
            complaints: fleet.shut_down().await,
        })
    }
}

/// Lets a sender end in the last lossy fault, so that nothing follows the events that Redis forgets.
async fn silence(fleet: &Fleet, step: JournalStep) {
    if step.what == JournalFault::Truncated {
        fleet.silence();
        sleep(SILENT_BEFORE).await;
    } else {
        // While the replicas are cut off.
        fleet.silence_after(step.lasts.mul_f64(0.8));
    }
}

/// Makes a fault happen, and returns the journal that it deleted.
async fn strike(
    step: JournalStep,
    servers: &mut Servers,
    fleet: &mut Fleet,
) -> Result<Option<Deleted>> {
    match step.what {
        JournalFault::SlowHandler => {
            fleet.slow_down(step.at, step.lasts);
            sleep(step.lasts).await;
            Ok(None)
        }
        JournalFault::DurableRestarted => fleet.restart_durable().await.map(|()| None),
        JournalFault::DurableKilled => fleet.kill_process().await.map(|()| None),
        _ => servers.strike(step).await,
    }
}

async fn wait_for_events(fleet: &Fleet, due: u64) {
    let began = Instant::now();
    while fleet.sent() < due && began.elapsed() < WAITS_FOR_EVENTS {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Checks the round until there is no violation, or the time is up.
async fn settle(
    servers: &Servers,
    fleet: &Fleet,
    senders: &[SenderLog],
    happened: Happened,
    deleted: &[Deleted],
) -> Result<(Audit, Remains)> {
    let began = Instant::now();
    loop {
        let mut remains = Remains::read(servers.holder().await).await?;
        remains.deleted = deleted.to_vec();
        let audit = audit(&Account {
            senders,
            subscribers: &fleet.logs(),
            remains: &remains,
            happened,
        });
        if audit.findings.is_empty() || began.elapsed() > SETTLES_WITHIN {
            return Ok((audit, remains));
        }
        sleep(LOOK).await;
    }
}

/// Returns the longest time without an event at a subscriber that overlaps a fault.
fn longest_pause(logs: &[SubscriberLog], during: &Range<Duration>) -> Duration {
    let pauses = logs.iter().flat_map(|log| {
        let times = log.records.iter().filter_map(|record| match record {
            Record::Handled(handled) => Some(handled.at),
            Record::Reported(_) | Record::Restarted => None,
        });
        let times: Vec<_> = times.collect();
        let pauses = times.windows(2).map(|pair| pair[0]..pair[1]);
        let overlap =
            |pause: &Range<Duration>| pause.start < during.end && pause.end > during.start;
        let pauses: Vec<_> = pauses.filter(overlap).collect();
        pauses
            .into_iter()
            .map(|pause| pause.end.saturating_sub(pause.start))
    });
    pauses.max().unwrap_or_default()
}

impl Happened {
    fn add(&mut self, fault: JournalFault) {
        let more = fault.excuses();
        self.forgot |= more.forgot;
        self.lost_journal |= more.lost_journal;
    }
}
