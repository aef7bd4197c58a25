//! Clients on both roads over networks that fail by seed, and what must hold all the same.
//!
//! Each seed is a small world of its own: an upstream, an orchestrator, two clients, and between them proxies that cut,
//! stall, slow down, half-close, garble and reset by the seed. Time in clients and orchestrator runs 20 times faster. Then
//! it is asked of every call: one whole answer of its own or one typed error, within its deadline; no more requests at the
//! upstream than its tries allow; the money recorded is the money of what was answered; and after the end no task and no
//! descriptor is left. Sockets are real: a seed repeats the faults, not the interleaving.
//!
//! `--seeds N` (50) new ones beside the kept ones, `--from SEED` (by the clock), `--only SEED`.

use std::collections::HashMap;
use std::process::ExitCode;

use std::time::{Duration, Instant, SystemTime};

use ossai::{CallOptions, Client, Completion, CompletionRequest, ErrorKind, StreamEvent};
use ossai_orchestrator::{GroupBy, Store, UsageFilter};
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::chance::Chance;
use sim::proxy::{Proxy, Weather};
use sim::roads::{self, Failed};
use sim::tally::check;
use sim::upstream::{Mood, Record, Upstream, answer_to};
use tokio::task::JoinSet;

/// Seeds that have found something once.
const KEPT: &str = include_str!("../../seeds.txt");
const SCALE: u32 = 20;
const CALLERS: u64 = 6;
const CALLS_EACH: u64 = 5;
/// Beyond its deadline a call may take so long to say so on a busy machine (real time).
const SLACK: Duration = Duration::from_secs(3);
/// A stream's deadline ends with its first event; then each silence is bounded, and nothing here drips for longer.
const STREAM_SLACK: Duration = Duration::from_secs(8);
/// gpt-4o-mini, 9 tokens in at 0.15 $ and 9 out at 0.60 $ a million, in nanodollars.
const PRICE: u64 = 6750;
/// Three tries, and one sent again at once where the first was never begun.
const TRIES: usize = 4;

#[derive(Debug)]
struct Call {
    name: String,
    over: bool,
    ended: Instant,
    answered: bool,
    kind: Option<ErrorKind>,
    broken: Option<String>,
}

struct World {
    seed: u64,
    garbles: bool,
    calls: Vec<Call>,
    faults: u64,
    broken: Vec<String>,
}

impl World {
    fn say(&mut self, what: String) {
        self.broken.push(what);
    }
}

async fn ask(
    client: Client,
    name: String,
    stream: bool,
    options: CallOptions,
) -> ossai::Result<(String, Completion)> {
    let request = CompletionRequest::new("openai/gpt-4o-mini", format!("{name} please"));
    if !stream {
        let answer = client.complete_with(request, options).await?;
        return Ok((answer.text.clone(), answer));
    }
    let mut events = client.stream_with(request, options).await?;
    let (mut text, mut end) = (String::new(), None);
    while let Some(event) = events.next().await {
        match event? {
            StreamEvent::TextDelta { text: delta, .. } => text += &delta,
            StreamEvent::End { completion } => end = Some(completion),
            _ => {}
        }
    }
    end.map(|end| (text, (*end).clone()))
        .ok_or_else(|| ossai::Error::new(ErrorKind::Internal, "a stream without an end"))
}

/// One call, held to its deadline and to its own answer.
async fn call(client: Client, name: String, over: bool, garbles: bool, mut chance: Chance) -> Call {
    let stream = chance.percent(40);
    // In scaled time: 200 ms to 2.2 s of ours.
    let timeout_ms = 4_000 + chance.below(40_000);
    let options = CallOptions {
        timeout_ms: Some(timeout_ms),
        tags: [("call".to_owned(), name.clone())].into(),
        ..CallOptions::default()
    };
    let slack = if stream { STREAM_SLACK } else { SLACK };
    let patience = Duration::from_millis(timeout_ms) / SCALE + slack;
    let leaves = chance
        .percent(10)
        .then(|| Duration::from_millis(chance.below(60)));
    let work = tokio::time::timeout(
        leaves.unwrap_or(patience),
        ask(client, name.clone(), stream, options),
    );
    let (mut answered, mut kind, mut broken) = (false, None, None);
    match work.await {
        Err(_) if leaves.is_some() => {}
        Err(_) => {
            broken = Some(format!(
                "no end {patience:?} after it began, stream {stream}"
            ))
        }
        Ok(Err(error)) if error.kind() == ErrorKind::Internal => {
            broken = Some(format!("{error:?}"));
        }
        Ok(Err(error)) => kind = Some(error.kind()),
        Ok(Ok((text, answer))) => {
            answered = true;
            let right = answer_to(&name);
            // A garbled letter cannot be noticed without TLS; it is still nobody else's answer.
            let same = text == right || (garbles && alike(&text, &right));
            if !same || answer.text != text {
                broken = Some(format!("answered {text:?} and {:?}", answer.text));
            } else if !garbles && answer.cost.total.map(|total| total.0) != Some(PRICE) {
                broken = Some(format!("cost {:?}", answer.cost));
            }
        }
    }
    Call {
        name,
        over,
        ended: Instant::now(),
        answered,
        kind,
        broken,
    }
}

