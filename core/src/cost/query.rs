//! Choosing among the table's models, for `ossai models` and for programs that pick one.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Meter, ModelEntry, ModelKind, PriceContext, PriceTable, rates_in_force};

/// Which models to list; every absent condition holds.
#[derive(Clone, Debug, Default)]
pub struct ModelQuery<'a> {
    /// Only this provider's.
    pub provider: Option<&'a str>,
    /// Only of this kind.
    pub kind: Option<ModelKind>,
    /// Only those that can do all of this.
    pub caps: &'a [&'a str],
    /// Only ids with this in them, whatever the case.
    pub text: Option<&'a str>,
    /// Only those whose fresh input costs at most this, in picodollars per token; an unknown price does not count.
    pub max_input: Option<u64>,
    /// Only those that hold at least this many tokens of context (or input, where the context is not known).
    pub min_context: Option<u64>,
    /// Also those the vendor no longer serves.
    pub retired: bool,
    /// The order.
    pub sort: ModelSort,
}

/// The order of a list; what is unknown comes last, and equals by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSort {
    /// By id.
    #[default]
    Id,
    /// Cheapest fresh input first.
    Input,
    /// Cheapest output first.
    Output,
    /// Longest context first.
    Context,
    /// Newest first.
    Released,
}

impl PriceTable {
    /// The models that fit, priced for a small standard request in `context`.
    #[must_use]
    pub fn query(
        &self,
        query: &ModelQuery<'_>,
        context: &PriceContext<'_>,
    ) -> Vec<Arc<ModelEntry>> {
        let price = |entry: &ModelEntry, meter| rates_in_force(entry, context, 0).get(meter);
        let room = |entry: &ModelEntry| entry.limits.context.or(entry.limits.input);
        let text = query.text.map(str::to_lowercase);
        let mut list: Vec<Arc<ModelEntry>> = self
            .models()
            .filter(|e| query.provider.is_none_or(|provider| e.provider == provider))
            .filter(|e| query.kind.is_none_or(|kind| e.kind == kind))
            .filter(|e| query.caps.iter().all(|cap| e.has_cap(cap)))
            .filter(|e| {
                text.as_ref()
                    .is_none_or(|text| e.id.to_lowercase().contains(text))
            })
            .filter(|e| {
                query
                    .max_input
                    .is_none_or(|max| price(e, Meter::Input).is_some_and(|input| input <= max))
            })
            .filter(|e| {
                query
                    .min_context
                    .is_none_or(|min| room(e).is_some_and(|tokens| tokens >= min))
            })
            .filter(|e| query.retired || !e.is_retired(context.at))
            .cloned()
            .collect();
        match query.sort {
            // The table is in this order already.
            ModelSort::Id => {}
            ModelSort::Input => {
                list.sort_by(|a, b| rising(price(a, Meter::Input), price(b, Meter::Input)))
            }
            ModelSort::Output => {
                list.sort_by(|a, b| rising(price(a, Meter::Output), price(b, Meter::Output)))
            }
            ModelSort::Context => list.sort_by(|a, b| falling(room(a), room(b))),
            ModelSort::Released => list
                .sort_by(|a, b| falling(a.dates.released.as_deref(), b.dates.released.as_deref())),
        }
        list
    }
}

fn rising<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn falling<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
