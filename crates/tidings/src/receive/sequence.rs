//! Gap detection: classifies frames by their sequence numbers, and bounds the memory of senders. No
//! I/O, no clock of its own.

pub(crate) mod expected;

use std::collections::{HashMap, HashSet};
use std::mem::{replace, take};
use std::time::Duration;

use foldhash::fast::RandomState;
use tidings_codec::NodeId;
use tokio::time::Instant;

use crate::receive::sequence::expected::{Expected, Frame, Numbered, Verdict, hash};

/// The number of senders in a generation, without the members.
const SENDERS: usize = 4_096;

/// The time for which a silent sender is remembered. An idle sender states its position at least
/// once an hour.
const MEMORY: Duration = Duration::from_hours(2);

/// The maximum wait for the list of members, during which no sender is forgotten.
const ANSWER: Duration = Duration::from_secs(2);

/// The next expected number of each sender.
///
/// Senders are remembered in two generations. A sender that is received moves to the young one.
/// When that is full, it becomes the old one, and the senders still in the old one are forgotten,
/// except for the members. A young one of twice that size takes no more: a sender of the old one stays
/// there. So the memory is bounded.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    young: HashMap<NodeId, Expected, RandomState>,
    old: HashMap<NodeId, Expected, RandomState>,
    /// The senders that are never forgotten.
    members: HashSet<NodeId, RandomState>,
    query: MemberQuery,
    /// True if a frame may arrive after later ones of its sender: over another server.
    may_be_late: bool,
    /// The count of numbers before the next one that are received, whatever the frame; 0 to compare
    /// frames.
    known: u64,
    /// The last time at which a sender was forgotten less than [`MEMORY`] after its last frame.
    forgot: Option<Instant>,
    has_lost_track: bool,
}

/// The query for the members, before senders are forgotten.
#[derive(Clone, Copy, Debug, Default)]
enum MemberQuery {
    /// Not needed.
    #[default]
    No,
    Since(Instant),
    Answered,
}

impl Sequences {
    /// Sets whether a frame may arrive after later ones of its sender. Then a frame with lower numbers
    /// than expected and no later time is dropped: it was received before, or reported as missing.
    pub(crate) fn with_late_frames(may_be_late: bool) -> Self {
        Self {
            may_be_late,
            ..Self::default()
        }
    }

    /// Sets how many numbers before the next one of a sender count as received. A journal gives each
    /// sender's frames in order, so a lower number is that of a frame that was sent again.
    pub(crate) fn set_known(&mut self, known: u64) {
        self.known = known;
    }

    /// Adds a new member, whose numbers start at 1. It is never forgotten.
    pub(crate) fn join(&mut self, sender: NodeId, now: Instant) {
        self.members.insert(sender);
        self.young.insert(sender, Expected::new(1, now));
    }

    /// Classifies a frame of `sender`.
    ///
    /// An unknown sender may start at any number. A frame without events states the number of the
    /// next event.
    pub(crate) fn receive(
        &mut self,
        sender: NodeId,
        numbered: Numbered<'_>,
        now: Instant,
    ) -> Verdict {
        let frame = Frame {
            first: numbered.first,
            events: numbered.events,
            hash: if self.known == 0 {
                hash(self.young.hasher(), numbered)
            } else {
                0
            },
        };
        let known = self.known;
        let late = (self.may_be_late && numbered.is_dated).then_some(numbered.at);
        if let Some(expected) = self.young.get_mut(&sender) {
            return expected.receive_unless_late(frame, late, known, now);
        }
        let Some(expected) = self.old.get_mut(&sender) else {
            return self.begin(sender, frame, late, now);
        };
        let verdict = expected.receive_unless_late(frame, late, known, now);
        if self.young.len() < 2 * self.full()
            && let Some(expected) = self.old.remove(&sender)
        {
            self.young.insert(sender, expected);
        }
        verdict
    }

    /// Returns the next expected number of each sender.
    pub(crate) fn next_numbers(&self) -> impl Iterator<Item = (NodeId, u64)> {
        let all = self.young.iter().chain(&self.old);
        all.map(|(sender, expected)| (*sender, expected.next))
    }

    /// Returns true if, since the last call, a sender was forgotten within [`MEMORY`] of its last
    /// frame, or a sender was received that may have been forgotten.
    pub(crate) fn has_lost_track(&mut self) -> bool {
        take(&mut self.has_lost_track)
    }

