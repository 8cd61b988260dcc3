//! The answers of the sentinels, and the master that follows from them. Sentinels can be dead, slow,
//! stale or wrong.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::ConnectionAddr;

use crate::error::connect::ConnectError;
use crate::transport::address::{Place, address_of, shown};
use crate::transport::answers::{self, NoAnswer};

/// The time for which an answer counts: three polls.
const FRESH: Duration = Duration::from_secs(3);

/// The silence after which a sentinel that is not in the address is forgotten: sentinels that
/// restart at other addresses would stay for ever.
const FORGOTTEN: Duration = Duration::from_mins(3);

/// The answer of a sentinel about the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) master: Place,
    /// The answer with the higher epoch is newer.
    pub(super) epoch: u64,
    /// True if it cannot reach the master that it names.
    pub(super) is_down: bool,
}

/// The last answer of each sentinel.
#[derive(Debug, Default)]
pub(super) struct Votes {
    said: BTreeMap<Place, SentinelState>,
}

/// The state of one sentinel.
#[derive(Debug)]
struct SentinelState {
    /// True if it is in the address, so that it is never forgotten.
    is_fixed: bool,
    /// The time of its last answer, or at which it was added.
    lived: Instant,
    vote: Option<Vote>,
}

#[derive(Debug)]
struct Vote {
    at: Instant,
    answer: Result<Answer, NoAnswer>,
}

/// A server that sentinels name as the master.
struct Candidate<'a> {
    master: &'a Place,
    epoch: u64,
    votes: usize,
    /// The number of those sentinels that cannot reach it.
    down: usize,
}

/// The new place of a master that may have moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Most sentinels name it: no check of its role is needed, nor that it can be reached.
    Surely(Place),
    /// Some sentinels name these, the likeliest first; empty if the master has not moved.
    Perhaps(Vec<Place>),
}

impl Votes {
    /// Adds a sentinel; returns false if it is known.
    pub(super) fn add(&mut self, sentinel: &Place, is_fixed: bool, now: Instant) -> bool {
        let is_new = !self.said.contains_key(sentinel);
        if is_new {
            let state = SentinelState {
                is_fixed,
                lived: now,
                vote: None,
            };
            self.said.insert(sentinel.clone(), state);
        }
        is_new
    }

    /// Records an answer, unless the sentinel was forgotten.
    pub(super) fn put(&mut self, sentinel: &Place, answer: Result<Answer, NoAnswer>, at: Instant) {
        if let Some(state) = self.said.get_mut(sentinel) {
            if answer.is_ok() {
                state.lived = at;
            }
            state.vote = Some(Vote { at, answer });
        }
    }

    /// Forgets and returns the sentinels that were silent for long while another answered.
    pub(super) fn forget(&mut self) -> Vec<Place> {
        // Compared with the last answer, not with now: after a freeze of this process, all were silent.
        let Some(last) = self.said.values().map(|state| state.lived).max() else {
            return Vec::new();
        };
        let is_over =
            |state: &SentinelState| !state.is_fixed && last.duration_since(state.lived) > FORGOTTEN;
        let silent = self.said.extract_if(.., |_, state| is_over(state));
        silent.map(|(place, _)| place).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.said.len()
    }

