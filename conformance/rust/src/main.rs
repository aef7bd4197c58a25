//! The conformance cases against the Rust client, or against another language's, over both roads.
//!
//! `conformance-rust CASES [--road direct|orchestrator] [--only TEXT] [--jobs N] [--client COMMAND [--compare]]`: prints
//! each failure, exits 1 when there was one. `--client` starts an adapter (see [`adapter`]) whose client makes the calls;
//! with `--compare` every trace must also be one that the Rust client leaves (see [`compare`]).

mod adapter;
mod compare;
mod killed;
mod roads;
mod tools;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use adapter::Adapter;
use conformance::case::Road;
use conformance::load::{Loaded, load_all};
use conformance::runner::{Report, run_case};
use conformance::upstream_process::Upstream;
use roads::Roads;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// So many cases that hang are enough to know that something is wrong with all of them.
const MOST_HUNG: usize = 8;

/// The client under test, and the Rust client beside it where traces are compared.
struct Both {
    roads: Roads,
    reference: Option<Roads>,
    upstream: Upstream,
}

impl Both {
    /// Runs a case; its trace must be one that the Rust client leaves in one of `runs` runs.
    async fn run(&self, case: &Loaded, road: Road, runs: usize) -> Report {
        let mut report = run_case(case, road, &self.roads, &self.upstream).await;
        if let Some(reference) = &self.reference
            && report.failures.is_empty()
        {
            report.failures = compare::compare(
                case,
                road,
                (&self.roads, reference),
                &report.trace,
                &self.upstream,
                runs,
            )
            .await;
        }
        report.trace = Value::Null;
        report
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == killed::ARGUMENT)
    {
        if let Err(error) = killed::run().await {
            println!("{error}");
        }
        return ExitCode::FAILURE;
    }
    let option = |name: &str| {
        arguments
            .iter()
            .position(|a| a == name)
            .and_then(|i| arguments.get(i + 1))
    };
    let folder = arguments
        .first()
        .map_or("conformance/cases", String::as_str);
    let cases = match load_all(Path::new(folder)) {
        Ok(cases) => cases,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            return ExitCode::FAILURE;
        }
    };
    let upstream = match Upstream::here().await {
        Ok(upstream) => upstream,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let adapter = match option("--client").map(|command| Adapter::start(command)) {
        None => None,
        Some(Ok(adapter)) => Some(Arc::new(adapter)),
        Some(Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let both = Arc::new(Both {
        roads: Roads { adapter },
        reference: arguments
            .iter()
            .any(|a| a == "--compare")
            .then_some(Roads { adapter: None }),
        upstream,
    });
    let jobs = option("--jobs").and_then(|n| n.parse().ok()).unwrap_or(4);
    let places = Arc::new(Semaphore::new(jobs));
    let mut running = JoinSet::new();
    let wanted = option("--road").map(String::as_str);
    for case in cases {
        if option("--only").is_some_and(|only| !case.id.contains(only)) {
            continue;
        }
        let case = Arc::new(case);
        for (road, name) in [
            (Road::Direct, "direct"),
            (Road::Orchestrator, "orchestrator"),
        ] {
            if !case.roads.contains(&road) || wanted.is_some_and(|wanted| wanted != name) {
                continue;
            }
            let (case, both, places) = (case.clone(), both.clone(), places.clone());
            running.spawn(async move {
                let _place = places.acquire().await;
                let report = both.run(&case, road, 1).await;
                (name, case, road, report)
            });
        }
    }
    let mut first = Vec::new();
    let mut hung = 0;
    while let Some(ended) = running.join_next().await {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let (name, _, _, report) = &ended;
        if report.hung {
            eprintln!("{} ({name}) hangs", report.id);
            hung += 1;
        }
        if hung == MOST_HUNG {
            println!("FAIL {hung} cases hang: the rest is not run");
            if let Some(adapter) = &both.roads.adapter {
                adapter.quit().await;
            }
            return ExitCode::FAILURE;
        }
        first.push(ended);
    }
    let mut reports = Vec::new();
    let mut again = 0;
    for (name, case, road, mut report) in first {
        if !report.failures.is_empty() {
            // Cases measure time. One that failed while others ran beside it gets the machine to itself before it counts.
            again += 1;
            report = both.run(&case, road, compare::RUNS).await;
        }
        reports.push((name, report));
    }
    reports.sort_by(|(road, a), (other, b)| (road, &a.id).cmp(&(other, &b.id)));
    let failed: Vec<_> = reports
        .iter()
        .filter(|(_, report)| !report.failures.is_empty())
        .collect();
    for (road, report) in &failed {
        println!("FAIL {} ({road})", report.id);
        report
            .failures
            .iter()
            .for_each(|failure| println!("     {failure}"));
    }
    if again > 0 {
        println!("{again} cases were run again alone");
    }
    println!(
        "{} of {} cases pass",
        reports.len() - failed.len(),
        reports.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
