//! A semantic cache in a real PostgreSQL with pgvector, between real processes, and under what happens to a database: no call
//! fails for it, none is late, and no answer is another question's.
//!
//! `--postgres URL`, of a role that may do everything in a database of its own; `--control PROGRAM`, which is called with
//! `stop`, `start`, `hang` and `resume`. The other process is this program with `--serve CONFIG`.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use ossai::{CallOptions, Client, CompletionRequest, ErrorKind, Invalidation};
use serde_json::{Value, json};
use sim::arguments::text;
use sim::roads::{self, Failed};
use sim::tally::check;
use sim::upstream::{Upstream, answer_to};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

const MODEL: &str = "openai/gpt-4o-mini";
/// How long a look may take, and what a busy machine of two cores may add to a call.
const TIMEOUT_MS: u64 = 250;
const ROOM: Duration = Duration::from_millis(750);
/// A circuit is open for 5 seconds; then one look finds out.
const RECOVERS: Duration = Duration::from_secs(15);

/// A client's configuration: nothing in memory, every look in the database at `url`, or in the process.
fn config(upstream: &Upstream, url: Option<&str>, tenant: &str) -> Value {
    let mut config = roads::direct(upstream.address(), 1);
    config["tenant"] = json!(tenant);
    config["cache"] = json!({"max_bytes": 0, "embedding_max_bytes": 0, "semantic": {
        "model": "local/hash", "threshold": 0.7, "watch": {"check_percent": 0},
        "gates": {"numbers": false, "negation": false, "entities": false, "language": false, "direction": false},
    }});
    if let Some(url) = url {
        config["cache"]["semantic"]["postgres"] = json!({"url": url, "timeout_ms": TIMEOUT_MS});
    }
    config
}

/// The `n`th question in one of two wordings; no two questions share a word that matters.
fn question(n: u64, wording: u64) -> String {
    let mut chance = sim::chance::Chance::new(n);
    let words: Vec<String> = (0..12)
        .map(|_| format!("{:07x}", chance.below(1 << 28)))
        .collect();
    let (all, call) = (words.join(" "), format!("call-{n}"));
    match wording {
        0 => format!("What is {call} {all}?"),
        // Two words less, so that the two are near and not the same.
        _ => format!("{call} {}, what is that?", words[..10].join(" ")),
    }
}

/// Where an answer came from, and how near its question was; it is always the right one.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    tier: String,
    similarity: f64,
}

impl Got {
    fn is_hit(&self) -> bool {
        self.tier == "semantic"
    }
}

async fn ask(client: &Client, n: u64, wording: u64) -> Result<Got, Failed> {
    let mut options = CallOptions::default();
    options.tags.insert("thing".into(), n.to_string());
    let request = CompletionRequest {
        temperature: Some(0.0),
        ..CompletionRequest::new(MODEL, question(n, wording).as_str())
    };
    let answer = client.complete_with(request, options).await?;
    if answer.text != answer_to(&format!("call-{n}")) {
        return Err(format!("call-{n} was answered with {:?}", answer.text).into());
    }
    let tier = answer.cache.tier.map(|tier| json!(tier).to_string());
    Ok(Got {
        tier: tier.unwrap_or_else(|| "none".into()).replace('"', ""),
        similarity: answer.cache.similarity.unwrap_or_default(),
    })
}

/// Asks and waits until what that left is written.
async fn taught(client: &Client, n: u64) -> Result<Got, Failed> {
    let got = ask(client, n, 0).await?;
    written().await;
    Ok(got)
}

async fn written() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

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

/// The other process.
struct Other {
    _child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(config: &Value) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", &config.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let to = child.stdin.take().ok_or("no standard input")?;
        let from = child.stdout.take().ok_or("no standard output")?;
        let from = BufReader::new(from).lines();
        Ok(Self {
            _child: child,
            to,
            from,
        })
    }

    async fn begin(&mut self, n: u64, wording: u64) -> Result<(), Failed> {
        let line = format!("{n} {wording}\n");
        Ok(self.to.write_all(line.as_bytes()).await?)
    }

    async fn end(&mut self) -> Result<Got, Failed> {
        let line = tokio::time::timeout(Duration::from_secs(20), self.from.next_line()).await??;
        let line = line.ok_or("the other process ended")?;
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

async fn control(what: &str) -> Result<(), Failed> {
    let program = text("control").ok_or("expected --control PROGRAM")?;
    let status = Command::new(program).arg(what).status().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the server cannot {what}").into())
    }
}

/// As the administrator of a database.
async fn sql(url: &str, text: &str) -> Result<Vec<String>, Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let mut words = Vec::new();
    for message in client.simple_query(text).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            words.push(row.get(0).unwrap_or_default().to_owned());
        }
    }
    Ok(words)
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
    let mut good = shared(&upstream, &url).await?;
    good &= bounded(&upstream, &url).await?;
    good &= trouble(&upstream, &url).await?;
    good &= odd(&upstream, &url).await?;
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
    let good = checks().await;
    if good.unwrap_or_else(|error| check(false, &error.to_string())) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
