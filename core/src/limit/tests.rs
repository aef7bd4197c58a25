use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bucket::Window;
use super::*;
use crate::retry::SystemClock;

const SECOND: Duration = Duration::from_secs(1);

fn requests(limit: Option<u64>, remaining: u64, reset: Duration) -> [Option<Window>; DIMENSIONS] {
    let window = Window {
        limit,
        remaining,
        reset,
    };
    [Some(window), None, None, None]
}

fn ask(priority: i32) -> Ask {
    Ask {
        amounts: [1.0, 0.0, 0.0, 0.0],
        priority,
        patience: Duration::from_secs(600),
        max_waiting: 1000,
    }
}

struct Bench {
    lane: Arc<Lane>,
    pacer: Arc<Pacer>,
    clock: Arc<SystemClock>,
    order: Arc<Mutex<Vec<&'static str>>>,
}

impl Bench {
    /// One request a second, none left.
    fn empty() -> Self {
        let lane = Arc::new(Lane::new(1));
        let pacer = lane.pacer_or_new("m");
        pacer.learn(
            Ticket::default(),
            &requests(Some(60), 0, 60 * SECOND),
            lane.now(),
        );
        Self {
            lane,
            pacer,
            clock: Arc::new(SystemClock::new()),
            order: Arc::default(),
        }
    }

    async fn admit(&self, ask: Ask) -> Result<super::pacer::Admitted, Refused> {
        self.pacer.admit(ask, &self.lane, &*self.clock).await
    }

