//! A client and an orchestrator under mixed load for as long as asked: memory, descriptors and tasks over time, and
//! whether they stay flat.
//!
//! The load is what operation brings: whole answers and streams over both roads, calls shared and calls answered from a
//! full cache, callers who leave, time-outs, spells of 429 and 500. Client, orchestrator and upstream are this one
//! process, so one look at it sees all three. `--seconds N` (60), `--csv FILE`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ossai::{CallOptions, Client};
use sim::arguments::{number, text};
use sim::call::{Outcome, Way, make};
use sim::roads::{self, Failed};
use sim::tally::{Tally, check, verdict};
use sim::upstream::{Mood, Upstream};
use tokio::task::JoinSet;

const SCALE: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const CALLERS: u64 = 16;

/// One look at the process.
#[derive(Clone, Copy)]
struct Sample {
    at: f64,
    rss_kib: f64,
    descriptors: f64,
    tasks: f64,
    calls: u64,
}

#[expect(clippy::cast_precision_loss)]
fn sample(began: Instant, calls: u64) -> Result<Sample, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or("no VmRSS in /proc/self/status")?;
    Ok(Sample {
        at: began.elapsed().as_secs_f64(),
        rss_kib: rss,
        descriptors: std::fs::read_dir("/proc/self/fd")?.count() as f64,
        tasks: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks() as f64,
        calls,
    })
}

/// How many windows the measured half is cut into.
const WINDOWS: usize = 6;

/// The least that was seen in each window of time: what is held when little is under way.
///
/// Load comes and goes, and with it tasks and connections by the hundred; what leaks stays, and lifts the floor.
fn floors(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples
        .chunks(samples.len().div_ceil(WINDOWS).max(1))
        .map(|window| window.iter().map(&of).fold(f64::INFINITY, f64::min))
        .collect()
}

/// Growth from one window to the next, by least squares.
#[expect(clippy::cast_precision_loss)]
fn slope(floors: &[f64]) -> f64 {
    let middle = floors.len().saturating_sub(1) as f64 / 2.0;
    let (above, below) = floors
        .iter()
        .enumerate()
        .map(|(at, floor)| (at as f64 - middle, floor))
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + x * y, b + x * x));
    if below > 0.0 { above / below } else { 0.0 }
}

/// What the `n`th call of a caller is: most are whole answers or streams of their own, some are none of that.
async fn one(client: &Client, name: String, n: u64, upstream: &Upstream) -> (String, Outcome) {
    let mut options = CallOptions::default();
    let way = if n.is_multiple_of(3) {
        Way::Stream
    } else {
        Way::Complete
    };
    let name = match n % 8 {
        // Everybody asks these: shared while under way, hits afterwards, and in time they push each other out.
        1 => {
            options.cache.ttl_ms = Some(60_000);
            options.coalesce = Some(true);
            format!("call-shared-{}", n / 8 % 500)
        }
        // A time-out that mostly strikes.
        2 => {
            options.timeout_ms = Some(60);
            name
        }
        _ => name,
    };
    let outcome = if n % 16 == 5 {
        // A caller that leaves.
        let left = Duration::from_millis(n % 7);
        match tokio::time::timeout(left, make(client, &name, way, options, PATIENCE)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Cancelled,
        }
    } else {
        make(client, &name, way, options, PATIENCE).await
    };
    if n.is_multiple_of(64) {
        drop(upstream.take());
    }
    (name, outcome)
}

struct Load {
    clients: Vec<Client>,
    upstream: Upstream,
    over: AtomicBool,
    made: AtomicU64,
    tally: Mutex<Tally>,
}

async fn caller(load: Arc<Load>, who: u64) {
    let mut n = who;
    while !load.over.load(Ordering::Acquire) {
        let at = usize::try_from(who).unwrap_or(0) % load.clients.len();
        let client = &load.clients[at];
        let (name, outcome) = one(client, format!("call-{who}-{n}"), n, &load.upstream).await;
        load.made.fetch_add(1, Ordering::Relaxed);
        load.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&name, outcome);
        n += 1;
    }
}

