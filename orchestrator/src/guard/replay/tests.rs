use super::*;

fn replays(bytes: usize) -> Arc<Replays> {
    Arc::new(Replays::new(bytes, Duration::from_secs(86_400)))
}

fn kept(text: &'static str) -> Kept {
    Kept {
        headers: HeaderMap::new(),
        parts: vec![Bytes::from_static(text.as_bytes())],
    }
}

fn run(replays: &Arc<Replays>, key: u8, now: Instant) -> Ticket {
    match replays.begin([key; 32], [0; 32], now).unwrap() {
        Turn::Run(ticket) => ticket,
        Turn::Replay(_) => panic!("it was answered before"),
    }
}

#[test]
fn the_first_runs_a_second_waits_and_a_later_one_gets_the_same_answer() {
    let (replays, now) = (replays(1 << 20), Instant::now());
    let ticket = run(&replays, 1, now);
    let error = replays.begin([1; 32], [0; 32], now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.fields().retry_after_ms, Some(1000));
    ticket.keep(kept("yes"), now);
    match replays.begin([1; 32], [0; 32], now).unwrap() {
        Turn::Replay(kept) => assert_eq!(kept.parts, [Bytes::from_static(b"yes")]),
        Turn::Run(_) => panic!("it was forgotten"),
    }
}

#[test]
fn another_request_under_the_same_key_is_refused_whether_the_first_runs_or_is_done() {
    let (replays, now) = (replays(1 << 20), Instant::now());
    let ticket = run(&replays, 1, now);
    for _ in 0..2 {
        let error = replays.begin([1; 32], [9; 32], now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.fields().detail.as_deref(), Some(MISMATCH));
    }
    ticket.keep(kept("yes"), now);
    assert!(replays.begin([1; 32], [9; 32], now).is_err());
}

#[test]
fn a_request_that_ends_without_an_answer_frees_its_key() {
    let (replays, now) = (replays(1 << 20), Instant::now());
    drop(run(&replays, 1, now));
    drop(run(&replays, 1, now));
    assert!(replays.held().entries.is_empty());
}

#[test]
fn answers_are_forgotten_after_a_day() {
    let (replays, now) = (replays(1 << 20), Instant::now());
    run(&replays, 1, now).keep(kept("yes"), now);
    let day = now + Duration::from_secs(86_400);
    let before = day.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(matches!(
        replays.begin([1; 32], [0; 32], before),
        Ok(Turn::Replay(_))
    ));
    drop(run(&replays, 1, day));
    assert_eq!(replays.held().bytes, 0);
}

#[test]
fn the_oldest_answers_make_room_and_too_large_ones_are_not_kept() {
    let (replays, now) = (replays(8 * 600), Instant::now());
    for i in 0..100 {
        run(&replays, i, now).keep(kept("yes"), now);
        assert!(replays.held().bytes <= 8 * 600);
    }
    assert!(matches!(
        replays.begin([99; 32], [0; 32], now),
        Ok(Turn::Replay(_))
    ));
    drop(run(&replays, 0, now));
    let large = Kept {
        headers: HeaderMap::new(),
        parts: vec![Bytes::from(vec![0; 601])],
    };
    run(&replays, 200, now).keep(large, now);
    drop(run(&replays, 200, now));
    assert!(replays.held().entries.len() <= 8);
}

#[test]
fn callers_and_roads_never_meet_under_one_key() {
    let of = |tenant: &str, key_id: Option<&str>| Identity {
        tenant: Arc::from(tenant),
        key_id: key_id.map(Arc::from),
        bounds: Arc::default(),
    };
    let names = [
        key(&of("a", None), "http", "1"),
        key(&of("b", None), "http", "1"),
        key(&of("a", Some("k")), "http", "1"),
        key(&of("a", None), "grpc", "1"),
        key(&of("a", None), "http", "2"),
        key(&of("", Some("a")), "http", "1"),
    ];
    let different: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
}
