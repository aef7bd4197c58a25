//! A PostgreSQL ledger that is stopped, hung and restarted while calls are made: hard budgets refuse, soft ones let pass and
//! book it later, everything recovers by itself, and the books balance. Then TLS to it.
//!
//! `--postgres URL`; `--control PROGRAM`, which is called with `stop`, `start`, `hang` and `resume`; `--tls URL --ca FILE
//! --other FILE`: the same server over TLS, the authority that made its certificate, and one that did not.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest, Error, ErrorKind};
use serde_json::{Value, json};
use sim::arguments::text;
use sim::books::fresh;
use sim::postgres::control;
use sim::roads::{self, Failed};
use sim::tally::{check, verdict};
use sim::upstream::Upstream;
use tokio::task::JoinSet;

/// What each call holds and uses.
const OUTPUT: u64 = 5;

fn request() -> CompletionRequest {
    CompletionRequest {
        max_tokens: Some(OUTPUT),
        temperature: Some(1.0),
        ..CompletionRequest::new("openai/gpt-4o-mini", "call-ledger")
    }
}

/// How many requests have come since this was last asked.
fn sent(upstream: &Upstream) -> usize {
    upstream
        .take()
        .values()
        .map(|record| record.requests.len())
        .sum()
}

/// Tokens spent and held by a tenant, by the ledger all of them share.
async fn booked(client: &Client, tenant: &str) -> Option<(u64, u64)> {
    let states = client.budgets().await.ok()?;
    let own = states
        .into_iter()
        .find(|state| state.name.as_deref() == Some(tenant))?;
    Some((own.spent_tokens, own.held_tokens))
}

struct Clients {
    upstream: Upstream,
    hard: Client,
    soft: Client,
    /// Tokens of a call.
    each: u64,
    /// Calls each was answered.
    answered: [u64; 2],
}

fn config(upstream: &Upstream, name: &str, url: &str, soft: bool, tls: Option<&str>) -> Value {
    let mut config = roads::direct(upstream.address(), 1);
    config["tenant"] = json!(name);
    config["budgets"] = json!({
        "postgres": url, "lease_ms": 15_000,
        "limits": [{"window": "total", "tokens": 10_000_000, "reserve": "calibrated", "soft": soft}],
    });
    if let Some(authority) = tls {
        config["tls"] = json!({"ca_file": authority});
    }
    config
}

impl Clients {
    async fn open(url: &str) -> Result<Self, Failed> {
        let upstream = Upstream::start().await?;
        let hard = roads::client(&config(&upstream, "hard", url, false, None))?;
        let soft = roads::client(&config(&upstream, "soft", url, true, None))?;
        let input = hard.count(&request())?.tokens;
        upstream.set_usage(input, OUTPUT);
        Ok(Self {
            upstream,
            hard,
            soft,
            each: input + OUTPUT,
            answered: [0, 0],
        })
    }

    /// One call of each at once: what came of it, and how long it took.
    async fn call(&mut self) -> [(Result<(), Error>, Duration); 2] {
        async fn one(client: &Client) -> (Result<(), Error>, Duration) {
            let began = Instant::now();
            let outcome = client.complete(request()).await.map(|_| ());
            (outcome, began.elapsed())
        }
        let both: [_; 2] = tokio::join!(one(&self.hard), one(&self.soft)).into();
        for (count, (outcome, _)) in self.answered.iter_mut().zip(&both) {
            *count += u64::from(outcome.is_ok());
        }
        both
    }

