//! Connecting to a name with several addresses: the first that answers wins (RFC 8305, "Happy
//! Eyeballs").

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

/// The delay after which the next address is tried, if one has not connected.
const CONNECTING: Duration = Duration::from_millis(250);

/// The delay after which the next address is tried, if a connected one has not answered.
const ANSWERING: Duration = Duration::from_secs(1);

/// One step of an attempt.
pub(crate) type Attempt<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// The steps of an attempt.
enum Step<C, T> {
    Connected(C),
    Ready(T),
}

/// Tries the addresses in order, each in two steps, and returns the first that is ready. The other
/// attempts are dropped. If none succeeds, returns the errors in the order in which they occurred.
///
/// The next attempt begins when one has failed or takes too long for its step; the slow one goes on.
/// Attempts need a timeout of their own.
pub(crate) async fn first<'a, A, C, T, E>(
    addresses: impl IntoIterator<Item = A>,
    connect: impl Fn(A) -> Attempt<'a, C, E>,
    finish: impl Fn(C) -> Attempt<'a, T, E>,
) -> Result<T, Vec<E>>
where
    C: Send + 'a,
    T: Send + 'a,
    E: Send + 'a,
{
    let (mut addresses, mut errors) = (addresses.into_iter().peekable(), Vec::new());
    let mut attempts = FuturesUnordered::<Attempt<'a, Step<C, T>, E>>::new();
    let mut next_at = Instant::now();
    loop {
        let has_more = addresses.peek().is_some();
        tokio::select! {
            biased;
            Some(step) = attempts.next() => match step {
                Ok(Step::Connected(connected)) => {
                    attempts.push(finish(connected).map(|done| done.map(Step::Ready)).boxed());
                    next_at = Instant::now() + ANSWERING;
                }
                Ok(Step::Ready(ready)) => return Ok(ready),
                Err(error) => {
                    errors.push(error);
                    next_at = Instant::now();
                }
            },
            () = sleep_until(next_at), if has_more => {
                if let Some(address) = addresses.next() {
                    attempts.push(connect(address).map(|done| done.map(Step::Connected)).boxed());
                    next_at = Instant::now() + CONNECTING;
                }
            }
            else => return Err(errors),
        }
    }
}

/// Orders addresses so that families alternate, beginning with that of the first: one family may
/// have no route.
pub(crate) fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let is_first_v4 = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    let (first, other): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.is_ipv4() == is_first_v4);
    let (mut turn, mut next) = (first.into_iter(), other.into_iter());
    let mut ordered = Vec::with_capacity(turn.len() + next.len());
    while let Some(address) = turn.next() {
        ordered.push(address);
        std::mem::swap(&mut turn, &mut next);
    }
    ordered.extend(next);
    ordered
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;

    /// The behavior of an address.
    #[derive(Clone, Copy)]
    enum Behavior {
        /// Neither connects nor fails.
        Silent,
        /// Connects at once, and does not answer.
        Mute,
        /// Fails after this many milliseconds.
        Fails(u64),
        /// Connects and answers after this many milliseconds each.
        Answers(u64, u64),
    }

    async fn after<T>(milliseconds: u64, value: T) -> T {
        sleep(Duration::from_millis(milliseconds)).await;
        value
    }

    /// The result of these attempts, its time, and the start of each.
    async fn race(behaviors: &[Behavior]) -> (Result<usize, Vec<usize>>, u128, Vec<u128>) {
        let (began, starts) = (Instant::now(), Mutex::new(Vec::new()));
        let connect = |number: usize| {
            starts.lock().unwrap().push(began.elapsed().as_millis());
            match behaviors[number] {
                Behavior::Silent => pending().boxed(),
                Behavior::Mute => async move { Ok(number) }.boxed(),
                Behavior::Fails(at) => after(at, Err(number)).boxed(),
                Behavior::Answers(at, _) => after(at, Ok(number)).boxed(),
            }
        };
        let finish = |number: usize| match behaviors[number] {
            Behavior::Answers(_, takes) => after(takes, Ok(number)).boxed(),
            _ => pending().boxed(),
        };
        let ended = first(0..behaviors.len(), connect, finish).await;
        let took = began.elapsed().as_millis();
        (ended, took, starts.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_when_one_fails_or_takes_long() {
        use Behavior::{Answers, Fails, Mute, Silent};
        for (behaviors, ended, took, starts) in [
            (&[Answers(9, 9)][..], Ok(0), 18, &[0][..]),
            (&[Silent, Answers(9, 9)], Ok(1), 268, &[0, 250]),
            (&[Mute, Answers(9, 9)], Ok(1), 1_018, &[0, 1_000]),
            (&[Fails(9), Answers(9, 9)], Ok(1), 27, &[0, 9]),
            (&[Silent, Silent, Answers(0, 9)], Ok(2), 509, &[0, 250, 500]),
            // A slow one still wins.
            (&[Answers(300, 9), Silent], Ok(0), 309, &[0, 250]),
            (&[Answers(0, 900), Answers(0, 0)], Ok(0), 900, &[0]),
            (&[Fails(9), Fails(1)], Err(vec![0, 1]), 10, &[0, 9]),
            (&[Fails(300), Fails(1)], Err(vec![1, 0]), 300, &[0, 250]),
            (&[], Err(vec![]), 0, &[]),
        ] {
            let (is, at, began) = race(behaviors).await;
            assert_eq!((is, at, &*began), (ended, took, starts));
        }
    }

    #[test]
    fn address_families_alternate() {
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 6_379);
        for (found, tried) in [
            (
                &["::1", "::2", "10.0.0.1", "10.0.0.2", "10.0.0.3"][..],
                &["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"][..],
            ),
            (&["10.0.0.1", "::1", "::2"], &["10.0.0.1", "::1", "::2"]),
            (&["10.0.0.1", "10.0.0.2"], &["10.0.0.1", "10.0.0.2"]),
            (&[], &[]),
        ] {
            let tried: Vec<_> = tried.iter().map(|ip| address(ip)).collect();
            assert_eq!(in_turns(found.iter().map(|ip| address(ip))), tried);
        }
    }
}
