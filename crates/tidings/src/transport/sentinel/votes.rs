//! What the sentinels say, and what follows from it: they can be dead, slow, stale, or wrong.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::ConnectionAddr;

use crate::error::connect::ConnectError;
use crate::transport::address::{Place, address_of, shown};

/// How long an answer counts: a sentinel that was not heard for three rounds may be stale.
const FRESH: Duration = Duration::from_secs(3);

/// How long one that only other sentinels named may say nothing before it is forgotten: where
/// sentinels start again at other addresses, the old ones would stay for ever.
const FORGOTTEN: Duration = Duration::from_mins(3);

/// What one sentinel says of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) master: Place,
    /// Of two answers the one with the higher epoch is the newer.
    pub(super) epoch: u64,
    /// It cannot reach the master that it names.
    pub(super) is_down: bool,
}

/// Why a sentinel gives no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer {
    pub(super) why: String,
    /// It refuses this bus, such as for a wrong password.
    pub(super) is_final: bool,
}

/// What each sentinel said last.
#[derive(Debug, Default)]
pub(super) struct Votes {
    said: BTreeMap<Place, SentinelState>,
}

/// A sentinel's place in it.
#[derive(Debug)]
struct SentinelState {
    /// The address names it, so it is never forgotten.
    is_fixed: bool,
    /// When it answered last, or was added.
    lived: Instant,
    vote: Option<Vote>,
}

#[derive(Debug)]
struct Vote {
    at: Instant,
    answer: Result<Answer, NoAnswer>,
}

/// A server that is named, and by how many.
struct Candidate<'a> {
    master: &'a Place,
    epoch: u64,
    votes: usize,
    /// How many of those cannot reach it.
    down: usize,
}

/// Where the master is, if not where it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Most sentinels say so: that needs no proof, and does not wait until the new master can be
    /// reached.
    Surely(Place),
    /// Some say so, the likeliest first; nobody does where there is none.
    Perhaps(Vec<Place>),
}

impl Votes {
    /// Adds a sentinel; `false` when it is there already.
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

    /// What a sentinel said; nothing where it was forgotten meanwhile.
    pub(super) fn put(&mut self, sentinel: &Place, answer: Result<Answer, NoAnswer>, at: Instant) {
        if let Some(state) = self.said.get_mut(sentinel) {
            if answer.is_ok() {
                state.lived = at;
            }
            state.vote = Some(Vote { at, answer });
        }
    }

    /// Forgets the sentinels that have said nothing for long while another answered; which.
    pub(super) fn forget(&mut self) -> Vec<Place> {
        // Not by the clock: after this process was frozen, all of them were silent.
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

    pub(super) fn has_answer_since(&self, since: Instant) -> bool {
        self.votes()
            .any(|vote| vote.at >= since && vote.answer.is_ok())
    }

    /// Whether all sentinels that could be asked refuse this bus.
    pub(super) fn is_refused_since(&self, since: Instant) -> bool {
        let refuses = |vote: &Vote| matches!(&vote.answer, Err(none) if none.is_final);
        let is_refused = self.votes().any(refuses) && self.votes().all(|vote| vote.answer.is_err());
        is_refused && self.is_complete_since(since)
    }

    /// Whether each sentinel has answered, or could not be asked.
    pub(super) fn is_complete_since(&self, since: Instant) -> bool {
        let has_said =
            |state: &SentinelState| state.vote.as_ref().is_some_and(|vote| vote.at >= since);
        self.said.values().all(has_said)
    }

    /// The servers that may be the master, the likeliest first: of the highest epoch, and of those
    /// the one that most name. One that most of its sentinels cannot reach is none, and neither is
    /// one that most sentinels have left.
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

    /// Where to go instead of the server at `at`: nowhere while the newest answers name that one.
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
        // What was said before the one at `at` was named is of no interest any more.
        let until = candidates.iter().position(|place| address_of(place) == *at);
        candidates.truncate(until.unwrap_or(usize::MAX));
        Elsewhere::Perhaps(candidates)
    }

