//! Delivers failures and gaps to the application: bounded, in order, in a task of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::error::failure::Failure;
use crate::error::gap::{Gap, GapReason};
use crate::error::report;
use crate::observe::failure_hook::FailureHook;
use crate::observe::health::Counts;
use crate::observe::inspection::Recent;
use crate::observe::metrics::{Failures, Gaps};
use crate::observe::stderr;
use crate::observe::tap::Taps;
use crate::task::mailbox::Mailbox;
use crate::task::mutex::Mutex;
use crate::task::panic::caught;

/// The number of reports that wait for a handler. Further failures are counted, further gaps merged.
const WAITING: usize = 1_024;

/// Collects the failures and gaps of all parts of the bus.
#[derive(Debug)]
pub(crate) struct Reports {
    counts: Arc<Counts>,
    kinds: Failures,
    reasons: Gaps,
    failures: Mailbox<Failure>,
    suppressed: AtomicU64,
    /// The mailboxes of gap handlers by subscription id, in the order of registration.
    gap_boxes: Mutex<BTreeMap<u64, Arc<GapBox>>>,
    pub(crate) taps: Taps,
    pub(crate) recent: Recent,
    /// The number of gaps in received events, for the other parts of the bus.
    pub(crate) missed: watch::Sender<u64>,
    /// Notifies the other parts of the bus about input that could not be decoded.
    pub(crate) unread: watch::Sender<()>,
}

/// The gaps that one `on_gap` handler has not received yet.
pub(crate) type GapBox = Mailbox<Gap>;

impl Reports {
    pub(crate) fn new(counts: Arc<Counts>) -> Self {
        Self {
            counts,
            kinds: Failures::new(),
            reasons: Gaps::new(),
            failures: Mailbox::default(),
            suppressed: AtomicU64::new(0),
            gap_boxes: Mutex::default(),
            taps: Taps::default(),
            recent: Recent::default(),
            missed: watch::Sender::new(0),
            unread: watch::Sender::new(()),
        }
    }

    pub(crate) fn failure(&self, failure: Failure) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        self.kinds.add(&failure);
        let Some(failure) = self.failures.push_or_merge(failure) else {
            return;
        };
        if self.failures.lock().is_closed {
            log(failure, true);
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            // The error of the application in it may panic when it is dropped.
            let _ = caught(|| drop(failure));
        }
    }

    /// Reports input that could not be decoded. It may have been a change notification.
    pub(crate) fn unreadable(&self, failure: Failure) {
        self.failure(failure);
        self.unread.send_replace(());
    }

    /// Notifications of changes may have been missed, and no events of the application.
    pub(crate) fn notifications_missed(&self) {
        self.missed.send_modify(|times| *times += 1);
    }

    pub(crate) fn gap(&self, gap: &Gap) {
        let missed = gap.missed.unwrap_or(0);
        self.counts.gaps.fetch_add(1, Ordering::Relaxed);
        self.reasons.add(&gap.reason);
        self.recent.gap(gap);
        match gap.reason {
            GapReason::Overflow { .. } => Counts::add(&self.counts.dropped, missed),
            // They were received.
            GapReason::Diverged { .. } => {}
            // No notifications among them: those do not go through the journal.
            GapReason::Predecessor { .. } => Counts::add(&self.counts.missed, missed),
            GapReason::Reconnected
            | GapReason::Missed
            | GapReason::Trimmed
            | GapReason::JournalLost => {
                Counts::add(&self.counts.missed, missed);
                self.missed.send_modify(|times| *times += 1);
            }
        }
        let is_received = matches!(gap.reason, GapReason::Overflow { .. });
        if self.taps.is_any() && !is_received {
            self.taps.gap(gap);
        }
        let boxes = self.gap_boxes.lock();
        for gaps in boxes.values() {
            gaps.push_or_merge(gap.clone());
        }
        let has_handler = !boxes.is_empty();
        // The `tracing` subscriber of the application may call this bus.
        drop(boxes);
        if !has_handler {
            tracing::warn!(%gap, "gap without an `on_gap` handler");
            stderr::gap(gap);
        }
    }

    /// Adds a mailbox for gaps.
    pub(crate) fn add(&self, id: u64, gaps: Arc<GapBox>) {
        self.gap_boxes.lock().insert(id, gaps);
    }

    pub(crate) fn remove(&self, id: u64) {
        self.gap_boxes.lock().remove(&id);
    }

    /// True if the application has a gap handler.
    pub(crate) fn has_gap_handlers(&self) -> bool {
        !self.gap_boxes.lock().is_empty()
    }

    /// Accepts no more reports; those that wait are still delivered.
    pub(crate) fn close(&self) {
        self.failures.close();
        let boxes = std::mem::take(&mut *self.gap_boxes.lock());
        for gaps in boxes.values() {
            gaps.close();
        }
        self.taps.close();
    }

    /// Passes each failure to the hook, or to the log if there is none.
    pub(crate) async fn run(self: Arc<Self>, hook: Option<FailureHook>) {
        while let Some(failure) = self.failures.next().await {
            self.recent.failure(&failure);
            tell(hook.as_ref(), failure).await;
            let count = self.suppressed.swap(0, Ordering::Relaxed);
            if count > 0 {
                tell(hook.as_ref(), Failure::Suppressed { count }).await;
            }
        }
    }
}