/// Equal but for what one turned bit can do: a letter, or a replacement character or two.
fn alike(one: &str, other: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    front + back + 2 >= a.len().max(b.len())
}

async fn mood(upstream: Upstream, mut chance: Chance) {
    loop {
        let mood = match chance.below(10) {
            0 => Mood::Throttling,
            1 | 2 => Mood::Failing,
            _ => Mood::Well,
        };
        upstream.set(mood);
        upstream.set_delay(Duration::from_millis(chance.below(12)));
        tokio::time::sleep(Duration::from_millis(20 + chance.below(80))).await;
    }
}

fn config(upstream: &Proxy) -> Value {
    let mut config = roads::direct(upstream.address(), SCALE);
    config["timeouts"] = json!({"stream_idle_ms": 20_000, "connect_ms": 5_000});
    config
}

async fn world(seed: u64) -> Result<World, Failed> {
    let mut chance = Chance::new(seed);
    let garbles = chance.percent(30);
    let mut world = World {
        seed,
        garbles,
        calls: Vec::new(),
        faults: 0,
        broken: Vec::new(),
    };
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();

    let upstream = Upstream::start().await?;
    let mut weather = || Weather {
        faulty: [0, 10, 30, 60][usize::try_from(chance.below(4)).unwrap_or(0)],
        garbles,
    };
    let (for_direct, for_server, for_over) = (weather(), weather(), weather());
    let calm_front = for_over.faulty == 0;
    let to_direct = Proxy::start(upstream.address(), for_direct, seed ^ 1).await?;
    let to_server = Proxy::start(upstream.address(), for_server, seed ^ 2).await?;
    let (server, folder) = roads::orchestrator(&config(&to_server)).await?;
    let to_over = Proxy::start(server.address(), for_over, seed ^ 3).await?;
    let direct = roads::client(&config(&to_direct))?;
    let over = roads::client(&roads::over(config(&to_direct), to_over.address()))?;
    let moods = tokio::spawn(mood(upstream.clone(), Chance::new(seed ^ 4)));

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let is_over = caller % 2 == 1;
        let client = if is_over {
            over.clone()
        } else {
            direct.clone()
        };
        callers.spawn(async move {
            let mut calls = Vec::new();
            for n in 0..CALLS_EACH {
                let name = format!("call-{seed}-{caller}-{n}");
                let chance = Chance::new(seed ^ ((caller * CALLS_EACH + n + 16) << 32));
                calls.push(call(client.clone(), name, is_over, garbles, chance).await);
            }
            calls
        });
    }
    world.calls = callers.join_all().await.into_iter().flatten().collect();
    moods.abort();
    for (name, client) in [("direct", &direct), ("over", &over)] {
        if !client.close(Duration::from_secs(5)).await {
            world.say(format!("{name}: flights are left: {:?}", client.stats()));
        }
    }
    drop((direct, over));
    // Calls given up in front are cancelled behind; what the network holds is let go with it.
    world.faults = to_direct.faults() + to_server.faults() + to_over.faults();
    drop((to_over, to_direct, to_server));
    let ended = server
        .shutdown(tokio::time::sleep(Duration::from_secs(5)))
        .await;
    if ended.cut || ended.lost_rows > 0 {
        world.say(format!("the orchestrator ended with {ended:?}"));
    }
    upstream.set(Mood::Well);
    let records = upstream.take();
    upstream_held(&mut world, &records, calm_front);
    money_held(&mut world, &Store::open(folder.path())?, &records)?;
    upstream.end();
    drop(upstream);
    let limit = Instant::now() + Duration::from_secs(5);
    while tasks() > before && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if tasks() > before {
        world.say(format!("{} tasks before, {} after", before, tasks()));
    }
    Ok(world)
}

