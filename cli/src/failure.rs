//! Why a command ends badly, what it says then, and with which exit code.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use ossai::{Error, ErrorKind};
use serde_json::json;

/// Why a command ends badly.
#[derive(Debug)]
pub enum Failure {
    /// A call failed, or what was asked for is wrong.
    Call(Box<Error>),
    /// Anything else, as a sentence.
    Message(String),
    /// What was asked about does not hold; said already.
    No,
    /// Ctrl-C; said already.
    Interrupted,
    /// Nobody reads standard output any more: a quiet end.
    ClosedPipe,
}

impl Failure {
    /// A sentence.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// A wrong argument and what was expected there.
    pub fn usage(argument: &str, expected: impl std::fmt::Display) -> Self {
        Error::invalid(argument, expected).into()
    }

    /// A path that cannot be read.
    pub fn path(path: &std::path::Path, error: &std::io::Error) -> Self {
        let path = path.display();
        Self::Message(match error.kind() {
            std::io::ErrorKind::NotFound => format!("{path}: no such file or folder"),
            _ => format!("{path}: {error}"),
        })
    }

    /// The exit code: 1 failure, 2 usage, 3 refused for money, 4 rate-limited, 130 interrupted.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Call(error) => match error.kind() {
                ErrorKind::BudgetExceeded | ErrorKind::PriceUnknown | ErrorKind::QuotaExhausted => {
                    3
                }
                ErrorKind::RateLimited => 4,
                ErrorKind::InvalidRequest => 2,
                _ => 1,
            },
            Self::Message(_) | Self::No => 1,
            Self::Interrupted => 130,
            Self::ClosedPipe => 0,
        })
    }

    /// Says it on standard error, with what to do where that is known; as one JSON object with `--json`.
    pub fn report(&self, json: bool) {
        match self {
            Self::Call(error) if json => anstream::eprintln!("{}", json!({ "error": error })),
            Self::Message(text) if json => {
                let error = json!({ "kind": "failed", "message": text });
                anstream::eprintln!("{}", json!({ "error": error }));
            }
            Self::Call(error) => {
                complain(&error.to_string());
                let fields = error.fields();
                if fields.attempts.len() > 1 {
                    anstream::eprintln!("  after {} tries", fields.attempts.len());
                }
                if let Some(id) = &fields.upstream_request_id {
                    anstream::eprintln!("  request id {id}");
                }
                if let Some(advice) = advice(error) {
                    anstream::eprintln!("  {advice}");
                }
            }
            Self::Message(text) => complain(text),
            Self::No | Self::Interrupted | Self::ClosedPipe => {}
        }
    }
}

fn complain(text: &str) {
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    anstream::eprintln!("{red}error:{red:#} {text}");
}

/// What somebody at a terminal can do about it.
fn advice(error: &Error) -> Option<String> {
    let fields = error.fields();
    Some(match error.kind() {
        ErrorKind::Authentication if fields.http_status.is_some() || fields.grpc_code.is_some() => {
            "the key was refused: check the provider's key variable, or --api-key for an orchestrator".into()
        }
        ErrorKind::ConnectFailed => "is the server running? `ossai doctor` looks".into(),
        ErrorKind::PriceUnknown => "drop --max-cost, or give prices in a file named by OSSAI_PRICES".into(),
        ErrorKind::BudgetExceeded => "a lower --max-tokens makes the ceiling lower".into(),
        ErrorKind::RateLimited => match error.retry_after() {
            Some(wait) => format!("try again in {} s", wait.as_secs().max(1)),
            None => "try again later".into(),
        },
        ErrorKind::NotFound if fields.field.as_deref() == Some("model") || fields.model.is_some() => {
            "`ossai models` lists the known ones, `ossai models --live` those the servers have".into()
        }
        ErrorKind::Timeout => "--timeout SECONDS gives it more time".into(),
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(Box::new(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Message(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Message(error.to_string())
    }
}
