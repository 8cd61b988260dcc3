//! Trials: overload by slow subscribers, a frozen subscriber or a Redis that does not answer, the
//! memory of an idle bus, and a journal that is read from its start.

mod journal;

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use serde::Serialize;
use tidings_testkit::Redis;
use tokio::time::sleep;

use crate::clock::{private_kib_of, rss_kib_of};
use crate::outcome::{Bound, Outcome};
use crate::peers::Peer;
use crate::process::Process;
use crate::rows::thousands;
use crate::run::{self, Endpoint, Run, results, start_senders, start_subscribers};
use crate::servers::program;
use crate::subscriber::Received;
use crate::summary::{Paired, Spread};
use crate::work::{Load, Work};

/// The limit of a subscription's queue, as `HandlerOptions` states it, and room for the rest of the
/// process.
const SUBSCRIBER_MIB: f64 = 16.0 + 16.0;

/// The limit of the outgoing queue, as `BusBuilder` states it, and room for the rest of the process.
const SENDER_MIB: f64 = 64.0 + 32.0;

/// The time that the subscribers and the sender run before one of them, or Redis, is frozen.
const BEFORE_FREEZING: Duration = Duration::from_millis(500);

/// The time that the sender goes on against a frozen Redis: less than the timeout of a send.
const FROZEN: Duration = Duration::from_secs(5);

/// The processes with an idle bus, and the time that they run. Their peak is their start.
const IDLE: usize = 5;
const IDLE_FOR: Duration = Duration::from_secs(2);

/// The limits of the memory of a process with an idle bus: of its peak, and without the program.
const IDLE_MIB: f64 = 8.0;
const IDLE_PRIVATE_MIB: f64 = 1.0;

const HANDLER_NS: u64 = 5_000;
const EVENTS: u64 = 800_000;

/// One experiment and its figures.
#[derive(Debug, Serialize)]
pub(crate) struct Trial {
    name: String,
    figures: Vec<Measured>,
}

/// A figure of a trial, and its bound.
#[derive(Debug, Serialize)]
struct Measured {
    what: &'static str,
    /// `None` where events were lost: a rate would mean nothing.
    figure: Option<f64>,
    bound: Bound,
}

/// Runs the trials that `only` selects. Those of overload take one to two minutes.
pub(crate) async fn run(only: &[String], is_quick: bool) -> anyhow::Result<Vec<Trial>> {
    let is_called = |name: &str| {
        let mut words = only.iter().flat_map(|word| word.split_whitespace());
        words.all(|word| name.contains(&word.to_lowercase()))
    };
    let mut trials = Vec::new();
    if is_called("overload") {
        trials = overload(is_quick).await?;
    }
    if is_called("idle bus") {
        say("an idle bus");
        trials.push(idle().await?);
    }
    if is_called(journal::NAME) {
        say("a journal is read from its start");
        trials.extend(journal::run(is_quick).await?);
    }
    Ok(trials)
}

async fn overload(is_quick: bool) -> anyhow::Result<Vec<Trial>> {
    let events = if is_quick { EVENTS / 20 } else { EVENTS };
    let mut trials = Vec::new();
    let mut undisturbed = None;
    for (subscribers, senders) in [(1, 1), (1, 4), (8, 4), (8, 1)] {
        say(&format!(
            "{senders} senders, {subscribers} slow subscribers"
        ));
        let run = slow_subscribers(events, subscribers, senders).await?;
        trials.push(Trial::of_slow_subscribers(&run, senders));
        undisturbed = Some(run);
    }
    say("one subscriber frozen");
    let undisturbed = undisturbed.context("it was run above")?;
    trials.push(one_frozen(events, &undisturbed).await?);
    say("Redis frozen");
    trials.push(redis_frozen().await?);
    Ok(trials)
}

#[expect(clippy::print_stderr, reason = "progress output")]
fn say(what: &str) {
    eprintln!("trial: {what}");
}

fn work(events: u64) -> Work {
    Work {
        events,
        load: Load::Feed,
        handler_ns: HANDLER_NS,
        ..Work::default()
    }
}

fn endpoint(redis: &Redis) -> anyhow::Result<Endpoint> {
    Ok(Endpoint {
        // All versions of tidings are in one program.
        program: program(Peer::TidingsJson)?,
        url: redis.url(),
        servers: vec![redis.pid()],
    })
}

async fn slow_subscribers(events: u64, subscribers: usize, senders: u64) -> anyhow::Result<Run> {
    let redis = Redis::start().await;
    let work = Work {
        senders,
        ..work(events)
    };
    run::once(Peer::TidingsJson, &endpoint(&redis)?, work, subscribers).await
}

