//! What happens after a failed attempt: the verdict on it against what is left of attempts, time and quota.

use std::time::Duration;

use super::{Backoff, Bucket, Permit, Random, Verdict};

/// The limits on a call's retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts, the first included: 3.
    pub max_attempts: u32,
    /// The wait where the upstream names none.
    pub backoff: Backoff,
    /// The longest wait an upstream may ask for: 120 s. Above it the call ends at once; it is never sooner than asked.
    pub longest_hint: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::default(),
            longest_hint: Duration::from_secs(120),
        }
    }
}

/// Where a call stands after a failed attempt.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// Attempts made, the failed one included; transparent retries and the one after a refresh do not count.
    pub attempts: u32,
    /// Time left to the call.
    pub left: Duration,
    /// What the upstream asks to wait: `Error::retry_after` or the gRPC pushback.
    pub hint: Option<Duration>,
    /// Who pays.
    pub bucket: &'a Bucket,
    /// The source of jitter.
    pub random: &'a dyn Random,
}

/// What to do.
#[derive(Debug)]
pub enum Decision {
    /// Wait, then call `permit.sent()` and try again. Dropping the permit before that gives the quota back.
    Retry {
        /// How long; always less than the time left.
        delay: Duration,
        /// The retry's paid cost.
        permit: Permit,
    },
    /// Send the same again at once, free.
    Transparent,
    /// Fetch the credential anew and send again at once, free.
    Refresh,
    /// Return the error.
    GiveUp {
        /// What ran out, where the failure was worth another try; goes into the error's `gave_up`.
        why: Option<Why>,
    },
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The attempts.
    Attempts,
    /// The call's time, or the wait would take all of it.
    Deadline,
    /// The retry quota.
    Quota,
    /// The upstream asks for a longer wait than allowed or left.
    Hint,
}

impl Why {
    /// The word in the error's `gave_up`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Quota => "quota",
            Self::Hint => "hint",
        }
    }
}

/// Decides what follows a failed attempt. Takes from the quota only when it answers [`Decision::Retry`].
#[must_use]
pub fn decide(policy: &RetryPolicy, verdict: Verdict, situation: &Situation<'_>) -> Decision {
    let left = situation.left;
    let give_up = |why| Decision::GiveUp { why: Some(why) };
    let throttle = match verdict {
        Verdict::Never => return Decision::GiveUp { why: None },
        _ if left.is_zero() => return give_up(Why::Deadline),
        Verdict::Transparent => return Decision::Transparent,
        Verdict::Refresh => return Decision::Refresh,
        Verdict::Retry { throttle } => throttle,
    };
    if situation.attempts >= policy.max_attempts {
        return give_up(Why::Attempts);
    }
    let delay = match situation.hint.filter(|hint| !hint.is_zero()) {
        Some(hint) if hint > policy.longest_hint || hint >= left => return give_up(Why::Hint),
        Some(hint) => Backoff::hinted(hint, left, situation.random),
        None => policy.backoff.delay(
            situation.attempts.saturating_sub(1),
            throttle,
            situation.random,
        ),
    };
    if delay >= left {
        return give_up(Why::Deadline);
    }
    match situation.bucket.take(throttle) {
        Some(permit) => Decision::Retry { delay, permit },
        None => give_up(Why::Quota),
    }
}