    /// What the ledger says of each, once nothing is held.
    async fn spent(&self) -> Result<[u64; 2], Failed> {
        let mut both = [0, 0];
        for (spent, (client, name)) in both
            .iter_mut()
            .zip([(&self.hard, "hard"), (&self.soft, "soft")])
        {
            let began = Instant::now();
            loop {
                match booked(client, name).await {
                    Some((tokens, 0)) => {
                        *spent = tokens;
                        break;
                    }
                    _ if began.elapsed() > Duration::from_secs(30) => {
                        return Err("something stays held, or the ledger stays away".into());
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        Ok(both)
    }

    async fn balances(&self, when: &str) -> Result<bool, Failed> {
        let booked = self.answered.map(|calls| calls * self.each);
        let began = Instant::now();
        let mut spent = self.spent().await?;
        // What soft calls were let pass without is written when it comes to it.
        while spent != booked && began.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            spent = self.spent().await?;
        }
        Ok(check(
            spent == booked,
            &format!(
                "{when}: every answered call is booked once, the soft ones' too ({spent:?} of {booked:?})"
            ),
        ))
    }

    /// Both are answered again, within so long.
    async fn recovers(&mut self, when: &str) -> Result<bool, Failed> {
        let began = Instant::now();
        loop {
            let both = self.call().await;
            if both.iter().all(|(outcome, _)| outcome.is_ok()) {
                break;
            }
            if began.elapsed() > Duration::from_secs(20) {
                return Ok(check(
                    false,
                    &format!("{when}: calls are answered again: {both:?}"),
                ));
            }
        }
        let took = began.elapsed();
        check(
            true,
            &format!("{when}: calls are answered again by the same clients, after {took:.1?}"),
        );
        self.balances(when).await
    }

    /// The hard one is refused before anything is sent, the soft one let pass, neither later than the ledger is waited for.
    async fn without(&mut self, when: &str) -> bool {
        sent(&self.upstream);
        let [(hard, hard_took), (soft, soft_took)] = self.call().await;
        let refused =
            |error: &Error| error.kind() == ErrorKind::BudgetUnavailable && error.is_retriable();
        let limit = Duration::from_secs(8);
        let mut good = check(
            hard.as_ref().is_err_and(refused) && hard_took < limit,
            &format!(
                "{when}: a hard budget refuses with `budget_unavailable`, after {hard_took:.1?}: {hard:?}"
            ),
        );
        good &= check(
            soft.is_ok() && soft_took < limit,
            &format!("{when}: a soft one lets pass, after {soft_took:.1?}: {soft:?}"),
        );
        good & check(
            sent(&self.upstream) == 1,
            &format!("{when}: what was refused was not sent"),
        )
    }
}

/// Restarts under load: whatever is not answered is `budget_unavailable`, and nothing is lost or booked twice.
async fn restarts(clients: &mut Clients) -> Result<bool, Failed> {
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let client = clients.hard.clone();
        callers.spawn(async move {
            let (mut answered, mut wrong) = (0, Vec::new());
            for _ in 0..30 {
                match client.complete(request()).await {
                    Ok(_) => answered += 1,
                    Err(error) if error.kind() == ErrorKind::BudgetUnavailable => {}
                    Err(error) => wrong.push(error.to_string()),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (answered, wrong)
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        control("stop").await?;
        control("start").await?;
    }
    let (mut answered, mut wrong) = (0, Vec::new());
    for (calls, errors) in callers.join_all().await {
        answered += calls;
        wrong.extend(errors);
    }
    clients.answered[0] += answered;
    let mut good = check(
        wrong.is_empty() && answered > 0,
        &format!(
            "restarted under load: {answered} of 600 calls answered, the others `budget_unavailable`: {wrong:?}"
        ),
    );
    good &= clients.balances("restarted under load").await?;
    Ok(good)
}

/// Several who find an empty database at the same moment: whoever makes the tables, all of them are answered.
async fn all_at_once(url: &str) -> Result<bool, Failed> {
    const DATABASES: u64 = 15;
    let upstream = Upstream::start().await?;
    let mut refused = Vec::new();
    for n in 0..DATABASES {
        let own = fresh(url, n).await?;
        let mut first = JoinSet::new();
        for name in ["a", "b", "c", "d"] {
            let client = roads::client(&config(&upstream, name, &own, false, None))?;
            first.spawn(async move {
                let outcome = client.complete(request()).await;
                client.close(Duration::from_secs(5)).await;
                outcome
            });
        }
        refused.extend(first.join_all().await.into_iter().filter_map(Result::err));
    }
    Ok(check(
        refused.is_empty(),
        &format!(
            "of four who come first and at once all are answered, {DATABASES} times: {refused:?}"
        ),
    ))
}

async fn over_tls(upstream: &Upstream) -> Result<bool, Failed> {
    let (Some(url), Some(ca), Some(other)) = (text("tls"), text("ca"), text("other")) else {
        return Ok(true);
    };
    let trusting = roads::client(&config(upstream, "tls", &url, false, Some(&ca)))?;
    let answered = trusting.complete(request()).await;
    let spent = booked(&trusting, "tls").await.map(|(spent, _)| spent);
    let mut good = check(
        answered.is_ok() && spent > Some(0),
        &format!(
            "over TLS, with the right authority, a call is booked: {spent:?}, {:?}",
            answered.err()
        ),
    );
    sent(upstream);
    let doubting = roads::client(&config(upstream, "tls", &url, false, Some(&other)))?;
    let refused = doubting
        .complete(request())
        .await
        .err()
        .map(|error| error.kind());
    good &= check(
        refused == Some(ErrorKind::BudgetUnavailable) && sent(upstream) == 0,
        &format!(
            "a server that cannot be trusted is not spoken to, and the hard budget refuses: {refused:?}"
        ),
    );
    Ok(good)
}

async fn run() -> Result<bool, Failed> {
    let url = text("postgres").ok_or("expected --postgres URL")?;
    let mut clients = Clients::open(&url).await?;
    let mut good = all_at_once(&url).await?;
    good &= clients.recovers("at the beginning").await?;
    for (down, up, when) in [("stop", "start", "stopped"), ("hang", "resume", "hung")] {
        control(down).await?;
        good &= clients.without(when).await;
        control(up).await?;
        good &= clients.recovers(&format!("{when} and back")).await?;
    }
    good &= restarts(&mut clients).await?;
    good &= over_tls(&clients.upstream).await?;
    Ok(good)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    verdict(run().await)
}
