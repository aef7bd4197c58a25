use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn breaker() -> (Breaker, Circuit) {
    let breaker = Breaker::new(BreakerSettings::default());
    let circuit = breaker.circuit("https://a", "m");
    (breaker, circuit)
}

fn result(breaker: &Breaker, circuit: Circuit, health: Health, now: Duration) {
    breaker
        .enter(circuit, now)
        .expect("it lets calls pass")
        .report(health, now, || 0.5);
}

fn opened() -> (Breaker, Circuit) {
    let (breaker, circuit) = breaker();
    for _ in 0..20 {
        result(&breaker, circuit, Health::Bad, s(1));
    }
    (breaker, circuit)
}

fn refused(breaker: &Breaker, circuit: Circuit, now: Duration) -> Option<Duration> {
    breaker
        .enter(circuit, now)
        .err()
        .map(|refused| refused.retry_after)
}

#[test]
fn it_opens_at_half_of_twenty_and_says_for_how_long() {
    let (breaker, circuit) = breaker();
    for i in 0..19 {
        let health = if i % 2 == 0 {
            Health::Good
        } else {
            Health::Bad
        };
        result(&breaker, circuit, health, s(1));
    }
    assert_eq!(refused(&breaker, circuit, s(1)), None);
    result(&breaker, circuit, Health::Bad, s(1));
    assert_eq!(refused(&breaker, circuit, s(1)), Some(s(30)));
    assert_eq!(refused(&breaker, circuit, s(21)), Some(s(10)));
    let other = breaker.circuit("https://a", "n");
    assert_eq!(refused(&breaker, other, s(1)), None, "per model");
}

#[test]
fn below_the_share_it_stays_closed() {
    let (breaker, circuit) = breaker();
    for i in 0..1000 {
        let health = if i % 5 < 2 { Health::Bad } else { Health::Good };
        result(&breaker, circuit, health, s(1));
    }
    assert_eq!(refused(&breaker, circuit, s(1)), None);
}

#[test]
fn what_says_nothing_of_the_upstream_neither_counts_nor_is_held() {
    let (breaker, circuit) = breaker();
    for _ in 0..100 {
        result(&breaker, circuit, Health::Unknown, s(1));
        drop(breaker.enter(circuit, s(1)));
    }
    assert_eq!(breaker.circuits(), 0);
    for _ in 0..19 {
        result(&breaker, circuit, Health::Bad, s(1));
        result(&breaker, circuit, Health::Unknown, s(1));
    }
    assert_eq!(refused(&breaker, circuit, s(1)), None);
}

#[test]
fn failures_leave_the_window_after_thirty_seconds() {
    let (breaker, circuit) = breaker();
    for second in 0..200 {
        // One in two seconds: never 20 of them within 30 s.
        result(&breaker, circuit, Health::Bad, s(2 * second));
    }
    assert_eq!(refused(&breaker, circuit, s(400)), None);
    // 14 or 15 of them are within it now.
    for _ in 0..5 {
        result(&breaker, circuit, Health::Bad, s(400));
    }
    result(&breaker, circuit, Health::Bad, s(400));
    assert!(refused(&breaker, circuit, s(400)).is_some());
}

#[test]
fn how_long_it_is_open_differs_by_a_tenth() {
    for (jitter, millis) in [(0.0, 27_000), (0.5, 30_000), (0.999_999_999, 33_000)] {
        let (breaker, circuit) = breaker();
        for _ in 0..20 {
            let pass = breaker.enter(circuit, s(0)).expect("closed");
            pass.report(Health::Bad, s(0), || jitter);
        }
        let left = refused(&breaker, circuit, s(0)).expect("open");
        assert_eq!((left.as_secs_f64() * 1000.0).round() as u64, millis);
    }
}

#[test]
fn half_open_lets_three_pass_and_closes_when_all_succeed() {
    let (breaker, circuit) = opened();
    assert!(refused(&breaker, circuit, s(30)).is_some());
    let trials: Vec<_> = (0..3)
        .map(|_| breaker.enter(circuit, s(31)).expect("a trial"))
        .collect();
    assert_eq!(refused(&breaker, circuit, s(31)), Some(s(1)));
    for (i, trial) in trials.into_iter().enumerate() {
        trial.report(Health::Good, s(32), || 0.5);
        let still = refused(&breaker, circuit, s(32)).is_some();
        assert_eq!(still, i < 2, "a success does not make room for a fourth");
    }
    for _ in 0..19 {
        result(&breaker, circuit, Health::Bad, s(33));
    }
    assert_eq!(refused(&breaker, circuit, s(33)), None, "counted from new");
}

