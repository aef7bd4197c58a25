//! Time, given to what needs it: durations come from a clock that never jumps, the wall clock only dates what others sent.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A pending sleep; dropping it ends it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time, shared between threads.
pub trait Clock: Send + Sync {
    /// Time since the clock was made. It never goes back, whatever the wall clock does.
    fn now(&self) -> Duration;

    /// The date. It may jump; use it only to read dates others sent.
    fn wall(&self) -> SystemTime;

    /// Ends once `now` has grown by `duration`. It has to be awaited inside a tokio runtime with its timer on.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's time, through tokio's timer: under tokio's paused time it stands still too.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now; needs no runtime yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // Inside the block, so that the timer is looked up where the sleep is awaited.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}

/// A clock that runs several times faster than the machine's, for tests over real sockets: a sleep of a minute ends in a
/// second at factor 60, while whoever looks at `now` and `wall` sees a minute pass.
#[derive(Debug)]
pub struct ScaledClock {
    start: Instant,
    wall: SystemTime,
    factor: u32,
}

impl ScaledClock {
    /// A clock `factor` times as fast as the machine's; 0 counts as 1.
    #[must_use]
    pub fn new(factor: u32) -> Self {
        Self {
            start: Instant::now(),
            wall: SystemTime::now(),
            factor: factor.max(1),
        }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Duration {
        self.start.elapsed().saturating_mul(self.factor)
    }

    fn wall(&self) -> SystemTime {
        self.wall.checked_add(self.now()).unwrap_or(self.wall)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // Rounded up, so that `now` has grown by no less than `duration`.
        let real = (duration / self.factor).saturating_add(Duration::from_nanos(1));
        Box::pin(async move { tokio::time::sleep(real).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_follows_the_runtimes_virtual_time() {
        let clock = SystemClock::new();
        clock.sleep(Duration::from_secs(3600)).await;
        let passed = clock.now();
        assert!(
            (Duration::from_secs(3600)..Duration::from_secs(3601)).contains(&passed),
            "{passed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_sleeps_shorter_by_its_factor_and_shows_the_whole_time() {
        let outside = SystemClock::new();
        let clock = ScaledClock::new(60);
        let wall = clock.wall();
        clock.sleep(Duration::from_secs(60)).await;
        let real = outside.now();
        assert!(
            (Duration::from_secs(1)..Duration::from_millis(1010)).contains(&real),
            "{real:?}"
        );
        assert!(clock.now() >= Duration::from_secs(60));
        assert!(
            clock
                .wall()
                .duration_since(wall)
                .is_ok_and(|passed| passed >= Duration::from_secs(60))
        );
    }

    #[test]
    fn a_clock_needs_no_runtime_until_its_sleep_is_awaited() {
        drop(SystemClock::new().sleep(Duration::MAX));
        drop(ScaledClock::new(0).sleep(Duration::MAX));
        assert!(ScaledClock::new(u32::MAX).now() < Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_sleep_does_not_overflow() {
        let endless = SystemClock::new().sleep(Duration::MAX);
        let year = tokio::time::timeout(Duration::from_secs(365 * 86_400), endless).await;
        assert!(year.is_err());
    }
}
