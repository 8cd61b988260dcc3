//! The topology of a master with sentinels, which name its address and can change it.

mod monitor;
#[cfg(feature = "admin")]
pub(super) mod servers;
mod votes;

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{ConnectionAddr, RedisConnectionInfo};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::acl::Permissions;
use crate::error::connect::ConnectError;
use crate::error::report;
use crate::observe::health::TopologyKind;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::answers::MOST;
use crate::transport::sentinel::monitor::{Monitor, Said, TIMEOUT};
use crate::transport::sentinel::votes::{Elsewhere, Votes};
use crate::transport::server::Server;
use crate::transport::server::redis_connection::Access;
use crate::transport::tls::Tls;
use crate::transport::topology::Topology;

/// The wait for the slower sentinels after the first answer, which may be stale.
const GRACE: Duration = Duration::from_millis(200);

/// The time without an answer of any sentinel after which that is logged.
const SILENT: Duration = Duration::from_secs(10);

/// The maximum wait for a master.
const FAILOVER: Duration = Duration::from_secs(3);

/// The master of one name, found through its sentinels.
#[derive(Debug)]
pub(crate) struct Sentinel {
    /// The sentinels in the address; they name the others.
    sentinels: Vec<Place>,
    /// The name of the master.
    master: Arc<str>,
    /// The access to the sentinels.
    access: Access,
    /// The access to a named server, to check its role.
    server: Server,
    /// Begins at first use.
    watcher: OnceLock<Watcher>,
}

/// The task that polls all sentinels until this is dropped.
#[derive(Debug)]
struct Watcher {
    votes: watch::Receiver<Votes>,
    /// Notified to poll all sentinels at once.
    hint: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Topology for Sentinel {
    fn kind(&self) -> TopologyKind {
        TopologyKind::Sentinel
    }

    async fn resolve(&self) -> Result<Vec<ConnectionAddr>, ConnectError> {
        let since = Instant::now();
        let watcher = self.watcher();
        watcher.hint.notify_waiters();
        let mut votes = watcher.votes.clone();
        let asking = async {
            let is_answered = |votes: &Votes| votes.has_answer_since(since);
            let is_refused = |votes: &Votes| votes.is_refused_since(since);
            let received = votes.wait_for(|votes| is_answered(votes) || is_refused(votes));
            if received.await.is_ok_and(|votes| is_refused(&votes)) {
                return;
            }
            let all = votes.wait_for(|votes| votes.is_complete_since(since));
            let _ = timeout(GRACE, all).await;
            // During a failover no master is named for a while.
            let _ = votes.wait_for(Votes::has_candidate).await;
        };
        let _ = timeout(FAILOVER, asking).await;
        let votes = watcher.votes.borrow();
        let candidates = votes.candidates(Instant::now());
        if candidates.is_empty() {
            return Err(votes.why_none(&self.master));
        }
        Ok(candidates.iter().map(address_of).collect())
    }

    fn trouble(&self) -> Option<ConnectError> {
        let votes = self.watcher.get()?.votes.borrow();
        Some(match votes.candidates(Instant::now()).first() {
            Some(named) => self.blame(&address_of(named), ConnectError::timed_out("connecting")),
            None => votes.why_none(&self.master),
        })
    }

    fn blame(&self, at: &ConnectionAddr, why: ConnectError) -> ConnectError {
        ConnectError::Named {
            server: at.to_string().escape_debug().to_string(),
            source: Box::new(why),
        }
    }

    async fn check(&self, at: &ConnectionAddr) -> ConnectError {
        let watcher = self.watcher();
        let mut votes = watcher.votes.clone();
        loop {
            let elsewhere = votes.borrow_and_update().elsewhere(at, Instant::now());
            let to = match &elsewhere {
                Elsewhere::Surely(to) => Some(to),
                Elsewhere::Perhaps(named) => self.master_among(named).await,
            };
            if let Some(to) = to {
                return ConnectError::Moved { to: shown(to) };
            }
            if votes.changed().await.is_err() {
                // The runtime is about to end.
                return ConnectError::Lost;
            }
        }
    }
}

impl Sentinel {
    pub(crate) fn new(
        sentinels: Vec<Place>,
        master: &str,
        (login, tls): (&RedisConnectionInfo, Option<Tls>),
        server: Server,
    ) -> Self {
        let master = Arc::from(master);
        let access = Access::new(login, tls, Permissions::of_sentinel());
        Self {
            sentinels,
            access: access.of_sentinels(&master, TIMEOUT),
            master,
            server,
            watcher: OnceLock::new(),
        }
    }

    /// Returns the first named server that reports to be a master: a sentinel may be stale or wrong.
    async fn master_among<'a>(&self, named: &'a [Place]) -> Option<&'a Place> {
        let asking = named.iter().map(async |place| {
            let at = address_of(place);
            let is_master = timeout(TIMEOUT, self.server.is_master(&at));
            is_master.await.unwrap_or(false).then_some(place)
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        while let Some(answer) = asking.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    fn watcher(&self) -> &Watcher {
        self.watcher.get_or_init(|| {
            let (published, votes) = watch::channel(Votes::default());
            let hint = Arc::<Notify>::default();
            let monitor = Monitor {
                access: self.access.clone(),
                master: Arc::clone(&self.master),
                hint: Arc::clone(&hint),
            };
            let watching = watch_all(self.sentinels.clone(), monitor, published);
            Watcher {
                votes,
                hint,
                _task: AbortOnDropHandle::new(tokio::spawn(watching)),
            }
        })
    }
}

/// Polls all sentinels, including those that others name, and publishes the last answer of each.
async fn watch_all(named: Vec<Place>, monitor: Monitor, published: watch::Sender<Votes>) {
    let (says, mut said) = mpsc::channel(MOST);
    let mut tasks = HashMap::new();
    let (mut more, mut is_fixed) = (named, true);
    let mut is_silent = false;
    loop {
        published.send_modify(|votes| {
            let now = Instant::now();
            // In one step: no reader sees votes without the sentinels that are named again.
            for silent in votes.forget() {
                tasks.remove(&silent);
            }
            for place in more.drain(..) {
                if votes.len() < MOST && votes.add(&place, is_fixed, now) {
                    let watching = monitor.clone().watch(place.clone(), says.clone());
                    tasks.insert(place, AbortOnDropHandle::new(tokio::spawn(watching)));
                }
            }
        });
        let Some(Said { by, answer, others }) = said.recv().await else {
            return;
        };
        published.send_modify(|votes| votes.put(&by, answer, Instant::now()));
        log_silence(&published.borrow(), &monitor.master, &mut is_silent);
        (more, is_fixed) = (others, false);
    }
}

/// Logs that no sentinel answers, and that one answers again. The bus stays connected to the last
/// master, and so would not say it otherwise.
fn log_silence(votes: &Votes, master: &str, is_silent: &mut bool) {
    let was_silent = mem::replace(is_silent, votes.silence(Instant::now()) >= SILENT);
    if *is_silent && !was_silent {
        let why = votes.why_none(master);
        tracing::warn!(master, why = %report(&why), "no sentinel answers");
    } else if was_silent && !*is_silent {
        tracing::info!(master, "a sentinel answers again");
    }
}
