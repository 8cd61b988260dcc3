//! What can go wrong with a connection, and what that means for the bytes of one direction.

use std::time::Duration;

/// What a [`Proxy`](super::Proxy) does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is wrong. This is what a proxy starts with, and what ends any other fault.
    #[default]
    None,
    /// What is sent arrives this much later, in order, in both ways: the answer to a question takes
    /// twice as long. It can be ended, or made longer, for what is under direction.
    Latency(Duration),
    /// Nothing is forwarded this direction; connections stay open. What was sent is kept, and arrives when
    /// the connection passes again: once about a megabyte waits, the side that sends has to. A new
    /// connection is accepted, and hangs. A packet loss that ends.
    Blackhole(Direction),
    /// What is sent this direction is dropped for good, and its side is never told; connections stay open.
    /// That a side closed arrives when the connection passes again. A half-open connection.
    Drop(Direction),
    /// The server's end is closed and the client is not told: its own end stays open and deaf until
    /// the client closes it, or the proxy resets it; passing again does not bring it back. A new
    /// connection is accepted, and never reaches the server. A host that lost its power.
    SilentClose,
    /// The connection is reset (RST) for both sides. A new one is, too, as soon as it is there.
    Reset,
    /// What is sent arrives in pieces of so many bytes, in both ways. The reader may see several
    /// pieces at once. None counts as one.
    Slice(usize),
    /// So many more bytes are passed on this direction, and then the connection is reset for both sides.
    /// Of both ways, each counts for itself. It cuts an answer or an event in the middle.
    CutAfter(u64, Direction),
}

/// A direction of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server, and back.
    Both,
    /// Only what the client sends.
    ToServer,
    /// Only what the server sends.
    ToClient,
}

impl Direction {
    pub(super) fn covers(self, direction: Direction) -> bool {
        self == Direction::Both || self == direction
    }
}

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Pass {
        delay: Duration,
        /// How many may be written at once.
        slice: usize,
        /// How many may still be written before the connection is cut.
        left: u64,
    },
    Keep,
    Drop,
}

impl Fault {
    pub(super) fn treatment(self, of: Direction) -> Treatment {
        match self {
            Fault::Blackhole(direction) if direction.covers(of) => Treatment::Keep,
            Fault::Drop(direction) if direction.covers(of) => Treatment::Drop,
            // Whoever carries the connection ends it at once.
            Fault::SilentClose | Fault::Reset => Treatment::Keep,
            Fault::Latency(delay) => pass(delay, usize::MAX, u64::MAX),
            Fault::Slice(bytes) => pass(Duration::ZERO, bytes.max(1), u64::MAX),
            Fault::CutAfter(bytes, direction) if direction.covers(of) => {
                pass(Duration::ZERO, usize::MAX, bytes)
            }
            _ => pass(Duration::ZERO, usize::MAX, u64::MAX),
        }
    }

    /// Whether a new connection gets no further than here for now.
    pub(super) fn keeps_from_connecting(self) -> bool {
        self.treatment(Direction::ToServer) == Treatment::Keep
    }
}

fn pass(delay: Duration, slice: usize, left: u64) -> Treatment {
    Treatment::Pass { delay, slice, left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_one_way_leaves_the_other_alone() {
        let passes = Fault::None.treatment(Direction::ToServer);

        for (fault, covered) in [
            (Fault::Drop(Direction::ToClient), Treatment::Drop),
            (Fault::Blackhole(Direction::ToClient), Treatment::Keep),
        ] {
            assert_eq!(fault.treatment(Direction::ToClient), covered);
            assert_eq!(fault.treatment(Direction::ToServer), passes);
        }
        assert!(Fault::Blackhole(Direction::Both).keeps_from_connecting());
        assert!(!Fault::Blackhole(Direction::ToClient).keeps_from_connecting());
    }

    #[test]
    fn a_slice_of_nothing_is_one_byte() {
        let treatment = Fault::Slice(0).treatment(Direction::ToServer);

        assert_eq!(treatment, Fault::Slice(1).treatment(Direction::ToServer));
    }
}
