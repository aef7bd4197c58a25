//! Invalidations between real processes that share a real Redis: one that runs, one that sleeps, one whose answer is under
//! way, and a Redis that has lost its marks.
//!
//! `--redis-server PATH`. The other process is this program with `--serve URL`: it has a memory and that Redis, and tells for
//! each number it reads where the answer came from.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ossai::{CallOptions, Client, CompletionRequest, Config, Invalidation};
use serde_json::json;
use sim::arguments::text;
use sim::other::Other;
use sim::redis::Redis;
use sim::roads::Failed;
use sim::tally::{check, verdict};

const MODEL: &str = "local/extract";
/// What a memory is trusted for, and room for a busy machine.
const HEARD_WITHIN: Duration = Duration::from_millis(2_000);

fn client(url: &str) -> Result<Client, Failed> {
    let redis = json!({"url": url, "timeout_ms": 5_000});
    let config = json!({"tenant": "acme", "cache": {"redis": redis}});
    Ok(Client::new(Config::from_json(&config.to_string())?)?)
}

/// Asks, and tells which tier had it, or `none`.
async fn ask(client: &Client, n: &str) -> Result<String, Failed> {
    let prompt = format!("Thing {n} is blue.\n\nWhat colour is thing {n}?");
    let mut options = CallOptions::default();
    options.tags.insert("thing".into(), n.into());
    let request = CompletionRequest::new(MODEL, prompt.as_str());
    let answer = client.complete_with(request, options).await?;
    let tier = answer.cache.tier.map(|tier| json!(tier));
    Ok(tier.map_or_else(|| "none".into(), |tier| tier.to_string().replace('"', "")))
}

async fn serve(url: &str) -> Result<(), Failed> {
    let client = client(url)?;
    for n in std::io::stdin().lines() {
        println!("{}", ask(&client, &n?).await?);
    }
    Ok(())
}

fn tag(value: &str) -> Invalidation {
    Invalidation::Tag {
        name: "thing".into(),
        value: value.into(),
    }
}

/// Writes go beside the call.
async fn written() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn checks(server: &Path) -> Result<bool, Failed> {
    let redis = Redis::start(server).await?;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let own = client(&url)?;
    let mut other = Other::start(&url)?;
    let mut good = true;

    let mut from = Vec::new();
    for n in ["1", "2", "1", "2"] {
        from.push(other.ask(n).await?);
        written().await;
    }
    let shared = (ask(&own, "1").await?, ask(&own, "1").await?);
    good &= check(
        from == ["none", "none", "memory", "memory"] && shared.0 == "redis" && shared.1 == "memory",
        &format!("two processes share what one has asked for: {from:?}, then {shared:?}"),
    );

    let done = own.invalidate(&tag("1")).await?;
    let begun = Instant::now();
    let here = ask(&own, "1").await?;
    let mut heard = None;
    while begun.elapsed() < HEARD_WITHIN * 2 {
        // What was answered here by now is found in Redis: anything but the other's own memory is right.
        if other.ask("1").await? != "memory" {
            heard = Some(begun.elapsed());
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    good &= check(
        done.dropped == 1 && here == "none" && heard.is_some_and(|after| after <= HEARD_WITHIN),
        &format!(
            "a process that runs hears of it: here {here}, {} dropped, there after {heard:?}",
            done.dropped
        ),
    );
    let kept = other.ask("2").await?;
    good &= check(
        kept != "none",
        &format!("another tag's answer stays: {kept}"),
    );

    written().await;
    let warm = other.ask("2").await?;
    other.signal("STOP").await?;
    own.invalidate(&Invalidation::Model(MODEL.into())).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    other.signal("CONT").await?;
    let woken = other.ask("2").await?;
    good &= check(
        warm == "memory" && woken == "none",
        &format!("a process that slept over it asks before it answers: {warm}, then {woken}"),
    );

    written().await;
    let warm = ask(&own, "2").await?;
    own.invalidate(&Invalidation::All).await?;
    let gone = ask(&own, "2").await?;
    written().await;
    redis.ask(&["FLUSHALL"]).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let lost = (ask(&own, "2").await?, other.ask("1").await?);
    written().await;
    let again = (ask(&own, "2").await?, other.ask("2").await?);
    good &= check(
        warm != "none" && gone == "none" && lost == ("none".into(), "none".into()),
        &format!(
            "all is invalidated: {warm}, then {gone}; a Redis that lost its marks has no answers, nor have memories: {lost:?}"
        ),
    );
    good &= check(
        again.0 == "memory" && again.1 == "redis",
        &format!("and goes on with new ones: {again:?}"),
    );
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(url) = text("serve") {
        let served = serve(&url).await;
        return if served.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let server = text("redis-server").unwrap_or_default();
    let good = checks(Path::new(&server)).await;
    verdict(good)
}
