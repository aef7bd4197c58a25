//! What a loop's turns add up to.

use std::time::Duration;

use crate::call::pipeline::micros;
use crate::error::Error;
use crate::types::{
    Attempt, Completion, Cost, CostStatus, Message, NanoUsd, Timing, ToolCallRecord, ToolRun,
    ToolTurn, Usage,
};

/// The turns so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    run: ToolRun,
    usage: Usage,
    cost: Option<Cost>,
    attempts: Vec<Attempt>,
    timing: Timing,
    /// The last turn's answer.
    last: Option<Completion>,
}

impl Tally {
    /// Counts a turn.
    pub(super) fn add(&mut self, answer: &Completion) {
        self.run.turns.push(ToolTurn {
            request_id: answer.request_id.clone(),
            response_model: answer.response_model.clone(),
            finish_reason: answer.finish_reason.clone(),
            usage: answer.usage.clone(),
            cost: answer.cost.clone(),
            cache: answer.cache.clone(),
            attempts: answer.attempts.clone(),
            timing: answer.timing,
            trace: answer.trace.clone(),
        });
        self.usage = sum_usage(&self.usage, &answer.usage);
        self.cost = Some(match self.cost.take() {
            None => answer.cost.clone(),
            Some(cost) => sum_cost(&cost, &answer.cost),
        });
        self.attempts.extend(answer.attempts.iter().cloned());
        self.timing.queue_us += answer.timing.queue_us;
        self.timing.overhead_us += answer.timing.overhead_us;
        if self.run.turns.len() == 1 {
            self.timing.first_token_us = answer.timing.first_token_us;
        }
        self.last = Some(answer.clone());
    }

    /// Adds to the conversation.
    pub(super) fn say(&mut self, message: Message) {
        self.run.messages.push(message);
    }

    /// Counts the tool calls of a turn.
    pub(super) fn record(&mut self, records: impl IntoIterator<Item = ToolCallRecord>) {
        self.run.calls.extend(records);
    }

    /// What the turns have cost, as far as that is known.
    pub(super) fn spent(&self) -> NanoUsd {
        self.cost
            .as_ref()
            .and_then(|cost| cost.total)
            .unwrap_or_default()
    }

    /// The loop's answer: the last turn's, with the cost, usage, tries and times of all.
    pub(super) fn finish(self, mut answer: Completion, took: Duration) -> Completion {
        if self.run.turns.len() > 1 {
            answer.usage = self.usage;
        }
        answer.cost = self.cost.unwrap_or_default();
        answer.attempts = self.attempts;
        answer.timing = Timing {
            total_us: micros(took),
            ..self.timing
        };
        answer.tool_run = Some(Box::new(self.run));
        answer
    }

    /// An error that ends the loop: what the turns before it gave, and what they cost, is its `partial`.
    pub(super) fn blame(mut self, mut error: Error, took: Duration) -> Error {
        let Some(last) = self.last.take() else {
            return error;
        };
        let fields = error.fields_mut();
        fields.model.get_or_insert_with(|| last.model.clone());
        fields
            .request_id
            .get_or_insert_with(|| last.request_id.clone());
        let came = fields.partial.take().map_or(last, |partial| *partial);
        fields.partial = Some(Box::new(self.finish(came, took)));
        error
    }
}

fn sum_usage(a: &Usage, b: &Usage) -> Usage {
    let sum = |field: fn(&Usage) -> u64| field(a).saturating_add(field(b));
    Usage {
        input_tokens: sum(|u| u.input_tokens),
        output_tokens: sum(|u| u.output_tokens),
        cache_read_tokens: sum(|u| u.cache_read_tokens),
        cache_write_tokens: sum(|u| u.cache_write_tokens),
        cache_write_1h_tokens: sum(|u| u.cache_write_1h_tokens),
        cache_write_12h_tokens: sum(|u| u.cache_write_12h_tokens),
        reasoning_tokens: sum(|u| u.reasoning_tokens),
        audio_input_tokens: sum(|u| u.audio_input_tokens),
        audio_cache_read_tokens: sum(|u| u.audio_cache_read_tokens),
        audio_output_tokens: sum(|u| u.audio_output_tokens),
        image_input_tokens: sum(|u| u.image_input_tokens),
        citation_tokens: sum(|u| u.citation_tokens),
        web_searches: sum(|u| u.web_searches),
        service_tier: b.service_tier.clone(),
        speed: b.speed.clone(),
        region: b.region.clone(),
        estimated: a.estimated || b.estimated,
    }
}

/// One unknown amount makes the sum unknown.
fn sum_cost(a: &Cost, b: &Cost) -> Cost {
    let total = a.total.zip(b.total).map(|(a, b)| a + b);
    let sum = |field: fn(&Cost) -> u64| field(a).saturating_add(field(b));
    Cost {
        status: match (a.status, b.status) {
            _ if total.is_none() => CostStatus::Unknown,
            (CostStatus::Exact, CostStatus::Exact) => CostStatus::Exact,
            _ => CostStatus::Estimated,
        },
        total,
        input_pico: sum(|c| c.input_pico),
        cache_read_pico: sum(|c| c.cache_read_pico),
        cache_write_pico: sum(|c| c.cache_write_pico),
        output_pico: sum(|c| c.output_pico),
        other_pico: sum(|c| c.other_pico),
        prompt_cache_saved_pico: a
            .prompt_cache_saved_pico
            .saturating_add(b.prompt_cache_saved_pico),
        price_version: b.price_version.clone(),
    }
}