    /// The time since the last answer of any sentinel.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        let last = self.said.values().map(|state| state.lived).max();
        last.map_or(Duration::ZERO, |last| now.duration_since(last))
    }

    pub(super) fn has_answer_since(&self, since: Instant) -> bool {
        self.votes()
            .any(|vote| vote.at >= since && vote.answer.is_ok())
    }

    /// Returns true if all sentinels that can be reached reject this bus.
    pub(super) fn is_refused_since(&self, since: Instant) -> bool {
        let refuses = |vote: &Vote| matches!(&vote.answer, Err(none) if none.is_final);
        let is_refused = self.votes().any(refuses) && self.votes().all(|vote| vote.answer.is_err());
        is_refused && self.is_complete_since(since)
    }

    /// Returns true if each sentinel has answered or failed.
    pub(super) fn is_complete_since(&self, since: Instant) -> bool {
        let has_said =
            |state: &SentinelState| state.vote.as_ref().is_some_and(|vote| vote.at >= since);
        self.said.values().all(has_said)
    }

    /// The servers that may be the master, the likeliest first: by epoch, then by votes. A server is
    /// excluded if most of its sentinels cannot reach it, or if most sentinels name a newer one.
    pub(super) fn candidates(&self, now: Instant) -> Vec<Place> {
        let mut candidates = self.named(now);
        let agreed = self.agreed(&candidates).map_or(0, |agreed| agreed.epoch);
        candidates.retain(|named| named.epoch >= agreed && named.down * 2 <= named.votes);
        candidates.sort_by_key(|named| Reverse((named.epoch, named.votes)));
        let places = candidates.into_iter().map(|named| named.master.clone());
        places.collect()
    }

    pub(super) fn has_candidate(&self) -> bool {
        !self.candidates(Instant::now()).is_empty()
    }

    /// The servers to use instead of the one at `at`: none while the newest answers name it.
    pub(super) fn elsewhere(&self, at: &ConnectionAddr, now: Instant) -> Elsewhere {
        let named = self.named(now);
        let newest = newest(&named);
        let is_current = |named: &Candidate<'_>| address_of(named.master) == *at;
        let mut here = named.iter().filter(|named| is_current(named));
        if here.any(|here| Some(here.epoch) == newest) {
            return Elsewhere::Perhaps(Vec::new());
        }
        if let Some(agreed) = self.agreed(&named) {
            return Elsewhere::Surely(agreed.master.clone());
        }
        let mut candidates = self.candidates(now);
        // Only servers that are likelier than the current one.
        let until = candidates.iter().position(|place| address_of(place) == *at);
        candidates.truncate(until.unwrap_or(usize::MAX));
        Elsewhere::Perhaps(candidates)
    }

    /// The server of the newest epoch, if most of all sentinels name it. Silent ones count too: after
    /// a freeze of this process, the first answer alone is no majority.
    fn agreed<'a, 'b>(&self, named: &'b [Candidate<'a>]) -> Option<&'b Candidate<'a>> {
        let newest = newest(named);
        let mut newest = named.iter().filter(|named| Some(named.epoch) == newest);
        newest.find(|named| named.votes * 2 > self.said.len())
    }

    /// The error when there is no candidate.
    pub(super) fn why_none(&self, master: &str) -> ConnectError {
        ConnectError::Sentinels {
            master: master.to_owned(),
            said: answers::list(
                self.said
                    .iter()
                    .map(|(sentinel, state)| (sentinel, state.says())),
            ),
            is_final: self
                .votes()
                .map(|vote| vote.at)
                .min()
                .is_some_and(|since| self.is_refused_since(since)),
        }
    }

    fn votes(&self) -> impl Iterator<Item = &Vote> {
        self.said.values().filter_map(|state| state.vote.as_ref())
    }

    fn named(&self, now: Instant) -> Vec<Candidate<'_>> {
        let mut named: Vec<Candidate<'_>> = Vec::new();
        for vote in self.votes() {
            let Ok(answer) = &vote.answer else { continue };
            if now.duration_since(vote.at) > FRESH {
                continue;
            }
            let known = named
                .iter()
                .position(|known| *known.master == answer.master);
            let index = known.unwrap_or_else(|| {
                named.push(Candidate {
                    master: &answer.master,
                    epoch: 0,
                    votes: 0,
                    down: 0,
                });
                named.len() - 1
            });
            let known = &mut named[index];
            known.epoch = known.epoch.max(answer.epoch);
            known.votes += 1;
            known.down += usize::from(answer.is_down);
        }
        named
    }
}