    /// Returns true if there is something to query or to report.
    pub(crate) fn needs_attention(&self) -> bool {
        self.has_lost_track || self.queries_members()
    }

    /// Returns true if the list of members is needed.
    pub(crate) fn queries_members(&self) -> bool {
        matches!(self.query, MemberQuery::Since(_))
    }

    /// Replaces the members, which are never forgotten.
    pub(crate) fn set_members(&mut self, me: NodeId, members: impl IntoIterator<Item = NodeId>) {
        self.members.clear();
        self.members.insert(me);
        self.members.extend(members);
        self.query = MemberQuery::Answered;
    }

    /// Handles the first frame of an unknown sender.
    fn begin(&mut self, sender: NodeId, frame: Frame, at: Option<u64>, now: Instant) -> Verdict {
        // Nothing can be missing before 1.
        let may_be_back = frame.first > 1
            && self
                .forgot
                .is_some_and(|at| now.duration_since(at) < MEMORY);
        self.has_lost_track |= may_be_back;
        if self.young.len() >= self.full() && !self.make_room(now) {
            self.forgot(now);
            return Verdict::Next;
        }
        let mut expected = Expected::new(frame.first, now);
        let verdict = expected.receive_unless_late(frame, at, 0, now);
        self.young.insert(sender, expected);
        verdict
    }

    /// The size at which the young generation becomes the old one.
    fn full(&self) -> usize {
        SENDERS + self.members.len()
    }

    /// Forgets the old generation, except for the members. Returns false while the list of members
    /// is not known.
    fn make_room(&mut self, now: Instant) -> bool {
        if !self.old.is_empty() {
            match self.query {
                MemberQuery::No => {
                    self.query = MemberQuery::Since(now);
                    return false;
                }
                MemberQuery::Since(asked) if now.duration_since(asked) < ANSWER => return false,
                MemberQuery::Since(_) | MemberQuery::Answered => self.query = MemberQuery::No,
            }
        }
        let young = take(&mut self.young);
        for (sender, expected) in replace(&mut self.old, young) {
            if self.members.contains(&sender) {
                self.young.insert(sender, expected);
            } else if now.duration_since(expected.received) < MEMORY {
                self.forgot(now);
            }
        }
        true
    }

    fn forgot(&mut self, now: Instant) {
        self.forgot = Some(now);
        self.has_lost_track = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::expected::IN_FLIGHT;
    use super::expected::Verdict::{Missed, Next, Repeated, Restarted};
    use super::*;

    /// The frames of a sender (first number, events) with the verdict on each.
    type Case = (&'static str, &'static [(u64, u32, Verdict)]);

    const ANNA: NodeId = NodeId::new(1);
    const BELA: NodeId = NodeId::new(2);

    impl Sequences {
        /// Receives a frame whose content is always the same.
        fn take(&mut self, sender: NodeId, first: u64, events: u32, now: Instant) -> Verdict {
            self.receive(sender, numbered(first, events, b"the same"), now)
        }
    }

    fn numbered(first: u64, events: u32, bytes: &[u8]) -> Numbered<'_> {
        Numbered {
            first,
            events,
            bytes,
            is_dated: false,
            at: 0,
        }
    }

