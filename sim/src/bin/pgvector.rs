//! A semantic cache in a real PostgreSQL with pgvector, between real processes: what one has asked the others are given, and nothing that
//! was invalidated, over its time, another tenant's or written with another key; within its bounds.
//!
//! `--postgres URL`, of a role that may do everything in a database of its own; `--control PROGRAM`, which is called with
//! `stop` and `start`. The other process is this program with `--serve CONFIG`.

use std::process::ExitCode;
use std::time::Duration;

use ossai::{CallOptions, Client, CompletionRequest, Invalidation};
use serde_json::{Value, json};
use sim::arguments::text;
use sim::postgres::{control, sql};
use sim::roads::{self, Failed};
use sim::tally::{check, verdict};
use sim::upstream::Upstream;
use sim::wordings::{Got, MODEL, ask, config, question, taught, written};
use tokio::task::JoinSet;

async fn serve(config: &str) -> Result<(), Failed> {
    let client = roads::client(&serde_json::from_str(config)?)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (n, wording) = line.split_once(' ').ok_or("expected two numbers")?;
        let got = ask(&client, n.parse()?, wording.parse()?).await?;
        println!("{} {}", got.tier, got.similarity);
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

/// The other process, asked as this one is.
struct Other(sim::other::Other);

impl Other {
    fn start(config: &Value) -> Result<Self, Failed> {
        Ok(Self(sim::other::Other::start(&config.to_string())?))
    }

    async fn begin(&mut self, n: u64, wording: u64) -> Result<(), Failed> {
        self.0.begin(&format!("{n} {wording}")).await
    }

    async fn end(&mut self) -> Result<Got, Failed> {
        let line = self.0.end().await?;
        let (tier, similarity) = line.split_once(' ').ok_or("expected two words")?;
        Ok(Got {
            tier: tier.into(),
            similarity: similarity.parse()?,
        })
    }

    async fn ask(&mut self, n: u64, wording: u64) -> Result<Got, Failed> {
        self.begin(n, wording).await?;
        let got = self.end().await?;
        if wording == 0 {
            written().await;
        }
        Ok(got)
    }
}

/// What two processes have of it.
async fn shared(upstream: &Upstream, url: &str) -> Result<bool, Failed> {
    let of_all = config(upstream, Some(url), "acme");
    let (own, mut other) = (roads::client(&of_all)?, Other::start(&of_all)?);
    let here = roads::client(&config(upstream, None, "acme"))?;
    let first = other.ask(1, 0).await?;
    let shared = ask(&own, 1, 1).await?;
    taught(&here, 1).await?;
    let alone = ask(&here, 1, 1).await?;
    let mut good = check(
        first.tier == "none" && shared.is_hit() && shared.similarity == alone.similarity,
        &format!(
            "one process asks, the other is given its answer; as near as in one process: {shared:?}, {alone:?}"
        ),
    );
    let far = ask(&own, 2, 1).await?;
    let stats = own.stats();
    let semantic = stats.semantic.unwrap_or_default();
    good &= check(
        far.tier == "none" && (semantic.lookups, semantic.hits, semantic.failures) == (2, 1, 0),
        &format!(
            "another question is not; it is counted: {} looks, {} hits",
            semantic.lookups, semantic.hits
        ),
    );

    drop(other);
    control("stop").await?;
    control("start").await?;
    let mut other = Other::start(&of_all)?;
    let kept = other.ask(1, 1).await?;
    good &= check(
        kept == shared,
        &format!("process and server are restarted: {kept:?}"),
    );

    let elsewhere = roads::client(&config(upstream, Some(url), "other"))?;
    let apart = ask(&elsewhere, 1, 1).await?;
    good &= check(
        apart.tier == "none",
        &format!("another tenant is given nothing: {apart:?}"),
    );

    let mut sealed = of_all.clone();
    sealed["cache"]["semantic"]["postgres"]["key"] = json!("one key of many words");
    let mut differs = sealed.clone();
    differs["cache"]["semantic"]["postgres"]["key"] = json!("another key of many words");
    let (sealed, differs) = (roads::client(&sealed)?, roads::client(&differs)?);
    taught(&sealed, 3).await?;
    let right = ask(&sealed, 3, 1).await?;
    let wrong = [ask(&differs, 3, 1).await?, ask(&own, 1, 1).await?];
    let clear = sql(
        url,
        "SELECT count(*) FROM ossai_semantic_1 WHERE position('call-3'::bytea IN answer) > 0",
    )
    .await?;
    good &= check(
        right.is_hit() && wrong[0].tier == "none" && wrong[1].is_hit() && clear == ["0"],
        &format!("what is encrypted opens with its key and with no other: {right:?}, {wrong:?}"),
    );

    let mut short = of_all.clone();
    short["cache"]["semantic"]["ttl_ms"] = json!(1_000);
    let short = roads::client(&short)?;
    taught(&short, 4).await?;
    let fresh = ask(&own, 4, 1).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let over = ask(&own, 4, 1).await?;
    good &= check(
        fresh.is_hit() && over.tier == "none",
        &format!("it is kept for its time: {fresh:?}, {over:?}"),
    );

    taught(&own, 5).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let mut options = CallOptions::default();
    options.cache.refresh = true;
    let aged = age(&own, 5, CallOptions::default()).await?;
    let anew = age(&own, 5, options).await?;
    written().await;
    let young = age(&own, 5, CallOptions::default()).await?;
    good &= check(
        aged.is_some_and(|age| age >= 1_200)
            && anew.is_none()
            && young.is_some_and(|age| age < 1_200),
        &format!(
            "an answer that is fetched anew takes the old one's place: {aged:?}, {anew:?}, then {young:?} ms old"
        ),
    );
    let mut options = CallOptions::default();
    options.cache.max_age_ms = Some(100);
    let old = age(&own, 5, options).await?;
    good &= check(
        old.is_none(),
        &format!("one that is older than a call takes is not given: {old:?}"),
    );
    good &= invalidated(&own, &mut other, upstream).await?;
    Ok(good)
}

/// How old the answer is that exactly this question is given; none where it is a new one.
async fn age(client: &Client, n: u64, mut options: CallOptions) -> Result<Option<u64>, Failed> {
    options.tags.insert("thing".into(), n.to_string());
    let request = CompletionRequest {
        temperature: Some(0.0),
        ..CompletionRequest::new(MODEL, question(n, 0).as_str())
    };
    Ok(client.complete_with(request, options).await?.cache.age_ms)
}

async fn invalidated(own: &Client, other: &mut Other, upstream: &Upstream) -> Result<bool, Failed> {
    let mut good = true;
    let tag = |n: u64| Invalidation::Tag {
        name: "thing".into(),
        value: n.to_string(),
    };
    for (name, what, stays) in [
        ("a tag", tag(11), true),
        ("a model", Invalidation::Model(MODEL.into()), false),
        ("a tenant", Invalidation::All, false),
    ] {
        for n in [11, 12] {
            other.ask(n, 0).await?;
        }
        let warm = [other.ask(11, 1).await?, other.ask(12, 1).await?];
        let told = own.invalidate(&what).await?;
        let cold = [other.ask(11, 1).await?, other.ask(12, 1).await?];
        written().await;
        let tiers = json!(told.tiers).to_string();
        good &= check(
            warm.iter().all(Got::is_hit)
                && !cold[0].is_hit()
                && cold[1].is_hit() == stays
                && tiers.contains("semantic"),
            &format!("{name} is invalidated: the other process knows at once: {cold:?}"),
        );
        // Words of both wordings are kept by now.
        own.invalidate(&Invalidation::All).await?;
        upstream.set_delay(Duration::from_millis(800));
        other.begin(20, 0).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let under_way = match &what {
            Invalidation::Tag { .. } => tag(20),
            what => what.clone(),
        };
        own.invalidate(&under_way).await?;
        let answered = other.end().await?;
        upstream.set_delay(Duration::ZERO);
        written().await;
        let kept = ask(own, 20, 1).await?;
        good &= check(
            answered.tier == "none" && !kept.is_hit(),
            &format!("{name} is invalidated: what was under way is not kept: {kept:?}"),
        );
        written().await;
        own.invalidate(&Invalidation::All).await?;
    }
    Ok(good)
}

/// Eight clients write as fast as they can.
async fn bounded(upstream: &Upstream, url: &str) -> Result<bool, Failed> {
    const MOST: usize = 100;
    let mut at_work = JoinSet::new();
    for worker in 0..8 {
        let mut of_all = config(upstream, Some(url), "bounded");
        of_all["cache"]["semantic"]["max_entries"] = json!(MOST);
        let client = roads::client(&of_all)?;
        at_work.spawn(async move {
            for n in 0..100 {
                ask(&client, 1_000 + worker * 1_000 + n, 0).await?;
            }
            client.close(Duration::from_secs(10)).await;
            Ok::<_, Failed>(client.stats().semantic.map(|semantic| semantic.entries))
        });
    }
    let count = "SELECT count(*) FROM ossai_semantic_1 WHERE tenant =
        (SELECT tenant FROM ossai_semantic_1 ORDER BY created DESC LIMIT 1)";
    let mut most = 0;
    let mut known = Vec::new();
    loop {
        tokio::select! {
            done = at_work.join_next() => match done {
                None => break,
                Some(entries) => known.push(entries??),
            },
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                let rows = sql(url, count).await?;
                most = most.max(rows.first().ok_or("no count")?.parse::<usize>()?);
            }
        }
    }
    let last: usize = sql(url, count).await?.first().ok_or("no count")?.parse()?;
    // A twentieth for each client, and the two that it writes at that moment.
    let bound = MOST + 8 * (MOST / 20 + 2);
    Ok(check(
        most <= bound && last <= bound && last >= MOST / 2,
        &format!(
            "eight writers of 800 answers into room for {MOST}: at most {most} at once, {last} in the end (bound {bound}); as the clients know it {known:?}"
        ),
    ))
}

async fn checks() -> Result<bool, Failed> {
    let url = text("postgres").ok_or("expected --postgres URL")?;
    sql(&url, "CREATE EXTENSION IF NOT EXISTS vector").await?;
    let upstream = Upstream::start().await?;
    let mut good = shared(&upstream, &url).await?;
    good &= bounded(&upstream, &url).await?;
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(config) = text("serve") {
        return match serve(&config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    verdict(checks().await)
}
