//! Where usage is read: an orchestrator, or this machine's own ledger.

use ossai::ledger::{
    Anomaly, GroupBy, Ledger, Period, Top, Trend, UsageFilter, UsageRow, UsageSum, Watch,
};
use ossai::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::remote::Remote;

/// Most pages that are read.
const MAX_PAGES: usize = 1000;
/// Rows of a page.
const PAGE: usize = 1000;

pub(super) enum Source {
    /// Nothing is recorded yet where there is none.
    Local(Option<Ledger>),
    Remote(Remote),
}

#[derive(Deserialize)]
struct Page {
    rows: Vec<UsageSum>,
    next_page_token: String,
}

#[derive(Deserialize)]
struct Records {
    records: Vec<UsageRow>,
    next_page_token: String,
}

#[derive(Deserialize)]
struct Anomalies {
    anomalies: Vec<Anomaly>,
}

/// Where a page of records begins.
pub(super) enum At {
    After(i64),
    Token(String),
}

impl Source {
    /// Every group's sums.
    pub(super) async fn sums(
        &self,
        filter: &UsageFilter,
        groups: &[GroupBy],
    ) -> Result<Vec<UsageSum>> {
        let mut rows: Vec<UsageSum> = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page = match self {
                Self::Local(None) => return Ok(rows),
                Self::Local(Some(ledger)) => {
                    let filter = UsageFilter {
                        skip: rows.len(),
                        limit: Some(PAGE),
                        ..filter.clone()
                    };
                    let page = ledger.sums(&filter, groups)?;
                    let more = page.len() == PAGE;
                    Page {
                        rows: page,
                        next_page_token: if more { "more".into() } else { String::new() },
                    }
                }
                Self::Remote(remote) => {
                    let more = [("page_token", std::mem::take(&mut token))];
                    remote.ask("", filter, groups, &more).await?
                }
            };
            rows.extend(page.rows);
            if page.next_page_token.is_empty() {
                // Without a grouping there is one row, even of nothing.
                rows.retain(|row| row.calls > 0);
                return Ok(rows);
            }
            token = page.next_page_token;
        }
        Err(Error::new(
            ErrorKind::ResponseTooLarge,
            "the usage has too many groups: ask for fewer, or a shorter time",
        ))
    }

    pub(super) async fn top(
        &self,
        filter: &UsageFilter,
        groups: &[GroupBy],
        most: u64,
    ) -> Result<Top> {
        let mut top = match self {
            Self::Local(None) => Top::default(),
            Self::Local(Some(ledger)) => {
                ledger.top(filter, groups, usize::try_from(most).unwrap_or(usize::MAX))?
            }
            Self::Remote(remote) => {
                let more = [("top", most.to_string())];
                remote.ask("", filter, groups, &more).await?
            }
        };
        top.rows.retain(|row| row.calls > 0);
        Ok(top)
    }

    pub(super) async fn trend(&self, filter: &UsageFilter, groups: &[GroupBy]) -> Result<Trend> {
        match self {
            Self::Local(None) => Ok(Trend::default()),
            Self::Local(Some(ledger)) => ledger.trend(filter, groups),
            Self::Remote(remote) => {
                let more = [("top", "10000".to_owned())];
                remote.ask("/trend", filter, groups, &more).await
            }
        }
    }

    pub(super) async fn anomalies(
        &self,
        filter: &UsageFilter,
        groups: &[GroupBy],
        watch: &Watch,
    ) -> Result<Vec<Anomaly>> {
        match self {
            Self::Local(None) => Ok(Vec::new()),
            Self::Local(Some(ledger)) => ledger.anomalies(filter, groups, watch),
            Self::Remote(remote) => {
                let period = match watch.period {
                    Period::Day => "day",
                    Period::Hour => "hour",
                };
                let more = [
                    ("top", "10000".to_owned()),
                    ("period", period.to_owned()),
                    ("min_calls", watch.min_calls.to_string()),
                    ("min_cost_nano_usd", watch.min_cost.0.to_string()),
                ];
                let found: Anomalies = remote.ask("/anomalies", filter, groups, &more).await?;
                Ok(found.anomalies)
            }
        }
    }

    pub(super) fn first_page(&self) -> Option<At> {
        match self {
            Self::Local(None) => None,
            Self::Local(Some(_)) => Some(At::After(0)),
            Self::Remote(_) => Some(At::Token(String::new())),
        }
    }

    /// A page of records, and where the next one begins.
    pub(super) async fn records(
        &self,
        filter: &UsageFilter,
        at: At,
    ) -> Result<(Vec<UsageRow>, Option<At>)> {
        match (self, at) {
            (Self::Local(Some(ledger)), At::After(after)) => {
                let rows = ledger.records(filter, after, PAGE)?;
                let next = rows.last().filter(|_| rows.len() == PAGE);
                let next = next.map(|(id, _)| At::After(*id));
                Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
            }
            (Self::Remote(remote), At::Token(token)) => {
                let more = [("page_token", token)];
                let page: Records = remote.ask("/records", filter, &[], &more).await?;
                let next = Some(page.next_page_token).filter(|token| !token.is_empty());
                Ok((page.records, next.map(At::Token)))
            }
            _ => Ok((Vec::new(), None)),
        }
    }
}
