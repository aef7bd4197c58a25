//! One event loop: its completion queue, and the sessions whose calls end when its environment does.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status};
use napi_derive::napi;
use ossai_facade::{Queue, Session, Wake, events_to_json};

/// Most events taken over in one go, so that one busy client does not starve the loop's other work.
const BATCH: usize = 1024;

/// Weak: an idle client does not keep the process alive. What a program waits for does, by a handle of the SDK's.
struct LoopWake(ThreadsafeFunction<(), (), (), Status, false, true>);

impl Wake for LoopWake {
    fn wake(&self) {
        // An environment that has ended no longer wants to know.
        let _ = self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// A queue that announces itself by calling `wake` on its event loop.
pub(crate) fn queue(wake: &Function<'_, (), ()>) -> Result<Queue> {
    let wake = wake
        .build_threadsafe_function::<()>()
        .callee_handled::<false>()
        .weak::<true>()
        .build()?;
    Ok(Queue::new(Arc::new(LoopWake(wake))))
}

/// What has come, as JSON: a list of the events of `bindings/CONTRACT.md`.
pub(crate) fn drain(queue: &Queue) -> String {
    events_to_json(&queue.drain(BATCH))
}

/// What an environment (the main thread's, a worker's) has of ours.
pub(crate) struct Environment {
    pub(crate) queue: Queue,
    sessions: Mutex<Vec<Weak<Session>>>,
}

impl Environment {
    /// Ends the session's calls with the environment.
    pub(crate) fn register(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == sessions.capacity() {
            sessions.retain(|other| other.strong_count() > 0);
        }
        sessions.push(Arc::downgrade(session));
    }

    /// A terminated worker's calls would otherwise run on: the runtime is the process's.
    fn end(&self) {
        self.queue.close();
        let sessions =
            std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.close();
        }
    }
}

/// The queue of one event loop.
#[napi]
pub struct Home(pub(crate) Arc<Environment>);

#[napi]
impl Home {
    /// One for each environment; `wake` is called on its event loop when there is something to drain.
    ///
    /// # Errors
    /// When the environment is ending.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::needless_pass_by_value)] // napi's functions take their arguments by value
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Self> {
        let environment = Arc::new(Environment {
            queue: queue(&wake)?,
            sessions: Mutex::default(),
        });
        env.add_env_cleanup_hook(Arc::clone(&environment), |environment| {
            // Nothing may unwind into the host's teardown.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| environment.end()));
        })?;
        Ok(Self(environment))
    }

    /// What has come.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn drain(&self) -> String {
        drain(&self.0.queue)
    }
}
