//! Clocks and memory: the clock that all processes share, processor time, and the memory of a process.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which all processes of this machine share.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Processor time of this process, in nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

/// Processor time of another process, in nanoseconds; 0 where the system does not say.
pub(crate) fn cpu_ns_of(process: u32) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let spent = threads.flatten().filter_map(|thread| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<u64>().ok()
    });
    spent.sum()
}

/// Peak memory of this process, in KiB.
pub(crate) fn rss_kib() -> u64 {
    rss_kib_of("self")
}

/// Peak memory of a process, in KiB; 0 where the system does not say.
pub(crate) fn rss_kib_of(process: &str) -> u64 {
    status_kib(process, "VmHWM:")
}

/// Memory of a process in KiB without the pages of its program and libraries; 0 where the system does
/// not say. Those pages are shared, and their number depends on the page cache.
pub(crate) fn private_kib_of(process: &str) -> u64 {
    status_kib(process, "RssAnon:")
}

fn status_kib(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)).unwrap_or(0)
}
