//! Network faults, and their effect on the bytes of one direction.

use std::time::Duration;

/// A network fault of a [`Proxy`](super::Proxy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// No fault: bytes are forwarded unchanged. This is the default, and ends any other fault.
    #[default]
    None,
    /// Delays all bytes, in both directions, in order: a round trip takes twice as long. A change
    /// applies to bytes in flight too. Like a slow network.
    Latency(Duration),
    /// Holds back all bytes of this direction; connections stay open. The bytes arrive when the
    /// fault ends. About a megabyte is held, then the sender has to wait. A new connection is
    /// accepted, and hangs. Like a temporary packet loss.
    Blackhole(Direction),
    /// Drops all bytes of this direction; connections stay open, and the sender is not told. The
    /// end of the connection is forwarded when the fault ends. Like a half-open connection.
    Drop(Direction),
    /// Closes the server's end and does not tell the client. The client's end stays open until the
    /// client closes it, or the proxy resets it; the end of the fault does not repair it. A new
    /// connection is accepted, and never reaches the server. Like a host that lost its power.
    SilentClose,
    /// Resets the connection (RST) for both sides, and each new one too.
    Reset,
    /// Forwards pieces of at most this many bytes, in both directions. The reader may see several
    /// pieces at once. 0 counts as 1.
    Slice(usize),
    /// Forwards this many more bytes of this direction, and then resets the connection for both
    /// sides. With [`Direction::Both`], each direction counts separately. It cuts an answer or an
    /// event in the middle.
    CutAfter(u64, Direction),
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both directions.
    Both,
    /// The bytes that the client sends.
    ToServer,
    /// The bytes that the server sends.
    ToClient,
}

impl Direction {
    pub(super) fn covers(self, direction: Direction) -> bool {
        self == Direction::Both || self == direction
    }
}

/// The treatment of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Pass {
        delay: Duration,
        /// The size of one write.
        slice: usize,
        /// The bytes that may be written before the connection is cut.
        left: u64,
    },
    Hold,
    Drop,
}

impl Fault {
    pub(super) fn treatment(self, of: Direction) -> Treatment {
        match self {
            Fault::Blackhole(direction) if direction.covers(of) => Treatment::Hold,
            Fault::Drop(direction) if direction.covers(of) => Treatment::Drop,
            // The forwarding task ends the connection at once.
            Fault::SilentClose | Fault::Reset => Treatment::Hold,
            Fault::Latency(delay) => pass(delay, usize::MAX, u64::MAX),
            Fault::Slice(bytes) => pass(Duration::ZERO, bytes.max(1), u64::MAX),
            Fault::CutAfter(bytes, direction) if direction.covers(of) => {
                pass(Duration::ZERO, usize::MAX, bytes)
            }
            _ => pass(Duration::ZERO, usize::MAX, u64::MAX),
        }
    }

    /// Returns whether a new connection hangs at the proxy for now.
    pub(super) fn keeps_from_connecting(self) -> bool {
        self.treatment(Direction::ToServer) == Treatment::Hold
    }
}

fn pass(delay: Duration, slice: usize, left: u64) -> Treatment {
    Treatment::Pass { delay, slice, left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_one_direction_does_not_change_the_other() {
        let passes = Fault::None.treatment(Direction::ToServer);

        for (fault, covered) in [
            (Fault::Drop(Direction::ToClient), Treatment::Drop),
            (Fault::Blackhole(Direction::ToClient), Treatment::Hold),
        ] {
            assert_eq!(fault.treatment(Direction::ToClient), covered);
            assert_eq!(fault.treatment(Direction::ToServer), passes);
        }
        assert!(Fault::Blackhole(Direction::Both).keeps_from_connecting());
        assert!(!Fault::Blackhole(Direction::ToClient).keeps_from_connecting());
    }

    #[test]
    fn a_slice_of_0_bytes_is_one_byte() {
        let treatment = Fault::Slice(0).treatment(Direction::ToServer);

        assert_eq!(treatment, Fault::Slice(1).treatment(Direction::ToServer));
    }
}
