//! A call under way: polled once on the caller's thread, so that what can be answered at once is, and then a task.

pub(crate) mod credit;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use ossai::{Error, ErrorKind, Result, StreamEvent};

use crate::event::Event;
use crate::op::Answer;
use crate::queue::Queue;
use crate::reply::Reply;
use crate::session::{CallId, Inner};
use crate::tools::Events;
use credit::Credit;

/// An asynchronous operation, boxed so that it can move from the caller's thread to a task.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

/// A call's work, where both its task and whoever cancels it reach it. An aborted task is dropped some time later;
/// until then the call would still be counted among its flight's.
pub(crate) struct Task(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Task {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Box::pin(work)))))
    }

    /// Runs the work to its end, or until it is stopped.
    pub(crate) async fn run(self: Arc<Self>) {
        std::future::poll_fn(|context| {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match slot.as_mut().map(|work| work.as_mut().poll(context)) {
                Some(Poll::Pending) => Poll::Pending,
                Some(Poll::Ready(())) | None => {
                    *slot = None;
                    Poll::Ready(())
                }
            }
        })
        .await;
    }

    /// Drops the work at once if nothing polls it now; the task's abort drops it otherwise.
    pub(crate) fn stop(&self) {
        let work = self.0.try_lock().ok().and_then(|mut slot| slot.take());
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(work)));
    }
}

/// What a panic becomes: the message is ours, not the panic's, which might quote a prompt.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the call panicked; the client stays usable",
    )
}

/// Runs something on the caller's thread with panics turned into errors.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

/// The one poll on the caller's thread.
pub(crate) fn poll_once(running: &mut Running) -> Poll<Result<Answer>> {
    let mut context = Context::from_waker(Waker::noop());
    std::panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut context)))
        .unwrap_or_else(|_| Poll::Ready(Err(panicked())))
}

/// The rest of a call, as a task.
pub(crate) async fn drive(
    session: Arc<Inner>,
    id: CallId,
    queue: Queue,
    credit: Option<Arc<Credit>>,
    running: Running,
) {
    let mut close = false;
    let work = async {
        match running.await? {
            Answer::Reply(reply) => Ok(Last::Reply(reply)),
            Answer::Closed { idle, left } => {
                let others = tokio::time::timeout(left, session.calls.only(id)).await;
                close = true;
                Ok(Last::Reply(closed(idle && others.is_ok())))
            }
            Answer::Stream(stream) => {
                let last = forward(id, &queue, credit.as_deref(), stream).await?;
                Ok(Last::Events(last))
            }
        }
    };
    let outcome = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(panicked()));
    if session.calls.end(id).is_none() {
        return; // cancelled or closed meanwhile; the host knows
    }
    if close {
        session.cancel_all();
    }
    queue.push(match outcome {
        Ok(Last::Reply(reply)) => Event::Reply {
            id,
            outcome: Ok(reply),
        },
        Ok(Last::Events(events)) => Event::Events { id, events },
        Err(error) => Event::Reply {
            id,
            outcome: Err(error),
        },
    });
}

/// The last thing a host hears of a call; by then the call is no longer there.
enum Last {
    Reply(Reply),
    Events(Vec<StreamEvent>),
}

/// Hands a stream's events to the queue, as many at a time as are ready and granted; returns the batch with the end.
async fn forward(
    id: CallId,
    queue: &Queue,
    credit: Option<&Credit>,
    mut stream: Events,
) -> Result<Vec<StreamEvent>> {
    let mut held = VecDeque::new();
    loop {
        let room = match credit {
            Some(credit) => credit.available().await,
            None => u32::MAX,
        };
        if held.is_empty() {
            match stream.next().await {
                Some(event) => held.push_back(event?),
                None => {
                    let lost = "the stream ended without an answer";
                    return Err(Error::new(ErrorKind::Internal, lost));
                }
            }
            stream.take_ready(&mut held);
        }
        let count = held.len().min(room as usize);
        let events: Vec<StreamEvent> = held.drain(..count).collect();
        let ended = matches!(events.last(), Some(StreamEvent::End { .. }));
        if let Some(credit) = credit {
            credit.spend(u32::try_from(count).unwrap_or(room));
        }
        if ended {
            return Ok(events);
        }
        queue.push(Event::Events { id, events });
    }
}

/// The answer of a close.
pub(crate) fn closed(drained: bool) -> Reply {
    Reply::Value(serde_json::json!({ "drained": drained }))
}

/// A whole stream that is already there: a kept answer.
pub(crate) fn all_ready(mut stream: Events) -> Reply {
    let mut events = VecDeque::new();
    stream.take_ready(&mut events);
    Reply::Events(events.into())
}
