//! This bus's own membership: it joins, renews its lease and says goodbye.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::keyspace::access::{KeyspaceAccess, NotDone};
use crate::keyspace::member_list::{Keys, Renewal, Renewed};
use crate::members::profile::Profile;
use crate::task::random::jitter;
use crate::task::stage::Stage;

/// A lease is renewed so many times as often as it must be.
const BEATS: u32 = 5;

/// How long a bus that lacks a permission waits before it asks again: Redis lists each denial.
const DENIED: Duration = Duration::from_secs(30);

/// How long a bus that could not join for another reason waits at most, however long its lease is:
/// a Redis that loads its dataset or takes no writes may do so again at any moment.
const JOIN_AGAIN: Duration = Duration::from_secs(2);

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// How the membership stands, for the other parts of the bus.
#[derive(Debug)]
pub(crate) struct Membership {
    standing: watch::Sender<MembershipState>,
    /// The number of the roll's last change, as each renewal said it.
    pub(crate) changed: watch::Sender<u64>,
    leaving: Notify,
    /// Somebody wants to know now whether it is a member.
    asked: Notify,
    /// A renewal was taken, or may have been.
    may_be_listed: AtomicBool,
    has_warned: AtomicBool,
}

#[derive(Clone, Debug)]
pub(crate) enum MembershipState {
    /// Redis has not answered yet.
    Joining,
    Member,
    /// It could not join so far, or is not allowed any more.
    Out(NotDone),
    /// It does not want to be a member, or not any more.
    Stranger,
}

/// The task that keeps the membership.
pub(crate) struct LeaseTask {
    /// Also a task that is dropped before it began leaves nobody waiting.
    gone: Gone,
    keyspace: Arc<KeyspaceAccess>,
    keys: Keys,
    renewal: Renewal,
    stage: watch::Receiver<Stage>,
}

impl Membership {
    /// Nobody keeps it yet, so there is nothing to wait for.
    pub(crate) fn new() -> Self {
        Self {
            standing: watch::Sender::new(MembershipState::Stranger),
            changed: watch::Sender::new(0),
            leaving: Notify::new(),
            asked: Notify::new(),
            may_be_listed: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Waits until Redis has answered whether this is a member. A refusal that may be over by now is
    /// not repeated: Redis is asked again. A bus that is no member and wants to be none waits for
    /// nothing.
    pub(crate) async fn answered(&self) -> MembershipState {
        let mut standing = self.standing.subscribe();
        let may_be_over = matches!(
            &*standing.borrow_and_update(),
            MembershipState::Out(undone) if undone.may_pass()
        );
        if may_be_over {
            self.asked.notify_one();
            // It never fails: `self` keeps the other end.
            let _ = standing.changed().await;
        }
        let answered = standing.wait_for(|standing| !matches!(standing, MembershipState::Joining));
        let standing = answered.await.map(|standing| standing.clone());
        standing.unwrap_or(MembershipState::Stranger)
    }

    /// Whether there may be something to say goodbye to.
    pub(crate) fn is_there(&self) -> bool {
        match *self.standing.borrow() {
            MembershipState::Joining | MembershipState::Member => true,
            MembershipState::Out(_) => self.may_be_listed.load(Ordering::Relaxed),
            MembershipState::Stranger => false,
        }
    }

    /// Says goodbye, if Redis takes it in a moment.
    pub(crate) async fn leave(&self) {
        self.leaving.notify_one();
        let mut standing = self.standing.subscribe();
        let _ = standing
            .wait_for(|standing| matches!(standing, MembershipState::Stranger))
            .await;
    }

    fn tries_again(&self) {
        self.standing.send_if_modified(|standing| {
            let is_out = matches!(standing, MembershipState::Out(_));
            if is_out {
                *standing = MembershipState::Joining;
            }
            is_out
        });
    }

    fn joined(&self, renewed: Renewed) {
        self.may_be_listed.store(true, Ordering::Relaxed);
        self.standing.send_if_modified(|standing| {
            let has_joined = !matches!(standing, MembershipState::Member);
            *standing = MembershipState::Member;
            has_joined
        });
        if self.has_warned.swap(false, Ordering::Relaxed) {
            tracing::info!("the bus is a member now");
        }
        self.changed.send_replace(renewed.change);
    }

    fn refused(&self, undone: NotDone) {
        if let NotDone::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(words))) = &undone
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                why = &**words,
                "the bus is no member, so others do not know that it is there \
                 (`BusBuilder::membership` says that this is wanted)"
            );
        }
        if let NotDone::Unconfirmed(Unconfirmed::Unknown(_)) = &undone {
            self.may_be_listed.store(true, Ordering::Relaxed);
        }
        self.standing.send_replace(MembershipState::Out(undone));
    }
}

impl LeaseTask {
    pub(crate) fn new(
        membership: Arc<Membership>,
        keyspace: Arc<KeyspaceAccess>,
        keys: Keys,
        (id, profile): (NodeId, &Profile),
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let renewal = Renewal {
            id,
            lease: profile.lease,
            description: profile.description(id),
            started: None,
        };
        membership.standing.send_replace(MembershipState::Joining);
        Self {
            gone: Gone(membership),
            keyspace,
            keys,
            renewal,
            stage,
        }
    }

