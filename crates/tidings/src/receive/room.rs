//! Waiting for room in the full queues of handlers: for all of a frame together, and within one
//! budget of the bus, because all its handlers wait meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{Instant, timeout};

use crate::receive::batch::Batch;
use crate::receive::queue::Push;
use crate::receive::subscription::SubscriptionSlot;

/// How long reading may wait at once for handlers that are slow or stuck …
const AT_ONCE: Duration = Duration::from_secs(1);

/// … and in all.
const IN_ALL: Duration = Duration::from_secs(10);

/// One second of waiting is forgiven after this many: so it is 10 s of each minute.
const FORGIVEN: u32 = 6;

/// How long a handler may take for an event on average without being called slow.
const BRISK: Duration = Duration::from_micros(100);

/// After this time at the latest it is seen how far the handlers have come.
const WHILE: Duration = Duration::from_millis(100);

/// Where the budget is spent, a handler has this time to show that it is only overrun.
const LOOK: Duration = Duration::from_millis(5);

/// What is left of the time that reading may wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    spent: Duration,
    at: Option<Instant>,
    /// For the frame at hand.
    at_once: Duration,
}

/// A subscription without room, and what did not fit.
pub(crate) type Waiting = (Arc<SubscriptionSlot>, Batch);

impl Patience {
    /// Begins with another frame.
    fn begin(&mut self, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now - at);
        self.spent = self.spent.saturating_sub(since / FORGIVEN);
        self.at = Some(now);
        self.at_once = Duration::ZERO;
    }

    fn left(&self) -> Duration {
        let in_all = IN_ALL.saturating_sub(self.spent);
        in_all.min(AT_ONCE.saturating_sub(self.at_once))
    }

    fn waited(&mut self, slow: Duration) {
        self.spent += slow;
        self.at_once += slow;
    }

    /// Waits until all of it found room. What a slow handler has no room for in the end is given
    /// to `drop`; one that is merely overrun is waited for as long as it takes: that is how senders
    /// notice that they are too fast.
    pub(crate) async fn wait(
        &mut self,
        mut waiting: Vec<Waiting>,
        mut drop: impl FnMut(&SubscriptionSlot, Batch),
    ) {
        self.begin(Instant::now());
        while !waiting.is_empty() {
            let (since, begun) = (Instant::now(), begun(&waiting));
            let rooms = waiting
                .iter()
                .map(|(subscription, _)| Box::pin(subscription.queue.room()));
            let any = select_all(rooms);
            let _ = timeout(WHILE.min(self.left()).max(LOOK), any).await;
            let time = since.elapsed();
            let slow: Vec<_> = waiting
                .iter()
                .zip(begun)
                .map(|((subscription, _), before)| slow(time, subscription.begun() - before))
                .collect();
            self.waited(slow.iter().copied().max().unwrap_or_default());
            let is_over = self.left().is_zero();
            let tried = waiting.into_iter().zip(slow);
            waiting = tried
                .filter_map(
                    |((subscription, batch), slow)| match subscription.queue.push(batch) {
                        Push::Done => None,
                        Push::NoRoom(rest) if is_over && !slow.is_zero() => {
                            subscription.queue.is_stuck();
                            drop(&subscription, rest);
                            None
                        }
                        Push::NoRoom(rest) => Some((subscription, rest)),
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

/// How much of a time counts as waiting for a slow handler, if it began with so many events.
fn slow(time: Duration, events: u64) -> Duration {
    let is_brisk = u128::from(events) * BRISK.as_nanos() >= time.as_nanos();
    if is_brisk { Duration::ZERO } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::subscription::HandlerOptions;

    #[test]
    fn reading_waits_a_second_at_once_and_ten_of_each_minute() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut frames = 0;
        loop {
            patience.begin(start);
            if patience.left() < AT_ONCE {
                break;
            }
            patience.waited(AT_ONCE);
            assert_eq!(patience.left(), Duration::ZERO);
            frames += 1;
        }
        assert_eq!((frames, patience.left()), (10, Duration::ZERO));
        patience.begin(start + Duration::from_secs(3));
        assert_eq!(patience.left(), Duration::from_millis(500));
        patience.begin(start + Duration::from_secs(63));
        assert_eq!(patience.left(), AT_ONCE);
    }

    #[test]
    fn a_handler_is_slow_that_takes_more_than_100_us_for_an_event() {
        assert_eq!(slow(WHILE, 1_000), Duration::ZERO);
        assert_eq!(slow(WHILE, 999), WHILE);
        assert_eq!(slow(WHILE, 0), WHILE);
        assert_eq!(slow(Duration::from_micros(30), 1), Duration::ZERO);
    }

    /// A subscription that takes nothing out of its queue, which is full.
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
    async fn twelve_stuck_handlers_are_waited_for_no_longer_than_one() {
        let (mut patience, mut dropped) = (Patience::default(), 0);
        let began = Instant::now();

        let waiting = (0..12).map(|_| stuck()).collect();
        patience
            .wait(waiting, |_, rest| dropped += rest.events.len())
            .await;

        assert_eq!((dropped, began.elapsed()), (12 * 3, AT_ONCE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_that_of_the_bus_whichever_handlers_are_slow() {
        let mut patience = Patience::default();
        let began = Instant::now();

        for _ in 0..100 {
            patience.wait(vec![stuck()], |_, _| {}).await;
        }

        // Of the ten seconds of a minute, a sixth of the time that passes is forgiven.
        assert!(
            began.elapsed() < Duration::from_secs(13),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_makes_room_in_time_loses_nothing() {
        let mut patience = Patience::default();
        let (subscription, rest) = stuck();
        let reader = Arc::clone(&subscription);
        let reading = tokio::spawn(async move {
            while reader.queue.next().await.is_some() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });

        patience
            .wait(vec![(subscription, rest)], |_, _| panic!("nothing is lost"))
            .await;

        reading.abort();
    }
}
