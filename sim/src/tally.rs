//! What became of the calls, and whether any of it must not have happened.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ossai::ErrorKind;

use crate::call::Outcome;
use crate::roads::Failed;

/// Counts of outcomes, and every broken promise in words.
#[derive(Debug, Default)]
pub struct Tally {
    /// Calls begun.
    pub begun: u64,
    /// Right answers.
    pub answered: u64,
    /// Errors by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls their callers gave up.
    pub cancelled: u64,
    /// What must not happen.
    pub broken: Vec<String>,
}

impl Tally {
    /// Counts one call.
    pub fn count(&mut self, name: &str, outcome: Outcome) {
        self.begun += 1;
        match outcome {
            Outcome::Answered => self.answered += 1,
            Outcome::Failed(ErrorKind::Internal, message) => {
                self.broken.push(format!("{name}: internal: {message}"));
            }
            Outcome::Failed(kind, _) => *self.errors.entry(kind.name()).or_default() += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Wrong(what) => self.broken.push(format!("{name}: {what}")),
            Outcome::Hung => self
                .broken
                .push(format!("{name}: neither answer nor error")),
        }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.answered += other.answered;
        self.cancelled += other.cancelled;
        self.broken.extend(other.broken);
        for (kind, n) in other.errors {
            *self.errors.entry(kind).or_default() += n;
        }
    }

    /// All calls that ended in a typed error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The counts in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} calls: {} answered", self.begun, self.answered);
        for (kind, n) in &self.errors {
            line += &format!(", {n} {kind}");
        }
        if self.cancelled > 0 {
            line += &format!(", {} cancelled", self.cancelled);
        }
        line + &format!(", {} broken promises", self.broken.len())
    }
}

/// Prints a check the way `ci/test` counts it; true when it holds.
pub fn check(holds: bool, what: &str) -> bool {
    println!("{} {what}", if holds { "ok" } else { "FAIL" });
    holds
}

/// How a program ends: well only if all its checks held. What kept it from making them is a check that did not.
#[must_use]
pub fn verdict(good: Result<bool, Failed>) -> ExitCode {
    if good.unwrap_or_else(|error| check(false, &error.to_string())) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