    /// The server of the newest epoch, where most of all sentinels name it. Those that were not
    /// heard count, too: after this process was frozen, the first answer alone is not most.
    fn agreed<'a, 'b>(&self, named: &'b [Candidate<'a>]) -> Option<&'b Candidate<'a>> {
        let newest = newest(named);
        let mut newest = named.iter().filter(|named| Some(named.epoch) == newest);
        newest.find(|named| named.votes * 2 > self.said.len())
    }

    /// Why there is no candidate.
    pub(super) fn why_none(&self, master: &str) -> ConnectError {
        let says = |(sentinel, state): (&Place, &SentinelState)| {
            let said = match state.vote.as_ref().map(|vote| &vote.answer) {
                Some(Ok(answer)) if answer.is_down => {
                    format!("cannot reach the master at {}", shown(&answer.master))
                }
                Some(Ok(answer)) => format!("the master is {}", shown(&answer.master)),
                Some(Err(none)) => none.why.clone(),
                None => "no answer yet".to_owned(),
            };
            format!("{}: {said}", shown(sentinel))
        };
        let said: Vec<_> = self.said.iter().map(says).collect();
        ConnectError::Sentinels {
            master: master.to_owned(),
            said: said.join("; "),
            is_final: self
                .said
                .values()
                .filter_map(|state| state.vote.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A ballot of sentinels 1, 2, 3, …: the port of the master that each names, its epoch, and
    /// whether it cannot reach it.
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
    fn it_is_over_when_all_sentinels_that_can_be_asked_refuse() {
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
    fn the_newest_answer_comes_first_then_the_one_of_most() {
        let now = Instant::now();
        for (answers, expected) in [
            (&[(7, 1, false), (7, 1, false), (7, 1, false)][..], &[7][..]),
            // One knows already.
            (&[(7, 1, false), (8, 2, false), (7, 1, false)], &[8, 7]),
            // One does not know yet.
            (&[(8, 2, false), (8, 2, false), (7, 1, false)], &[8]),
            // All but one know already, and cannot reach it.
            (&[(8, 2, true), (8, 2, true), (7, 1, false)], &[]),
            // One is wrong, at the same epoch.
            (&[(9, 1, false), (7, 1, false), (7, 1, false)], &[7, 9]),
            // One alone cannot reach it; then most cannot.
            (&[(7, 1, true), (7, 1, false), (7, 1, false)], &[7]),
            (&[(7, 1, true), (7, 1, true), (7, 1, false)], &[]),
            (&[], &[]),
        ] {
            let candidates = votes(answers, now).candidates(now);
            assert_eq!(ports(&candidates), expected, "{answers:?}");
        }
    }

    #[test]
    fn it_is_elsewhere_only_when_no_newest_answer_names_it() {
        let now = Instant::now();
        for (answers, expected) in [
            (&[(7, 1, false), (7, 1, false)][..], &[][..]),
            (&[(7, 1, false), (8, 2, false)], &[8]),
            (&[(7, 1, false), (7, 1, false), (8, 2, false)], &[8]),
            // Two names for one server, as where some sentinels say hosts and some addresses.
            (&[(8, 1, false), (7, 1, false), (8, 1, false)], &[]),
            // That nobody reaches it does not tell where it is.
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
    fn it_is_elsewhere_for_sure_when_most_of_all_sentinels_say_so() {
        let now = Instant::now();
        for (answers, is_sure) in [
            (&[(8, 2, false), (8, 2, false), (7, 1, false)][..], true),
            // That it cannot be reached makes the former one no master again.
            (&[(8, 2, true), (8, 2, true), (7, 1, false)], true),
            // One names it by address before it knows the new epoch.
            (&[(8, 2, false), (8, 1, false), (7, 1, false)], true),
            (&[(8, 2, false), (8, 2, false)], true),
            (&[(8, 2, false), (7, 1, false)], false),
            // One lies, and so nobody can tell.
            (&[(8, 2, false), (8, 2, false), (9, 3, false)], false),
        ] {
            let elsewhere = votes(answers, now).elsewhere(&address_of(&place(7)), now);
            let sure = Elsewhere::Surely(place(8));
            assert_eq!(elsewhere == sure, is_sure, "{answers:?}");
        }
        // Nobody has heard the others for a while.
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

        // Its last words may come late.
        votes.put(&talked, Ok(answer), now);
        assert_eq!(votes.len(), 2);
        assert!(votes.add(&talked, false, now));
    }

    #[test]
    fn where_there_is_no_master_each_sentinel_is_quoted() {
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
