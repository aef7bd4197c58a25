//! What a call used and what it cost, in one form whatever the vendor calls it.

use serde::{Deserialize, Serialize};

use super::NanoUsd;

/// Tokens a call used, normalised over all vendors.
///
/// `input_tokens` includes cached and written ones and `output_tokens` includes reasoning, as the OpenTelemetry GenAI
/// conventions have it; the other counts are parts of these two and never add to them. The vendor's own object is kept
/// beside it as `raw_usage` in [`super::Completion`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All tokens of the prompt.
    pub input_tokens: u64,
    /// All tokens of the answer.
    pub output_tokens: u64,
    /// Part of the input read from the vendor's prompt cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_tokens: u64,
    /// Part of the input written to the vendor's prompt cache, whatever its time to live.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Part of `cache_write_tokens` that is kept an hour.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h_tokens: u64,
    /// Part of `cache_write_tokens` that is kept twelve hours.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_12h_tokens: u64,
    /// Part of the output spent on reasoning.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Part of the input that was audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input_tokens: u64,
    /// Part of `cache_read_tokens` that was audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_cache_read_tokens: u64,
    /// Part of the output that was audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output_tokens: u64,
    /// Part of the input that was images.
    #[serde(skip_serializing_if = "is_zero")]
    pub image_input_tokens: u64,
    /// Part of the output spent on citations (Perplexity).
    #[serde(skip_serializing_if = "is_zero")]
    pub citation_tokens: u64,
    /// Searches the vendor made for the call, billed by the piece.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// The processing tier the vendor says it billed (`flex`, `priority`, `batch` …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The vendor's speed mode (`fast`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// The region the vendor says it ran in, where it is priced (`inference_geo`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The vendor sent no usage and these are our own counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_nought(n: &i64) -> bool {
    *n == 0
}

impl Usage {
    /// Input and output together.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// Whether a price stands behind a [`Cost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CostStatus {
    /// From the vendor's usage and a known price.
    Exact,
    /// From counted tokens and a known price.
    Estimated,
    /// No price is known for the model: not zero, unknown.
    #[default]
    Unknown,
}

/// What a call cost, in nanodollars, rounded up once over the whole call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Whether and how the amount is known.
    pub status: CostStatus,
    /// The whole amount; absent exactly when the status is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<NanoUsd>,
    /// Fresh input, in picodollars.
    pub input_pico: u64,
    /// Input read from the vendor's cache, in picodollars.
    pub cache_read_pico: u64,
    /// Input written to the vendor's cache, in picodollars.
    pub cache_write_pico: u64,
    /// Output, reasoning included, in picodollars.
    pub output_pico: u64,
    /// Charges by the piece (searches, requests), in picodollars.
    pub other_pico: u64,
    /// What the vendor's prompt cache saved, in picodollars: its part of the input at the rates of fresh input, less what it did
    /// cost. Negative where writing cost more than reading saved.
    #[serde(skip_serializing_if = "is_nought")]
    pub prompt_cache_saved_pico: i64,
    /// Which table and entry priced it, so that past calls re-price alike (`2026-11-20`, `overlay`, `call`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub price_version: String,
}
