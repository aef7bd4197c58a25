//! `ossai serve` killed, suspended and restarted under a client's load: no call lost, answered twice or left hanging.
//!
//! The server is the real command in a process of its own. Each round does one thing to it, in turn: SIGKILL and a new
//! start, SIGSTOP for a while, SIGTERM and a new start. A call may fail with a typed error when its tries ran out; one
//! that is answered has its own whole answer, and requests for it at the upstream all carry one idempotency key, so that
//! what was asked for twice can be paid for once. `--ossai PATH`, `--rounds N` (9).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ossai::{CallOptions, Client, ErrorKind};
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::call::{Way, make};
use sim::roads::{self, Failed};
use sim::tally::{Tally, check, verdict};
use sim::upstream::Upstream;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

const CALLERS: u64 = 24;
/// A call has this long; then it is a time-out, and `PATIENCE` later it hangs.
const TOTAL_MS: u64 = 15_000;
const PATIENCE: Duration = Duration::from_secs(25);

struct Serve {
    child: Child,
}

impl Serve {
    async fn start(ossai: &str, folder: &Path) -> Result<Self, Failed> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let mut child = Command::new(ossai)
            .args(["serve", "--config"])
            .arg(folder.join("serve.json"))
            .env_clear()
            .env("HOME", folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(out).lines();
        let ready = async { { line }.next_line().await };
        match tokio::time::timeout(Duration::from_secs(20), ready).await {
            Ok(Ok(Some(_))) => Ok(Self { child }),
            other => Err(format!("ossai serve did not say that it listens: {other:?}").into()),
        }
    }

    async fn signal(&self, name: &str) -> Result<(), Failed> {
        let id = self.child.id().ok_or("the server has ended by itself")?;
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id.to_string()])
            .status()
            .await?;
        if sent.success() {
            Ok(())
        } else {
            Err(format!("kill -{name} failed").into())
        }
    }
}

async fn load(client: Client, over: Arc<AtomicBool>) -> Tally {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, over) = (client.clone(), over.clone());
        callers.spawn(async move {
            let mut tally = Tally::default();
            while !over.load(Ordering::Acquire) {
                let name = format!("call-{caller}-{}", tally.begun);
                let way = if tally.begun.is_multiple_of(3) {
                    Way::Stream
                } else {
                    Way::Complete
                };
                let options = CallOptions {
                    timeout_ms: Some(TOTAL_MS),
                    ..CallOptions::default()
                };
                let outcome = make(&client, &name, way, options, PATIENCE).await;
                tally.count(&name, outcome);
            }
            tally
        });
    }
    let mut whole = Tally::default();
    for tally in callers.join_all().await {
        whole.add(tally);
    }
    whole
}

/// One round: load, in the middle of it the blow, then the load goes on until a call begun afterwards is answered.
async fn round(
    what: &str,
    server: &mut Serve,
    ossai: &str,
    folder: &Path,
    client: &Client,
) -> Result<Tally, Failed> {
    let over = Arc::new(AtomicBool::new(false));
    let work = tokio::spawn(load(client.clone(), over.clone()));
    tokio::time::sleep(Duration::from_millis(400)).await;
    match what {
        "SIGSTOP" => {
            server.signal("STOP").await?;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            server.signal("CONT").await?;
        }
        "SIGKILL" => {
            server.signal("KILL").await?;
            server.child.wait().await?;
            *server = Serve::start(ossai, folder).await?;
        }
        _ => {
            server.signal("TERM").await?;
            let ended =
                tokio::time::timeout(Duration::from_secs(20), server.child.wait()).await??;
            if !ended.success() {
                return Err(format!("after SIGTERM the server ended with {ended}").into());
            }
            *server = Serve::start(ossai, folder).await?;
        }
    }
    let back = Instant::now();
    for n in 0.. {
        let name = format!("call-back-{n}");
        let options = CallOptions::default();
        let outcome = make(client, &name, Way::Complete, options, PATIENCE).await;
        if matches!(outcome, sim::call::Outcome::Answered) {
            break;
        }
        if back.elapsed() > Duration::from_secs(40) {
            return Err(format!("{what}: not answered 40 s afterwards: {outcome:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{what:8} answers again after {:.1?}", back.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::Release);
    Ok(work.await?)
}

fn free_port() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn run() -> Result<bool, Failed> {
    let ossai = text("ossai").ok_or("--ossai: expected the path of the command")?;
    let upstream = Upstream::start().await?;
    upstream.set_delay(Duration::from_millis(20));
    let folder = tempfile::tempdir()?;
    let address = free_port()?;
    let behind = roads::direct(upstream.address(), 1);
    let serve: Value =
        json!({"bind": address, "data_dir": folder.path().join("data"), "client": behind});
    std::fs::write(folder.path().join("serve.json"), serve.to_string())?;
    let client = roads::client(&roads::over(behind, address))?;
    let mut server = Serve::start(&ossai, folder.path()).await?;
    let mut good = true;
    for n in 0..number("rounds", 9) {
        let what = ["SIGKILL", "SIGSTOP", "SIGTERM"][usize::try_from(n % 3)?];
        let tally = round(what, &mut server, &ossai, folder.path(), &client).await?;
        let records = upstream.take();
        let many_keys = records
            .values()
            .filter(|r| r.keys.iter().any(|k| k != &r.keys[0] || k.is_empty()))
            .count();
        let again = records.values().filter(|r| r.requests.len() > 1).count();
        println!(
            "{what:8} {} | upstream {} calls, {again} of them asked for more than once",
            tally.line(),
            records.len()
        );
        tally.broken.iter().take(5).for_each(|b| println!("  {b}"));
        let say = |text: &str| format!("round {n} {what}: {text}");
        good &= check(
            tally.broken.is_empty(),
            &say("every call has its own whole answer or a typed error, in time"),
        );
        good &= check(tally.answered > 0, &say("calls were answered"));
        good &= check(
            many_keys == 0,
            &say("what was asked for twice carries one idempotency key"),
        );
        if what == "SIGSTOP" {
            good &= check(tally.failed() == 0, &say("a pause loses nothing"));
            good &= check(again == 0, &say("a pause doubles nothing"));
        }
        if what == "SIGTERM" {
            good &= check(again == 0, &say("a drained server doubles nothing"));
            good &= check(
                !tally.errors.contains_key(ErrorKind::ShuttingDown.name()),
                &say("who meets a server that is shutting down is tried again"),
            );
        }
    }
    server.signal("TERM").await?;
    good &= check(
        server.child.wait().await?.success(),
        "the last server ends in order",
    );
    Ok(good)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    verdict(run().await)
}
