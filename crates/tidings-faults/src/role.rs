//! The roles in which this program starts itself as a child process.

/// The first argument of a child process. No option of the program has this name.
const ROLE: &str = "internal-role";

/// The workers of a supervisor.
pub(crate) const WORKERS: usize = 4;

/// A role of a child process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// A worker that ends in the way that a signal selects.
    Worker,
    /// A supervisor of such workers, which prints their process ids.
    Supervisor,
    /// A node that sends, receives and changes shared state, and reports the results.
    Node,
    /// A subscriber of a journal with a durable name, which prints what it receives.
    Reader,
}

impl Role {
    /// Returns the role of this process, and its argument.
    pub(crate) fn of_this_process() -> Option<(Self, Option<String>)> {
        let mut arguments = std::env::args().skip(1);
        if arguments.next()? != ROLE {
            return None;
        }
        let role = match &*arguments.next()? {
            "worker" => Self::Worker,
            "node" => Self::Node,
            "reader" => Self::Reader,
            _ => Self::Supervisor,
        };
        Some((role, arguments.next()))
    }

    pub(crate) fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Worker => [ROLE, "worker"],
            Self::Supervisor => [ROLE, "supervisor"],
            Self::Node => [ROLE, "node"],
            Self::Reader => [ROLE, "reader"],
        }
    }
}
