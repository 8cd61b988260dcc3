//! The soak of several topologies, one after the other.

use std::fmt;

use serde::Serialize;
use tidings_faults::journal::soak::{Plan, Summary, run};

/// The results of a soak.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    machine: String,
    topologies: Vec<Summary>,
}

impl Soak {
    pub(crate) async fn run(plans: impl Iterator<Item = Plan>, machine: String) -> Self {
        let mut topologies = Vec::new();
        for plan in plans {
            eprintln!("{}, seed {}", plan.topology.name(), plan.seed);
            let mut shown = 0;
            let show = |so_far: &Summary| {
                eprintln!("  {}", so_far.progress());
                for finding in so_far.findings.iter().skip(shown) {
                    eprintln!("  {finding}");
                }
                shown = so_far.findings.len();
            };
            topologies.push(run(plan, show).await);
        }
        Self {
            machine,
            topologies,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.topologies.iter().any(Summary::has_failed)
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for summary in &self.topologies {
            write!(f, "{summary}")?;
        }
        f.write_str(&self.machine)
    }
}
