//! The responses to one request, and the members that still have to respond.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Fuse};
use tidings_codec::NodeId;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::report;
use crate::error::request::ResponseError;
use crate::receive::request::Reply;
use crate::request::pending::{OpenRequest, ResponseMessage};
use crate::request::summary::{Responder, Summary};
use crate::task::{FOREVER, milliseconds};

/// The number of responses of nodes that are no members that are accepted: any program can send them.
const FOREIGN: usize = 1_024;

/// The time for which the response of a member is awaited that has left: in a Redis Cluster, the news
/// that it left can take a shorter way.
const LATE: Duration = Duration::from_millis(100);

/// The nodes that leave the namespace.
pub(crate) type Departures = BoxStream<'static, NodeId>;

/// The responses to one request, as they are received.
pub(crate) struct OpenResponses {
    request: OpenRequest,
    departures: Fuse<Departures>,
    began: Instant,
    deadline: Pin<Box<Sleep>>,
    /// True if only members are awaited that have left, for [`LATE`] at most.
    is_late: bool,
    tally: Tally,
    end: Option<End>,
}

/// The reason why there are no more responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All members have responded or left, or the time is up.
    Complete,
    /// The bus has ended.
    Closed,
}

/// The members by their response.
#[derive(Debug)]
struct Tally {
    waiting: HashMap<NodeId, Responder>,
    left: HashMap<NodeId, Responder>,
    responded: HashSet<NodeId>,
    summary: Summary,
}

impl OpenResponses {
    /// Starts to wait, for at most `timeout`.
    pub(crate) fn new(
        request: OpenRequest,
        expected: Vec<Responder>,
        departures: Departures,
        timeout: Duration,
    ) -> Self {
        Self {
            request,
            departures: departures.fuse(),
            began: Instant::now(),
            deadline: Box::pin(sleep(timeout.min(FOREVER))),
            is_late: false,
            tally: Tally::new(expected, timeout),
            end: None,
        }
    }

    /// The next response, decoded by `read`; `None` when all members have responded or the time is up.
    pub(crate) fn poll_next<A>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl Fn(ResponseMessage) -> Result<A, ResponseError>,
    ) -> Poll<Option<(Responder, Result<A, ResponseError>)>> {
        while self.end.is_none() {
            let Some(received) = std::task::ready!(self.poll_received(cx)) else {
                self.end.get_or_insert(End::Complete);
                break;
            };
            let Some(who) = self.tally.responder(received.from) else {
                // Responses that do not count must not extend the wait.
                let is_over = self.deadline.deadline() <= Instant::now();
                self.end = is_over.then_some(End::Complete);
                continue;
            };
            let value = read(received);
            self.tally.record(&who, value.as_ref().err());
            return Poll::Ready(Some((who, value)));
        }
        Poll::Ready(None)
    }

    /// Returns true if the bus ended before all members responded.
    pub(crate) fn is_closed(&self) -> bool {
        self.end == Some(End::Closed)
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<ResponseMessage>> {
        if let Poll::Ready(received) = self.request.responses.poll_recv(cx) {
            if received.is_none() {
                self.end = Some(End::Closed);
                // The members that have not responded had less time than they were to have.
                let timeout = &mut self.tally.summary.timeout;
                let waited = Duration::from_millis(milliseconds(self.began.elapsed()));
                *timeout = waited.min(*timeout);
            }
            return Poll::Ready(received);
        }
        // Responses first: a member that responded and then left has responded.
        while let Poll::Ready(Some(node)) = self.departures.poll_next_unpin(cx) {
            self.tally.leaves(node);
        }
        if self.tally.waiting.is_empty() {
            if self.tally.left.is_empty() {
                return Poll::Ready(None);
            }
            let soon = Instant::now() + LATE;
            // Not a timer of its own: this may be polled outside of a runtime.
            if !std::mem::replace(&mut self.is_late, true) && soon < self.deadline.deadline() {
                self.deadline.as_mut().reset(soon);
            }
        }
        self.deadline.as_mut().poll(cx).map(|()| None)
    }

    /// Waits for the remaining responses, and returns the summary.
    pub(crate) async fn summary<A>(
        mut self,
        read: impl Fn(ResponseMessage) -> Result<A, ResponseError>,
    ) -> Summary {
        while poll_fn(|cx| self.poll_next(cx, &read)).await.is_some() {}
        self.tally
            .close(self.request.dropped.load(Ordering::Relaxed))
    }
}

/// Returns the encoded value of a response, or why there is none.
pub(crate) fn handled(received: ResponseMessage) -> Result<Vec<u8>, ResponseError> {
    match received.reply {
        Reply::Handled(value) => Ok(value),
        Reply::Failed(text) => Err(ResponseError::Failed { text }),
        Reply::NoHandler => Err(ResponseError::NoHandler),
    }
}

impl fmt::Debug for OpenResponses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenResponses")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

impl Tally {
    fn new(expected: Vec<Responder>, timeout: Duration) -> Self {
        let summary = Summary {
            timeout,
            ..Summary::default()
        };
        Self {
            waiting: expected.into_iter().map(|who| (who.node, who)).collect(),
            left: HashMap::new(),
            responded: HashSet::new(),
            summary,
        }
    }