fn newest(named: &[Candidate<'_>]) -> Option<u64> {
    named.iter().map(|named| named.epoch).max()
}

impl SentinelState {
    /// Its last answer, for errors.
    fn says(&self) -> String {
        match self.vote.as_ref().map(|vote| &vote.answer) {
            Some(Ok(answer)) if answer.is_down => {
                format!("cannot reach the master at {}", shown(&answer.master))
            }
            Some(Ok(answer)) => format!("the master is {}", shown(&answer.master)),
            Some(Err(none)) => none.why.clone(),
            None => NoAnswer::yet().why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The votes of sentinels 1, 2, 3, …: the master's port, its epoch, and true if it is down.
    fn votes(answers: &[(u16, u64, bool)], at: Instant) -> Votes {
        let mut votes = Votes::default();
        for (sentinel, (port, epoch, is_down)) in (1..).zip(answers) {
            let answer = Answer {
                master: place(*port),
                epoch: *epoch,
                is_down: *is_down,
            };
            votes.add(&place(sentinel), true, at);
            votes.put(&place(sentinel), Ok(answer), at);
        }
        votes
    }

    fn none(why: &str) -> NoAnswer {
        NoAnswer {
            why: why.to_owned(),
            is_final: false,
        }
    }

    #[test]
    fn connecting_fails_for_good_when_all_reachable_sentinels_reject() {
        let now = Instant::now();
        let refuses = || {
            Err(NoAnswer {
                is_final: true,
                ..none("NOAUTH")
            })
        };
        let mut all = votes(&[(7, 1, false); 3], now);
        all.put(&place(1), refuses(), now);
        all.put(&place(2), refuses(), now);
        assert!(!all.is_refused_since(now));
        all.put(&place(3), Err(none("connection refused")), now);
        assert!(all.is_refused_since(now));
        assert!(all.why_none("shop").is_final());
        all.add(&place(4), true, now);
        assert!(!all.is_refused_since(now));
        assert!(!all.why_none("shop").is_final());
    }

    fn place(port: u16) -> Place {
        ("10.0.0.1".to_owned(), port)
    }

    fn ports(places: &[Place]) -> Vec<u16> {
        places.iter().map(|(_, port)| *port).collect()
    }

    #[test]
    fn candidates_are_ordered_by_epoch_and_votes() {
        let now = Instant::now();
        for (answers, expected) in [
            (&[(7, 1, false), (7, 1, false), (7, 1, false)][..], &[7][..]),
            // One is newer.
            (&[(7, 1, false), (8, 2, false), (7, 1, false)], &[8, 7]),
            // One is stale.
            (&[(8, 2, false), (8, 2, false), (7, 1, false)], &[8]),
            // All but one are newer, and cannot reach it.
            (&[(8, 2, true), (8, 2, true), (7, 1, false)], &[]),
            // One sentinel is wrong, at the same epoch.
            (&[(9, 1, false), (7, 1, false), (7, 1, false)], &[7, 9]),
            // One sentinel cannot reach it; then most cannot.
            (&[(7, 1, true), (7, 1, false), (7, 1, false)], &[7]),
            (&[(7, 1, true), (7, 1, true), (7, 1, false)], &[]),
            (&[], &[]),
        ] {
            let candidates = votes(answers, now).candidates(now);
            assert_eq!(ports(&candidates), expected, "{answers:?}");
        }
    }

    #[test]
    fn a_master_has_not_moved_while_a_newest_answer_names_it() {
        let now = Instant::now();
        for (answers, expected) in [
            (&[(7, 1, false), (7, 1, false)][..], &[][..]),
            (&[(7, 1, false), (8, 2, false)], &[8]),
            (&[(7, 1, false), (7, 1, false), (8, 2, false)], &[8]),
            // Two names of one server: some sentinels have the host, some the address.
            (&[(8, 1, false), (7, 1, false), (8, 1, false)], &[]),
            // It is unreachable, and no other is named.
            (&[(7, 1, true), (7, 1, true)], &[]),
            (&[(6, 1, false), (7, 2, false), (8, 3, false)], &[8]),
        ] {
            let elsewhere = votes(answers, now).elsewhere(&address_of(&place(7)), now);
            let Elsewhere::Perhaps(elsewhere) = elsewhere else {
                panic!("{answers:?}: {elsewhere:?}");
            };
            assert_eq!(ports(&elsewhere), expected, "{answers:?}");
        }
    }

    #[test]
    fn a_master_has_surely_moved_when_most_of_all_sentinels_say_so() {
        let now = Instant::now();
        for (answers, is_sure) in [
            (&[(8, 2, false), (8, 2, false), (7, 1, false)][..], true),
            // The new one is unreachable, but the former one is no master.
            (&[(8, 2, true), (8, 2, true), (7, 1, false)], true),
            // One has the new address before the new epoch.
            (&[(8, 2, false), (8, 1, false), (7, 1, false)], true),
            (&[(8, 2, false), (8, 2, false)], true),
            (&[(8, 2, false), (7, 1, false)], false),
            // One is wrong, with a newer epoch.
            (&[(8, 2, false), (8, 2, false), (9, 3, false)], false),
        ] {
            let elsewhere = votes(answers, now).elsewhere(&address_of(&place(7)), now);
            let sure = Elsewhere::Surely(place(8));
            assert_eq!(elsewhere == sure, is_sure, "{answers:?}");
        }
        // The others are silent.
        let mut first_to_answer = votes(&[(8, 2, false)], now);
        for silent in [2, 3] {
            first_to_answer.add(&place(silent), true, now);
        }
        let elsewhere = first_to_answer.elsewhere(&address_of(&place(7)), now);
        assert_eq!(elsewhere, Elsewhere::Perhaps(vec![place(8)]));
    }

    #[test]
    fn an_old_answer_does_not_count() {
        let then = Instant::now();
        let votes = votes(&[(7, 1, false)], then);
        assert!(votes.candidates(then + FRESH * 2).is_empty());
        assert!(votes.has_answer_since(then));
        assert!(!votes.is_complete_since(then + FRESH));
    }

    #[test]
    fn a_sentinel_that_only_others_named_is_forgotten_when_it_is_silent_for_long() {
        let then = Instant::now();
        let mut votes = votes(&[(7, 1, false)], then);
        let refused = || Err(none("connection refused"));
        let answer = Answer {
            master: place(7),
            epoch: 1,
            is_down: false,
        };
        let (talks, talked, never) = (place(2), place(3), place(4));
        for other in [&talks, &talked, &never] {
            assert!(votes.add(other, false, then));
        }
        votes.put(&talked, Ok(answer.clone()), then);
        votes.put(&place(1), Ok(answer.clone()), then + FORGOTTEN);
        assert!(votes.forget().is_empty());

        let now = then + FORGOTTEN * 3;
        for silent in [&place(1), &talks, &talked] {
            votes.put(silent, refused(), now);
        }
        assert!(votes.forget().is_empty());
        votes.put(&talks, Ok(answer.clone()), now);
        assert_eq!(votes.forget(), [talked.clone(), never]);

        // Its last answer may arrive late.
        votes.put(&talked, Ok(answer), now);
        assert_eq!(votes.len(), 2);
        assert!(votes.add(&talked, false, now));
    }

    #[test]
    fn without_a_master_the_error_quotes_each_sentinel() {
        let now = Instant::now();
        let mut votes = votes(&[(7, 1, true)], now);
        votes.add(&place(2), true, now);
        votes.put(&place(2), Err(none("connection refused")), now);
        votes.add(&place(3), true, now);
        assert_eq!(
            votes.why_none("shop").to_string(),
            "no sentinel names a master `shop` that can be reached \
             (10.0.0.1:1: cannot reach the master at 10.0.0.1:7; \
             10.0.0.1:2: connection refused; 10.0.0.1:3: no answer yet)"
        );
    }
}
