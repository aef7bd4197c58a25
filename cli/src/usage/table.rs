//! The rows as a table.

use ossai::NanoUsd;
use ossai_orchestrator::GroupBy;
use serde_json::Value;

use super::Row;

/// Columns for the groups, then the sums; a total where there are several rows.
pub(super) fn table(groups: &[GroupBy], rows: &[Row]) -> String {
    let names: Vec<String> = groups.iter().map(GroupBy::name).collect();
    let mut lines = vec![
        names
            .iter()
            .map(String::as_str)
            .chain([
                "calls", "errors", "hits", "shared", "in", "out", "cost", "saved",
            ])
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    ];
    lines.extend(rows.iter().map(|row| line(&names, row)));
    if rows.len() > 1 {
        let mut all = rows.iter().fold(Row::default(), add);
        if let Some(first) = names.first() {
            all.groups.insert(first.clone(), "total".into());
        }
        lines.push(line(&names, &all));
    }
    let columns = names.len() + 8;
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if column < names.len() {
                    format!("{cell:width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The rows as comma-separated values (RFC 4180), with a head.
pub(super) fn csv(groups: &[GroupBy], rows: &[Row]) -> String {
    const SUMS: [&str; 9] = [
        "calls",
        "errors",
        "cache_hits",
        "joined",
        "input_tokens",
        "output_tokens",
        "cost_nano_usd",
        "unknown_cost_calls",
        "saved_nano_usd",
    ];
    let names: Vec<String> = groups.iter().map(GroupBy::name).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    };
    let head = names.iter().map(String::as_str).chain(SUMS);
    line(head.map(quoted).collect());
    for row in rows {
        let group = |name: &String| {
            let value = row.groups.get(name).and_then(Value::as_str);
            quoted(value.unwrap_or_default())
        };
        let sums = [
            row.calls,
            row.errors,
            row.cache_hits,
            row.joined,
            row.usage.input_tokens,
            row.usage.output_tokens,
            row.cost_nano_usd,
            row.unknown_cost_calls,
            row.saved_nano_usd,
        ];
        let sums = sums.iter().map(u64::to_string);
        line(names.iter().map(group).chain(sums).collect());
    }
    text
}

/// A cell, in quotes where it has to be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn line(names: &[String], row: &Row) -> Vec<String> {
    let cost = match (row.unknown_cost_calls, row.calls) {
        (0, _) => NanoUsd(row.cost_nano_usd).to_string(),
        (unknown, calls) if unknown >= calls => "unknown".into(),
        (unknown, _) => format!("{} + {unknown} unknown", NanoUsd(row.cost_nano_usd)),
    };
    let group = |name: &String| match row.groups.get(name).and_then(Value::as_str) {
        Some("") | None => "-".to_owned(),
        Some(value) => value.to_owned(),
    };
    let numbers = [
        row.calls,
        row.errors,
        row.cache_hits,
        row.joined,
        row.usage.input_tokens,
        row.usage.output_tokens,
    ];
    names
        .iter()
        .map(group)
        .chain(numbers.iter().map(u64::to_string))
        .chain([cost, NanoUsd(row.saved_nano_usd).to_string()])
        .collect()
}

fn add(mut sum: Row, row: &Row) -> Row {
    let plus = |a: &mut u64, b: u64| *a = a.saturating_add(b);
    plus(&mut sum.calls, row.calls);
    plus(&mut sum.errors, row.errors);
    plus(&mut sum.cache_hits, row.cache_hits);
    plus(&mut sum.joined, row.joined);
    plus(&mut sum.usage.input_tokens, row.usage.input_tokens);
    plus(&mut sum.usage.output_tokens, row.usage.output_tokens);
    plus(&mut sum.cost_nano_usd, row.cost_nano_usd);
    plus(&mut sum.unknown_cost_calls, row.unknown_cost_calls);
    plus(&mut sum.saved_nano_usd, row.saved_nano_usd);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_quotes_and_line_ends_stay_one_cell() {
        let row = Row {
            groups: [("user".to_owned(), Value::from("a,\"b\"\nc"))]
                .into_iter()
                .collect(),
            calls: 2,
            cost_nano_usd: u64::MAX,
            ..Row::default()
        };
        let text = csv(&[GroupBy::User], &[row]);
        assert_eq!(
            text,
            "user,calls,errors,cache_hits,joined,input_tokens,output_tokens,cost_nano_usd,unknown_cost_calls,saved_nano_usd\r\n\
             \"a,\"\"b\"\"\nc\",2,0,0,0,0,0,18446744073709551615,0,0\r\n"
        );
    }

    #[test]
    fn an_unknown_cost_is_never_shown_as_none() {
        let row = |calls, unknown, cost| Row {
            calls,
            unknown_cost_calls: unknown,
            cost_nano_usd: cost,
            ..Row::default()
        };
        assert_eq!(line(&[], &row(2, 2, 0))[6], "unknown");
        assert_eq!(line(&[], &row(3, 1, 5_000_000_000))[6], "$5.00 + 1 unknown");
        assert_eq!(line(&[], &row(3, 0, 0))[6], "$0.00");
    }

    #[test]
    fn several_rows_have_a_total() {
        let rows = [
            Row {
                calls: 1,
                ..Row::default()
            },
            Row {
                calls: 2,
                ..Row::default()
            },
        ];
        let text = table(&[GroupBy::Model], &rows);
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with("total") && line.contains(" 3 ")),
            "{text}"
        );
    }
}