/// Runs eight slow subscribers, of which the first is frozen until the others are done.
async fn one_frozen(events: u64, undisturbed: &Run) -> anyhow::Result<Trial> {
    let redis = Redis::start().await;
    let (endpoint, work) = (endpoint(&redis)?, work(events));
    let mut subscribers = start_subscribers(Peer::TidingsJson, &endpoint, work, 8).await?;
    let mut sending = start_senders(Peer::TidingsJson, &endpoint, work)?;
    sleep(BEFORE_FREEZING).await;
    let mut frozen = subscribers.remove(0);
    frozen.signal(Signal::STOP)?;
    let sent = results(&mut sending).await?;
    let received = results(&mut subscribers).await?;
    frozen.signal(Signal::CONT)?;
    let woken: Received = frozen.result().await?;
    let others = Run {
        events,
        sent,
        received,
        server_cpu_ns: 0,
    };
    let is_whole = others.lost() == 0 && undisturbed.lost() == 0;
    let rate = is_whole.then(|| others.rate() / undisturbed.rate());
    Ok(Trial {
        name: "handler of 5 µs, 1 sender, 8 subscribers, one of them frozen".to_owned(),
        figures: vec![
            at_most("lost by the other seven", Some(others.lost() as f64), 0.0),
            at_least(
                "rate of the other seven, compared with none frozen",
                rate,
                0.8,
            ),
            at_least(
                "gaps that the frozen one reports",
                Some(woken.gaps as f64),
                1.0,
            ),
        ],
    })
}

/// Measures the memory of a sender at full speed whose Redis stops answering.
async fn redis_frozen() -> anyhow::Result<Trial> {
    let redis = Redis::start().await;
    let endless = Work {
        handler_ns: 0,
        ..work(u64::MAX)
    };
    let sending: Vec<Process> = start_senders(Peer::TidingsJson, &endpoint(&redis)?, endless)?;
    sleep(BEFORE_FREEZING).await;
    redis.freeze();
    sleep(FROZEN).await;
    let id = sending.first().and_then(Process::id);
    let id = id.context("an endless sender has a process id")?;
    let mib = rss_kib_of(&id.to_string()) as f64 / 1024.0;
    redis.resume();
    Ok(Trial {
        name: "a sender at full speed, Redis frozen".to_owned(),
        figures: vec![at_most("MiB of the sender", Some(mib), SENDER_MIB)],
    })
}

/// Measures the memory of processes whose bus has one handler and receives nothing.
async fn idle() -> anyhow::Result<Trial> {
    let redis = Redis::start().await;
    let (endpoint, work) = (endpoint(&redis)?, Work::default());
    let idle = start_subscribers(Peer::TidingsJson, &endpoint, work, IDLE).await?;
    sleep(IDLE_FOR).await;
    let median = |kib_of: fn(&str) -> u64| {
        let ids = idle.iter().filter_map(Process::id);
        Some(Spread::of(ids.map(|id| kib_of(&id.to_string()) as f64 / 1024.0)).median)
    };
    let (peak, private) = (median(rss_kib_of), median(private_kib_of));
    Ok(Trial {
        name: "an idle bus".to_owned(),
        figures: vec![
            at_most("MiB of the process", peak, IDLE_MIB),
            at_most("MiB without the program's files", private, IDLE_PRIVATE_MIB),
        ],
    })
}

fn at_most(what: &'static str, figure: Option<f64>, most: f64) -> Measured {
    let bound = Bound::AtMost(most);
    Measured {
        what,
        figure,
        bound,
    }
}

fn at_least(what: &'static str, figure: Option<f64>, least: f64) -> Measured {
    let bound = Bound::AtLeast(least);
    Measured {
        what,
        figure,
        bound,
    }
}

impl Trial {
    fn of_slow_subscribers(run: &Run, senders: u64) -> Self {
        let subscribers = run.received.len();
        let events = thousands(run.events);
        Self {
            name: format!("handler of 5 µs, {senders} → {subscribers}, {events} events"),
            figures: vec![
                at_most("lost", Some(run.lost() as f64), 0.0),
                at_most(
                    "MiB of a subscriber",
                    Some(run.subscriber_mib()),
                    SUBSCRIBER_MIB,
                ),
            ],
        }
    }

    /// Returns its figures as targets.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.figures.iter().map(|measured| Outcome {
            target: format!("{}: {}", self.name, measured.what),
            bound: measured.bound,
            figure: measured.figure.map(Paired::of_one),
            cpu: None,
            is_left_out: false,
        })
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<64}", self.name)?;
        for Measured { what, figure, .. } in &self.figures {
            let figure = figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"));
            write!(f, "  {what}: {figure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_under_overload_misses_its_target() {
        let received = |received| Received {
            received,
            wanted: 10,
            rss_kib: 20 << 10,
            ..Received::default()
        };
        let run = Run {
            events: 10,
            sent: Vec::new(),
            received: vec![received(10), received(9)],
            server_cpu_ns: 0,
        };
        let trial = Trial::of_slow_subscribers(&run, 4);
        let short: Vec<_> = trial
            .outcomes()
            .map(|outcome| outcome.is_missed())
            .collect();
        assert_eq!(short, [true, false]);
    }
}
