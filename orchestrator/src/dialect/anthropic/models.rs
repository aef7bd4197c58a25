//! The Models API in Anthropic's form (types of the official SDKs, November 2026).

use std::str::FromStr;

use ossai::{Error, ModelInfo, Result};
use serde_json::{Map, Value, json};

/// Entries of a page, and the most one can ask for (Anthropic, "List Models").
const PAGE: usize = 20;
const MAX_PAGE: usize = 1000;

/// Which page of the list is asked for.
#[derive(Debug, Default)]
pub(crate) struct Page {
    before: Option<String>,
    after: Option<String>,
    limit: usize,
}

impl Page {
    /// Reads `before_id`, `after_id` and `limit` out of a query's pairs; others mean nothing here.
    ///
    /// # Errors
    /// `invalid_request` for `limit`, or for `before_id` beside `after_id`.
    pub(crate) fn read(pairs: Vec<(String, String)>) -> Result<Self> {
        let mut page = Self {
            limit: PAGE,
            ..Self::default()
        };
        for (name, value) in pairs {
            match name.as_str() {
                "before_id" => page.before = Some(value),
                "after_id" => page.after = Some(value),
                "limit" => {
                    page.limit = usize::from_str(&value)
                        .ok()
                        .filter(|limit| (1..=MAX_PAGE).contains(limit))
                        .ok_or_else(|| {
                            Error::invalid(
                                "limit",
                                format_args!("expected a whole number from 1 to {MAX_PAGE}"),
                            )
                        })?;
                }
                _ => {}
            }
        }
        if page.before.is_some() && page.after.is_some() {
            return Err(Error::invalid(
                "before_id",
                "expected only one of `before_id` and `after_id`",
            ));
        }
        Ok(page)
    }
}

/// A page of the list.
///
/// # Errors
/// `invalid_request` for a cursor that is no model of the list.
pub(crate) fn list(models: &[ModelInfo], page: &Page) -> Result<Value> {
    let place = |name: &str, id: &Option<String>| {
        let Some(id) = id else { return Ok(None) };
        let found = models.iter().position(|model| model.id == *id);
        found
            .map(Some)
            .ok_or_else(|| Error::invalid(name, "expected the id of a model in the list"))
    };
    let (start, end, more) = match (
        place("before_id", &page.before)?,
        place("after_id", &page.after)?,
    ) {
        // The page that ends right before the cursor.
        (Some(at), _) => {
            let start = at.saturating_sub(page.limit);
            (start, at, start > 0)
        }
        (None, after) => {
            let start = after.map_or(0, |at| at + 1);
            let end = models.len().min(start.saturating_add(page.limit));
            (start, end, end < models.len())
        }
    };
    let shown = models.get(start..end).unwrap_or_default();
    Ok(json!({
        "data": shown.iter().map(one).collect::<Vec<_>>(),
        "has_more": more,
        "first_id": shown.first().map(|model| &model.id),
        "last_id": shown.last().map(|model| &model.id),
    }))
}

/// One model; what its vendor says in this form stays as it is.
pub(crate) fn one(model: &ModelInfo) -> Value {
    let mut body = Map::new();
    body.insert("id".into(), model.id.as_str().into());
    body.insert("type".into(), "model".into());
    for (name, value) in &model.extra {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    let name = model
        .id
        .split_once('/')
        .map_or(&*model.id, |(_, name)| name);
    body.entry("display_name").or_insert_with(|| name.into());
    // An unknown time is that of 1970, as the API says of its own.
    body.entry("created_at")
        .or_insert_with(|| rfc3339(model.created.unwrap_or(0)).into());
    body.entry("lifecycle").or_insert_with(|| "active".into());
    for name in [
        "capabilities",
        "deprecated_at",
        "line",
        "max_input_tokens",
        "max_tokens",
        "retires_at",
    ] {
        body.entry(name).or_insert(Value::Null);
    }
    Value::Object(body)
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ` (H. Hinnant, "chrono-compatible low-level date algorithms").
fn rfc3339(seconds: u64) -> String {
    // Up to the year 9999, the last one RFC 3339 has.
    let seconds = seconds.min(253_402_300_799);
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March here.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn models(count: usize) -> Vec<ModelInfo> {
        let model = |i| ModelInfo {
            id: format!("p/{i}"),
            created: None,
            owned_by: None,
            extra: Map::new(),
        };
        (0..count).map(model).collect()
    }

    fn page(pairs: &[(&str, &str)]) -> Result<Page> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Page::read(pairs.iter().map(own).collect())
    }

    fn ids(page: &Value) -> Vec<&str> {
        let data = page["data"].as_array().unwrap();
        data.iter()
            .map(|model| model["id"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn pages_forwards_show_every_model_once() {
        let models = models(45);
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let cursor = after
                .iter()
                .map(|id| ("after_id", &**id))
                .collect::<Vec<_>>();
            let body = list(&models, &page(&cursor).unwrap()).unwrap();
            seen.extend(ids(&body).into_iter().map(str::to_owned));
            if body["has_more"] == false {
                break;
            }
            after = Some(body["last_id"].as_str().unwrap().to_owned());
        }
        let all: Vec<_> = models.iter().map(|model| model.id.clone()).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_page_backwards_ends_right_before_its_cursor() {
        let body = list(
            &models(10),
            &page(&[("before_id", "p/5"), ("limit", "2")]).unwrap(),
        );
        let body = body.unwrap();
        assert_eq!(
            (ids(&body), &body["has_more"]),
            (vec!["p/3", "p/4"], &json!(true))
        );
        let body = list(&models(10), &page(&[("before_id", "p/2")]).unwrap()).unwrap();
        assert_eq!(
            (ids(&body), &body["has_more"]),
            (vec!["p/0", "p/1"], &json!(false))
        );
    }

    #[test]
    fn what_no_page_can_be_is_refused_by_name() {
        for (pairs, field) in [
            (vec![("limit", "0")], "limit"),
            (vec![("limit", "1001")], "limit"),
            (vec![("limit", "-1")], "limit"),
            (vec![("before_id", "p/1"), ("after_id", "p/2")], "before_id"),
        ] {
            let error = page(&pairs).unwrap_err();
            assert_eq!(error.fields().field.as_deref(), Some(field));
        }
        let error = list(&models(3), &page(&[("after_id", "gone")]).unwrap()).unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some("after_id"));
        let empty = list(&[], &Page::read(Vec::new()).unwrap()).unwrap();
        assert_eq!(
            (&empty["first_id"], &empty["has_more"]),
            (&Value::Null, &json!(false))
        );
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_792_540_800), "2026-10-21T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
