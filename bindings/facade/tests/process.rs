//! What holds for a whole process: one test, because forks and shutdown are for good.

use std::sync::Arc;
use std::time::Duration;

use ossai::ErrorKind;
use ossai_facade::{
    Begin, Op, Parker, Queue, Session, after_fork_in_child, configure_threads, generation, shutdown,
};

const REQUEST: &str =
    r#"{"model": "local/extract", "messages": [{"role": "user", "content": "Hello there."}]}"#;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// As the kernel tells it, where there is a `/proc`: SIGPIPE is 13, the lowest bit is signal 1.
fn every_thread_of_the_runtime_blocks_sigpipe() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let status = tasks.flatten().map(|task| task.path().join("status"));
    status
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter(|status| status.starts_with("Name:\tossai-rt\n"))
        .filter_map(|status| {
            Some(
                status
                    .split("SigBlk:")
                    .nth(1)?
                    .lines()
                    .next()?
                    .trim()
                    .to_owned(),
            )
        })
        .all(|mask| u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask & (1 << 12) != 0))
}

fn ask(session: &Session) -> ossai::Result<String> {
    let parker = Arc::new(Parker::default());
    let queue = Queue::new(Arc::clone(&parker));
    match session.begin(Op::Complete, REQUEST, "", &queue) {
        Begin::Ready(answer) => answer.map(|answer| answer.to_json()),
        Begin::Pending(_) => {
            assert!(parker.wait(Duration::from_secs(10)), "no answer");
            Ok(queue.drain(1).remove(0).to_json())
        }
    }
}

#[test]
fn threads_start_with_the_first_call_a_child_has_its_own_and_the_end_is_orderly() {
    let before = threads();
    let parent = Session::open("{}", false).expect("session");
    assert_eq!(threads(), before, "opening starts no thread");
    assert!(configure_threads(1));
    ask(&parent).expect("an answer");
    assert!(threads() > before || before == 0);
    assert!(every_thread_of_the_runtime_blocks_sigpipe());
    assert!(!configure_threads(4), "too late");

    // As if forked: what a child sees of its parent's session and of its own.
    after_fork_in_child();
    assert_eq!(generation(), 1);
    let error = ask(&parent).expect_err("the parent's");
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(error.to_string().contains("forked"), "{error}");
    assert!(!parent.is_of_this_process());
    parent.close();
    assert!(!parent.cancel(ossai_facade::CallId(1)));
    let child = Session::open("{}", false).expect("session");
    ask(&child).expect("an answer");
    drop(parent);

    assert!(shutdown(Duration::from_secs(10)), "everything ended");
    let error = ask(&child).expect_err("shut down");
    assert_eq!(error.kind(), ErrorKind::ShuttingDown);
    assert!(shutdown(Duration::ZERO), "a second time is harmless");
}
