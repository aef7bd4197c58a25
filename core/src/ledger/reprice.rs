//! Past calls at the prices they were recorded with: the same money, or something is wrong.

use serde::{Deserialize, Serialize};

use super::{Ledger, UsageFilter, UsageRow};
use crate::cost::{Found, PriceContext, PriceTable, cost};
use crate::error::Result;
use crate::types::{Cost, NanoUsd, Usage};

/// Records read at once.
const PAGE: usize = 1000;
/// Different records that are named.
const NAMED: usize = 20;

/// What came of pricing records again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repriced {
    /// Records looked at.
    pub records: u64,
    /// The price version is this table's, and the money is the same to the nanodollar.
    pub same: u64,
    /// The price version is this table's, and the money is not.
    pub different: u64,
    /// The request ids of the first twenty of those.
    pub different_ids: Vec<String>,
    /// Priced by another table, or by prices a call brought along: this table cannot tell.
    pub other_version: u64,
    /// Without a known cost.
    pub unpriced: u64,
    /// The money of `same` and `different` together, as recorded.
    #[serde(rename = "recorded_nano_usd")]
    pub recorded: NanoUsd,
    /// The same as priced again.
    #[serde(rename = "repriced_nano_usd")]
    pub repriced: NanoUsd,
}

/// What priced a record again.
enum Again {
    Priced(NanoUsd),
    OtherVersion,
}

impl Ledger {
    /// Prices the records of a filter again with this table and compares.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn reprice(&self, filter: &UsageFilter, table: &PriceTable) -> Result<Repriced> {
        let mut out = Repriced::default();
        let mut after = 0;
        loop {
            let page = self.records(filter, after, PAGE)?;
            for (_, row) in &page {
                out.take(row, table);
            }
            match page.last() {
                Some((id, _)) if page.len() == PAGE => after = *id,
                _ => return Ok(out),
            }
        }
    }
}

impl Repriced {
    fn take(&mut self, row: &UsageRow, table: &PriceTable) {
        self.records += 1;
        let Some(recorded) = row.cost else {
            self.unpriced += 1;
            return;
        };
        let again = match row.again(table, recorded) {
            Again::Priced(again) => again,
            Again::OtherVersion => {
                self.other_version += 1;
                return;
            }
        };
        self.recorded = NanoUsd(self.recorded.0.saturating_add(recorded.0));
        self.repriced = NanoUsd(self.repriced.0.saturating_add(again.0));
        if again == recorded {
            self.same += 1;
        } else {
            self.different += 1;
            if self.different_ids.len() < NAMED {
                self.different_ids.push(row.request_id.clone());
            }
        }
    }
}

impl UsageRow {
    fn again(&self, table: &PriceTable, recorded: NanoUsd) -> Again {
        // Nobody was asked: a cache or another's flight answered, it failed before it was sent, or it ran in the library.
        let unasked = self.cache == "hit" || self.usage.total_tokens() == 0;
        if self.price_version == "local" || (unasked && recorded == NanoUsd::ZERO) {
            return Again::Priced(NanoUsd::ZERO);
        }
        let Some(found) = table.find(&self.model) else {
            return Again::OtherVersion;
        };
        // It was priced just before its record was made; prices that change with the hour may have, in between.
        let end = self.time.div_euclid(1000);
        let mut last = None;
        for at in [end, end - 1] {
            let context = PriceContext {
                at,
                ..PriceContext::default()
            };
            let priced = cost(&found, &self.usage, &context);
            let Some(total) = priced.total else { continue };
            if priced.price_version != self.price_version {
                continue;
            }
            if total == recorded || self.with_copies(&found, &priced, &context, recorded) {
                return Again::Priced(recorded);
            }
            last.get_or_insert(total);
        }
        last.map_or(Again::OtherVersion, Again::Priced)
    }

    /// Whether the money is that of a hedged call: copies that lost were charged with their input, fewer than there were tries.
    fn with_copies(
        &self,
        found: &Found,
        priced: &Cost,
        context: &PriceContext<'_>,
        recorded: NanoUsd,
    ) -> bool {
        if self.attempts < 2 {
            return false;
        }
        let input = Usage {
            input_tokens: self.usage.input_tokens,
            ..Usage::default()
        };
        let copy = cost(found, &input, context);
        let whole = |cost: &Cost| -> u128 {
            let parts = [
                cost.input_pico,
                cost.cache_read_pico,
                cost.cache_write_pico,
                cost.output_pico,
                cost.other_pico,
            ];
            parts.into_iter().map(u128::from).sum()
        };
        (1..u128::from(self.attempts)).any(|copies| {
            NanoUsd::from_pico_ceil(whole(priced) + copies * whole(&copy)) == recorded
        })
    }
}
