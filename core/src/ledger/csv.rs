//! Records as comma-separated values (RFC 4180), for spreadsheets and other programs.

use super::UsageRow;

const HEAD: [&str; 35] = [
    "time_ms",
    "request_id",
    "tenant",
    "key_id",
    "user",
    "operation",
    "provider",
    "model",
    "outcome",
    "calls",
    "joined",
    "cache",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "cache_write_12h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_cache_read_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "citation_tokens",
    "web_searches",
    "estimated",
    "service_tier",
    "speed",
    "region",
    "cost_nano_usd",
    "saved_nano_usd",
    "price_version",
    "latency_us",
    "first_token_us",
];

/// The names of the columns, with the line's end; the last is `tags`, as JSON.
#[must_use]
pub fn csv_head() -> String {
    format!("{},tags\r\n", HEAD.join(","))
}

/// One record, with the line's end. What is absent is an empty cell: an unknown cost is none, not 0.
#[must_use]
pub fn csv_line(row: &UsageRow) -> String {
    let used = &row.usage;
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| csv_cell(text.as_deref().unwrap_or_default());
    let tags = if row.tags.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&row.tags).unwrap_or_default()
    };
    let cells = [
        row.time.to_string(),
        csv_cell(&row.request_id),
        csv_cell(&row.tenant),
        text(&row.key_id),
        text(&row.user),
        csv_cell(&row.operation),
        csv_cell(&row.provider),
        csv_cell(&row.model),
        csv_cell(&row.outcome),
        row.calls.to_string(),
        row.joined.to_string(),
        csv_cell(&row.cache),
        row.attempts.to_string(),
        used.input_tokens.to_string(),
        used.output_tokens.to_string(),
        used.cache_read_tokens.to_string(),
        used.cache_write_tokens.to_string(),
        used.cache_write_1h_tokens.to_string(),
        used.cache_write_12h_tokens.to_string(),
        used.reasoning_tokens.to_string(),
        used.audio_input_tokens.to_string(),
        used.audio_cache_read_tokens.to_string(),
        used.audio_output_tokens.to_string(),
        used.image_input_tokens.to_string(),
        used.citation_tokens.to_string(),
        used.web_searches.to_string(),
        used.estimated.to_string(),
        text(&used.service_tier),
        text(&used.speed),
        text(&used.region),
        number(row.cost.map(|cost| cost.0)),
        number(row.saved.map(|saved| saved.0)),
        csv_cell(&row.price_version),
        row.latency_us.to_string(),
        number(row.first_token_us),
        csv_cell(&tags),
    ];
    let mut line = cells.join(",");
    line.push_str("\r\n");
    line
}

/// A cell, in quotes where it has to be.
#[must_use]
pub fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
