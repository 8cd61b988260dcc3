//! The wait for room in full queues of handlers. It has one time budget for the bus, because no
//! handler gets new events during the wait.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{Instant, timeout};

use crate::receive::batch::Batch;
use crate::receive::queue::Push;
use crate::receive::subscription::SubscriptionSlot;

/// The maximum wait at once for handlers that are slow or stuck.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The maximum wait in all.
const IN_ALL: Duration = Duration::from_secs(10);

/// One second of the budget is restored in this many: so it is 10 s of each minute.
const RESTORED_IN: u32 = 6;

/// The average time for an event up to which a handler does not count as slow.
const FAST: Duration = Duration::from_micros(100);

/// The maximum time between two measurements of the handlers' progress.
const INTERVAL: Duration = Duration::from_millis(100);

/// The time between two reports of a wait without a limit.
const LONG: Duration = Duration::from_secs(30);

/// The maximum time between two waits that count as one.
const BETWEEN: Duration = Duration::from_secs(1);

/// The time over which progress is measured when the budget is spent.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// The time budget for waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WaitBudget {
    spent: Duration,
    at: Option<Instant>,
    /// Spent on the current frame.
    at_once: Duration,
    /// The wait that goes on, or has just ended, if it is not limited.
    held_up: Option<HeldUp>,
}

/// A wait, which may be for the room of several frames.
#[derive(Clone, Copy, Debug)]
struct HeldUp {
    since: Instant,
    until: Instant,
    reported: Instant,
}

/// A subscription without room, and what did not fit.
pub(crate) type Waiting = (Arc<SubscriptionSlot>, Batch);

impl WaitBudget {
    /// Starts with a new frame.
    fn begin(&mut self, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now - at);
        self.spent = self.spent.saturating_sub(since / RESTORED_IN);
        self.at = Some(now);
        self.at_once = Duration::ZERO;
        self.held_up
            .take_if(|held_up| now - held_up.until > BETWEEN);
    }

    /// Returns for how long the bus has waited, if that is to be reported now.
    fn long_wait(&mut self, now: Instant) -> Option<Duration> {
        let held_up = self.held_up.get_or_insert(HeldUp {
            since: now,
            until: now,
            reported: now,
        });
        held_up.until = now;
        if now - held_up.reported < LONG {
            return None;
        }
        held_up.reported = now;
        Some(now - held_up.since)
    }

    fn left(&self) -> Duration {
        let in_all = IN_ALL.saturating_sub(self.spent);
        in_all.min(AT_ONCE.saturating_sub(self.at_once))
    }

    fn waited(&mut self, slow: Duration) {
        self.spent += slow;
        self.at_once += slow;
    }

    /// Waits until there is room for all batches. If the wait is limited and the budget is spent, what
    /// does not fit the queue of a slow handler is passed to `drop`. The wait for a handler that is only
    /// overrun has no limit, which slows the senders down. A wait that is not limited is passed to
    /// `report` every 30 s.
    pub(crate) async fn wait(
        &mut self,
        mut waiting: Vec<Waiting>,
        is_limited: bool,
        mut drop: impl FnMut(&SubscriptionSlot, Batch),
        report: impl Fn(&SubscriptionSlot, Duration),
    ) {
        self.begin(Instant::now());
        while !waiting.is_empty() {
            let (since, begun) = (Instant::now(), begun(&waiting));
            let interval = if is_limited {
                INTERVAL.min(self.left())
            } else {
                INTERVAL
            };
            let rooms = waiting
                .iter()
                .map(|(subscription, _)| Box::pin(subscription.queue.room()));
            let any = select_all(rooms);
            if !is_limited && let Some(waited) = self.long_wait(since) {
                for (subscription, _) in &waiting {
                    report(subscription, waited);
                }
            }
            let _ = timeout(interval.max(MIN_INTERVAL), any).await;
            let time = since.elapsed();
            let slow: Vec<_> = waiting
                .iter()
                .zip(begun)
                .map(|((subscription, _), before)| slow(time, subscription.begun() - before))
                .collect();
            self.waited(slow.iter().copied().max().unwrap_or_default());
            let is_over = is_limited && self.left().is_zero();
            let tried = waiting.into_iter().zip(slow);
            waiting = tried
                .filter_map(
                    |((subscription, batch), slow)| match subscription.queue.push(batch) {
                        Push::Done => None,
                        Push::NoRoom(rest) if is_over && !slow.is_zero() => {
                            subscription.queue.mark_stuck();
                            drop(&subscription, rest);
                            None
                        }
                        Push::NoRoom(rest) => Some((subscription, rest)),
                        Push::Stuck(rest) if !is_limited => Some((subscription, rest)),
                        Push::Stuck(rest) => {
                            drop(&subscription, rest);
                            None
                        }
                    },
                )
                .collect();
        }
    }
}

