//! The part of a runner that is the same for every client: start upstreams, time the calls, collect the trace, check it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::case::{Call, Case, Op, Road, Start};
use crate::check::check;
use crate::disturb::{self, Disturbance};
use crate::folder::Folder;
use crate::load::{Loaded, upstream_variable};
use crate::tools::Tools;
use crate::trace;
use crate::upstream_process::{Registered, Upstream};

/// No case runs longer than this in real time; one that does hangs.
pub const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What a client is opened with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which way calls go. On the orchestrator's road the driver starts an orchestrator with this configuration and
    /// opens a client that has the same one without `providers` and with `endpoint`.
    pub road: Road,
    /// The configuration, with the upstreams' addresses in it.
    pub config: Value,
    /// Settings of the orchestrator beside it.
    pub serve: Value,
}

/// One call as the driver makes it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What it asks.
    pub op: Op,
    /// The request, in the public types' JSON form.
    pub request: Value,
    /// The options, in the public types' JSON form.
    pub options: Value,
    /// Tools with scripted handlers; their waits are real time.
    pub tools: Option<Tools>,
}

/// Opens clients.
pub trait Driver: Send + Sync {
    /// A client.
    type Client: Client + 'static;

    /// Opens one; an error is the error's fields.
    fn open(&self, setup: Setup) -> impl Future<Output = Result<Self::Client, Value>> + Send;

    /// Opens another one beside `first`, on the orchestrator's road with the same orchestrator.
    fn open_beside(
        &self,
        first: &Self::Client,
        setup: Setup,
    ) -> impl Future<Output = Result<Self::Client, Value>> + Send;
}

/// A client under test.
pub trait Client: Send + Sync {
    /// Makes one call and returns the answer, or the error's fields. Dropping the future cancels the call. A stream hands
    /// each event to `events` as it comes and returns the completion of its `end` event.
    fn call(
        &self,
        call: Invocation,
        events: EventSink,
    ) -> impl Future<Output = Result<Value, Value>> + Send;

    /// The client's counters: `{flights, joined, cache_hits, cache_misses, retries, saved}`, `saved` in nanodollars.
    fn stats(&self) -> impl Future<Output = Value> + Send;

    /// Does to the client or its orchestrator what a disturbance says; those of files and ledgers are the runner's.
    fn disturb(&self, what: &Disturbance) -> impl Future<Output = Result<(), String>> + Send;

