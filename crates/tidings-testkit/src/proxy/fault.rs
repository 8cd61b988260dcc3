//! What can go wrong with a connection, and what that means for the bytes of one way.

use std::time::Duration;

/// What a [`Proxy`](super::Proxy) does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is wrong. This is what a proxy starts with, and what ends any other fault.
    #[default]
    Pass,
    /// What is sent arrives this much later, in order, in both ways: the answer to a question takes
    /// twice as long. It can be ended, or made longer, for what is under way.
    Latency(Duration),
    /// Nothing is forwarded this way; connections stay open. What was sent is kept, and arrives when
    /// the connection passes again: once about a megabyte waits, the side that sends has to. A new
    /// connection is accepted, and hangs. A packet loss that ends.
    Blackhole(Way),
    /// What is sent this way is dropped for good, and its side is never told; connections stay open.
    /// That a side closed arrives when the connection passes again. A half-open connection.
    Swallow(Way),
    /// The server's end is closed and the client is not told: its own end stays open and deaf until
    /// the client closes it, or the proxy resets it; passing again does not bring it back. A new
    /// connection is accepted, and never reaches the server. A host that lost its power.
    SilentClose,
    /// The connection is reset (RST) for both sides. A new one is, too, as soon as it is there.
    Reset,
    /// What is sent arrives in pieces of so many bytes, in both ways. The reader may see several
    /// pieces at once. None counts as one.
    Slice(usize),
    /// So many more bytes are passed on this way, and then the connection is reset for both sides.
    /// Of both ways, each counts for itself. It cuts an answer or an event in the middle.
    CutAfter(u64, Way),
}

/// A way of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server, and back.
    Both,
    /// Only what the client sends.
    ToServer,
    /// Only what the server sends.
    FromServer,
}

impl Way {
    pub(super) fn covers(self, way: Way) -> bool {
        self == Way::Both || self == way
    }
}

/// What becomes of the bytes of one way.
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
    pub(super) fn treatment(self, of: Way) -> Treatment {
        match self {
            Fault::Blackhole(way) if way.covers(of) => Treatment::Keep,
            Fault::Swallow(way) if way.covers(of) => Treatment::Drop,
            // Whoever carries the connection ends it at once.
            Fault::SilentClose | Fault::Reset => Treatment::Keep,
            Fault::Latency(delay) => pass(delay, usize::MAX, u64::MAX),
            Fault::Slice(bytes) => pass(Duration::ZERO, bytes.max(1), u64::MAX),
            Fault::CutAfter(bytes, way) if way.covers(of) => {
                pass(Duration::ZERO, usize::MAX, bytes)
            }
            _ => pass(Duration::ZERO, usize::MAX, u64::MAX),
        }
    }

    /// Whether a new connection gets no further than here for now.
    pub(super) fn keeps_from_connecting(self) -> bool {
        self.treatment(Way::ToServer) == Treatment::Keep
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
        let passes = Fault::Pass.treatment(Way::ToServer);

        for (fault, covered) in [
            (Fault::Swallow(Way::FromServer), Treatment::Drop),
            (Fault::Blackhole(Way::FromServer), Treatment::Keep),
        ] {
            assert_eq!(fault.treatment(Way::FromServer), covered);
            assert_eq!(fault.treatment(Way::ToServer), passes);
        }
        assert!(Fault::Blackhole(Way::Both).keeps_from_connecting());
        assert!(!Fault::Blackhole(Way::FromServer).keeps_from_connecting());
    }

    #[test]
    fn a_slice_of_nothing_is_one_byte() {
        let treatment = Fault::Slice(0).treatment(Way::ToServer);

        assert_eq!(treatment, Fault::Slice(1).treatment(Way::ToServer));
    }
}