/// No call asks the upstream more often than its tries allow, under more than one key, or after its end.
fn upstream_held(world: &mut World, records: &HashMap<String, Record>, calm_front: bool) {
    let mut broken = Vec::new();
    for call in &world.calls {
        if let Some(what) = &call.broken {
            broken.push(format!("{}: {what}", call.name));
        }
        let Some(record) = records.get(&call.name) else {
            if call.answered && !world.garbles {
                broken.push(format!("{}: answered by nobody", call.name));
            }
            continue;
        };
        // A client that loses the orchestrator's answer on the way must ask again; otherwise one side retries.
        let allowed = if call.over && !calm_front {
            TRIES * TRIES
        } else {
            TRIES
        };
        if record.requests.len() > allowed {
            broken.push(format!(
                "{}: {} requests, {allowed} allowed",
                call.name,
                record.requests.len()
            ));
        }
        let keys = record
            .keys
            .iter()
            .any(|key| key.is_empty() || *key != record.keys[0]);
        if keys && !world.garbles {
            broken.push(format!("{}: keys {:?}", call.name, record.keys));
        }
        let late = record
            .requests
            .iter()
            .filter(|at| **at > call.ended + Duration::from_secs(1));
        if late.count() > 0 {
            broken.push(format!("{}: asked for after its end", call.name));
        }
    }
    world.broken.append(&mut broken);
}

/// What was answered is recorded as spent, call by call, and nothing is that nobody answered.
fn money_held(
    world: &mut World,
    store: &Store,
    records: &HashMap<String, Record>,
) -> Result<(), Failed> {
    if world.garbles {
        return Ok(());
    }
    let rows = store.query_usage(&UsageFilter::default(), &[GroupBy::Tag("call".into())])?;
    let rows: HashMap<_, _> = rows
        .iter()
        .filter_map(|row| Some((row.groups.first()?.1.as_str(), row)))
        .collect();
    let mut broken = Vec::new();
    for call in world.calls.iter().filter(|call| call.over) {
        let row = rows.get(call.name.as_str());
        let ok = row.map_or(0, |row| row.calls - row.errors);
        let sent = records
            .get(&call.name)
            .map_or(0, |record| u64::from(record.answered));
        let cost = row.map_or(0, |row| row.cost.0);
        if call.answered && ok == 0 {
            broken.push(format!("{}: answered and not recorded", call.name));
        }
        if ok > sent {
            broken.push(format!(
                "{}: recorded {ok} times, answered {sent} times",
                call.name
            ));
        }
        if cost < ok * PRICE || cost > sent.max(ok) * PRICE {
            broken.push(format!(
                "{}: {cost} recorded, {ok} answers of {PRICE}, {sent} sent",
                call.name
            ));
        }
    }
    world.broken.append(&mut broken);
    Ok(())
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A world on a runtime of its own, so that whatever it leaves is seen.
fn live(seed: u64) -> World {
    let lost = |what: String| World {
        seed,
        garbles: false,
        calls: Vec::new(),
        faults: 0,
        broken: vec![what],
    };
    let before = descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let mut world = match runtime.map(|runtime| runtime.block_on(world(seed))) {
        Ok(Ok(world)) => world,
        Ok(Err(error)) => lost(error.to_string()),
        Err(error) => lost(error.to_string()),
    };
    // Threads of a runtime that is dropped end by themselves.
    let limit = Instant::now() + Duration::from_secs(3);
    while descriptors() > before && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
    if descriptors() > before {
        world.broken.push(format!(
            "{before} descriptors before, {} after",
            descriptors()
        ));
    }
    world
}

fn main() -> ExitCode {
    let kept = KEPT
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let from = number("from", clock << 8);
    let mut seeds: Vec<u64> = kept
        .chain((0..number("seeds", 50)).map(|n| from + n))
        .collect();
    if text("only").is_some() {
        seeds = vec![number("only", 0)];
    }
    // The first world opens what a process opens once.
    drop(live(0));
    let began = Instant::now();
    let (mut calls, mut answered, mut faults, mut bad) = (0, 0, 0, Vec::new());
    let mut kinds: HashMap<&'static str, u64> = HashMap::new();
    for seed in &seeds {
        let world = live(*seed);
        calls += world.calls.len();
        answered += world.calls.iter().filter(|call| call.answered).count();
        faults += world.faults;
        for kind in world.calls.iter().filter_map(|call| call.kind) {
            *kinds.entry(kind.name()).or_default() += 1;
        }
        if !world.broken.is_empty() {
            println!("FAIL seed {}", world.seed);
            world
                .broken
                .iter()
                .take(6)
                .for_each(|what| println!("    {what}"));
            bad.push(world.seed);
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_unstable();
    println!(
        "{} seeds in {:.1?}: {faults} faults, {calls} calls, {answered} answered, {kinds:?}",
        seeds.len(),
        began.elapsed()
    );
    let mut good = check(bad.is_empty(), "every seed kept every promise");
    good &= check(
        faults > 0 && answered > 0,
        "networks failed and calls were answered",
    );
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