    /// Closes the client and whatever was started for it.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Takes a stream's events and plays the reader: slow, or one who leaves.
#[derive(Debug)]
pub struct EventSink {
    shared: Arc<Shared>,
    read_delay: Option<Duration>,
    leave_after: Option<usize>,
}

impl EventSink {
    /// Hands over one event; returns when the reader wants the next one.
    pub async fn event(&mut self, event: Value) {
        let count = {
            let mut events = lock(&self.shared.events);
            events.push(event);
            events.len()
        };
        self.shared
            .progress
            .send_modify(|progress| progress.events = count);
        if self.leave_after == Some(count) {
            // The scheduler drops this call as soon as it sees the count.
            std::future::pending::<()>().await;
        }
        if let Some(delay) = self.read_delay {
            tokio::time::sleep(delay).await;
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    events: Mutex<Vec<Value>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    started: bool,
    events: usize,
    done: bool,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Report {
    /// The case.
    pub id: String,
    /// The road.
    pub road: Road,
    /// Everything that is not as promised; empty when it passed.
    pub failures: Vec<String>,
    /// Whether it was given up after [`CASE_LIMIT`].
    pub hung: bool,
    /// The whole trace, before normalising.
    pub trace: Value,
}

/// Runs one case on one road.
pub async fn run_case<D: Driver>(
    loaded: &Loaded,
    road: Road,
    driver: &D,
    upstream: &Upstream,
) -> Report {
    let mut report = Report {
        id: loaded.id.clone(),
        road,
        failures: Vec::new(),
        hung: false,
        trace: Value::Null,
    };
    match tokio::time::timeout(CASE_LIMIT, attempt(loaded, road, driver, upstream)).await {
        Ok(Ok((failures, trace))) => (report.failures, report.trace) = (failures, trace),
        Ok(Err(error)) => report.failures.push(error),
        Err(_) => {
            report.hung = true;
            report.failures.push(format!(
                "it hangs: not done after {} s",
                CASE_LIMIT.as_secs()
            ));
        }
    }
    report
}

async fn attempt<D: Driver>(
    loaded: &Loaded,
    road: Road,
    driver: &D,
    upstream: &Upstream,
) -> Result<(Vec<String>, Value), String> {
    let mut registered: BTreeMap<String, Registered> = BTreeMap::new();
    let names = loaded.upstreams();
    for name in &names {
        // Addresses of upstreams that do not run yet are unknown to a script; the loader has seen to the rest.
        let unknown = Registered {
            id: String::new(),
            base_url: "http://127.0.0.1:9/not-started".into(),
            authority: Some("not started".into()),
        };
        let started = |name: &str| registered.get(name).unwrap_or(&unknown).clone();
        let lookup = |variable: &str| upstream_variable(&names, variable, &started);
        let case = loaded.resolve(road, &lookup)?;
        let Some(script) = case.upstreams.get(name) else {
            continue;
        };
        let mut script = script.clone();
        crate::expand::merge(&mut script, &json!({"time_scale": case.time_scale}));
        let entry = upstream
            .register(&script)
            .await
            .map_err(|e| format!("upstreams.{name}: {e}"))?;
        registered.insert(name.clone(), entry);
    }
    let case = loaded.resolve(road, &|variable| {
        upstream_variable(&names, variable, &|name| {
            registered.get(name).cloned().unwrap_or_default()
        })
    })?;

    let mut trace = json!({"case": case.name, "road": road});
    let folder = Folder::default();
    folder
        .given(&case.files)
        .map_err(|e| format!("files: {e}"))?;
    let main = registered.get("main").map(|main| main.id.clone());
    let setup = |patch: &Value| {
        let mut config = case.config.clone();
        crate::expand::merge(&mut config, patch);
        let config = folder.given_to(&config);
        config
            .map_err(|e| format!("config: {e}"))
            .map(|config| Setup {
                road,
                config,
                serve: case.serve.clone(),
            })
    };
    let nothing = json!({});
    let mut calls = serde_json::Map::new();
    'clients: for (number, patch) in std::iter::once(&nothing).chain(&case.reopen).enumerate() {
        let mut clients: Vec<Arc<D::Client>> = Vec::new();
        for patch in std::iter::once(patch).chain(&case.beside) {
            let setup = setup(patch)?;
            let opened = match clients.first() {
                None => driver.open(setup).await,
                Some(first) => driver.open_beside(first.as_ref(), setup).await,
            };
            match opened {
                Ok(client) => clients.push(Arc::new(client)),
                Err(error) => {
                    put(&mut trace, "open", json!({"error": error}));
                    for client in clients.iter().rev() {
                        client.close().await;
                    }
                    break 'clients;
                }
            }
        }
        calls.extend(run_calls(&case, number, &clients, upstream, main.clone(), &folder).await?);
        // The first one last: the orchestrator of all is its own.
        for client in clients.iter().rev() {
            put(&mut trace, "stats", client.stats().await);
            client.close().await;
        }
    }
    put(&mut trace, "calls", Value::Object(calls));
    put(&mut trace, "files", folder.texts());
    let mut logs = BTreeMap::new();
    for (name, entry) in &registered {
        logs.insert(name.clone(), upstream.settled_log(&entry.id, 3000).await?);
        upstream.delete(&entry.id).await?;
    }
    put(
        &mut trace,
        "upstreams",
        serde_json::to_value(&logs).map_err(|e| e.to_string())?,
    );
    Ok((check(&case, &trace, &logs), trace))
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.into(), value);
    }
}

/// Runs the calls of clients that are open at once, `first` being the number of the first of them, each when its `start`
/// says, and returns their traces by name.
async fn run_calls<C: Client + 'static>(
    case: &Case,
    first: usize,
    clients: &[Arc<C>],
    upstream: &Upstream,
    main: Option<String>,
    folder: &Folder,
) -> Result<serde_json::Map<String, Value>, String> {
    let mut slots: Vec<(String, String, Arc<Shared>)> = Vec::new();
    let begun = Instant::now();
    let mut running = Vec::new();
    let mut last: Option<&str> = None;
    for call in &case.calls {
        let own = call.client.checked_sub(first);
        let Some(client) = own.and_then(|own| clients.get(own)) else {
            continue;
        };
        let before: Vec<Arc<Shared>> = match (&call.start, last) {
            (None, Some(last)) => of(&slots, last),
            (Some(start), _) => [&start.with, &start.after, &start.of]
                .into_iter()
                .flatten()
                .flat_map(|id| of(&slots, id))
                .collect(),
            (None, None) => Vec::new(),
        };
        for copy in 0..call.copies.unwrap_or(1) {
            let name = match call.copies {
                Some(_) => format!("{}[{copy}]", call.id),
                None => call.id.clone(),
            };
            let shared = Arc::new(Shared::default());
            slots.push((call.id.clone(), name.clone(), shared.clone()));
            let task = run_call(
                call,
                f64::from(case.time_scale),
                client.clone(),
                shared,
                before.clone(),
                begun,
                upstream,
                main.as_deref(),
                folder,
            );
            running.push(async move { (name, task.await) });
        }
        last = Some(&call.id);
    }
    // All on this task: they take turns at every await, and dropping the case drops them all.
    let done = join_all(running).await;
    let mut traces = serde_json::Map::new();
    for (name, result) in done {
        traces.insert(name, result?);
    }
    Ok(traces)
}

