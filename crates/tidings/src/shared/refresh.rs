//! The refresh rounds of one replica, and waiting for them. No I/O.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::error::send_failure::SendFailure;
use crate::task::mutex::Mutex;
use crate::task::stage::{Stage, reached};

/// The result of a refresh: `Ok` if Redis answered, even with something that cannot be decoded.
pub(crate) type Outcome = Result<(), SendFailure>;

/// One refresh of a replica. Rounds are numbered from 1 and never overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(u64);

/// A moment without a refresh in progress, for [`RefreshState::if_undisturbed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdleToken(Round, ConnectionEpoch);

/// The time during which one connection to Redis lasts. The next one may lead to another server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionEpoch(u64);

pub(crate) struct RefreshState {
    rounds: Mutex<Rounds>,
    ended: watch::Sender<(Round, Outcome)>,
    /// Wakes the reconciler.
    wake: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    /// Closed when the reconciler ends.
    reconciler: watch::Receiver<()>,
}

#[derive(Default)]
struct Rounds {
    /// The last requested round.
    wanted: Round,
    begun: Round,
    ended: Round,
    epoch: ConnectionEpoch,
}

impl RefreshState {
    pub(super) fn new(
        wake: Arc<Notify>,
        stage: watch::Receiver<Stage>,
        reconciler: watch::Receiver<()>,
    ) -> Self {
        Self {
            rounds: Mutex::default(),
            ended: watch::Sender::new((Round::default(), Ok(()))),
            wake,
            stage,
            reconciler,
        }
    }

    /// Requests a refresh that begins after this call. Requests during a refresh are answered by
    /// the one round after it.
    pub(crate) fn request_refresh(&self) {
        self.want(|rounds| rounds.begun.next());
    }

    /// Requests a refresh that begins after this call, and waits for it.
    pub(crate) async fn refreshed(&self) -> Outcome {
        let round = self.want(|rounds| rounds.begun.next());
        self.end_of(round).await
    }

    /// Waits for the refresh in progress, or else requests one.
    pub(crate) async fn join_refresh(&self) -> Outcome {
        let round = self.want(|rounds| {
            if rounds.begun > rounds.ended {
                rounds.begun
            } else {
                rounds.begun.next()
            }
        });
        self.end_of(round).await
    }

    /// Returns a token if no refresh is in progress.
    pub(crate) fn idle(&self) -> Option<IdleToken> {
        let rounds = self.rounds.lock();
        rounds.idle()
    }

    pub(crate) fn epoch(&self) -> ConnectionEpoch {
        self.rounds.lock().epoch
    }

    /// Changes the replica, if there was no refresh since `since` and the connection is the same:
    /// then no answer that is older than the change can come after it. Returns `None` if the
    /// replica must be refreshed instead. `change` runs under the lock and must be quick.
    pub(crate) fn if_undisturbed<T>(
        &self,
        since: Option<IdleToken>,
        change: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let rounds = self.rounds.lock();
        let is_idle = since.is_some() && since == rounds.idle();
        is_idle.then(change).flatten()
    }

    /// Begins the requested round, if there is one and none is in progress.
    pub(super) fn begin(&self) -> Option<Round> {
        let mut rounds = self.rounds.lock();
        let is_due = rounds.wanted > rounds.begun && rounds.begun == rounds.ended;
        is_due.then(|| {
            rounds.begun = rounds.begun.next();
            rounds.begun
        })
    }

    pub(super) fn end(&self, round: Round, outcome: Outcome) {
        let mut rounds = self.rounds.lock();
        rounds.ended = rounds.ended.max(round);
        let _ = self.ended.send_replace((round, outcome));
    }

    /// The connection was lost or replaced, and the server may have lost earlier writes. Ends the
    /// round in progress, if there is one, with this failure.
    pub(super) fn interrupt(&self, reason: SendFailure) {
        let mut rounds = self.rounds.lock();
        rounds.epoch.0 += 1;
        let in_progress = (rounds.begun > rounds.ended).then_some(rounds.begun);
        drop(rounds);
        if let Some(round) = in_progress {
            self.end(round, Err(reason));
        }
    }

    fn want(&self, choose: impl FnOnce(&Rounds) -> Round) -> Round {
        let mut rounds = self.rounds.lock();
        let round = choose(&rounds);
        if round > rounds.wanted {
            rounds.wanted = round;
            self.wake.notify_one();
        }
        round
    }

    async fn end_of(&self, round: Round) -> Outcome {
        let mut ended = self.ended.subscribe();
        let (mut stage, mut reconciler) = (self.stage.clone(), self.reconciler.clone());
        tokio::select! {
            biased;
            ended = ended.wait_for(|(ended, _)| *ended >= round) => match ended {
                Ok(ended) => ended.1.clone(),
                Err(_) => Err(SendFailure::Closed),
            },
            _ = reached(&mut stage, Stage::Leaving) => Err(SendFailure::Closed),
            // The reconciler panicked, or its runtime ended.
            _ = reconciler.changed() => Err(SendFailure::Closed),
        }
    }
}

impl Rounds {
    fn idle(&self) -> Option<IdleToken> {
        (self.begun == self.ended).then_some(IdleToken(self.begun, self.epoch))
    }
}

impl Round {
    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh_state() -> RefreshState {
        let (stage, reconciler) = (watch::channel(Stage::Open).1, watch::channel(()).1);
        RefreshState::new(Arc::default(), stage, reconciler)
    }

    fn is_applied(refresh_state: &RefreshState, since: Option<IdleToken>) -> bool {
        refresh_state.if_undisturbed(since, || Some(())).is_some()
    }

    #[test]
    fn requests_during_a_refresh_cause_one_more_refresh() {
        let refresh_state = refresh_state();
        assert_eq!(refresh_state.begin(), None);
        refresh_state.request_refresh();
        let first = refresh_state.begin().unwrap();
        refresh_state.request_refresh();
        refresh_state.request_refresh();
        assert_eq!(refresh_state.begin(), None);
        refresh_state.end(first, Ok(()));
        let second = refresh_state.begin().unwrap();
        refresh_state.end(second, Ok(()));
        assert_eq!(refresh_state.begin(), None);
    }

    #[test]
    fn a_change_is_not_applied_after_a_refresh() {
        let refresh_state = refresh_state();
        let before = refresh_state.idle();
        assert!(is_applied(&refresh_state, before));

        refresh_state.request_refresh();
        let round = refresh_state.begin().unwrap();
        assert_eq!(refresh_state.idle(), None);
        assert!(!is_applied(&refresh_state, before));
        assert!(!is_applied(&refresh_state, refresh_state.idle()));

        refresh_state.end(round, Ok(()));
        assert!(!is_applied(&refresh_state, before));
        assert!(is_applied(&refresh_state, refresh_state.idle()));
    }

    #[test]
    fn a_change_is_not_applied_after_the_connection_changed() {
        let refresh_state = refresh_state();
        let before = refresh_state.idle();
        refresh_state.interrupt(SendFailure::Lost);
        assert!(!is_applied(&refresh_state, before));
        assert!(is_applied(&refresh_state, refresh_state.idle()));
    }
}
