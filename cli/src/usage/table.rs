//! The rows as a table.

use ossai::NanoUsd;
use ossai::ledger::{Anomaly, GroupBy, Metric, Trend, UsageSum, csv_cell};

/// Columns for the groups, then the sums; the rest of the top ones, and a total where there are several rows.
pub(super) fn table(groups: &[GroupBy], rows: &[UsageSum], rest: Option<&UsageSum>) -> String {
    let names: Vec<String> = groups.iter().map(GroupBy::name).collect();
    let head = [
        "calls", "errors", "hits", "shared", "in", "out", "cost", "saved",
    ];
    let mut lines = vec![heading(&names, &head)];
    lines.extend(rows.iter().map(|row| line(&names, row)));
    let mut sum = |name: &str, sum: &UsageSum| {
        let mut sum = sum.clone();
        sum.groups = names
            .first()
            .map(|first| (first.clone(), name.to_owned()))
            .into_iter()
            .collect();
        lines.push(line(&names, &sum));
    };
    if let Some(rest) = rest.filter(|rest| rest.calls > 0) {
        sum("(rest)", rest);
    }
    if rows.len() + usize::from(rest.is_some()) > 1 {
        let mut all = rest.cloned().unwrap_or_default();
        rows.iter().for_each(|row| all.add(row));
        sum("total", &all);
    }
    aligned(names.len(), &lines)
}

/// What both stretches cost, and the change.
pub(super) fn trend(groups: &[GroupBy], trend: &Trend) -> String {
    let names: Vec<String> = groups.iter().map(GroupBy::name).collect();
    let head = ["calls", "before", "cost", "before", "change", "%"];
    let mut lines = vec![heading(&names, &head)];
    lines.extend(trend.rows.iter().map(|row| {
        let change = NanoUsd(row.change_nano_usd.unsigned_abs());
        let sign = if row.change_nano_usd < 0 { "-" } else { "+" };
        let mut cells = values(&names, &row.groups);
        cells.extend([
            row.current.calls.to_string(),
            row.previous.calls.to_string(),
            cost(&row.current),
            cost(&row.previous),
            format!("{sign}{change}"),
            row.change_percent
                .map_or_else(|| "new".to_owned(), |percent| format!("{percent:+.1}")),
        ]);
        cells
    }));
    aligned(names.len(), &lines)
}

/// What is out of line, and by how much.
pub(super) fn anomalies(groups: &[GroupBy], found: &[Anomaly]) -> String {
    let names: Vec<String> = groups.iter().map(GroupBy::name).collect();
    if found.is_empty() {
        return "nothing is out of line\n".to_owned();
    }
    let mut head = names.clone();
    head.extend(["period".into(), "figure".into(), "severity".into()]);
    let mut lines = vec![heading(&head, &["was", "usually", "times"])];
    lines.extend(found.iter().map(|one| {
        let shown = |value: u64| match one.metric {
            Metric::Cost => NanoUsd(value).to_string(),
            Metric::Tokens | Metric::Calls => value.to_string(),
        };
        let mut cells = values(&names, &one.groups);
        cells.extend([
            one.period.clone(),
            one.metric.name().to_owned(),
            one.severity.name().to_owned(),
            shown(one.value),
            shown(one.baseline),
            format!("{:.1}", one.times),
        ]);
        cells
    }));
    aligned(names.len() + 3, &lines)
}

fn heading(names: &[String], more: &[&str]) -> Vec<String> {
    names
        .iter()
        .cloned()
        .chain(more.iter().map(|&name| name.to_owned()))
        .collect()
}

/// The first columns to the left, the others to the right.
fn aligned(left: usize, lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
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
    for line in lines {
        let cells = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if column < left {
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
pub(super) fn csv(groups: &[GroupBy], rows: &[UsageSum]) -> String {
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
    line(head.map(csv_cell).collect());
    for row in rows {
        let group = |name: &String| csv_cell(value(&row.groups, name));
        let sums = [
            row.calls,
            row.errors,
            row.cache_hits,
            row.joined,
            row.usage.input_tokens,
            row.usage.output_tokens,
            row.cost.0,
            row.unknown_cost_calls,
            row.saved.0,
        ];
        let sums = sums.iter().map(u64::to_string);
        line(names.iter().map(group).chain(sums).collect());
    }
    text
}

fn value<'a>(groups: &'a [(String, String)], name: &str) -> &'a str {
    groups
        .iter()
        .find(|(word, _)| word == name)
        .map_or("", |(_, value)| value)
}

fn values(names: &[String], groups: &[(String, String)]) -> Vec<String> {
    let shown = |name: &String| match value(groups, name) {
        "" => "-".to_owned(),
        value => value.to_owned(),
    };
    names.iter().map(shown).collect()
}

fn cost(row: &UsageSum) -> String {
    match (row.unknown_cost_calls, row.calls) {
        (0, _) => row.cost.to_string(),
        (unknown, calls) if unknown >= calls => "unknown".into(),
        (unknown, _) => format!("{} + {unknown} unknown", row.cost),
    }
}

fn line(names: &[String], row: &UsageSum) -> Vec<String> {
    let numbers = [
        row.calls,
        row.errors,
        row.cache_hits,
        row.joined,
        row.usage.input_tokens,
        row.usage.output_tokens,
    ];
    let mut cells = values(names, &row.groups);
    cells.extend(numbers.iter().map(u64::to_string));
    cells.extend([cost(row), row.saved.to_string()]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_quotes_and_line_ends_stay_one_cell() {
        let row = UsageSum {
            groups: vec![("user".to_owned(), "a,\"b\"\nc".to_owned())],
            calls: 2,
            cost: NanoUsd(u64::MAX),
            ..UsageSum::default()
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
        let row = |calls, unknown, cost| UsageSum {
            calls,
            unknown_cost_calls: unknown,
            cost: NanoUsd(cost),
            ..UsageSum::default()
        };
        assert_eq!(line(&[], &row(2, 2, 0))[6], "unknown");
        assert_eq!(line(&[], &row(3, 1, 5_000_000_000))[6], "$5.00 + 1 unknown");
        assert_eq!(line(&[], &row(3, 0, 0))[6], "$0.00");
    }

    #[test]
    fn several_rows_have_a_total() {
        let row = |calls| UsageSum {
            calls,
            ..UsageSum::default()
        };
        let text = table(&[GroupBy::Model], &[row(1), row(2)], Some(&row(4)));
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with("total") && line.contains(" 7 ")),
            "{text}"
        );
    }
}