    /// A frame of one event, sent at this time.
    fn dated(first: u64, at: u64, bytes: &[u8]) -> Numbered<'_> {
        Numbered {
            is_dated: true,
            at,
            ..numbered(first, 1, bytes)
        }
    }

    #[test]
    fn a_late_frame_is_dropped_and_a_restarted_sender_is_not() {
        let (now, mut late) = (Instant::now(), Sequences::with_late_frames(true));
        for (first, at, verdict) in [
            (4, 100, Next),
            // Reported as missing, and then over another server.
            (6, 102, Missed(1)),
            (5, 101, Repeated),
            (4, 100, Repeated),
            (7, 102, Next),
            (1, 103, Restarted),
            (2, 103, Next),
        ] {
            let bytes = format!("{first} {at}");
            let is = late.receive(ANNA, dated(first, at, bytes.as_bytes()), now);
            assert_eq!(is, verdict, "{first} {at}");
        }
    }

    #[test]
    fn no_frame_is_late_on_a_single_server() {
        let (now, mut sequences) = (Instant::now(), Sequences::default());
        assert_eq!(sequences.receive(ANNA, dated(6, 102, b"6"), now), Next);
        assert_eq!(sequences.receive(ANNA, dated(5, 101, b"5"), now), Restarted);
    }

    const TABLE: &[Case] = &[
        ("in order", &[(1, 3, Next), (4, 1, Next), (5, 2, Next)]),
        (
            "received for the first time in the middle",
            &[(40, 2, Next), (42, 1, Next)],
        ),
        (
            "a repeated frame",
            &[(1, 3, Next), (1, 3, Repeated), (4, 1, Next)],
        ),
        (
            "two frames repeated after both were received",
            &[
                (1, 3, Next),
                (4, 2, Next),
                (1, 3, Repeated),
                (4, 2, Repeated),
                (6, 1, Next),
            ],
        ),
        (
            "the frames of a lost connection arrive long after they were repeated",
            &[
                (1, 3, Next),
                (4, 2, Next),
                (6, 0, Next),
                (6, 1, Next),
                (7, 1, Next),
                (8, 1, Next),
                (9, 1, Next),
                (1, 3, Repeated),
                (4, 2, Repeated),
                (10, 1, Next),
            ],
        ),
        (
            "a frame that was rejected at first, and the one after it that was not",
            &[
                (1, 1, Next),
                (3, 1, Missed(1)),
                (2, 1, Restarted),
                (3, 1, Repeated),
                (4, 1, Next),
            ],
        ),
        (
            "lower, and not received before",
            &[(9, 1, Next), (2, 2, Restarted)],
        ),
        (
            "another length",
            &[(1, 3, Next), (1, 2, Restarted), (3, 1, Next)],
        ),
        (
            "partly received before",
            &[(1, 3, Next), (2, 4, Restarted), (6, 1, Next)],
        ),
        (
            "a sender that restarts",
            &[
                (1, 1, Next),
                (2, 1, Next),
                (3, 9, Next),
                (12, 1, Next),
                (13, 1, Next),
                (1, 1, Restarted),
                (2, 1, Next),
                (3, 9, Next),
                (12, 1, Next),
                (13, 1, Next),
            ],
        ),
        (
            "a sender that restarts with other frames and one of those before",
            &[
                (1, 1, Next),
                (2, 1, Next),
                (3, 1, Next),
                (4, 1, Next),
                (5, 1, Next),
                (1, 2, Restarted),
                (3, 2, Next),
                (5, 1, Next),
            ],
        ),
        (
            "one missed",
            &[(1, 1, Next), (3, 1, Missed(1)), (4, 1, Next)],
        ),
        (
            "many missed",
            &[(1, 1, Next), (1_000, 5, Missed(998)), (1_005, 1, Next)],
        ),
        (
            "idle, nothing lost",
            &[(1, 2, Next), (3, 0, Next), (3, 0, Next), (3, 1, Next)],
        ),
        (
            "idle, the tail lost",
            &[(1, 2, Next), (6, 0, Missed(3)), (6, 1, Next)],
        ),
        (
            "an old position",
            &[(1, 5, Next), (2, 0, Repeated), (6, 1, Next)],
        ),
        (
            "idle when it is first received",
            &[(7, 0, Next), (7, 2, Next), (10, 1, Missed(1))],
        ),
        (
            "a forged position hides nothing",
            &[
                (1, 1, Next),
                (65_000, 0, Missed(64_998)),
                (2, 1, Restarted),
                (3, 1, Next),
                (3, 0, Repeated),
                (4, 1, Next),
            ],
        ),
        (
            "the largest number",
            &[(u64::MAX - 1, 1, Next), (u64::MAX, 1, Next)],
        ),
    ];

    #[test]
    fn each_case_of_the_table_has_its_verdicts() {
        let now = Instant::now();
        for (case, frames) in TABLE {
            let mut sequences = Sequences::default();
            for (first, events, verdict) in *frames {
                let judged = sequences.take(ANNA, *first, *events, now);
                assert_eq!(judged, *verdict, "{case}: {events} events from {first}");
            }
        }
    }

    #[test]
    fn a_frame_with_the_same_numbers_and_another_content_is_not_a_repeated_one() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        let mut judge = |first, bytes| sequences.receive(ANNA, numbered(first, 1, bytes), now);
        judge(1, b"forged");
        assert_eq!(judge(1, b"true"), Restarted);
        assert_eq!(judge(2, b"next"), Next);
    }

    #[test]
    fn a_long_frame_that_differs_in_one_byte_is_not_a_repeated_one() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        let mut judge = |bytes| sequences.receive(ANNA, numbered(1, 1, bytes), now);
        let (one, mut other) = ([b'x'; 10_000], [b'x'; 10_000]);
        other[5_000] = b'y';
        judge(&one);
        assert_eq!(judge(&other), Restarted);
        assert_eq!(judge(&other), Repeated);
    }

    #[test]
    fn each_sender_has_its_own_numbers() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.take(ANNA, 1, 5, now);
        assert_eq!(sequences.take(BELA, 10, 1, now), Next);
        assert_eq!(sequences.take(ANNA, 6, 1, now), Next);
    }

    #[test]
    fn the_missed_first_events_of_a_new_member_are_a_gap() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.join(ANNA, now);
        assert_eq!(sequences.take(ANNA, 4, 1, now), Missed(3));
    }

    /// Receives the first event of each sender.
    fn crowd(sequences: &mut Sequences, senders: std::ops::Range<usize>, now: Instant) {
        for n in senders {
            sequences.take(NodeId::new(1_000 + n as u128), 1, 1, now);
        }
    }

    #[test]
    fn a_sender_that_is_silent_while_many_new_ones_are_received_is_remembered() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.take(ANNA, 1, 1, now);
        crowd(&mut sequences, 0..SENDERS, now);
        assert_eq!(sequences.take(ANNA, 5, 1, now), Missed(3));
        assert!(!sequences.has_lost_track());
    }

    #[test]
    fn the_number_of_remembered_senders_is_bounded_and_forgotten_ones_are_reported() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.take(ANNA, 1, 1, now);
        crowd(&mut sequences, 0..10 * SENDERS, now);
        assert!(sequences.has_lost_track());
        // No sender is forgotten while the list of members is queried.
        assert_eq!(sequences.take(ANNA, 5, 1, now), Missed(3));
        let late = now + ANSWER;
        crowd(&mut sequences, 0..10 * SENDERS, late);
        crowd(&mut sequences, 0..SENDERS, late + ANSWER);
        assert!(sequences.young.len() + sequences.old.len() <= 2 * SENDERS + 2);
        assert!(sequences.has_lost_track());
        assert!(!sequences.has_lost_track());
        // With the answer there is room again.
        sequences.set_members(ANNA, []);
        crowd(&mut sequences, 20 * SENDERS..20 * SENDERS + 10, late);
        assert!(sequences.has_lost_track());
        // It may have been forgotten: the number of missed events is unknown.
        assert_eq!(sequences.take(NodeId::new(3), 5, 1, late), Next);
        assert!(sequences.has_lost_track());
        // A sender that begins at 1 is new.
        sequences.take(NodeId::new(4), 1, 1, late);
        assert!(!sequences.has_lost_track());
    }

    #[test]
    fn the_number_of_remembered_senders_is_bounded_if_all_of_them_are_active() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        for round in 1..10 {
            crowd(&mut sequences, 0..round * SENDERS, now);
            sequences.set_members(ANNA, []);
        }
        assert!(sequences.young.len() + sequences.old.len() <= 4 * (SENDERS + 1));
        assert!(sequences.has_lost_track());
    }

    #[test]
    fn an_active_sender_is_not_forgotten() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        sequences.take(ANNA, 1, 1, now);
        for round in 0..3 {
            crowd(&mut sequences, round * SENDERS..(round + 1) * SENDERS, now);
            sequences.set_members(NodeId::new(9), []);
            let first = 3 + 2 * round as u64;
            assert_eq!(sequences.take(ANNA, first, 1, now), Missed(1));
        }
    }

    #[test]
    fn a_sender_that_was_silent_for_two_hours_is_forgotten_without_a_gap() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        let full = SENDERS + 1;
        sequences.set_members(ANNA, []);
        crowd(&mut sequences, 0..full, now);
        let late = now + MEMORY;
        crowd(&mut sequences, full..2 * full, late);
        sequences.set_members(ANNA, []);
        crowd(&mut sequences, 2 * full..2 * full + 1, late);
        assert_eq!(sequences.old.len(), full);
        assert!(!sequences.has_lost_track());
    }

    #[test]
    fn a_sender_that_may_have_been_forgotten_is_a_gap_for_two_hours() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        crowd(&mut sequences, 0..3 * SENDERS, now);
        assert!(sequences.has_lost_track());
        sequences.take(NodeId::new(3), 5, 1, now + MEMORY / 2);
        assert!(sequences.has_lost_track());
        sequences.set_members(ANNA, []);
        sequences.take(NodeId::new(4), 5, 1, now + MEMORY * 2);
        assert!(!sequences.has_lost_track());
    }

    #[test]
    fn members_are_never_forgotten() {
        let (mut sequences, mut now) = (Sequences::default(), Instant::now());
        sequences.join(ANNA, now);
        sequences.take(BELA, 1, 1, now);
        for round in 0..10 {
            crowd(&mut sequences, round * SENDERS..(round + 1) * SENDERS, now);
            if sequences.queries_members() {
                sequences.set_members(ANNA, [BELA]);
            }
            now += ANSWER / 4;
        }
        assert_eq!(sequences.take(BELA, 5, 1, now), Missed(3));
        assert_eq!(sequences.take(ANNA, 3, 1, now), Missed(2));
    }

    /// An action of a sender: it sends a frame of this many events, or reconnects. Then it repeats
    /// the frames in flight; those of the old connection that were not `taken` arrive `later`.
    #[derive(Clone, Debug)]
    enum Step {
        Send(u32),
        Reconnect { taken: usize, later: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let send = (1_u32..5).prop_map(Step::Send);
        let reconnect = (0_usize..=IN_FLIGHT, 0_usize..6)
            .prop_map(|(taken, later)| Step::Reconnect { taken, later });
        prop::collection::vec(prop_oneof![4 => send, 1 => reconnect], 1..60)
    }

    proptest! {
        /// For frames in any order: a frame is dropped only if the same one was delivered before,
        /// and `Missed` and `Restarted` say exactly what was skipped.
        #[test]
        fn only_frames_that_were_delivered_before_are_dropped(
            frames in prop::collection::vec((1_u64..40, 0_u32..5, 0_u8..2), 1..60),
        ) {
            let now = Instant::now();
            let mut sequences = Sequences::default();
            let mut delivered = Vec::new();
            let mut next = None;
            for frame in frames {
                let (first, events, content) = frame;
                let verdict = sequences.receive(ANNA, numbered(first, events, &[content]), now);
                let expected = next.unwrap_or(first);
                match verdict {
                    Next => prop_assert_eq!(first, expected),
                    Missed(missed) => {
                        prop_assert!(missed > 0);
                        prop_assert_eq!(first, expected + missed);
                    }
                    Restarted => prop_assert!(first < expected && events > 0),
                    Repeated if events == 0 => prop_assert!(first < expected),
                    Repeated => prop_assert!(delivered.contains(&frame)),
                }
                let end = first + u64::from(events);
                if verdict == Repeated {
                    next = Some(expected.max(if events == 0 { 0 } else { end }));
                } else {
                    delivered.push(frame);
                    next = Some(end);
                }
            }
        }

        /// For any reconnects of a sender and any delay of its frames in flight: each event is
        /// delivered once, in order, and there is no gap.
        #[test]
        fn repeated_frames_are_delivered_once_and_are_no_gap(steps in steps()) {
            let now = Instant::now();
            let mut sequences = Sequences::default();
            sequences.join(ANNA, now);
            let (mut wire, mut next) = (Vec::new(), 1_u64);
            let mut in_flight: Vec<(u64, u32)> = Vec::new();
            let mut late: Vec<(usize, (u64, u32))> = Vec::new();
            for step in steps {
                match step {
                    Step::Send(events) => {
                        if in_flight.len() == IN_FLIGHT {
                            in_flight.remove(0);
                        }
                        in_flight.push((next, events));
                        wire.push((next, events));
                        next += u64::from(events);
                    }
                    Step::Reconnect { taken, later } => {
                        let lost = in_flight.iter().skip(taken).copied();
                        late.extend(lost.map(|frame| (wire.len() + 1 + later, frame)));
                        wire.extend(&in_flight);
                        wire.push((next, 0));
                    }
                }
                while let Some(at) = late.iter().position(|(due, _)| *due <= wire.len()) {
                    wire.push(late.remove(at).1);
                }
            }
            let mut delivered = 1;
            for (first, events) in wire {
                match sequences.take(ANNA, first, events, now) {
                    Next => {
                        prop_assert_eq!(first, delivered);
                        delivered += u64::from(events);
                    }
                    verdict => prop_assert_eq!(verdict, Repeated),
                }
            }
            prop_assert_eq!(delivered, next);
        }
    }
}
