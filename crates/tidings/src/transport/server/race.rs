//! A name with several addresses: the first that answers wins (RFC 8305, "Happy Eyeballs").

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

/// How long an address may take to connect before the next one is tried too.
const CONNECTING: Duration = Duration::from_millis(250);

/// How long an address that has connected may take to answer before the next one is tried too.
const ANSWERING: Duration = Duration::from_secs(1);

/// A future that ends with an error, or is a step further.
pub(crate) type Attempt<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// How far an attempt has come.
enum Step<C, T> {
    Connected(C),
    Ready(T),
}

/// Tries the addresses in their order, each in two steps, and returns what is ready first; the other
/// attempts are dropped. Where none gets ready: the errors, in the order in which they came.
///
/// The next attempt begins as soon as one has failed, or has taken too long for its step; the one
/// that takes long goes on. Nothing here ends an attempt: each has to have a limit of its own.
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

/// The addresses in the order in which they are tried: families take turns, beginning with that of
/// the first. One family may have no route.
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

    /// What becomes of an attempt.
    #[derive(Clone, Copy)]
    enum Fate {
        /// Neither connects nor fails.
        Silent,
        /// Connects at once, and does not answer.
        Mute,
        /// Fails after so many milliseconds.
        Fails(u64),
        /// Connects and answers after so many milliseconds each.
        Responses(u64, u64),
    }

    async fn after<T>(milliseconds: u64, value: T) -> T {
        sleep(Duration::from_millis(milliseconds)).await;
        value
    }

    /// What comes of these attempts, when that is, and when each of them began.
    async fn race(fates: &[Fate]) -> (Result<usize, Vec<usize>>, u128, Vec<u128>) {
        let (began, starts) = (Instant::now(), Mutex::new(Vec::new()));
        let connect = |number: usize| {
            starts.lock().unwrap().push(began.elapsed().as_millis());
            match fates[number] {
                Fate::Silent => pending().boxed(),
                Fate::Mute => async move { Ok(number) }.boxed(),
                Fate::Fails(at) => after(at, Err(number)).boxed(),
                Fate::Responses(at, _) => after(at, Ok(number)).boxed(),
            }
        };
        let finish = |number: usize| match fates[number] {
            Fate::Responses(_, takes) => after(takes, Ok(number)).boxed(),
            _ => pending().boxed(),
        };
        let ended = first(0..fates.len(), connect, finish).await;
        let took = began.elapsed().as_millis();
        (ended, took, starts.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_when_one_fails_or_takes_long() {
        use Fate::{Fails, Mute, Responses, Silent};
        for (fates, ended, took, starts) in [
            (&[Responses(9, 9)][..], Ok(0), 18, &[0][..]),
            (&[Silent, Responses(9, 9)], Ok(1), 268, &[0, 250]),
            (&[Mute, Responses(9, 9)], Ok(1), 1_018, &[0, 1_000]),
            (&[Fails(9), Responses(9, 9)], Ok(1), 27, &[0, 9]),
            (
                &[Silent, Silent, Responses(0, 9)],
                Ok(2),
                509,
                &[0, 250, 500],
            ),
            // One that is only slow still wins.
            (&[Responses(300, 9), Silent], Ok(0), 309, &[0, 250]),
            (&[Responses(0, 900), Responses(0, 0)], Ok(0), 900, &[0]),
            (&[Fails(9), Fails(1)], Err(vec![0, 1]), 10, &[0, 9]),
            (&[Fails(300), Fails(1)], Err(vec![1, 0]), 300, &[0, 250]),
            (&[], Err(vec![]), 0, &[]),
        ] {
            let (is, at, began) = race(fates).await;
            assert_eq!((is, at, &*began), (ended, took, starts));
        }
    }

    #[test]
    fn families_take_turns() {
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
