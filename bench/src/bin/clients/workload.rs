//! Workloads in which something can be saved, and how much of it is; and many tenants at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ossai::budget::SharedBudgets;
use ossai::{Client, CompletionRequest, Config, EmbeddingInput, EmbeddingRequest};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::meter::{Span, resident_mb};
use crate::ours::{MODEL, config};
use crate::work::upstream_calls;
use crate::{Failure, Outcome, Plan};

/// Numbers below `n`, of which the k-th is drawn with a weight of 1/k (Zipf's law, exponent 1), the same ones for the same seed.
struct Zipf {
    weights: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(n: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=n).map(|k| {
            sum += 1.0 / k as f64;
            sum
        });
        Self {
            weights: weights.collect(),
            state: seed,
        }
    }

    fn draw(&mut self) -> usize {
        // SplitMix64 (Steele, Lea and Flood 2014); the upper 53 bits are a fraction.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let fraction = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        let total = self.weights.last().copied().unwrap_or_default();
        let at = fraction * total;
        self.weights.partition_point(|weight| *weight <= at)
    }
}

fn question(n: usize) -> CompletionRequest {
    CompletionRequest::new(
        MODEL,
        format!("Question {n}: why is the sky blue? Answer in two sentences."),
    )
}

/// So many callers, each of which asks so many questions one after the other; the distinct ones asked.
async fn ask(client: &Client, callers: usize, each: usize, of: usize, seed: u64) -> Outcome<usize> {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (client, seen) = (client.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut questions = Zipf::new(of, seed * 1_000_003 + caller as u64);
            for _ in 0..each {
                let n = questions.draw();
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(n);
                client.complete(question(n)).await?;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(seen.lock().unwrap_or_else(PoisonError::into_inner).len())
}

/// 10,000 questions: how many calls the memory answers once it is warm, with its usual size or with room for so many percent of
/// the answers.
pub(crate) async fn zipf(plan: &Plan) -> Outcome<Value> {
    const QUESTIONS: usize = 10_000;
    const CALLS: usize = 40_000;
    let each = CALLS / plan.at.max(1);
    let opened = |most: Option<u64>| {
        let mut cache = json!({"store": "all"});
        if let Some(most) = most {
            cache["max_bytes"] = json!(most);
        }
        let more = json!({"coalesce": "off", "cache": cache});
        config(&plan.base(), more).and_then(|config| Ok(Client::new(config)?))
    };
    let whole = opened(None)?;
    for n in 0..QUESTIONS {
        whole.complete(question(n)).await?;
    }
    let all = whole.stats().cache_bytes;
    drop(whole);
    let client = opened((plan.room < 100).then_some(all * plan.room / 100))?;
    ask(&client, plan.at, each, QUESTIONS, 1).await?;
    upstream_calls(&plan.url).await?;
    let span = Span::start();
    let distinct = ask(&client, plan.at, each, QUESTIONS, 2).await?;
    let (cpu, _) = span.end();
    let (calls, upstream) = (each * plan.at, upstream_calls(&plan.url).await?);
    // What a memory that always held the most asked ones would answer.
    let weights = Zipf::new(QUESTIONS, 0).weights;
    let held = QUESTIONS * usize::try_from(plan.room)? / 100;
    let best = weights.get(held.saturating_sub(1)).zip(weights.last());
    Ok(json!({
        "at": plan.at,
        "room": plan.room,
        "calls": calls,
        "distinct": distinct,
        "upstream": upstream,
        "held_mb": client.stats().cache_bytes as f64 / 1e6,
        "all_mb": all as f64 / 1e6,
        "share": 1.0 - upstream as f64 / calls as f64,
        "best": best.map(|(best, all)| best / all),
        "cpu_us": cpu * 1e6 / calls as f64,
    }))
}

/// 100 questions that everybody asks, none of them kept: how many of the calls beyond the first of each question are spared.
pub(crate) async fn duplicates(plan: &Plan) -> Outcome<Value> {
    const QUESTIONS: usize = 100;
    const EACH: usize = 20;
    let more = json!({"coalesce": "all", "cache": {"enabled": false}});
    let client = Client::new(config(&plan.base(), more)?)?;
    upstream_calls(&plan.url).await?;
    let distinct = ask(&client, plan.at, EACH, QUESTIONS, 1).await?;
    let upstream = upstream_calls(&plan.url).await?;
    let calls = plan.at * EACH;
    let again = calls.saturating_sub(distinct) as f64;
    Ok(json!({
        "at": plan.at,
        "calls": calls,
        "distinct": distinct,
        "upstream": upstream,
        "share": (calls as f64 - upstream as f64) / again,
    }))
}

/// Callers who each ask for one text after the other, none asked for before: how many requests gathering spares.
pub(crate) async fn gather(plan: &Plan) -> Outcome<Value> {
    const EACH: usize = 40;
    let more = json!({"cache": {"enabled": false}, "gather": {"enabled": true}});
    let client = Client::new(config(&plan.base(), more)?)?;
    upstream_calls(&plan.url).await?;
    let mut tasks = JoinSet::new();
    for caller in 0..plan.at {
        let client = client.clone();
        tasks.spawn(async move {
            for call in 0..EACH {
                let request = EmbeddingRequest {
                    model: "openai/text-embedding-3-small".into(),
                    input: EmbeddingInput::Text(format!("caller {caller}, text {call}")),
                    ..EmbeddingRequest::default()
                };
                if client.embed(request).await?.embeddings.len() != 1 {
                    return Err("expected one vector".into());
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let (calls, upstream) = (plan.at * EACH, upstream_calls(&plan.url).await?);
    Ok(json!({
        "at": plan.at,
        "calls": calls,
        "upstream": upstream,
        "share": 1.0 - upstream as f64 / calls as f64,
    }))
}

/// Tenants with a budget each on one ledger. Each calls once, then twice more: by clients of which 64 are kept, as an
/// orchestrator does, by a client each, or as users of one client.
pub(crate) async fn tenants(kind: &str, plan: &Plan) -> Outcome<Value> {
    const LIMIT: u64 = 1_000_000_000_000;
    let budget = |scope: &str| json!({"limits": [{"scope": scope, "window": "day", "tokens": LIMIT, "nano_usd": LIMIT}]});
    let own = |scope: &str, tenant: &str| {
        let more = json!({"tenant": tenant, "budgets": budget(scope)});
        config(&plan.base(), more)
    };
    let (is_users, most) = match kind {
        "ossai-users" => (true, 0),
        "ossai-turns" => (false, 64),
        "ossai-clients" => (false, plan.at),
        _ => return Err(crate::USAGE.into()),
    };
    // Few users call more often, so that as many calls are measured of them.
    let rounds = if is_users {
        (30_000 / plan.at.max(1)).max(3)
    } else {
        3
    };
    let shared: Config = own("tenant", "nobody")?;
    let budgets = SharedBudgets::new(&shared)?;
    let one = Client::new(own("user", "one")?)?;
    one.complete(question(0)).await?;
    let before = resident_mb();
    let (mut clients, mut first, mut span) = (VecDeque::new(), before, Span::start());
    for round in 0..rounds {
        for tenant in 0..plan.at {
            // At this temperature nothing is kept: every call goes out and is booked.
            let mut request = question(tenant);
            request.temperature = Some(1.0);
            if is_users {
                request.user = Some(format!("user-{tenant}"));
                one.complete(request).await?;
                continue;
            }
            if round == 0 || most < plan.at {
                let config = own("tenant", &format!("tenant-{tenant}"))?;
                clients.push_back(Client::with_budgets(config, &budgets)?);
                if clients.len() > most {
                    clients.pop_front();
                }
            }
            let kept = if most < plan.at {
                clients.back()
            } else {
                clients.get(tenant)
            };
            let client: &Client = kept.ok_or("no client")?;
            client.complete(request).await?;
        }
        if round == 0 {
            (first, span) = (resident_mb(), Span::start());
        }
    }
    let (cpu, _) = span.end();
    let last = resident_mb();
    let known = if is_users {
        one.budgets().await?.len()
    } else {
        budgets.states().await?.len()
    };
    if known < plan.at {
        return Err(format!("{known} budgets are known of {}", plan.at).into());
    }
    Ok(json!({
        "at": plan.at,
        "before_mb": before,
        "first_mb": first,
        "resident_mb": last,
        "kb_each": (first - before) * 1e3 / plan.at as f64,
        "cpu_us": cpu * 1e6 / ((rounds - 1) * plan.at) as f64,
    }))
}
