//! A thousand concurrent clients against a storm of 429 and a burst of 500, over both roads: how much load reaches the
//! upstream for each first try, whether any call is lost or doubled, and whether it recovers without help.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ossai::{CallOptions, Client};
use sim::arguments::number;
use sim::call::{Outcome, Way, make};
use sim::roads::{self, Failed};
use sim::tally::{Tally, check, verdict};
use sim::upstream::{Mood, Record, Upstream};
use tokio::task::JoinSet;

/// Time runs so many times faster: a `retry-after` of 1 s is 50 ms.
const SCALE: u32 = 20;
/// Beyond this (real time) a call counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// The retry quota's 500 pay for so many retries in a row at 14 each, however few first tries there are once a circuit has
/// opened (behaviour 2.4): over few first tries that alone is more than a tenth of them.
const BURST: usize = 35;

struct Wave {
    name: &'static str,
    calls_each: u64,
}

/// Every caller makes its calls one after another; all callers at once.
async fn wave(client: &Client, wave: &Wave, clients: u64) -> Tally {
    let mut callers = JoinSet::new();
    for caller in 0..clients {
        let (client, name, each) = (client.clone(), wave.name, wave.calls_each);
        callers.spawn(async move {
            let mut outcomes: Vec<(String, Outcome)> = Vec::new();
            for n in 0..each {
                let call = format!("call-{name}-{caller}-{n}");
                let options = CallOptions::default();
                let outcome = make(&client, &call, Way::Complete, options, PATIENCE).await;
                outcomes.push((call, outcome));
            }
            outcomes
        });
    }
    let mut tally = Tally::default();
    for outcomes in callers.join_all().await {
        for (name, outcome) in outcomes {
            tally.count(&name, outcome);
        }
    }
    tally
}

struct Load {
    first: usize,
    requests: usize,
    doubled: usize,
    early: usize,
}

fn load(records: &HashMap<String, Record>) -> Load {
    // A hint of 1 s, in scaled time; a timer may fire a millisecond early by rounding.
    let hint = Duration::from_secs(1) / SCALE - Duration::from_millis(1);
    Load {
        first: records.len(),
        requests: records.values().map(|r| r.requests.len()).sum(),
        doubled: records.values().filter(|r| r.answered > 1).count(),
        early: records
            .values()
            .flat_map(|r| r.requests.windows(2))
            .filter(|pair| pair[1].duration_since(pair[0]) < hint)
            .count(),
    }
}

async fn storm(road: &str, client: &Client, upstream: &Upstream, clients: u64) -> bool {
    let waves = [
        ("calm", Mood::Well, 1),
        ("429", Mood::Throttling, 3),
        ("after429", Mood::Well, 2),
        ("500", Mood::Failing, 3),
        ("after500", Mood::Well, 2),
    ];
    let mut good = true;
    for (name, mood, calls_each) in waves {
        let this = Wave { name, calls_each };
        upstream.set(mood);
        let began = Instant::now();
        if mood == Mood::Well && name != "calm" {
            // Recovery without help: nothing is done but to go on calling.
            good &= recovers(road, name, client).await;
            drop(upstream.take());
        }
        let tally = wave(client, &this, clients).await;
        let load = load(&upstream.take());
        #[expect(clippy::cast_precision_loss)]
        let factor = load.requests as f64 / load.first.max(1) as f64;
        println!(
            "{road:12} {name:9} {} | upstream {} requests for {} first tries, load factor {factor:.3}, {:.1} s",
            tally.line(),
            load.requests,
            load.first,
            began.elapsed().as_secs_f64(),
        );
        tally.broken.iter().take(5).for_each(|b| println!("  {b}"));
        let say = |what: &str| format!("{road} {name}: {what}");
        good &= check(
            tally.begun == clients * calls_each && tally.broken.is_empty(),
            &say("every call has its own answer or a typed error"),
        );
        good &= check(
            load.doubled == 0,
            &say("no call was answered twice upstream"),
        );
        let bounded = factor <= 1.1 || load.requests <= load.first + BURST;
        let what = "load factor at most 1.1, or the quota's burst";
        good &= check(bounded, &say(what));
        if mood == Mood::Throttling {
            good &= check(load.early == 0, &say("no retry came before its hint"));
        }
        let (expected, what) = match mood {
            Mood::Well => (tally.begun, "every call is answered"),
            _ => (0, "no call is answered"),
        };
        good &= check(tally.answered == expected, &say(what));
    }
    good
}

/// Calls one at a time until three in a row are answered, as many as an opened circuit wants to see before it lets all
/// through; within two minutes of scaled time.
async fn recovers(road: &str, name: &str, client: &Client) -> bool {
    let began = Instant::now();
    let limit = Duration::from_secs(120) / SCALE;
    let (mut n, mut failed, mut in_a_row) = (0, 0, 0);
    loop {
        let call = format!("call-probe-{name}-{n}");
        let options = CallOptions::default();
        let outcome = make(client, &call, Way::Complete, options, PATIENCE).await;
        let took = began.elapsed();
        if matches!(outcome, Outcome::Answered) {
            in_a_row += 1;
        } else {
            (failed, in_a_row) = (failed + 1, 0);
        }
        if in_a_row == 3 {
            println!(
                "{road:12} {name:9} recovered after {failed} failed probes, {took:.1?} (time {SCALE} times faster)"
            );
            return check(
                took < limit,
                &format!("{road} {name}: recovers without help"),
            );
        }
        if took > limit {
            return check(
                false,
                &format!("{road} {name}: recovers without help: {outcome:?}"),
            );
        }
        n += 1;
        tokio::time::sleep(Duration::from_secs(1) / SCALE).await;
    }
}

async fn run() -> Result<bool, Failed> {
    let clients = number("clients", 1000);
    let upstream = Upstream::start().await?;
    let config = roads::direct(upstream.address(), SCALE);
    let mut good = storm("direct", &roads::client(&config)?, &upstream, clients).await;
    let (server, _folder) = roads::orchestrator(&config).await?;
    let over = roads::client(&roads::over(config, server.address()))?;
    good &= storm("orchestrator", &over, &upstream, clients).await;
    let ended = server.shutdown(std::future::ready(())).await;
    good &= check(
        ended.lost_rows == 0,
        "orchestrator: no row of usage was lost",
    );
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    verdict(run().await)
}
