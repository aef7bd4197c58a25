//! Measures one thing about one client and prints it as a line of JSON; see `main.rs`'s `USAGE`.
//!
//! Every measurement is a process of its own: no client profits from what another has warmed, and the memory is its own.

mod meter;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod plain;
mod tiers;
mod work;
mod workload;

use std::error::Error;
use std::future::Future;
use std::time::Instant;

use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

const USAGE: &str = "clients MEASURE CLIENT [--url http://HOST:PORT] [--threads N] [--at N] [--seconds S] [--bytes N]
        [--redis redis://HOST:PORT] [--folder DIR] [--room N]

MEASURE  calls      CPU and throughput with --at calls at once, for --seconds, prompts of --bytes
         sizes      CPU and time per call for a prompt of --bytes, one at a time
         burst      streams of 2,000 events as fast as they come, for --seconds
         paced      one stream of 1,000 events, one per millisecond
         identical  --at equal calls at once to an upstream that takes 50 ms: CPU, and calls the upstream saw
         startup    making a client, and its first answer
         hit        look-ups in the memory cache, request of --bytes, answer of 1 kB
         join       (ossai) --at waiters on one flight
         tier       (ossai-memory, ossai-redis, ossai-disk) hits of that tier, one at a time, answer of 10 kB
         zipf       (ossai) questions as they are asked again, --at callers: hit rate of a memory with room for --room percent of the answers
         duplicates (ossai) the same at an upstream that takes 50 ms, without a cache: how many a shared call saves
         gather     (ossai) embeddings, --at callers, an upstream that takes 50 ms: how many requests gathering saves
         tenants    (ossai-turns, ossai-clients, ossai-users) --at tenants with a budget each: resident memory
         count      --at calls one after another and no clock read: for counting instructions
         count-stream, count-hit  the same with streams of 2,000 events, and with cache hits
CLIENT   hyper reqwest ossai ossai-store ossai-budget ossai-no-budget async-openai liter-llm; for `hit` ossai ossai-lookup liter-llm
--threads 1 is a runtime on one thread, absent is Tokio's default";

/// What a client can be asked to do.
pub(crate) trait Target: Clone + Send + Sync + 'static {
    /// One chat completion; the length of its text.
    fn call(&self, prompt: String) -> impl Future<Output = Outcome<usize>> + Send;
    /// One streamed chat completion; the number of events with text.
    fn stream(&self, prompt: String) -> impl Future<Output = Outcome<usize>> + Send;
}

/// What to measure, and how much of it.
pub(crate) struct Plan {
    measure: String,
    url: String,
    at: usize,
    seconds: f64,
    bytes: usize,
    room: u64,
    redis: Option<String>,
    folder: Option<String>,
    started: Instant,
}

fn plan(args: &[String], started: Instant) -> Outcome<(String, Option<usize>, Plan)> {
    let [measure, client, options @ ..] = args else {
        return Err(USAGE.into());
    };
    let mut threads = None;
    let mut plan = Plan {
        measure: measure.clone(),
        url: "http://127.0.0.1:8900".into(),
        at: 1,
        seconds: 1.0,
        bytes: 330,
        room: 100,
        redis: None,
        folder: None,
        started,
    };
    for pair in options.chunks(2) {
        let [name, value] = pair else {
            return Err(USAGE.into());
        };
        match name.as_str() {
            "--url" => plan.url.clone_from(value),
            "--threads" => threads = Some(value.parse()?),
            "--at" => plan.at = value.parse()?,
            "--seconds" => plan.seconds = value.parse()?,
            "--room" => plan.room = value.parse()?,
            "--redis" => plan.redis = Some(value.clone()),
            "--folder" => plan.folder = Some(value.clone()),
            "--bytes" => plan.bytes = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((client.clone(), threads, plan))
}

impl Plan {
    /// The base address for this measure.
    pub(crate) fn base(&self) -> String {
        let kind = match self.measure.as_str() {
            "burst" | "count-stream" => "/burst",
            "paced" => "/paced",
            "identical" | "join" | "duplicates" => "/slow",
            "gather" => "/embed",
            "tier" => "/tenkb",
            "hit" | "count-hit" => "/kb",
            _ => "",
        };
        format!("{}{kind}/v1", self.url)
    }

    async fn run<T: Target>(&self, client: Outcome<T>) -> Outcome<Value> {
        let made = self.started.elapsed();
        let client = client?;
        match self.measure.as_str() {
            "calls" => work::calls(client, self).await,
            "sizes" => work::sizes(client, self).await,
            "burst" => work::burst(client, self).await,
            "paced" => work::paced(client).await,
            "identical" => work::identical(client, self).await,
            "startup" => work::startup(client, self, made).await,
            "count" => work::count(client, self, false).await,
            "count-stream" => work::count(client, self, true).await,
            _ => Err(USAGE.into()),
        }
    }
}

async fn measure(client: &str, plan: &Plan) -> Outcome<Value> {
    let base = plan.base();
    match (plan.measure.as_str(), client) {
        ("hit", "ossai") => ours::hit(&base, plan.bytes).await,
        ("hit", "ossai-lookup") => ours::hit_lookup(&base, plan.bytes).await,
        #[cfg(feature = "peers")]
        ("hit", "liter-llm") => peers::hit(&base, plan.bytes).await,
        ("count-hit", "ossai") => ours::count_hits(plan).await,
        ("join", "ossai") => ours::join(plan).await,
        ("tier", tier) => tiers::hits(tier, plan).await,
        ("zipf", "ossai") => workload::zipf(plan).await,
        ("duplicates", "ossai") => workload::duplicates(plan).await,
        ("gather", "ossai") => workload::gather(plan).await,
        ("tenants", kind) => workload::tenants(kind, plan).await,
        (_, "hyper") => plan.run(plain::Hyper::new(&base)).await,
        (_, "reqwest") => plan.run(plain::Reqwest::new(&base)).await,
        (_, "ossai") => plan.run(ours::Ossai::new(&base, false)).await,
        (_, "ossai-budget") => plan.run(ours::Ossai::budgeted(&base, true)).await,
        (_, "ossai-no-budget") => plan.run(ours::Ossai::budgeted(&base, false)).await,
        (_, "ossai-store") => plan.run(ours::Ossai::new(&base, true)).await,
        #[cfg(feature = "peers")]
        (_, "async-openai") => plan.run(peers::AsyncOpenai::new(&base)).await,
        #[cfg(feature = "peers")]
        (_, "liter-llm") => plan.run(peers::LiterLlm::new(&base)).await,
        _ => Err(USAGE.into()),
    }
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The runtime belongs to the program, not to the client: it is made and running before the clock starts.
    let threads = plan(&args, Instant::now())?.1;
    let mut builder = match threads {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads.filter(|threads| *threads > 1) {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build()?;
    let (client, _, mut plan) = plan(&args, Instant::now())?;
    // In a task, as user code runs: the thread that blocks on a runtime is not one of its workers.
    let mut result = runtime.block_on(async move {
        tokio::spawn(async move {
            plan.started = Instant::now();
            if plan.measure == "hit" {
                work::upstream_calls(&plan.url).await?;
            }
            let mut result = measure(&client, &plan).await?;
            if plan.measure == "hit" && work::upstream_calls(&plan.url).await? != 1 {
                return Err("the cache was not hit".into());
            }
            result["measure"] = plan.measure.as_str().into();
            result["client"] = client.into();
            Ok::<Value, Failure>(result)
        })
        .await?
    })?;
    result["threads"] = threads.map_or(json!("default"), |threads| json!(threads));
    println!("{result}");
    Ok(())
}
