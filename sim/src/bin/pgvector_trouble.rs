//! A semantic cache in a PostgreSQL that is stopped, hung, restarted and crashed, has no pgvector, no rights, foreign tables and damaged
//! rows: no call fails for it, none is late, no answer is another question's, and it recovers by itself.
//!
//! `--postgres URL`, of a role that may do everything in a server of its own; `--control PROGRAM`, which is called with
//! `stop`, `start`, `hang` and `resume`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ossai::{Client, ErrorKind, Invalidation};
use sim::arguments::text;
use sim::postgres::{control, sql};
use sim::roads::{self, Failed};
use sim::tally::{check, verdict};
use sim::upstream::Upstream;
use sim::wordings::{RECOVERS, ROOM, TIMEOUT_MS, ask, config, taught, written};
use tokio::task::JoinSet;

/// Calls go on for a while, in other words; the longest of them, and whether the database answered any.
async fn calls(
    client: &Client,
    from: u64,
    lasting: Duration,
) -> Result<(Duration, u64, u64), Failed> {
    let end = Instant::now() + lasting;
    let mut at_work = JoinSet::new();
    for worker in 0..4 {
        let client = client.clone();
        at_work.spawn(async move {
            let (mut longest, mut hits, mut count) = (Duration::ZERO, 0, 0);
            while Instant::now() < end {
                let began = Instant::now();
                let got = ask(&client, from + (count * 4 + worker) % 20, 1).await?;
                longest = longest.max(began.elapsed());
                hits += u64::from(got.is_hit());
                count += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, Failed>((longest, hits, count))
        });
    }
    let (mut longest, mut hits, mut count) = (Duration::ZERO, 0, 0);
    while let Some(done) = at_work.join_next().await {
        let (took, found, asked) = done??;
        (longest, hits, count) = (longest.max(took), hits + found, count + asked);
    }
    Ok((longest, hits, count))
}

/// Calls while something is wrong, and until it is right again by itself.
async fn through(
    client: &Client,
    name: &str,
    from: u64,
    (began, ended): (
        impl AsyncFnOnce() -> Result<(), Failed>,
        impl AsyncFnOnce() -> Result<(), Failed>,
    ),
) -> Result<bool, Failed> {
    let limit = Duration::from_millis(TIMEOUT_MS) + ROOM;
    began().await?;
    let (longest, hits, count) = calls(client, from, Duration::from_secs(7)).await?;
    let ailing = client.stats().tiers.iter().any(|tier| tier.ailing);
    let mut good = check(
        longest < limit && hits == 0 && ailing,
        &format!(
            "{name}: {count} calls answered, the longest after {longest:.0?}, which the statistics tell ({ailing})"
        ),
    );
    ended().await?;
    let since = Instant::now();
    let mut longest = Duration::ZERO;
    let recovered = loop {
        let began = Instant::now();
        // Whatever it kept is asked for again until it is given.
        let got = ask(client, from + 50, 0).await?;
        longest = longest.max(began.elapsed());
        if got.is_hit() {
            break true;
        }
        if since.elapsed() > RECOVERS {
            break false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let after = since.elapsed();
    good &= check(
        recovered && longest < limit,
        &format!(
            "{name}: over, and found again by itself after {after:.1?}, no call later than {longest:.0?}"
        ),
    );
    Ok(good)
}

async fn trouble(upstream: &Upstream, url: &str) -> Result<bool, Failed> {
    let client = roads::client(&config(upstream, Some(url), "trouble"))?;
    let mut good = true;
    let told = |what: &'static str| async move || control(what).await;
    taught(&client, 2_000).await?;
    good &= through(&client, "stopped", 2_100, (told("stop"), told("start"))).await?;
    control("stop").await?;
    let refused = client.invalidate(&Invalidation::All).await;
    control("start").await?;
    let fits = refused.as_ref().is_err_and(|error| {
        error.kind() == ErrorKind::ConnectFailed
            && error.is_retriable()
            && error.fields().detail.as_deref() == Some("semantic")
    });
    good &= check(
        fits,
        &format!("stopped: an invalidation says that it could not be told: {refused:?}"),
    );
    let again = client.invalidate(&Invalidation::All).await;
    good &= check(
        again.is_ok(),
        &format!("started: and it is told when it is said again: {again:?}"),
    );
    for n in [2_001, 2_002] {
        taught(&client, n).await?;
    }
    let kept = ask(&client, 2_001, 1).await?;
    let tag = Invalidation::Tag {
        name: "thing".into(),
        value: "2001".into(),
    };
    client.invalidate(&tag).await?;
    // At once, as a machine that loses its power.
    control("stop").await?;
    control("start").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = [ask(&client, 2_001, 1).await?, ask(&client, 2_002, 1).await?];
    good &= check(
        kept.is_hit() && !after[0].is_hit() && after[1].is_hit(),
        &format!(
            "crashed: what was invalidated just before does not come back, the rest does: {kept:?}, {after:?}"
        ),
    );
    good &= through(&client, "hung", 2_200, (told("hang"), told("resume"))).await?;
    let run = |text: &'static str| async move || sql(url, text).await.map(|_| ());
    let dropped = run("DROP EXTENSION vector CASCADE");
    let created = run("CREATE EXTENSION vector");
    good &= through(&client, "without the extension", 2_300, (dropped, created)).await?;

    let (longest, _, count) = {
        let restarts = async {
            for _ in 0..3 {
                control("stop").await?;
                control("start").await?;
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            Ok::<_, Failed>(())
        };
        let (restarted, called) =
            tokio::join!(restarts, calls(&client, 2_400, Duration::from_secs(6)));
        restarted?;
        called?
    };
    good &= check(
        longest < Duration::from_millis(TIMEOUT_MS) + ROOM,
        &format!("restarted three times: {count} calls answered, the longest after {longest:.0?}"),
    );

    tokio::time::sleep(Duration::from_secs(6)).await;
    let whole = roads::client(&config(upstream, Some(url), "damaged"))?;
    for n in 0..5 {
        taught(&whole, 3_000 + n).await?;
    }
    let before = ask(&whole, 3_000, 1).await?;
    sql(url, "UPDATE ossai_semantic_1 SET answer = set_byte(answer, octet_length(answer) - 20, get_byte(answer, octet_length(answer) - 20) # 1)").await?;
    let mut hits = 0;
    for n in 0..5 {
        hits += u64::from(ask(&whole, 3_000 + n, 1).await?.is_hit());
    }
    written().await;
    let after = ask(&whole, 3_000, 1).await?;
    good &= check(
        before.is_hit() && hits == 0 && after.is_hit(),
        &format!(
            "damaged rows are misses, and new answers take their place: {before:?}, {hits} hits, {after:?}"
        ),
    );
    Ok(good)
}

/// Databases where not everything is as it should be.
async fn odd(upstream: &Upstream, url: &str) -> Result<bool, Failed> {
    let beside = |name: &str, role: &str| {
        url.replace("/postgres", &format!("/{name}"))
            .replace("ossai@", &format!("{role}@"))
    };
    sql(url, "CREATE ROLE reader LOGIN").await?;
    let mut good = true;
    for (name, prepare, repair) in [
        (
            "bare",
            "SELECT 1",
            "CREATE EXTENSION vector; GRANT CREATE ON SCHEMA public TO reader",
        ),
        (
            "closed",
            "CREATE EXTENSION vector",
            "GRANT CREATE ON SCHEMA public TO reader",
        ),
        (
            "strange",
            "CREATE EXTENSION vector; CREATE TABLE ossai_semantic_1 (x integer); GRANT ALL ON ossai_semantic_1 TO reader; GRANT CREATE ON SCHEMA public TO reader",
            "DROP TABLE ossai_semantic_1",
        ),
    ] {
        sql(url, &format!("CREATE DATABASE {name}")).await?;
        let own = beside(name, "ossai");
        sql(&own, prepare).await?;
        let client = roads::client(&config(upstream, Some(&beside(name, "reader")), "acme"))?;
        let words = match name {
            "bare" => "a database without the extension",
            "closed" => "a role that may not make tables",
            _ => "a table of that name and another form",
        };
        let repaired = async || sql(&own, repair).await.map(|_| ());
        good &= through(&client, words, 4_000, (async || Ok(()), repaired)).await?;
    }
    sql(url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ossai_semantic_1, ossai_semantic_marks_1 TO reader").await?;
    let lesser = roads::client(&config(
        upstream,
        Some(&beside("postgres", "reader")),
        "lesser",
    ))?;
    taught(&lesser, 4_100).await?;
    let got = ask(&lesser, 4_100, 1).await?;
    let told = lesser.invalidate(&Invalidation::All).await;
    good &= check(
        got.is_hit() && told.is_ok(),
        &format!("a role that may use the tables and make none: {got:?}, {told:?}"),
    );
    Ok(good)
}

async fn checks() -> Result<bool, Failed> {
    let url = text("postgres").ok_or("expected --postgres URL")?;
    sql(&url, "CREATE EXTENSION IF NOT EXISTS vector").await?;
    let upstream = Upstream::start().await?;
    let mut good = trouble(&upstream, &url).await?;
    good &= odd(&upstream, &url).await?;
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    verdict(checks().await)
}
