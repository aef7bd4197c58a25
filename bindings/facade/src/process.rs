//! What there is once per process: the runtime, started by the first call that needs it, and the generation that tells a
//! forked child that everything from before the fork belongs to threads it does not have.
//!
//! A lock of the parent's may be held for ever in the child (its holder was not copied), so the child touches none of
//! them: it uses the next slot of a static list, whose locks nobody has ever held.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ossai::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Most nested forks (a child of a child of …).
const GENERATIONS: usize = 256;
const DEFAULT_THREADS: usize = 2;

static GENERATION: AtomicUsize = AtomicUsize::new(0);
static THREADS: AtomicUsize = AtomicUsize::new(DEFAULT_THREADS);
static SLOTS: [Process; GENERATIONS] = [const { Process::new() }; GENERATIONS];

pub(crate) struct Process {
    runtime: OnceLock<Runtime>,
    starting: Mutex<()>,
    closing: AtomicBool,
    /// Tasks that have not ended.
    live: AtomicU64,
    /// Everything with calls under way, so that it can be ended with the process.
    open: Mutex<Vec<Weak<dyn Close>>>,
}

/// Something whose calls end with the process.
pub(crate) trait Close: Send + Sync {
    /// Ends its calls without waiting; counts what still has to happen by [`Process::enter`].
    fn close_for_exit(&self, patience: Duration);
}

impl Process {
    const fn new() -> Self {
        Self {
            runtime: OnceLock::new(),
            starting: Mutex::new(()),
            closing: AtomicBool::new(false),
            live: AtomicU64::new(0),
            open: Mutex::new(Vec::new()),
        }
    }

    /// The process as it is on this side of the last fork.
    pub(crate) fn current() -> Result<&'static Self> {
        SLOTS.get(generation()).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidState,
                format!("more than {GENERATIONS} nested forks"),
            )
        })
    }

    /// The runtime, started now if this is the first call that needs it.
    pub(crate) fn runtime(&'static self) -> Result<&'static Handle> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.handle());
        }
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.runtime.get().is_none() {
            let runtime = Builder::new_multi_thread()
                .worker_threads(THREADS.load(Ordering::Relaxed))
                .thread_name("ossai-rt")
                .on_thread_start(without_sigpipe)
                .enable_all()
                .build()
                .map_err(|error| {
                    Error::new(ErrorKind::Internal, "the runtime's threads did not start")
                        .with_source(error)
                })?;
            // Only the holder of the lock comes here, so the cell is empty.
            let _ = self.runtime.set(runtime);
        }
        self.runtime
            .get()
            .map(Runtime::handle)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the runtime did not start"))
    }

    /// The runtime, if a call has started it.
    pub(crate) fn started(&'static self) -> Option<&'static Handle> {
        self.runtime.get().map(Runtime::handle)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::ShuttingDown,
                "the process is shutting down",
            ));
        }
        Ok(())
    }

    /// Ends with the process from now on.
    pub(crate) fn register(&self, closes: Weak<dyn Close>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| other.strong_count() > 0);
        open.push(closes);
    }

    /// Counts a task until the guard is dropped with it.
    pub(crate) fn enter(&'static self) -> Live {
        self.live.fetch_add(1, Ordering::AcqRel);
        Live(self)
    }
}

/// Keeps SIGPIPE from this thread. A write to a connection that the other side has closed raises it, and ends a process that
/// does not ignore it: every C program, and a Go program on any thread that is not Go's own. Blocked, the write fails with EPIPE.
fn without_sigpipe() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, Signal};
        // Fails for no set there is.
        let _ = SigSet::from(Signal::SIGPIPE).thread_block();
    }
}

/// A task that has not ended.
pub(crate) struct Live(&'static Process);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Which side of how many forks this process is on; 0 in one that was never forked.
#[must_use]
pub fn generation() -> usize {
    GENERATION.load(Ordering::Acquire)
}

/// Tells the façade that this is a freshly forked child. Only atomic stores: safe in `pthread_atfork` and
/// `os.register_at_fork`.
///
/// Sessions from before refuse with `invalid_state` from now on, and new ones run on a runtime of their own. What the
/// parent's threads were doing is forgotten, not ended: it goes on in the parent.
pub fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// How many threads the runtime gets, 1 to 64; 2 unless said otherwise. Returns false, and changes nothing, once it runs.
pub fn configure_threads(threads: usize) -> bool {
    if Process::current().is_ok_and(|process| process.started().is_some()) {
        return false;
    }
    THREADS.store(threads.clamp(1, 64), Ordering::Relaxed);
    true
}

/// Ends everything for the process's exit: refuses new calls with `shutting_down`, cancels those under way and waits, at
/// most `patience`, until their connections are closed. Returns whether all were.
///
/// The idle runtime stays: its threads never enter the host, so the process may end under them.
pub fn shutdown(patience: Duration) -> bool {
    let Ok(process) = Process::current() else {
        return true;
    };
    process.closing.store(true, Ordering::Release);
    if process.started().is_none() {
        return true;
    }
    let open = std::mem::take(&mut *process.open.lock().unwrap_or_else(PoisonError::into_inner));
    for one in open.iter().filter_map(Weak::upgrade) {
        one.close_for_exit(patience);
    }
    let end = Instant::now() + patience.min(Duration::from_secs(3600));
    while process.live.load(Ordering::Acquire) > 0 {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
