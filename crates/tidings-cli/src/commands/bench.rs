//! `tidings bench`: measures events between buses of this process through Redis, and checks that all of
//! them arrive.

mod pacer;
mod redis;
mod report;
mod sample;
mod sender;
mod subscriber;
mod tally;
mod thread;

use std::hash::{BuildHasher as _, RandomState};
use std::io::{IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use tidings::admin::Admin;
use tidings::{BusBuilder, Failure, Gap};
use tokio::time::interval;

use self::report::{Processor, Report, grouped};
use self::sender::{Plan, Progress, Sender, Sent};
use self::subscriber::{Received, Subscriber};
use self::tally::Tally;
use self::thread::Joined;
use crate::app::App;
use crate::args::Bench;
use crate::confirm;
use crate::connect::{builder, prepare};
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{Style, escape, print_labeled};

/// The time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(50);

/// The time without an event after which no further one is expected.
const QUIET: Duration = Duration::from_secs(1);

/// A run, with its buses.
struct Run<'a> {
    app: &'a App,
    admin: Admin,
    /// The processor time of Redis before it.
    redis: Option<Duration>,
    subscribers: Vec<Subscriber>,
    sending: Joined<Sent>,
    progress: Arc<Progress>,
}

pub(crate) async fn bench(app: &App, args: &Bench) -> anyhow::Result<Exit> {
    let settings = app.settings()?;
    confirm::write(app, &settings)?;
    prepare(app, &settings);
    let namespace = format!("bench-{:08x}", RandomState::new().hash_one(0) >> 32);
    let run = Run::start(app, &settings, args, &namespace).await;
    let run = run.map_err(|error| with_help(error, &namespace))?;
    let (sent, received, redis) = run.finish().await?;
    if let Some(error) = &sent.error {
        let text = format!("stopped after {:.1?}: {}", sent.took, error);
        print_labeled(Style::Error, "error", &escape(text));
    }
    let report = assemble(args, namespace, &sent, &received, redis);
    if app.is_json() {
        output::json(&report.json())?;
    } else {
        output::result(report.text())?;
    }
    Ok(report.exit())
}

/// Adds what to do about a missing permission: the next run has another namespace.
fn with_help(error: anyhow::Error, namespace: &str) -> anyhow::Error {
    let text = format!("{error:#}");
    if !text.contains(&format!("{{{namespace}}}")) {
        return error;
    }
    let help = "a user with the channels '&tidings:{bench-*}' may use the namespace of each run";
    Problem::failed(text).help(help).into()
}

fn assemble(
    args: &Bench,
    namespace: String,
    sent: &Sent,
    received: &[Received],
    redis: Option<Duration>,
) -> Report {
    let mut all = Tally::new();
    for one in received {
        all.add(&one.tally);
    }
    Report {
        namespace,
        rate: args.rate,
        size: args.size,
        subscribers: received.len() as u64,
        took: sent.took,
        sent: sent.fed - sent.not_sent,
        not_sent: sent.not_sent,
        unknown: sent.unknown,
        received: all.received,
        twice: all.twice,
        out_of_order: all.out_of_order,
        latencies: all.latencies,
        processor: Processor {
            sender: sent.processor_time,
            subscribers: received.iter().map(|one| one.processor_time).sum(),
            redis,
        },
    }
}

/// Returns a builder of a bus of the run. Losses are counted by the numbers in the events.
fn builder_of(app: &App, settings: &Settings, namespace: &str) -> BusBuilder {
    builder(app, settings)
        .namespace(namespace)
        .on_gap(|_: Gap| async {})
        .on_failure(|_: Failure| {})
}

impl<'a> Run<'a> {
    async fn start(
        app: &'a App,
        settings: &Settings,
        args: &Bench,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        let progress = Arc::new(Progress::default());
        let builder = || builder_of(app, settings, namespace);
        let subscribers = 0..args.subscribers;
        let subscribers = subscribers.map(|_| Subscriber::start(builder(), Arc::clone(&progress)));
        let subscribers = try_join_all(subscribers).await?;
        let plan = Plan {
            rate: args.rate,
            time: args.time,
            size: args.size,
        };
        let sender = Sender::start(builder(), plan, Arc::clone(&progress)).await?;
        let about = escape(format_args!(
            "measuring in {namespace} at {}",
            settings.url.value
        ));
        app.remark(about);
        let admin = builder().admin()?;
        let redis = redis::processor_time(&admin).await;
        Ok(Self {
            app,
            admin,
            redis,
            subscribers,
            sending: sender.begin(),
            progress,
        })
    }

    /// Waits until all is sent and received, or until a signal. Returns the processor time of Redis, too.
    async fn finish(mut self) -> anyhow::Result<(Sent, Vec<Received>, Option<Duration>)> {
        let sent = self.sent().await?;
        let expected = sent.fed - sent.not_sent - sent.unknown;
        tokio::select! {
            () = self.arrived(expected) => {}
            () = interrupted() => {}
        }
        self.rewrite("");
        let after = redis::processor_time(&self.admin).await;
        let redis = after.zip(self.redis);
        let redis = redis.and_then(|(after, before)| after.checked_sub(before));
        let stopped = self.subscribers.into_iter().map(Subscriber::stop);
        Ok((sent, try_join_all(stopped).await?, redis))
    }

    /// Waits for the sender, which a signal stops.
    async fn sent(&mut self) -> anyhow::Result<Sent> {
        let mut looks = interval(LOOK);
        let mut interrupted = pin!(interrupted().fuse());
        loop {
            tokio::select! {
                sent = &mut self.sending => return sent?,
                _ = looks.tick() => self.show_progress(),
                () = &mut interrupted => self.progress.is_stopped.store(true, Ordering::Relaxed),
            }
        }
    }

    /// Waits until each subscriber has this many events, or none has received one for a while.
    async fn arrived(&self, expected: u64) {
        let mut looks = interval(LOOK);
        let (mut last, mut changed) = (0, Instant::now());
        while self.subscribers.iter().any(|one| one.received() < expected) {
            let received = self.received();
            if received != last {
                (last, changed) = (received, Instant::now());
            } else if changed.elapsed() > QUIET {
                return;
            }
            looks.tick().await;
            self.show_progress();
        }
    }

    fn received(&self) -> u64 {
        self.subscribers.iter().map(Subscriber::received).sum()
    }

    fn show_progress(&self) {
        let (sent, received) = (self.progress.fed.load(Ordering::Relaxed), self.received());
        let (sent, received) = (grouped(sent), grouped(received));
        let time = self.progress.epoch.get().map(Instant::elapsed);
        let time = time.unwrap_or_default();
        self.rewrite(&format!("{time:.1?}: {sent} sent, {received} received"));
    }

    /// Rewrites the line of the progress, on a terminal.
    fn rewrite(&self, text: &str) {
        if self.app.global.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "\r{text}\x1b[K").and_then(|()| stderr.flush());
    }
}
