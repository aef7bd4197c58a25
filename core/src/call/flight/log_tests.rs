use super::*;

fn limits(
    log_bytes: usize,
    log_events: usize,
    window_bytes: usize,
    window_events: usize,
) -> Limits {
    Limits {
        log_bytes,
        log_events,
        window_bytes,
        window_events,
    }
}

fn read_all(log: &mut Log<u32>, cursor: &mut u64) -> Option<Vec<u32>> {
    let mut out = Vec::new();
    log.read(cursor, usize::MAX, &mut out).map(|_| out)
}

#[test]
fn a_reader_that_comes_late_gets_every_event_from_the_first_on() {
    let mut log = Log::new(Limits::default(), true);
    let mut early = log.add_reader();
    for event in 0..100 {
        assert_eq!(log.push(event, 10), 0);
    }
    assert_eq!(read_all(&mut log, &mut early).unwrap().len(), 100);
    let mut late = log.add_reader();
    assert_eq!(
        read_all(&mut log, &mut late).unwrap(),
        (0..100).collect::<Vec<_>>()
    );
}

#[test]
fn the_log_keeps_to_its_bound_in_events_by_dropping_what_the_fastest_has_read() {
    let mut log = Log::new(limits(1000, 4, 1000, 4), true);
    let mut fast = log.add_reader();
    for event in 0..10 {
        log.push(event, 1);
        read_all(&mut log, &mut fast);
        assert!(log.entries.len() <= 4);
    }
    assert!(!log.is_whole());
    assert_eq!(log.bytes, 4);
}

#[test]
fn the_log_keeps_to_its_bound_in_bytes_by_dropping_what_the_fastest_has_read() {
    let mut log = Log::new(limits(100, 1000, 100, 1000), true);
    let mut fast = log.add_reader();
    for event in 0..10 {
        log.push(event, 30);
        read_all(&mut log, &mut fast);
        assert!(log.bytes <= 100);
    }
    assert!(!log.is_whole());
}

#[test]
fn events_the_fastest_has_not_read_are_never_dropped_so_nothing_more_fits() {
    let mut log = Log::new(limits(100, 4, 100, 4), true);
    let mut reader = log.add_reader();
    let mut pushed = 0;
    while log.fits(1) {
        log.push(pushed, 1);
        pushed += 1;
    }
    assert_eq!(pushed, 4);
    assert_eq!(read_all(&mut log, &mut reader).unwrap(), [0, 1, 2, 3]);
    assert!(log.fits(1));
}

#[test]
fn a_window_wider_than_the_log_is_narrowed_to_it() {
    let mut log = Log::new(limits(10, 2, 1 << 20, 1024), true);
    log.add_reader();
    log.push(0, 1);
    assert!(log.fits(9) && !log.fits(10));
    log.push(1, 1);
    assert!(!log.fits(1));
}

#[test]
fn an_event_larger_than_every_bound_still_passes_alone() {
    let mut log = Log::new(limits(10, 2, 10, 2), true);
    let mut fast = log.add_reader();
    let mut slow = log.add_reader();
    log.push(0, 1);
    assert!(!log.fits(1000));
    read_all(&mut log, &mut fast);
    assert!(log.fits(1000));
    assert_eq!(log.push(1, 1000), 1, "the slow reader is cut off");
    assert_eq!(read_all(&mut log, &mut fast).unwrap(), [1]);
    assert_eq!(read_all(&mut log, &mut slow), None);
}

#[test]
fn a_reader_that_kept_up_can_read_an_oversized_event_though_others_skip_it() {
    let mut log = Log::new(limits(10, 2, 10, 2), true);
    let mut reader = log.add_reader();
    log.add_skipper();
    assert_eq!(log.push(0, 1000), 0);
    assert_eq!(read_all(&mut log, &mut reader).unwrap(), [0]);
}

#[test]
fn those_who_want_the_result_only_lift_the_window() {
    let mut log = Log::new(limits(100, 8, 100, 2), true);
    log.add_reader();
    log.push(0, 1);
    log.push(1, 1);
    assert!(!log.fits(1));
    log.add_skipper();
    assert!(log.fits(1));
    log.remove_skipper();
    assert!(!log.fits(1));
}