    /// The member that a response is from; `None` for a second response of a node, which is ignored.
    fn responder(&mut self, from: NodeId) -> Option<Responder> {
        if self.responded.contains(&from) {
            return None;
        }
        let expected = self.waiting.remove(&from);
        let who = match expected.or_else(|| self.left.remove(&from)) {
            Some(who) => who,
            None if self.summary.unexpected.len() < FOREIGN => {
                self.summary.unexpected.push(from);
                Responder::foreign(from)
            }
            None => {
                self.summary.dropped += 1;
                return None;
            }
        };
        self.responded.insert(from);
        Some(who)
    }

    fn record(&mut self, who: &Responder, error: Option<&ResponseError>) {
        let who = who.clone();
        match error {
            None => self.summary.handled.push(who),
            Some(ResponseError::NoHandler) => self.summary.without_handler.push(who),
            Some(error) => self.summary.failed.push((who, report(error).to_string())),
        }
    }

    fn leaves(&mut self, node: NodeId) {
        if let Some(who) = self.waiting.remove(&node) {
            self.left.insert(node, who);
        }
    }

    fn close(self, dropped: usize) -> Summary {
        let mut summary = self.summary;
        summary.timed_out = by_name(self.waiting);
        summary.left = by_name(self.left);
        summary.dropped += dropped;
        summary
    }
}

fn by_name(members: HashMap<NodeId, Responder>) -> Vec<Responder> {
    let mut members: Vec<Responder> = members.into_values().collect();
    members.sort_by(|a, b| (&a.name, a.node).cmp(&(&b.name, b.node)));
    members
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::thread;

    use futures_util::stream;
    use tokio::runtime::Runtime;

    use super::*;
    use crate::Bus;
    use crate::receive::request::Respond as _;

    fn who(node: u128) -> Responder {
        Responder::foreign(NodeId::new(node))
    }

    fn tally(expected: std::ops::RangeInclusive<u128>) -> Tally {
        Tally::new(expected.map(who).collect(), Duration::ZERO)
    }

    fn responds(tally: &mut Tally, node: u128) -> bool {
        let Some(who) = tally.responder(NodeId::new(node)) else {
            return false;
        };
        tally.record(&who, None);
        true
    }

    #[test]
    fn the_wait_for_a_member_that_has_left_needs_no_runtime() {
        let runtime = Runtime::new().unwrap();
        let starting = Bus::builder("memory:late-responses").start();
        let bus = runtime.block_on(starting).unwrap();
        let mut responses = {
            let _entered = runtime.enter();
            let request = bus.inner.requests.open(|_, _| {}, 1).unwrap();
            let departures = stream::iter([NodeId::new(1)]).boxed();
            OpenResponses::new(request, vec![who(1)], departures, Duration::from_mins(1))
        };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(responses.poll_next(&mut cx, handled).is_pending());
        thread::sleep(2 * LATE);
        assert!(responses.poll_next(&mut cx, handled).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_ends_with_the_bus_does_not_count_as_one_until_the_timeout() {
        let bus = Bus::builder("memory:closed-responses")
            .membership(false)
            .start()
            .await
            .unwrap();
        let request = bus.inner.requests.open(|_, _| {}, 1).unwrap();
        let (departures, long) = (stream::pending().boxed(), Duration::from_mins(1));
        let responses = OpenResponses::new(request, vec![who(1)], departures, long);
        let short = Duration::from_secs(2);
        tokio::time::advance(short).await;
        bus.inner.requests.close();

        let summary = responses.summary(handled).await;

        assert_eq!((summary.timed_out, summary.timeout), (vec![who(1)], short));
    }

    #[test]
    fn a_node_responds_once() {
        let mut tally = tally(1..=1);
        assert!(responds(&mut tally, 1));
        assert!(!responds(&mut tally, 1));
        assert!(responds(&mut tally, 2));
        assert!(!responds(&mut tally, 2));
        assert_eq!(tally.close(0).unexpected, [NodeId::new(2)]);
    }

    #[test]
    fn a_member_that_responds_and_leaves_has_responded_in_either_order() {
        let mut tally = tally(1..=3);
        assert!(responds(&mut tally, 1));
        (1..=3).for_each(|node| tally.leaves(NodeId::new(node)));
        assert!(responds(&mut tally, 2));

        let summary = tally.close(0);

        assert_eq!(summary.handled, [who(1), who(2)]);
        assert_eq!(summary.left, [who(3)]);
        assert!(summary.unexpected.is_empty());
    }

    #[test]
    fn strangers_are_bounded_and_what_is_beyond_is_counted() {
        let mut tally = Tally::new(Vec::new(), Duration::ZERO);
        let beyond = FOREIGN as u128 + 3;
        (1..=beyond).for_each(|node| {
            responds(&mut tally, node);
        });
        let summary = tally.close(2);
        assert_eq!(summary.handled.len(), FOREIGN);
        assert_eq!(summary.dropped, 5);
    }
}
