//! Compiles every Rust program of the READMEs and the book: each page is a doc test. The pages on
//! events and on logs, metrics and traces are in the package of the tests, which has the
//! dependencies that they need.

/// One item per page, so that a failure names the page.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../crates/tidings/README.md")]
    struct Crate;
    #[doc = include_str!("../docs/src/bus.md")]
    struct TheBus;
    #[doc = include_str!("../docs/src/handlers.md")]
    struct Handlers;
    #[doc = include_str!("../docs/src/sending.md")]
    struct Sending;
    #[doc = include_str!("../docs/src/gaps.md")]
    struct Gaps;
    #[doc = include_str!("../docs/src/journal.md")]
    struct Journal;
    #[doc = include_str!("../docs/src/shared.md")]
    struct Shared;
    #[doc = include_str!("../docs/src/members.md")]
    struct Members;
    #[doc = include_str!("../docs/src/workers.md")]
    struct Workers;
    #[doc = include_str!("../docs/src/wire.md")]
    struct Wire;
    #[doc = include_str!("../docs/src/redis.md")]
    struct Redis;
    #[doc = include_str!("../docs/src/cluster.md")]
    struct Cluster;
    #[doc = include_str!("../docs/src/persistence.md")]
    struct Persistence;
    #[doc = include_str!("../docs/src/testing.md")]
    struct Testing;
    #[doc = include_str!("../docs/src/faults.md")]
    struct Faults;
    #[doc = include_str!("../docs/src/benchmarks.md")]
    struct Benchmarks;
    #[doc = include_str!("../docs/src/api.md")]
    struct Api;
    #[doc = include_str!("../docs/src/architecture.md")]
    struct Architecture;
}
