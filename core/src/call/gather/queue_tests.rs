use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::retry::{Random, SeededRandom};

const LIMIT: Load = Load {
    inputs: 4,
    tokens: 100,
};
const WAIT: Duration = Duration::from_millis(50);

fn at(ms: u64) -> Comer {
    Comer {
        load: Load {
            inputs: 1,
            tokens: 10,
        },
        priority: 0,
        now: Duration::from_millis(ms),
        left: Duration::MAX,
    }
}

fn queue() -> Queue<u64> {
    Queue::new(LIMIT, WAIT)
}

/// A queue with one request under way, since the beginning.
fn busy() -> Queue<u64> {
    let mut queue = queue();
    assert_eq!(queue.arrive(at(0), || 0), (Arrival::Goes, Vec::new()));
    queue
}

fn wait(queue: &mut Queue<u64>, comer: Comer, who: u64) -> (Rank, Duration, Vec<Vec<u64>>) {
    match queue.arrive(comer, || who) {
        (Arrival::Waits(rank, window), going) => (rank, window, going),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_place_adds_no_wait() {
    let mut queue = queue();
    for ms in 0..3 {
        assert_eq!(queue.arrive(at(ms), || 1), (Arrival::Goes, Vec::new()));
        assert!(queue.returned(Duration::from_millis(1)).is_empty());
        assert!(queue.is_idle());
    }
}

#[test]
fn what_came_meanwhile_goes_when_the_request_is_back() {
    let mut queue = busy();
    for who in 1..=3 {
        assert!(wait(&mut queue, at(who), who).2.is_empty());
    }
    assert_eq!(queue.returned(WAIT), [vec![1, 2, 3]]);
    // They are under way now, so others wait for them.
    assert!(wait(&mut queue, at(9), 4).2.is_empty());
}

#[test]
fn a_full_request_goes_at_once() {
    let mut queue = busy();
    for who in 1..=3 {
        assert!(wait(&mut queue, at(who), who).2.is_empty());
    }
    assert_eq!(wait(&mut queue, at(4), 4).2, [vec![1, 2, 3, 4]]);
    let heavy = |tokens| Comer {
        load: Load { inputs: 1, tokens },
        ..at(5)
    };
    assert!(wait(&mut queue, heavy(90), 5).2.is_empty());
    // Together they are too much: the first goes, the second waits.
    assert_eq!(wait(&mut queue, heavy(30), 6).2, [vec![5]]);
    assert_eq!(queue.depart(), [vec![6]]);
    // What fills a request alone goes alone.
    assert_eq!(queue.arrive(heavy(100), || 7).0, Arrival::Apart);
}

#[test]
fn the_wait_follows_what_requests_take_and_never_passes_the_configured_one() {
    let mut queue = busy();
    assert_eq!(wait(&mut queue, at(1), 1).1, WAIT);
    queue.returned(Duration::from_millis(20));
    assert_eq!(wait(&mut queue, at(2), 2).1, Duration::from_millis(10));
    queue.returned(Duration::from_millis(1_000));
    assert_eq!(wait(&mut queue, at(3), 3).1, WAIT);
}

#[test]
fn who_has_no_time_takes_those_who_wait_along() {
    let mut queue = busy();
    wait(&mut queue, at(1), 1);
    let hurried = Comer {
        left: WAIT * 2,
        ..at(2)
    };
    assert_eq!(wait(&mut queue, hurried, 2).2, [vec![1, 2]]);
}

#[test]
fn one_who_leaves_is_not_sent_and_keeps_no_room() {
    let mut queue = busy();
    let (rank, ..) = wait(&mut queue, at(1), 1);
    for who in 2..=3 {
        wait(&mut queue, at(who), who);
    }
    assert_eq!(queue.leave(rank), Some(1));
    assert_eq!(queue.leave(rank), None);
    assert!(wait(&mut queue, at(4), 4).2.is_empty());
    assert_eq!(queue.returned(WAIT), [vec![2, 3, 4]]);
}

#[test]
fn priority_goes_first_and_waiting_outweighs_it() {
    let mut queue = busy();
    let first = |priority, ms| Comer {
        priority,
        load: Load {
            inputs: 1,
            tokens: 40,
        },
        ..at(ms)
    };
    wait(&mut queue, first(0, 1), 1);
    wait(&mut queue, first(0, 2), 2);
    assert_eq!(wait(&mut queue, first(1, 3), 3).2, [vec![3, 1]]);
    // One step is ten seconds: who has waited longer than that is not passed.
    let mut queue = busy();
    wait(&mut queue, first(0, 1), 1);
    wait(&mut queue, first(0, 2), 2);
    assert_eq!(wait(&mut queue, first(1, 10_003), 3).2, [vec![1, 2]]);
}

#[test]
fn a_server_that_takes_no_lists_is_left_in_peace_for_a_while() {
    let mut queue = queue();
    queue.part(Duration::from_millis(100));
    assert_eq!(queue.arrive(at(99), || 1).0, Arrival::Apart);
    assert_eq!(queue.arrive(at(100), || 1).0, Arrival::Goes);
}

/// 300 seeds of 400 random steps: nobody is lost, doubled or left waiting with nobody to come back, and no request is
/// larger than its limit.
#[test]
fn whatever_happens_everybody_goes_once_within_a_full_request() {
    for seed in 0..300 {
        let random = SeededRandom::new(seed);
        let pick = |n: u64| random.next_u64() % n;
        let mut queue = queue();
        let mut now = 0;
        let mut loads = HashMap::new();
        let mut waiting: HashMap<u64, Rank> = HashMap::new();
        let (mut gone, mut under_way) = (BTreeSet::new(), 0_u64);
        let mut left = 0;
        for who in 0..400 {
            now += pick(20);
            let mut going = Vec::new();
            match pick(5) {
                0..=2 => {
                    let load = Load {
                        inputs: 1 + pick(4) as usize,
                        tokens: pick(110) as usize,
                    };
                    let comer = Comer {
                        load,
                        priority: pick(21) as i32 - 10,
                        now: Duration::from_millis(now),
                        left: Duration::from_millis(pick(300)),
                    };
                    loads.insert(who, load);
                    let (arrival, departed) = queue.arrive(comer, || who);
                    match arrival {
                        Arrival::Goes => {
                            assert_eq!(under_way, 0);
                            under_way += 1;
                            assert!(gone.insert(who));
                        }
                        Arrival::Apart => assert!(gone.insert(who)),
                        Arrival::Waits(rank, window) => {
                            assert!(window <= WAIT);
                            waiting.insert(who, rank);
                        }
                    }
                    going = departed;
                }
                3 if under_way > 0 => {
                    under_way -= 1;
                    going = queue.returned(Duration::from_millis(pick(200)));
                    assert!(queue.waiting.is_empty());
                }
                _ => match waiting.keys().min().copied() {
                    Some(who) if pick(2) == 0 => {
                        let rank = waiting.remove(&who).unwrap();
                        assert_eq!(queue.leave(rank), Some(who));
                        left += 1;
                    }
                    Some(_) => going = queue.depart(),
                    None => {}
                },
            }
            for batch in going {
                under_way += 1;
                let mut sum = Load::default();
                for who in batch {
                    sum = sum.plus(loads[&who]);
                    assert!(waiting.remove(&who).is_some(), "seed {seed}");
                    assert!(gone.insert(who), "seed {seed}");
                }
                assert!(sum.fits(LIMIT), "seed {seed}: {sum:?}");
            }
            assert_eq!(queue.waiting.len(), waiting.len());
            assert!(waiting.is_empty() || under_way > 0, "seed {seed}");
            let held = queue
                .waiting
                .values()
                .fold(Load::default(), |sum, (load, _)| sum.plus(*load));
            assert_eq!(held, queue.load, "seed {seed}");
            assert!(!held.fills(LIMIT), "seed {seed}");
        }
        let rest: usize = queue.depart().iter().map(Vec::len).sum();
        assert_eq!(gone.len() + rest + left, loads.len());
    }
}