fn of(slots: &[(String, String, Arc<Shared>)], id: &str) -> Vec<Arc<Shared>> {
    slots
        .iter()
        .filter(|(call, ..)| call == id)
        .map(|(.., shared)| shared.clone())
        .collect()
}

async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(move |context| {
        let mut pending = false;
        for (future, slot) in &mut futures {
            if slot.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(output) => *slot = Some(output),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(
            futures
                .iter_mut()
                .filter_map(|(_, slot)| slot.take())
                .collect(),
        )
    })
    .await
}

#[allow(clippy::too_many_arguments)]
async fn run_call<C: Client>(
    call: &Call,
    scale: f64,
    client: Arc<C>,
    shared: Arc<Shared>,
    before: Vec<Arc<Shared>>,
    begun: Instant,
    upstream: &Upstream,
    main: Option<&str>,
    folder: &Folder,
) -> Result<Value, String> {
    wait_for_start(call.start.as_ref(), scale, &before, begun, upstream, main).await?;
    let real = |ms: f64| Duration::from_secs_f64(ms.max(0.0) / 1000.0 / scale);
    let sink = EventSink {
        shared: shared.clone(),
        read_delay: call.read_delay_ms.map(real),
        leave_after: call.cancel_after_events,
    };
    let invocation = Invocation {
        op: call.op,
        request: call.request.clone(),
        options: call.options.clone(),
        tools: call.tools.as_ref().map(|tools| tools.in_real_time(scale)),
    };
    shared
        .progress
        .send_modify(|progress| progress.started = true);
    let started = Instant::now();
    if call.op == Op::Disturb {
        let disturbed = disturb(&call.request, scale, &*client, folder).await;
        // Before an error is told: whoever waits for it must not hang.
        shared.progress.send_modify(|progress| progress.done = true);
        disturbed.map_err(|error| format!("{}: {error}", call.id))?;
        return Ok(json!({"elapsed_ms": 0, "ok": true}));
    }
    let cancelled = async {
        let mut progress = shared.progress.subscribe();
        match (
            call.cancel_at_ms,
            call.cancel_after_events,
            call.cancel_on_request,
        ) {
            (Some(ms), ..) => tokio::time::sleep(real(ms)).await,
            (_, Some(events), _) => {
                let _ = progress
                    .wait_for(|progress| progress.events >= events)
                    .await;
            }
            (.., Some(requests)) => reach(upstream, main, requests).await?,
            _ => std::future::pending().await,
        }
        Ok::<_, String>(())
    };
    let outcome = tokio::select! {
        biased;
        outcome = client.call(invocation, sink) => Some(outcome),
        reached = cancelled => { reached?; None }
    };
    let unix_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64() * 1000.0);
    let mut trace = json!({"elapsed_ms": started.elapsed().as_secs_f64() * 1000.0 * scale});
    match outcome {
        Some(Ok(value)) => put(&mut trace, "ok", value),
        Some(Err(error)) => put(&mut trace, "error", error),
        None => {
            put(
                &mut trace,
                "error",
                json!({"kind": "cancelled", "message": "the caller cancelled"}),
            );
            put(&mut trace, "cancelled_at_unix_ms", unix_ms.into());
        }
    }
    if call.op == Op::Stream {
        let events = lock(&shared.events).clone();
        put(&mut trace, "deltas", trace::deltas(&events));
        put(&mut trace, "events", events.into());
    }
    shared.progress.send_modify(|progress| progress.done = true);
    Ok(trace)
}