/// The upstream is well most of the time.
async fn weather(load: Arc<Load>) {
    for n in 0_u64.. {
        let mood = match n % 10 {
            4 => Mood::Throttling,
            8 => Mood::Failing,
            _ => Mood::Well,
        };
        load.upstream.set(mood);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn is_flat(samples: &[Sample], seconds: u64) -> bool {
    // The first half fills caches, pools and the allocator's own free lists.
    let late = &samples[samples.len() / 2..];
    #[expect(clippy::cast_precision_loss)]
    let minutes = seconds as f64 / 60.0;
    let mut good = true;
    // What a slope may add up to over the half that is measured: an allocator's noise, but no leak that an hour would not
    // show many times over. How many tasks there are is up to the load; that they all end with it is looked at below.
    for (name, of, allowed) in [
        (
            "RSS KiB",
            (|s: &Sample| s.rss_kib) as fn(&Sample) -> f64,
            12_288.0,
        ),
        ("descriptors", |s| s.descriptors, 24.0),
        ("tasks", |s| s.tasks, 64.0),
    ] {
        let floors = floors(late, of);
        #[expect(clippy::cast_precision_loss)]
        let grown = slope(&floors) * floors.len() as f64;
        let a_minute = grown / (minutes / 2.0);
        let least = floors.first().copied().unwrap_or_default();
        let most = late.iter().map(of).fold(0.0, f64::max);
        good &= check(
            grown <= allowed,
            &format!(
                "{name} is flat: from {least:.0}, {a_minute:+.1} a minute, {grown:+.1} over the second half (at most {allowed}), peak {most:.0}"
            ),
        );
    }
    good
}

async fn run() -> Result<bool, Failed> {
    let seconds = number("seconds", 60);
    let upstream = Upstream::start().await?;
    upstream.set_delay(Duration::from_millis(2));
    let config = roads::direct(upstream.address(), SCALE);
    let (server, _folder) = roads::orchestrator(&config).await?;
    let load = Arc::new(Load {
        clients: vec![
            roads::client(&config)?,
            roads::client(&roads::over(config, server.address()))?,
        ],
        upstream,
        over: false.into(),
        made: 0.into(),
        tally: Mutex::default(),
    });
    let began = Instant::now();
    let before = sample(began, 0)?;
    let sky = tokio::spawn(weather(load.clone()));
    let mut callers = JoinSet::new();
    (0..CALLERS).for_each(|who| drop(callers.spawn(caller(load.clone(), who))));

    let mut samples = Vec::new();
    let every = Duration::from_secs_f64((seconds as f64 / 120.0).clamp(0.25, 30.0));
    while began.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(every).await;
        samples.push(sample(began, load.made.load(Ordering::Relaxed))?);
    }
    sky.abort();
    load.upstream.set(Mood::Well);
    load.over.store(true, Ordering::Release);
    callers.join_all().await;

    let mut csv = String::from("seconds,rss_kib,descriptors,tasks,calls\n");
    for s in &samples {
        writeln!(
            csv,
            "{:.1},{},{},{},{}",
            s.at, s.rss_kib, s.descriptors, s.tasks, s.calls
        )?;
    }
    if let Some(path) = text("csv") {
        std::fs::write(&path, &csv)?;
    }
    let step = (samples.len() / 20).max(1);
    println!(
        "{:>8} {:>9} {:>6} {:>6} {:>9}",
        "seconds", "RSS KiB", "fds", "tasks", "calls"
    );
    for s in samples.iter().step_by(step) {
        println!(
            "{:8.1} {:9} {:6} {:6} {:9}",
            s.at, s.rss_kib, s.descriptors, s.tasks, s.calls
        );
    }
    let mut good = is_flat(&samples, seconds);

    for client in &load.clients {
        let flights = client.stats().flights_in_flight;
        good &= check(flights == 0, &format!("no flight is left: {flights}"));
        client.close(Duration::from_secs(2)).await;
    }
    let ended = server.shutdown(std::future::ready(())).await;
    good &= check(ended.lost_rows == 0, "no row of usage was lost");
    let tally = std::mem::take(&mut *load.tally.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} in {seconds} s", tally.line());
    tally.broken.iter().take(10).for_each(|b| println!("  {b}"));
    good &= check(
        tally.broken.is_empty(),
        "every call had its own answer or a typed error",
    );
    good &= check(tally.answered > 0, "calls were answered");
    drop(load);
    // Whatever belonged to the load ends with it; what stays is this task and the upstream's.
    let limit = Instant::now() + Duration::from_secs(5);
    let mut after = sample(began, 0)?;
    while after.tasks > before.tasks && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = sample(began, 0)?;
    }
    good &= check(
        after.tasks <= before.tasks,
        &format!(
            "tasks end with the load: {} before, {} after",
            before.tasks, after.tasks
        ),
    );
    good &= check(
        after.descriptors <= before.descriptors + 2.0,
        &format!(
            "descriptors are closed: {} before, {} after",
            before.descriptors, after.descriptors
        ),
    );
    Ok(good)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    verdict(run().await)
}