fn begun(waiting: &[Waiting]) -> Vec<u64> {
    waiting
        .iter()
        .map(|(subscription, _)| subscription.begun())
        .collect()
}

/// The part of `time` that counts as slow for a handler that began this many `events` in it.
fn slow(time: Duration, events: u64) -> Duration {
    let is_fast = u128::from(events) * FAST.as_nanos() >= time.as_nanos();
    if is_fast { Duration::ZERO } else { time }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::receive::subscription::HandlerOptions;

    #[test]
    fn the_budget_is_one_second_at_once_and_ten_of_each_minute() {
        let (mut budget, start) = (WaitBudget::default(), Instant::now());
        let mut frames = 0;
        loop {
            budget.begin(start);
            if budget.left() < AT_ONCE {
                break;
            }
            budget.waited(AT_ONCE);
            assert_eq!(budget.left(), Duration::ZERO);
            frames += 1;
        }
        assert_eq!((frames, budget.left()), (10, Duration::ZERO));
        budget.begin(start + Duration::from_secs(3));
        assert_eq!(budget.left(), Duration::from_millis(500));
        budget.begin(start + Duration::from_secs(63));
        assert_eq!(budget.left(), AT_ONCE);
    }

    #[test]
    fn a_handler_that_takes_more_than_100_us_for_an_event_is_slow() {
        assert_eq!(slow(INTERVAL, 1_000), Duration::ZERO);
        assert_eq!(slow(INTERVAL, 999), INTERVAL);
        assert_eq!(slow(INTERVAL, 0), INTERVAL);
        assert_eq!(slow(Duration::from_micros(30), 1), Duration::ZERO);
    }

    /// A subscription with a full queue that nothing takes from.
    fn stuck() -> Waiting {
        let handling = HandlerOptions::new().queue(1);
        let subscription = Arc::new(SubscriptionSlot::new(Arc::from("tick (stuck)"), handling));
        assert!(matches!(
            subscription.queue.push(Batch::for_test(1..=1, 1)),
            Push::Done
        ));
        (subscription, Batch::for_test(2..=4, 1))
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_twelve_stuck_handlers_is_as_long_as_for_one() {
        let (mut budget, mut dropped) = (WaitBudget::default(), 0);
        let began = Instant::now();

        let waiting = (0..12).map(|_| stuck()).collect();
        budget
            .wait(
                waiting,
                true,
                |_, rest| dropped += rest.events.len(),
                |_, _| {},
            )
            .await;

        assert_eq!((dropped, began.elapsed()), (12 * 3, AT_ONCE));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_handlers_share_one_budget() {
        let mut budget = WaitBudget::default();
        let began = Instant::now();

        for _ in 0..100 {
            budget.wait(vec![stuck()], true, |_, _| {}, |_, _| {}).await;
        }

        // Ten seconds, and a sixth of the time that passes.
        assert!(
            began.elapsed() < Duration::from_secs(13),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_makes_room_in_time_loses_nothing() {
        let mut budget = WaitBudget::default();
        let (subscription, rest) = stuck();
        let reader = Arc::clone(&subscription);
        let reading = tokio::spawn(async move {
            while reader.queue.next().await.is_some() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });

        budget
            .wait(
                vec![(subscription, rest)],
                true,
                |_, _| panic!("nothing is lost"),
                |_, _| {},
            )
            .await;

        reading.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_a_limit_is_reported_every_30_s() {
        let (mut budget, reports) = (WaitBudget::default(), RefCell::new(Vec::new()));
        let report = |subscription: &SubscriptionSlot, waited: Duration| {
            let waited = waited.as_secs();
            reports
                .borrow_mut()
                .push((subscription.handler.to_string(), waited));
        };

        // Each frame gets room after 20 s.
        for _ in 0..4 {
            let waiting = budget.wait(vec![stuck()], false, |_, _| {}, report);
            let waited = timeout(Duration::from_secs(20), waiting).await;
            assert!(waited.is_err());
        }

        let expected = [30, 60].map(|seconds| ("tick (stuck)".to_owned(), seconds));
        assert_eq!(reports.take(), expected);
    }
}
