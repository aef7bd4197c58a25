//! What this process has used so far.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process, user and system.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Resident memory in megabytes (10⁶ bytes).
pub(crate) fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(f64::NAN);
    kib * 1024.0 / 1e6
}

/// A stretch of time on both clocks.
pub(crate) struct Span {
    cpu: Duration,
    wall: Instant,
}

impl Span {
    pub(crate) fn start() -> Self {
        Self {
            cpu: cpu(),
            wall: Instant::now(),
        }
    }

    /// Seconds of CPU and seconds of time since the start.
    pub(crate) fn end(&self) -> (f64, f64) {
        let wall = self.wall.elapsed();
        ((cpu() - self.cpu).as_secs_f64(), wall.as_secs_f64())
    }
}

/// A value below which this share of the (sorted) samples lies.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = ((last as f64) * share).round() as usize;
    sorted
        .get(at)
        .map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e6)
}