    /// The task: is a member until the bus leaves.
    pub(crate) async fn run(mut self) {
        let (membership, mut stage) = (Arc::clone(self.membership()), self.stage.clone());
        let is_leaving = tokio::select! {
            biased;
            () = membership.leaving.notified() => true,
            () = self.keep_renewing() => false,
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => false,
        };
        if is_leaving {
            self.announce_leave().await;
        }
    }

    fn membership(&self) -> &Arc<Membership> {
        &self.gone.0
    }

    /// It comes behind a renewal that is under way: over one connection, they keep their order.
    async fn announce_leave(&self) {
        let leaving = self
            .keyspace
            .ask(|keys| keys.leave(&self.keys, self.renewal.id));
        if !matches!(timeout(FAREWELL, leaving).await, Ok(Ok(()))) {
            tracing::debug!("redis did not take our goodbye: others see us vanish");
        }
    }

    async fn keep_renewing(&mut self) {
        let mut way = self.keyspace.watch();
        loop {
            match *way.borrow_and_update() {
                Err(SendFailure::Closed) => return,
                Err(_) => {}
                Ok(_) => self.membership().tries_again(),
            }
            let pause = self.renew().await;
            let membership = Arc::clone(self.membership());
            tokio::select! {
                () = sleep(pause) => {}
                () = membership.asked.notified() => {}
                // Another connection, so perhaps another Redis, or an empty one.
                _ = way.changed() => {}
            }
        }
    }

    /// Joins, or renews the lease; how long it holds off the next time.
    async fn renew(&mut self) -> Duration {
        let renewal = self.renewal.clone();
        let answer = self
            .keyspace
            .ask(|keys| keys.renew(&self.keys, renewal))
            .await;
        let pause = jitter(self.renewal.lease / BEATS, 0.9..1.1);
        match answer {
            Ok(renewed) => {
                self.renewal.started.get_or_insert(renewed.now);
                self.membership().joined(renewed);
                // More are gone: who is left would wait for long until all of them were taken off.
                if renewed.has_more {
                    Duration::ZERO
                } else {
                    pause
                }
            }
            Err(undone) if self.renewal.started.is_some() && !undone.is_denied() => {
                tracing::debug!(?undone, "the lease was not renewed");
                pause
            }
            Err(undone) => {
                let pause = until_next_attempt(&undone, pause);
                self.membership().refused(undone);
                pause
            }
        }
    }
}

/// How long a bus that could not join waits before it tries again, if its renewals are so far apart.
fn until_next_attempt(undone: &NotDone, renewals: Duration) -> Duration {
    if undone.is_denied() {
        renewals.max(DENIED)
    } else {
        renewals.min(JOIN_AGAIN)
    }
}

/// However the task ends, nobody is left waiting for it.
struct Gone(Arc<Membership>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.standing.send_replace(MembershipState::Stranger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Namespace;

    #[tokio::test]
    async fn who_may_have_joined_has_a_goodbye_to_say() {
        let membership = Membership::new();
        let lost = NotDone::Unconfirmed(Unconfirmed::Unknown(SendFailure::Lost));
        let away = NotDone::Unconfirmed(Unconfirmed::NotSent(SendFailure::Unreachable));
        membership.refused(away.clone());
        assert!(!membership.is_there());
        membership.refused(lost);
        membership.refused(away);
        assert!(membership.is_there());
    }

    #[test]
    fn only_a_missing_permission_is_a_reason_to_wait_for_long() {
        let refused = |words: &str| {
            NotDone::Unconfirmed(Unconfirmed::NotSent(SendFailure::Refused(words.into())))
        };
        let lost = NotDone::Unconfirmed(Unconfirmed::Unknown(SendFailure::Lost));
        let away = NotDone::Unconfirmed(Unconfirmed::NotSent(SendFailure::Unreachable));
        for (undone, seconds) in [
            (refused("LOADING Redis is loading the dataset"), 2),
            (refused("MISCONF Redis is configured to save"), 2),
            (refused("NOREPLICAS Not enough good replicas"), 2),
            (refused("OOM command not allowed"), 2),
            (refused("BUSY Redis is busy running a script"), 2),
            (NotDone::Foreign("WRONGTYPE".into()), 2),
            (lost, 2),
            (away, 2),
            (refused("NOPERM … (… ACL SETUSER shop +zadd)"), 30),
        ] {
            let waits = until_next_attempt(&undone, Duration::from_secs(12));
            assert_eq!(waits.as_secs(), seconds, "{undone:?}");
        }
        let waits = until_next_attempt(&refused("OOM"), Duration::from_secs(1));
        assert_eq!(waits.as_secs(), 1);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_membership_whose_task_never_began() {
        let membership = Arc::new(Membership::new());
        let stage = watch::Sender::new(Stage::Open);
        let heartbeat = LeaseTask::new(
            Arc::clone(&membership),
            Arc::new(KeyspaceAccess::new(Duration::from_secs(1))),
            Keys::of(&Namespace::parse("shop").unwrap()),
            (NodeId::new(1), &Profile::default()),
            stage.subscribe(),
        );
        assert!(membership.is_there());

        drop(heartbeat.run());

        assert!(!membership.is_there());
        membership.leave().await;
        assert!(matches!(
            membership.answered().await,
            MembershipState::Stranger
        ));
    }
}