#[test]
fn a_log_that_nobody_can_join_hands_events_over_and_keeps_none() {
    let mut log = Log::new(Limits::default(), false);
    let mut cursor = log.add_reader();
    let event = std::sync::Arc::new(7);
    log.push(std::sync::Arc::clone(&event), 1);
    let mut out = Vec::new();
    assert_eq!(log.read(&mut cursor, 10, &mut out), Some(1));
    assert_eq!(
        std::sync::Arc::strong_count(&event),
        2,
        "no third copy is left in the log"
    );
    assert_eq!((log.entries.len(), log.bytes, log.unread), (0, 0, 0));
}

/// The same rules told naively: all cursors in one list, every question answered by looking at each of them.
struct Plain {
    limits: Limits,
    sizes: Vec<usize>,
    base: usize,
    cursors: Vec<Option<usize>>,
    skippers: usize,
}

impl Plain {
    fn fastest(&self) -> usize {
        if self.skippers > 0 {
            return self.sizes.len();
        }
        let served = self.cursors.iter().flatten().filter(|at| **at >= self.base);
        served.copied().max().unwrap_or(self.base)
    }

    fn fits(&self, bytes: usize) -> bool {
        let behind = &self.sizes[self.fastest()..];
        behind.is_empty()
            || (behind.len() < self.limits.window_events
                && behind.iter().sum::<usize>() + bytes <= self.limits.window_bytes)
    }

    fn push(&mut self, bytes: usize) -> usize {
        self.sizes.push(bytes);
        let before = self.base;
        while self.base + 1 < self.sizes.len()
            && self.base < self.fastest()
            && (self.sizes[self.base..].iter().sum::<usize>() > self.limits.log_bytes
                || self.sizes.len() - self.base > self.limits.log_events)
        {
            self.base += 1;
        }
        let cut = |at: &&usize| **at >= before && **at < self.base;
        self.cursors.iter().flatten().filter(cut).count()
    }
}

#[test]
fn the_log_agrees_with_a_naive_one_over_random_histories() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for _ in 0..300 {
        let log_events = 1 + random(12);
        let log_bytes = 1 + random(60);
        let window = limits(
            log_bytes,
            log_events,
            1 + random(log_bytes),
            1 + random(log_events),
        );
        let mut log = Log::new(window, true);
        let mut plain = Plain {
            limits: window,
            sizes: Vec::new(),
            base: 0,
            cursors: Vec::new(),
            skippers: 0,
        };
        let mut cursors: Vec<Option<u64>> = Vec::new();
        for _ in 0..200 {
            match random(10) {
                0 if log.is_whole() => {
                    cursors.push(Some(log.add_reader()));
                    plain.cursors.push(Some(0));
                }
                1 if !cursors.is_empty() => {
                    let who = random(cursors.len());
                    if let Some(cursor) = cursors[who].take() {
                        log.remove_reader(cursor);
                    }
                    plain.cursors[who] = None;
                }
                2 => {
                    log.add_skipper();
                    plain.skippers += 1;
                }
                3 if plain.skippers > 0 => {
                    log.remove_skipper();
                    plain.skippers -= 1;
                }
                4..=6 => {
                    let bytes = random(20);
                    assert_eq!(log.fits(bytes), plain.fits(bytes));
                    if log.fits(bytes) {
                        let number = plain.sizes.len() as u32;
                        assert_eq!(log.push(number, bytes), plain.push(bytes));
                    }
                }
                _ if !cursors.is_empty() => {
                    let (who, max) = (random(cursors.len()), 1 + random(6));
                    if let (Some(cursor), Some(at)) = (&mut cursors[who], &mut plain.cursors[who]) {
                        let mut out = Vec::new();
                        let read = log.read(cursor, max, &mut out);
                        if *at < plain.base {
                            assert_eq!(read, None);
                        } else {
                            let end = plain.sizes.len().min(*at + max);
                            let expected: Vec<u32> = (*at..end).map(|n| n as u32).collect();
                            assert_eq!((read, &out), (Some(expected.len()), &expected));
                            *at = end;
                        }
                    }
                }
                _ => {}
            }
            let served = plain
                .cursors
                .iter()
                .flatten()
                .filter(|at| **at >= plain.base)
                .count();
            assert_eq!(log.served(), served + plain.skippers);
            assert_eq!(log.base, plain.base as u64);
            assert_eq!(log.bytes, plain.sizes[plain.base..].iter().sum::<usize>());
            if plain.skippers == 0 {
                assert_eq!(
                    log.unread,
                    plain.sizes[plain.fastest()..].iter().sum::<usize>()
                );
            }
        }
    }
}