/// Closes the reports when it is dropped: nothing that happens afterwards is reported.
#[derive(Debug)]
pub(crate) struct OpenReports(pub(crate) Arc<Reports>);

impl Drop for OpenReports {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Reports {
    /// Logs the failures that still wait, one by one: the error of the application in one may panic
    /// when it is dropped.
    fn drop(&mut self) {
        for failure in self.failures.take() {
            log(failure, true);
        }
    }
}

/// Passes a failure to the hook, or else to the log.
async fn tell(hook: Option<&FailureHook>, failure: Failure) {
    match hook {
        Some(hook) => hook.call(failure).await,
        None => log(failure, false),
    }
}

/// Logs a failure that no hook gets. The `Display` and the drop of its errors are code of the
/// application.
fn log(failure: Failure, has_ended: bool) {
    let logged = caught(|| print(&failure, has_ended));
    // Separately: a panic while another one unwinds would end the process.
    if let Err(panic) = logged.and(caught(|| drop(failure))) {
        tracing::error!(panic, "reporting a failure panicked");
    }
}

fn print(failure: &Failure, has_ended: bool) {
    let text = report(failure).to_string();
    stderr::failure(failure, &text);
    if has_ended {
        tracing::error!(
            failure = text,
            "a failure that `on_failure` does not get, because the bus has ended"
        );
    } else {
        tracing::error!(failure = text, "a failure, and no `on_failure` hook");
    }
}

impl Mailbox<Failure> {
    /// Events that were given up for the same reason are one report, as long as it waits. Gives the
    /// failure back when it does not fit.
    fn push_or_merge(&self, failure: Failure) -> Option<Failure> {
        if let Failure::Send { events, event, why } = &failure
            && let Some(Failure::Send {
                events: sum,
                event: last,
                why: its,
            }) = self.lock().waiting.back_mut()
            && (&*last, &*its) == (event, why)
        {
            *sum = sum.saturating_add(*events);
            return None;
        }
        let mut mailbox = self.lock();
        if mailbox.is_closed || mailbox.waiting.len() == WAITING {
            return Some(failure);
        }
        mailbox.waiting.push_back(failure);
        drop(mailbox);
        self.wake();
        None
    }
}

impl Mailbox<Gap> {
    /// Adds the counts of gaps that are otherwise equal. A full mailbox loses detail but no gap: two
    /// different gaps become one that covers both.
    fn push_or_merge(&self, gap: Gap) {
        let mut mailbox = self.lock();
        let is_full = mailbox.waiting.len() == WAITING;
        if let Some(last) = mailbox.waiting.back_mut() {
            if last.add(&gap) {
                return;
            }
            if is_full {
                return last.widen(&gap);
            }
        }
        if !mailbox.is_closed {
            mailbox.waiting.push_back(gap);
            drop(mailbox);
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use tidings_codec::NodeId;

    use super::*;
    use crate::error::failure::{HandlerError, HandlerFailure};

    fn gap(sender: u128, missed: u64) -> Gap {
        Gap {
            sender: Some(NodeId::new(sender)),
            missed: Some(missed),
            reason: GapReason::Missed,
        }
    }

    #[tokio::test]
    async fn gaps_of_one_kind_add_up() {
        let gaps = GapBox::default();
        gaps.push_or_merge(gap(1, 2));
        gaps.push_or_merge(gap(1, 3));
        gaps.push_or_merge(gap(2, 1));
        assert_eq!(gaps.next().await, Some(gap(1, 5)));
        assert_eq!(gaps.next().await, Some(gap(2, 1)));
    }

    #[tokio::test]
    async fn gaps_of_unknown_size_take_no_room_from_those_that_are_counted() {
        let gaps = GapBox::default();
        let reconnected = Gap {
            sender: None,
            missed: None,
            reason: GapReason::Reconnected,
        };
        (0..=WAITING).for_each(|_| gaps.push_or_merge(reconnected.clone()));
        gaps.push_or_merge(gap(1, 2));
        assert_eq!(gaps.next().await, Some(reconnected));
        assert_eq!(gaps.next().await, Some(gap(1, 2)));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it fails")]
    struct Explosive;

    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("it went off");
        }
    }

    #[derive(Debug)]
    struct Unspeakable;

    impl std::error::Error for Unspeakable {}

    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("it has no words")
        }
    }

