//! What a keeper knows of one copy: in which round of reading it is, and who waits for one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::error::send_failure::SendFailure;
use crate::task::stage::Stage;

/// How a round of reading ended: well where Redis answered, whatever the answer is worth.
pub(crate) type Outcome = Result<(), SendFailure>;

/// One reading of a copy. Rounds are numbered from 1, and come one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(u64);

/// A moment in which nothing was being read. See [`RefreshState::if_undisturbed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdleToken(Round, ConnectionEpoch);

/// The time of one way to Redis, which may be another server than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionEpoch(u64);

pub(crate) struct RefreshState {
    rounds: Mutex<Rounds>,
    ended: watch::Sender<(Round, Outcome)>,
    /// Wakes the keeper.
    wake: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    /// Says nothing, and ends with the keeper.
    reconciler: watch::Receiver<()>,
}

#[derive(Debug)]
struct Rounds {
    /// The last one that somebody wants.
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
        let none = Round(0);
        Self {
            rounds: Mutex::new(Rounds {
                wanted: none,
                begun: none,
                ended: none,
                epoch: ConnectionEpoch(0),
            }),
            ended: watch::Sender::new((none, Ok(()))),
            wake,
            stage,
            reconciler,
        }
    }

    /// Redis holds something newer: it is read, as soon as the reading that is under way has ended.
    /// However often this is said meanwhile, it is read once.
    pub(crate) fn behind(&self) {
        self.want(|rounds| rounds.begun.next());
    }

    /// Waits for a reading that begins from now on.
    pub(crate) async fn refreshed(&self) -> Outcome {
        let round = self.want(|rounds| rounds.begun.next());
        self.end_of(round).await
    }

    /// Waits for a reading; one that is under way will do.
    pub(crate) async fn joined(&self) -> Outcome {
        let round = self.want(|rounds| {
            if rounds.begun > rounds.ended {
                rounds.begun
            } else {
                rounds.begun.next()
            }
        });
        self.end_of(round).await
    }

    /// The moment, if nothing is being read.
    pub(crate) fn idle(&self) -> Option<IdleToken> {
        let rounds = self.lock();
        rounds.idle()
    }

    pub(crate) fn epoch(&self) -> ConnectionEpoch {
        self.lock().epoch
    }

    /// Changes the copy, if nothing has been read since that moment, and the way to Redis is the same: no answer that is older than
    /// this change can come after it, and what was read instead was no newer than it. `None` where
    /// it has to be read again. `change` must be quick.
    pub(crate) fn if_undisturbed<T>(
        &self,
        since: Option<IdleToken>,
        change: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let rounds = self.lock();
        let is_idle = since.is_some() && since == rounds.idle();
        is_idle.then(change).flatten()
    }

    /// The round that is to be read now, if one is wanted and none is under way.
    pub(super) fn begin(&self) -> Option<Round> {
        let mut rounds = self.lock();
        let is_due = rounds.wanted > rounds.begun && rounds.begun == rounds.ended;
        is_due.then(|| {
            rounds.begun = rounds.begun.next();
            rounds.begun
        })
    }

    pub(super) fn end(&self, round: Round, outcome: Outcome) {
        let mut rounds = self.lock();
        rounds.ended = rounds.ended.max(round);
        let _ = self.ended.send_replace((round, outcome));
    }

    /// The way to Redis is another: what the former one did may never have been. The round that is
    /// under way, if one is, ends without an answer.
    pub(super) fn interrupt(&self, reason: SendFailure) {
        let mut rounds = self.lock();
        rounds.epoch.0 += 1;
        let under_way = (rounds.begun > rounds.ended).then_some(rounds.begun);
        drop(rounds);
        if let Some(round) = under_way {
            self.end(round, Err(reason));
        }
    }

    fn want(&self, which: impl FnOnce(&Rounds) -> Round) -> Round {
        let mut rounds = self.lock();
        let round = which(&rounds);
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
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => Err(SendFailure::Closed),
            // Its task panicked, or its runtime is gone: nobody reads this any more.
            _ = reconciler.changed() => Err(SendFailure::Closed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
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

impl fmt::Debug for RefreshState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh_state() -> RefreshState {
        let (stage, reconciler) = (watch::channel(Stage::Open).1, watch::channel(()).1);
        RefreshState::new(Arc::default(), stage, reconciler)
    }

    #[test]
    fn what_falls_behind_while_it_is_read_is_read_once_more() {
        let refresh_state = refresh_state();
        assert_eq!(refresh_state.begin(), None);
        refresh_state.behind();
        let first = refresh_state.begin().unwrap();
        refresh_state.behind();
        refresh_state.behind();
        assert_eq!(refresh_state.begin(), None);
        refresh_state.end(first, Ok(()));
        let second = refresh_state.begin().unwrap();
        refresh_state.end(second, Ok(()));
        assert_eq!(refresh_state.begin(), None);
    }

    #[test]
    fn a_change_that_was_overtaken_by_a_reading_is_not_made() {
        let refresh_state = refresh_state();
        let before = refresh_state.idle();
        assert_eq!(refresh_state.if_undisturbed(before, || Some(1)), Some(1));

        refresh_state.behind();
        let round = refresh_state.begin().unwrap();
        assert_eq!(refresh_state.idle(), None);
        assert_eq!(refresh_state.if_undisturbed(before, || Some(2)), None);
        assert_eq!(
            refresh_state.if_undisturbed(refresh_state.idle(), || Some(3)),
            None
        );

        refresh_state.end(round, Ok(()));
        assert_eq!(refresh_state.if_undisturbed(before, || Some(4)), None);
        assert_eq!(
            refresh_state.if_undisturbed(refresh_state.idle(), || Some(5)),
            Some(5)
        );
    }

    #[test]
    fn what_another_server_accepted_is_not_put_here() {
        let refresh_state = refresh_state();
        let before = refresh_state.idle();
        refresh_state.interrupt(SendFailure::Lost);
        assert_eq!(refresh_state.if_undisturbed(before, || Some(1)), None);
        assert_eq!(
            refresh_state.if_undisturbed(refresh_state.idle(), || Some(2)),
            Some(2)
        );
    }
}