#[test]
fn one_failed_trial_opens_it_again_and_the_others_are_of_an_older_generation() {
    let (breaker, circuit) = opened();
    let mut trials: Vec<_> = (0..3)
        .map(|_| breaker.enter(circuit, s(31)).expect("a trial"))
        .collect();
    trials
        .pop()
        .expect("three")
        .report(Health::Bad, s(40), || 0.5);
    assert_eq!(refused(&breaker, circuit, s(40)), Some(s(30)));
    for trial in trials {
        trial.report(Health::Good, s(41), || 0.5);
    }
    assert_eq!(refused(&breaker, circuit, s(42)), Some(s(28)));
    let again: Vec<_> = (0..3)
        .map(|_| breaker.enter(circuit, s(71)).expect("three new trials"))
        .collect();
    assert!(refused(&breaker, circuit, s(71)).is_some());
    drop(again);
}

#[test]
fn a_trial_that_is_dropped_or_says_nothing_gives_its_place_back() {
    let (breaker, circuit) = opened();
    for _ in 0..10 {
        drop(breaker.enter(circuit, s(31)));
        result(&breaker, circuit, Health::Unknown, s(31));
    }
    let held = breaker.enter(circuit, s(31)).expect("a trial");
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _pass = breaker.enter(circuit, s(31)).expect("a trial");
        panic!("inside a try");
    }));
    assert!(unwound.is_err());
    let rest: Vec<_> = (0..2)
        .map(|_| breaker.enter(circuit, s(31)).expect("a trial"))
        .collect();
    assert!(refused(&breaker, circuit, s(31)).is_some());
    drop((held, rest));
}

#[test]
fn a_call_from_before_the_opening_changes_nothing_after_it() {
    let (breaker, circuit) = breaker();
    let old: Vec<_> = (0..5)
        .map(|_| breaker.enter(circuit, s(0)).expect("closed"))
        .collect();
    for _ in 0..20 {
        result(&breaker, circuit, Health::Bad, s(1));
    }
    let _trial = breaker.enter(circuit, s(32)).expect("a trial");
    for (i, old) in old.into_iter().enumerate() {
        let health = [Health::Good, Health::Bad, Health::Unknown][i % 3];
        old.report(health, s(32), || 0.5);
    }
    // Neither closed, nor opened, nor a place given back that it did not hold.
    let second = breaker.enter(circuit, s(32)).expect("a trial");
    let third = breaker.enter(circuit, s(32)).expect("a trial");
    assert!(refused(&breaker, circuit, s(32)).is_some());
    drop((second, third));
}

#[test]
fn it_says_whether_waiting_would_help() {
    let (breaker, circuit) = opened();
    assert!(breaker.is_open_for(circuit, s(1), s(29)));
    assert!(!breaker.is_open_for(circuit, s(1), s(30)));
}

#[test]
fn circuits_are_bounded_and_those_in_trouble_are_kept() {
    let breaker = Breaker::new(BreakerSettings {
        max_circuits: 8,
        ..BreakerSettings::default()
    });
    let broken = breaker.circuit("https://a", "broken");
    for _ in 0..20 {
        result(&breaker, broken, Health::Bad, s(1));
    }
    for i in 0..10_000 {
        let circuit = breaker.circuit("https://a", &i.to_string());
        result(&breaker, circuit, Health::Good, s(1));
    }
    assert_eq!(breaker.circuits(), 8);
    assert!(refused(&breaker, broken, s(2)).is_some());
}

#[test]
fn extreme_settings_and_times_do_not_panic() {
    let breaker = Breaker::new(BreakerSettings {
        window: Duration::ZERO,
        min_calls: 1,
        failure_percent: 100,
        open: Duration::MAX,
        half_open: 1,
        max_circuits: 1,
    });
    for now in [Duration::ZERO, s(1), Duration::MAX, s(1)] {
        for model in ["a", "b"] {
            let circuit = breaker.circuit("o", model);
            if let Ok(pass) = breaker.enter(circuit, now) {
                pass.report(Health::Bad, now, || 1.0);
            }
        }
    }
}