    impl Drop for Unspeakable {
        fn drop(&mut self) {
            panic!("it went off");
        }
    }

    fn failed(error: HandlerError) -> Failure {
        Failure::Handler {
            event: "tick".into(),
            handler: "tick (a test)".into(),
            sender: None,
            sequence: None,
            cause: HandlerFailure::Failed(error),
        }
    }

    #[test]
    fn an_error_that_panics_when_it_is_dropped_harms_nobody_where_there_is_no_room_for_it() {
        let reports = Reports::new(Arc::new(Counts::new()));
        (0..WAITING).for_each(|_| reports.failure(failed("no".into())));

        reports.failure(failed(Box::new(Explosive)));

        assert_eq!(reports.suppressed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn errors_that_panic_when_they_are_dropped_harm_nobody_where_they_wait_at_the_end() {
        let reports = Reports::new(Arc::new(Counts::new()));
        (0..3).for_each(|_| reports.failure(failed(Box::new(Explosive))));

        drop(reports);
    }

    #[test]
    fn an_error_that_panics_when_it_is_told_and_again_when_it_is_dropped_harms_nobody() {
        log(failed(Box::new(Unspeakable)), false);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{}", .0.fetch_add(1, Ordering::Relaxed))]
    struct Counted(Arc<AtomicU64>);

    #[test]
    fn failures_that_wait_at_the_end_are_logged() {
        let reports = Reports::new(Arc::new(Counts::new()));
        let logged = Arc::new(AtomicU64::new(0));
        (0..3).for_each(|_| reports.failure(failed(Box::new(Counted(Arc::clone(&logged))))));

        drop(reports);

        assert_eq!(logged.load(Ordering::Relaxed), 3);
    }

    fn overflow(handler: &str) -> Gap {
        let handler = handler.into();
        Gap {
            reason: GapReason::Overflow { handler },
            ..gap(1, 1)
        }
    }

    #[tokio::test]
    async fn what_a_full_box_merges_is_told_with_the_widest_reason() {
        let reconnected = Gap {
            sender: None,
            missed: None,
            reason: GapReason::Reconnected,
        };
        for (last, next, reason) in [
            (overflow("slow"), gap(9, 8), GapReason::Missed),
            (gap(9, 8), overflow("slow"), GapReason::Missed),
            (overflow("slow"), overflow("late"), GapReason::Missed),
            (
                overflow("slow"),
                reconnected.clone(),
                GapReason::Reconnected,
            ),
            (reconnected, gap(9, 8), GapReason::Reconnected),
        ] {
            let gaps = GapBox::default();
            (1..WAITING as u128).for_each(|sender| gaps.push_or_merge(gap(100 + sender, 1)));
            gaps.push_or_merge(last);
            gaps.push_or_merge(next);
            gaps.close();
            let mut merged = None;
            while let Some(gap) = gaps.next().await {
                merged = Some(gap);
            }
            let merged = merged.unwrap();
            assert_eq!((merged.reason, merged.missed), (reason, None));
        }
    }

    #[tokio::test]
    async fn a_full_box_says_that_it_lost_count() {
        let gaps = GapBox::default();
        (0..WAITING as u128 + 5).for_each(|sender| gaps.push_or_merge(gap(sender, 1)));
        gaps.close();
        let mut received = Vec::new();
        while let Some(gap) = gaps.next().await {
            received.push(gap);
        }
        assert_eq!(received.len(), WAITING);
        assert_eq!(received[WAITING - 2], gap(WAITING as u128 - 2, 1));
        assert_eq!(
            (received[WAITING - 1].sender, received[WAITING - 1].missed),
            (None, None)
        );
    }
}
