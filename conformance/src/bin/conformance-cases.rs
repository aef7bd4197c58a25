//! Lists the cases and checks their files, without running them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use conformance::case::Road;
use conformance::load::load_all;

const HELP: &str =
    "usage: conformance-cases check|list [FOLDER]   (FOLDER: conformance/cases unless given)
  check  read every case file and print how many cases there are per area
  list   one line per case: id, roads, promise (tab separated)";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let folder = arguments
        .next()
        .map_or_else(|| PathBuf::from("conformance/cases"), PathBuf::from);
    if !matches!(command.as_str(), "check" | "list") {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    }
    let cases = match load_all(&folder) {
        Ok(cases) => cases,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            return ExitCode::FAILURE;
        }
    };
    let mut areas: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in &cases {
        let roads: Vec<&str> = case.roads.iter().map(|road| road.name()).collect();
        if command == "list" {
            println!("{}\t{}\t{}", case.id, roads.join(","), case.promise());
        }
        let area = areas
            .entry(case.id.split('/').next().unwrap_or_default().to_owned())
            .or_default();
        area.0 += 1;
        area.1 += usize::from(case.roads.contains(&Road::Orchestrator));
    }
    if command == "check" {
        for (area, (all, orchestrator)) in &areas {
            println!(
                "{area:<14} {all:>4} cases, {orchestrator:>4} of them on the orchestrator's road too"
            );
        }
        println!("{:<14} {:>4} cases", "all", cases.len());
    }
    ExitCode::SUCCESS
}
