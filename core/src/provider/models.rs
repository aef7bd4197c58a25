//! Model listings, OpenAI's and Anthropic's.

use serde_json::Value;

use super::read::{decode_error, integer, unreadable};
use crate::Result;
use crate::types::ModelInfo;

/// Reads one page of models, with the cursor of the next (`after_id`) where there is one.
///
/// Ids are the vendor's own, without the provider. What the vendor says beyond id, time and owner is in `extra`.
///
/// # Errors
/// `decode_error` for a body that is no listing.
pub fn decode_models(body: &[u8]) -> Result<(Vec<ModelInfo>, Option<String>)> {
    let mut root: Value =
        serde_json::from_slice(body).map_err(|e| unreadable("the listing", &e))?;
    let next = match root["has_more"].as_bool() {
        Some(true) => root["last_id"].as_str().map(str::to_owned),
        _ => None,
    };
    let models = match &mut root {
        // Together sends the bare list.
        Value::Array(models) => std::mem::take(models),
        Value::Object(object) => match object.get_mut("data").map(Value::take) {
            Some(Value::Array(models)) => models,
            // Ollama without models.
            Some(Value::Null) => Vec::new(),
            _ => return Err(decode_error("the listing has no `data`")),
        },
        _ => return Err(decode_error("the listing is no object")),
    };
    let models = models.into_iter().filter_map(model).collect();
    Ok((models, next))
}

/// An entry without an id cannot be called and is left out.
fn model(value: Value) -> Option<ModelInfo> {
    let Value::Object(mut extra) = value else {
        return None;
    };
    let Some(Value::String(id)) = extra.shift_remove("id") else {
        return None;
    };
    let created = extra.get("created").and_then(integer).filter(|at| *at > 0);
    let created_at = extra
        .get("created_at")
        .and_then(Value::as_str)
        .and_then(rfc3339);
    extra.retain(|name, value| {
        !value.is_null() && !matches!(name.as_str(), "object" | "type" | "created")
    });
    let owned_by = match extra.shift_remove("owned_by") {
        Some(Value::String(owner)) => Some(owner),
        _ => None,
    };
    Some(ModelInfo {
        id,
        created: created.or(created_at),
        owned_by,
        extra,
    })
}

/// Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS…Z`; the day alone where the rest is unreadable.
fn rfc3339(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil date, years beginning in March (H. Hinnant, "chrono-compatible low-level date algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = (y % 400) * 365 + (y % 400) / 4 - (y % 400) / 100 + day_of_year;
    let days = (y / 400) * 146_097 + day_of_era - 719_468;
    let time = number(11..13).zip(number(14..16)).zip(number(17..19));
    let seconds = time.map_or(0, |((h, m), s)| h * 3600 + m * 60 + s);
    u64::try_from(days * 86_400 + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2000-02-29T12:34:56Z"), Some(951_827_696));
        assert_eq!(rfc3339("2025-02-19T00:00:00Z"), Some(1_739_923_200));
        assert_eq!(rfc3339("2026-10-21"), Some(1_792_540_800));
        assert_eq!(rfc3339("2026-13-21"), None);
        assert_eq!(rfc3339("ä026-10-21"), None);
        assert_eq!(rfc3339(""), None);
    }
}