    /// Waits in a task of its own and notes its name when it is let in.
    async fn wait(&self, name: &'static str, ask: Ask) -> tokio::task::JoinHandle<()> {
        let (lane, pacer) = (Arc::clone(&self.lane), Arc::clone(&self.pacer));
        let (clock, order) = (Arc::clone(&self.clock), Arc::clone(&self.order));
        let before = self.pacer.waiting();
        let task = tokio::spawn(async move {
            pacer.admit(ask, &lane, &*clock).await.unwrap();
            order.lock().unwrap().push(name);
        });
        while self.pacer.waiting() == before {
            tokio::task::yield_now().await;
        }
        task
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_nobody_spoke_of_limits_for_has_no_pacer() {
    let lane = Lane::new(1);
    assert!(lane.pacer("m").is_none());
    lane.pacer_or_new("m");
    assert!(lane.pacer("m").is_some());
    assert!(lane.pacer("other").is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_are_let_in_at_the_speed_the_limit_fills() {
    let bench = Bench::empty();
    let began = bench.lane.now();
    for n in 1..=5_u32 {
        let admitted = bench.admit(ask(0)).await.unwrap();
        assert_eq!(admitted.why, Some("requests"));
        let passed = bench.lane.now().saturating_sub(began);
        assert!(
            passed >= n * SECOND - Duration::from_millis(2)
                && passed < n * SECOND + Duration::from_millis(50),
            "{n}: {passed:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_given_at_once_and_counted_down_between_answers() {
    let bench = Bench::empty();
    bench.pacer.learn(
        Ticket::default(),
        &requests(Some(60), 2, 58 * SECOND),
        bench.lane.now(),
    );
    assert!(bench.admit(ask(0)).await.unwrap().waited.is_zero());
    assert!(bench.admit(ask(0)).await.unwrap().waited.is_zero());
    assert!(!bench.admit(ask(0)).await.unwrap().waited.is_zero());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_less_what_was_let_in_after_its_request() {
    let bench = Bench::empty();
    let now = bench.lane.now();
    bench
        .pacer
        .learn(Ticket::default(), &requests(Some(60), 10, 50 * SECOND), now);
    let first = bench.admit(ask(0)).await.unwrap().ticket;
    let second = bench.admit(ask(0)).await.unwrap().ticket;
    // The first one's answer says that one is left, but the second has gone since.
    bench
        .pacer
        .learn(first, &requests(Some(60), 1, 59 * SECOND), now);
    assert!(!bench.admit(ask(0)).await.unwrap().waited.is_zero());
    // An older answer that comes later changes nothing.
    bench.pacer.learn(
        second,
        &requests(Some(60), 0, 60 * SECOND),
        bench.lane.now(),
    );
    bench
        .pacer
        .learn(first, &requests(Some(60), 60, SECOND), bench.lane.now());
    assert!(!bench.admit(ask(0)).await.unwrap().waited.is_zero());
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_go_by_arrival_and_a_priority_step_is_worth_ten_seconds() {
    let bench = Bench::empty();
    let mut tasks = vec![
        bench.wait("first", ask(0)).await,
        bench.wait("second", ask(0)).await,
        bench.wait("urgent", ask(1)).await,
        bench.wait("background", ask(-1)).await,
        bench.wait("third", ask(0)).await,
    ];
    for task in tasks.drain(..) {
        task.await.unwrap();
    }
    assert_eq!(
        *bench.order.lock().unwrap(),
        ["urgent", "first", "second", "third", "background"]
    );
}

#[tokio::test(start_paused = true)]
async fn no_priority_starves_a_call_forever() {
    let bench = Bench::empty();
    let patient = bench.wait("patient", ask(-1)).await;
    for _ in 0..30 {
        bench.admit(ask(0)).await.unwrap();
        if patient.is_finished() {
            break;
        }
    }
    assert!(patient.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_is_refused_at_once_and_says_how_long_it_is() {
    let bench = Bench::empty();
    let hurried = Ask {
        patience: SECOND / 2,
        ..ask(0)
    };
    let Err(Refused::TooLong(wait, "requests")) = bench.admit(hurried).await else {
        panic!("let in");
    };
    assert!(wait > SECOND / 2 && wait <= SECOND, "{wait:?}");
    // Those ahead count: the third in the queue waits three seconds.
    let _first = bench.wait("first", ask(0)).await;
    let _second = bench.wait("second", ask(0)).await;
    let hurried = Ask {
        patience: 2 * SECOND,
        ..ask(0)
    };
    assert!(matches!(
        bench.admit(hurried).await,
        Err(Refused::TooLong(wait, _)) if wait > 2 * SECOND
    ));
    assert_eq!(bench.pacer.waiting(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let bench = Bench::empty();
    let _first = bench.wait("first", ask(0)).await;
    let full = Ask {
        max_waiting: 1,
        ..ask(0)
    };
    assert!(matches!(
        bench.admit(full).await,
        Err(Refused::Full(wait)) if wait > SECOND
    ));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_leaves_at_once_and_the_next_takes_its_turn() {
    let bench = Bench::empty();
    let began = bench.lane.now();
    let first = bench.wait("first", ask(0)).await;
    let second = bench.wait("second", ask(0)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(bench.pacer.waiting(), 1);
    second.await.unwrap();
    assert!(bench.lane.now().saturating_sub(began) < SECOND + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_leaves_more_ends_the_wait_early() {
    let bench = Bench::empty();
    let began = bench.lane.now();
    let waiting = bench.wait("first", ask(0)).await;
    bench.pacer.learn(
        Ticket::default(),
        &requests(Some(60), 60, Duration::ZERO),
        bench.lane.now(),
    );
    waiting.await.unwrap();
    assert!(bench.lane.now().saturating_sub(began) < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_shuts_the_model_for_everyone() {
    let bench = Bench::empty();
    bench.pacer.learn(
        Ticket::default(),
        &requests(Some(60), 60, Duration::ZERO),
        bench.lane.now(),
    );
    bench.pacer.shut(3 * SECOND, bench.lane.now());
    let admitted = bench.admit(ask(10)).await.unwrap();
    assert_eq!(admitted.why, Some("retry_after"));
    assert!(admitted.waited >= 3 * SECOND - Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_everything_comes_back_at_the_reset() {
    let bench = Bench::empty();
    bench.pacer.learn(
        Ticket::default(),
        &requests(None, 0, 5 * SECOND),
        bench.lane.now(),
    );
    let admitted = bench.admit(ask(0)).await.unwrap();
    assert!(admitted.waited >= 5 * SECOND - Duration::from_millis(2));
    assert!(bench.admit(ask(0)).await.unwrap().waited.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_call_larger_than_the_whole_limit_waits_for_a_full_bucket_and_no_longer() {
    let bench = Bench::empty();
    let window = Window {
        limit: Some(1000),
        remaining: 0,
        reset: 10 * SECOND,
    };
    bench.pacer.learn(
        Ticket::default(),
        &[None, Some(window), None, None],
        bench.lane.now(),
    );
    let huge = Ask {
        amounts: [0.0, 1e9, 0.0, 0.0],
        ..ask(0)
    };
    let admitted = bench.admit(huge).await.unwrap();
    assert_eq!(admitted.why, Some("tokens"));
    assert!(admitted.waited < 11 * SECOND);
}

#[test]
fn clients_of_a_process_share_a_lane_while_one_of_them_lives() {
    let a = lane("https://pace.example/v1", &[1; 32], 1);
    assert!(Arc::ptr_eq(
        &a,
        &lane("https://pace.example/v1", &[1; 32], 1)
    ));
    assert!(!Arc::ptr_eq(
        &a,
        &lane("https://pace.example/v1", &[2; 32], 1)
    ));
    a.pacer_or_new("m");
    assert!(
        lane("https://pace.example/v1", &[1; 32], 1)
            .pacer("m")
            .is_some()
    );
    drop(a);
    assert!(
        lane("https://pace.example/v1", &[1; 32], 1)
            .pacer("m")
            .is_none()
    );
}

#[test]
fn the_models_of_a_lane_are_bounded() {
    let lane = Lane::new(1);
    for i in 0..10_000 {
        lane.pacer_or_new(&i.to_string());
    }
    assert!(lock(&lane.models).len() <= MOST_MODELS);
}
