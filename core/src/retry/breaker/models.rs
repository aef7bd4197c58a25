//! The circuit under every order of its threads' steps (`RUSTFLAGS="--cfg ossai_loom"`).

use loom::sync::Arc;
use loom::thread;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A circuit that one failure opens for 10 s.
fn small(half_open: u32) -> (Arc<Breaker>, Circuit) {
    let breaker = Breaker::new(BreakerSettings {
        window: s(30),
        min_calls: 1,
        failure_percent: 50,
        open: s(10),
        half_open,
        max_circuits: 2,
    });
    let circuit = breaker.circuit("a", "m");
    (Arc::new(breaker), circuit)
}

fn open(breaker: &Breaker, circuit: Circuit) {
    let pass = breaker.enter(circuit, s(0)).expect("closed");
    pass.report(Health::Bad, s(0), || 0.5);
}

#[test]
fn never_more_trials_than_places_whoever_leaves_meanwhile() {
    loom::model(|| {
        let (breaker, circuit) = small(1);
        open(&breaker, circuit);
        let other = Arc::clone(&breaker);
        let leaves = thread::spawn(move || drop(other.enter(circuit, s(11))));
        let held = breaker.enter(circuit, s(11));
        let second = breaker.enter(circuit, s(11));
        assert!(held.is_err() || second.is_err(), "one place");
        drop((held, second));
        leaves.join().expect("no panic");
        assert!(breaker.enter(circuit, s(11)).is_ok(), "no place is lost");
    });
}

#[test]
fn a_failed_trial_wins_over_a_success_at_the_same_time() {
    loom::model(|| {
        let (breaker, circuit) = small(2);
        open(&breaker, circuit);
        let other = Arc::clone(&breaker);
        let fails = thread::spawn(move || {
            if let Ok(pass) = other.enter(circuit, s(11)) {
                pass.report(Health::Bad, s(11), || 0.5);
            }
        });
        if let Ok(pass) = breaker.enter(circuit, s(11)) {
            pass.report(Health::Good, s(11), || 0.5);
        }
        fails.join().expect("no panic");
        assert!(breaker.enter(circuit, s(12)).is_err(), "it is open again");
    });
}

#[test]
fn a_late_result_of_an_older_generation_changes_nothing() {
    loom::model(|| {
        let (breaker, circuit) = small(1);
        let other = Arc::clone(&breaker);
        let late = thread::spawn(move || {
            let pass = other.enter(circuit, s(0));
            if let Ok(pass) = pass {
                pass.report(Health::Good, s(0), || 0.5);
            }
        });
        open(&breaker, circuit);
        // Whether the good result came before or after, one failure of two calls opens.
        assert!(breaker.enter(circuit, s(1)).is_err());
        late.join().expect("no panic");
        assert!(breaker.enter(circuit, s(1)).is_err());
    });
}