#[cfg(all(test, not(ossai_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::retry::{QuotaSettings, RetryQuota, SeededRandom};

    const RETRY: Verdict = Verdict::Retry { throttle: false };
    const THROTTLE: Verdict = Verdict::Retry { throttle: true };

    struct Half;

    impl Random for Half {
        fn next_f64(&self) -> f64 {
            0.5
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn bucket() -> Bucket {
        RetryQuota::new(QuotaSettings::default()).bucket("a", None)
    }

    /// Half a bucket's worth of situation: first attempt failed, ten minutes left, no hint, a random source at 0.5.
    fn first(bucket: &Bucket) -> Situation<'_> {
        Situation {
            attempts: 1,
            left: ms(600_000),
            hint: None,
            bucket,
            random: &Half,
        }
    }

    /// The delay, or why not.
    fn outcome(
        verdict: Verdict,
        situation: &Situation<'_>,
    ) -> Result<Duration, Option<&'static str>> {
        match decide(&RetryPolicy::default(), verdict, situation) {
            Decision::Retry { delay, permit } => {
                let _ = permit.sent();
                Ok(delay)
            }
            Decision::GiveUp { why } => Err(why.map(Why::name)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn there_are_three_attempts_with_growing_waits_between() {
        let bucket = bucket();
        let after = |attempts, verdict| {
            outcome(
                verdict,
                &Situation {
                    attempts,
                    ..first(&bucket)
                },
            )
        };
        assert_eq!(
            [1, 2, 3, 4].map(|n| after(n, RETRY)),
            [
                Ok(ms(250)),
                Ok(ms(500)),
                Err(Some("attempts")),
                Err(Some("attempts"))
            ]
        );
        assert_eq!(
            [1, 2, 3].map(|n| after(n, THROTTLE)),
            [Ok(ms(500)), Ok(ms(1000)), Err(Some("attempts"))]
        );
    }

    #[test]
    fn what_is_not_worth_a_retry_ends_without_an_annotation() {
        assert_eq!(outcome(Verdict::Never, &first(&bucket())), Err(None));
        assert_eq!(
            outcome(
                Verdict::Never,
                &Situation {
                    left: ms(0),
                    ..first(&bucket())
                }
            ),
            Err(None)
        );
    }

    #[test]
    fn a_hint_is_a_lower_bound_and_at_most_a_tenth_is_added() {
        let hinted = |hint| {
            outcome(
                RETRY,
                &Situation {
                    hint: Some(hint),
                    ..first(&bucket())
                },
            )
        };
        assert_eq!(hinted(ms(2000)), Ok(ms(2100)));
        assert_eq!(
            hinted(ms(1)),
            Ok(Duration::from_micros(1050)),
            "even where the back-off would be longer"
        );
        assert_eq!(hinted(ms(0)), Ok(ms(250)), "zero leaves it to the back-off");
    }

    #[test]
    fn a_hint_above_the_cap_or_the_time_left_ends_the_call_at_once() {
        let hinted = |hint, left| {
            outcome(
                RETRY,
                &Situation {
                    hint: Some(hint),
                    left,
                    ..first(&bucket())
                },
            )
        };
        assert!(hinted(ms(120_000), ms(600_000)).is_ok());
        assert_eq!(hinted(ms(120_001), ms(600_000)), Err(Some("hint")));
        assert_eq!(hinted(ms(5000), ms(4000)), Err(Some("hint")));
        assert_eq!(
            hinted(ms(5000), ms(5000)),
            Err(Some("hint")),
            "nothing would be left to try in"
        );
        assert_eq!(
            hinted(ms(5000), ms(5100)),
            Ok(ms(5050)),
            "jitter never pushes a wait over the deadline"
        );
        assert_eq!(hinted(Duration::MAX, Duration::MAX), Err(Some("hint")));
    }

    #[test]
    fn a_wait_that_does_not_fit_is_not_started() {
        let left = |left| {
            outcome(
                RETRY,
                &Situation {
                    left,
                    ..first(&bucket())
                },
            )
        };
        assert_eq!(left(ms(251)), Ok(ms(250)));
        assert_eq!(left(ms(250)), Err(Some("deadline")));
        assert_eq!(left(ms(0)), Err(Some("deadline")));
    }

    #[test]
    fn an_empty_quota_ends_the_call_at_once() {
        let bucket = bucket();
        let count = std::iter::from_fn(|| outcome(RETRY, &first(&bucket)).ok()).count();
        assert_eq!(count, 35);
        assert_eq!(outcome(RETRY, &first(&bucket)), Err(Some("quota")));
    }

    #[test]
    fn giving_up_costs_no_quota() {
        let bucket = bucket();
        for situation in [
            Situation {
                attempts: 3,
                ..first(&bucket)
            },
            Situation {
                left: ms(1),
                ..first(&bucket)
            },
            Situation {
                hint: Some(ms(999_999)),
                ..first(&bucket)
            },
        ] {
            assert!(outcome(RETRY, &situation).is_err());
        }
        assert_eq!(bucket.left(), 500);
    }

    #[test]
    fn a_transparent_retry_and_a_refresh_cost_neither_attempts_nor_quota_but_need_time() {
        let bucket = bucket();
        let spent = Situation {
            attempts: 3,
            ..first(&bucket)
        };
        assert!(matches!(
            decide(&RetryPolicy::default(), Verdict::Transparent, &spent),
            Decision::Transparent
        ));
        assert!(matches!(
            decide(&RetryPolicy::default(), Verdict::Refresh, &spent),
            Decision::Refresh
        ));
        assert_eq!(bucket.left(), 500);
        let late = Situation {
            left: ms(0),
            ..spent
        };
        assert_eq!(outcome(Verdict::Transparent, &late), Err(Some("deadline")));
    }

    proptest! {
        #[test]
        fn a_retry_always_begins_before_the_deadline_and_never_before_the_hint(
            attempts: u32, left_ms: u64, hint_ms in proptest::option::of(0_u64..200_000), throttle: bool, seed: u64, max_attempts: u32,
        ) {
            let bucket = bucket();
            let (left, hint) = (ms(left_ms), hint_ms.map(ms));
            let random = SeededRandom::new(seed);
            let situation = Situation { attempts, left, hint, bucket: &bucket, random: &random };
            let policy = RetryPolicy { max_attempts, ..RetryPolicy::default() };
            if let Decision::Retry { delay, .. } = decide(&policy, Verdict::Retry { throttle }, &situation) {
                prop_assert!(delay < left && attempts < max_attempts);
                prop_assert!(hint.is_none_or(|hint| delay >= hint && hint <= policy.longest_hint));
            }
        }
    }
}