async fn disturb<C: Client>(
    request: &Value,
    scale: f64,
    client: &C,
    folder: &Folder,
) -> Result<(), String> {
    let request = folder.given_to(request).map_err(|e| e.to_string())?;
    let what = Disturbance::parse(&request)?;
    match &what {
        Disturbance {
            files: Some(files),
            how: Some(how),
            ..
        } => disturb::damage(Path::new(files), *how).map_err(|e| e.to_string()),
        Disturbance {
            lock: Some(path), ..
        } => {
            let real = Duration::from_secs_f64(what.ms / 1000.0 / scale);
            disturb::lock(path.clone(), real).await
        }
        _ => client.disturb(&what).await,
    }
}

async fn wait_for_start(
    start: Option<&Start>,
    scale: f64,
    before: &[Arc<Shared>],
    begun: Instant,
    upstream: &Upstream,
    main: Option<&str>,
) -> Result<(), String> {
    let all = async |test: fn(&Progress, usize) -> bool, n: usize| {
        for shared in before {
            let _ = shared
                .progress
                .subscribe()
                .wait_for(|progress| test(progress, n))
                .await;
        }
    };
    let Some(start) = start else {
        all(|progress, _| progress.done, 0).await;
        return Ok(());
    };
    if start.with.is_some() {
        all(|progress, _| progress.started, 0).await;
    } else if start.after.is_some() {
        all(|progress, _| progress.done, 0).await;
    } else if let Some(events) = start.after_events {
        all(|progress, n| progress.events >= n || progress.done, events).await;
    } else if let Some(requests) = start.on_request {
        reach(upstream, main, requests).await?;
    } else if let Some(ms) = start.at_ms {
        let at = Duration::from_secs_f64(ms.max(0.0) / 1000.0 / scale);
        tokio::time::sleep(at.saturating_sub(begun.elapsed())).await;
    }
    if start.delay_ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(start.delay_ms / 1000.0 / scale)).await;
    }
    Ok(())
}

async fn reach(upstream: &Upstream, main: Option<&str>, requests: u64) -> Result<(), String> {
    let main = main.ok_or("waiting for requests needs an upstream named `main`")?;
    match upstream.wait_requests(main, requests, 10_000).await? {
        true => Ok(()),
        false => Err(format!("request {requests} never came")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
