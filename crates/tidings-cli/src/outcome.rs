//! The outcome of a send to several members: one that fails does not stop the others.

use crate::exit::{Exit, exit_of};

/// The results of a send to each of several members `M`.
#[derive(Debug)]
pub(crate) struct Outcome<M, T> {
    pub(crate) done: Vec<(M, T)>,
    pub(crate) failed: Vec<(M, anyhow::Error)>,
}

impl<M, T> Outcome<M, T> {
    /// Separates the results.
    ///
    /// # Errors
    ///
    /// The error if all failed: the first one, or the first after which the event may have been sent.
    pub(crate) fn of(
        results: impl IntoIterator<Item = (M, anyhow::Result<T>)>,
    ) -> anyhow::Result<Self> {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (member, result) in results {
            match result {
                Ok(result) => done.push((member, result)),
                Err(error) => failed.push((member, error)),
            }
        }
        if done.is_empty() && !failed.is_empty() {
            let unknown = failed.iter().position(|(_, error)| is_unknown(error));
            return Err(failed.swap_remove(unknown.unwrap_or_default()).1);
        }
        Ok(Self { done, failed })
    }

    /// Returns the exit code of the sends that failed, which is worse than `others`.
    pub(crate) fn exit(&self, others: Exit) -> Exit {
        if self.failed.is_empty() {
            others
        } else if self.failed.iter().any(|(_, error)| is_unknown(error)) {
            Exit::Unknown
        } else {
            Exit::Incomplete
        }
    }
}

fn is_unknown(error: &anyhow::Error) -> bool {
    exit_of(error) == Exit::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Problem;

    fn failed(exit: Exit) -> anyhow::Result<u8> {
        Err(Problem::new(exit, format!("{exit:?}")).into())
    }

    #[test]
    fn one_failure_does_not_hide_the_others_and_an_unknown_one_counts_most() {
        let outcome = |results: Vec<anyhow::Result<u8>>| {
            Outcome::of(results.into_iter().map(|result| ("api-1", result)))
        };
        let exit = |results| outcome(results).unwrap().exit(Exit::Done);
        assert_eq!(exit(vec![Ok(1), Ok(2)]), Exit::Done);
        assert_eq!(exit(vec![failed(Exit::Nobody), Ok(2)]), Exit::Incomplete);
        let all = vec![Ok(1), failed(Exit::Failed), failed(Exit::Unknown), Ok(2)];
        let some = outcome(all).unwrap();
        assert_eq!((some.done.len(), some.failed.len()), (2, 2));
        assert_eq!(some.exit(Exit::Done), Exit::Unknown);
        let none = |results| exit_of(&outcome(results).unwrap_err());
        assert_eq!(none(vec![failed(Exit::Nobody)]), Exit::Nobody);
        let one_unknown = vec![failed(Exit::Nobody), failed(Exit::Unknown)];
        assert_eq!(none(one_unknown), Exit::Unknown);
    }
}
