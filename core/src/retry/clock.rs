//! Time, given to what needs it: durations come from a clock that never jumps, the wall clock only dates what others sent.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::client::config::WallJump;

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
    jump: Option<WallJump>,
}

impl ScaledClock {
    /// A clock `factor` times as fast as the machine's; 0 counts as 1.
    #[must_use]
    pub fn new(factor: u32) -> Self {
        Self {
            start: Instant::now(),
            wall: SystemTime::now(),
            factor: factor.max(1),
            jump: None,
        }
    }

    /// The same, with a wall clock that is put while it runs.
    #[must_use]
    pub fn jumping(mut self, jump: Option<WallJump>) -> Self {
        self.jump = jump;
        self
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Duration {
        self.start.elapsed().saturating_mul(self.factor)
    }

    fn wall(&self) -> SystemTime {
        let now = self.now();
        let shown = self.wall.checked_add(now).unwrap_or(self.wall);
        match self.jump {
            Some(jump) if now >= Duration::from_millis(jump.at_ms) => {
                let by = Duration::from_millis(jump.by_ms.unsigned_abs());
                let put = if jump.by_ms < 0 {
                    shown.checked_sub(by)
                } else {
                    shown.checked_add(by)
                };
                put.unwrap_or(shown)
            }
            _ => shown,
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_put_leaves_the_clock_of_waits_alone() {
        for by_ms in [86_400_000, -86_400_000] {
            let jump = WallJump { at_ms: 1000, by_ms };
            let clock = ScaledClock::new(1).jumping(Some(jump));
            let (now, wall) = (clock.now(), clock.wall());
            clock.sleep(Duration::from_secs(2)).await;
            let passed = clock.now().saturating_sub(now);
            assert!((2000..2010).contains(&passed.as_millis()), "{passed:?}");
            let seen = match clock.wall().duration_since(wall) {
                Ok(later) => i128::try_from(later.as_millis()).unwrap(),
                Err(earlier) => -i128::try_from(earlier.duration().as_millis()).unwrap(),
            };
            assert!((seen - i128::from(by_ms) - 2000).abs() < 100, "{seen}");
        }
        let far = WallJump {
            at_ms: 0,
            by_ms: i64::MIN,
        };
        let _ = ScaledClock::new(1).jumping(Some(far)).wall();
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
