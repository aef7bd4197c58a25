//! The file and what leaves it.

use std::collections::BTreeMap;

use ossai::ledger::{Ledger, UsageFilter, UsageRow, csv_head, csv_line};
use ossai::{ErrorKind, NanoUsd};
use tempfile::TempDir;

use crate::ledger;

#[test]
fn csv_has_a_cell_for_every_column_and_an_unknown_cost_is_an_empty_one() {
    let row = UsageRow {
        user: Some("a,\"b\"".into()),
        tags: BTreeMap::from([("team".into(), "x".into())]),
        cost: None,
        saved: Some(NanoUsd(0)),
        ..UsageRow::default()
    };
    let head = csv_head();
    let names: Vec<&str> = head.trim_end().split(',').collect();
    let line = csv_line(&row);
    assert!(line.ends_with("\"{\"\"team\"\":\"\"x\"\"}\"\r\n") && line.contains("\"a,\"\"b\"\"\""));
    let plain = csv_line(&UsageRow {
        user: None,
        tags: BTreeMap::new(),
        ..row
    });
    let cells: Vec<&str> = plain.trim_end_matches("\r\n").split(',').collect();
    assert_eq!(cells.len(), names.len());
    let cell = |name: &str| cells[names.iter().position(|known| *known == name).unwrap()];
    assert_eq!(
        (cell("cost_nano_usd"), cell("saved_nano_usd"), cell("calls")),
        ("", "0", "1")
    );
}

#[test]
fn pruning_takes_the_old_and_leaves_the_rest() {
    let (_folder, ledger) = ledger();
    let row = |time| UsageRow {
        time,
        ..UsageRow::default()
    };
    let rows: Vec<UsageRow> = (0..12_000).map(row).collect();
    ledger.record(&rows).unwrap();
    assert_eq!(ledger.prune(11_000).unwrap(), 11_000);
    assert_eq!(ledger.prune(11_000).unwrap(), 0);
    let left = ledger.records(&UsageFilter::default(), 0, 20_000).unwrap();
    assert_eq!((left.len(), left[0].1.time), (1000, 11_000));
}

#[test]
fn a_file_of_the_version_before_gets_the_new_columns_and_older_programs_write_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usage.db");
    let old = "time, request_id, tenant, operation, provider, model, outcome, input, output, cache_read, cache_write,
        cache_write_1h, cache_write_12h, reasoning, audio_input, audio_cache_read, audio_output, image_input, citation,
        web_searches, estimated, cost, price_version, cache, joined, attempts, latency_us";
    let insert = format!(
        "INSERT INTO usage ({old}) VALUES (5, 'r', 't', 'chat', 'p', 'p/m', 'ok', 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
         'v', 'miss', 0, 1, 9)"
    );
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TABLE usage (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, request_id TEXT NOT NULL, tenant TEXT NOT NULL,
            key_id TEXT, operation TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, end_user TEXT,
            outcome TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,
            cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_write_12h INTEGER NOT NULL,
            reasoning INTEGER NOT NULL, audio_input INTEGER NOT NULL, audio_cache_read INTEGER NOT NULL,
            audio_output INTEGER NOT NULL, image_input INTEGER NOT NULL, citation INTEGER NOT NULL,
            web_searches INTEGER NOT NULL, estimated INTEGER NOT NULL, cost INTEGER, saved INTEGER,
            price_version TEXT NOT NULL, cache TEXT NOT NULL, joined INTEGER NOT NULL, attempts INTEGER NOT NULL,
            latency_us INTEGER NOT NULL, first_token_us INTEGER, tags TEXT) STRICT;",
    )
    .unwrap();
    raw.execute_batch(&insert).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    raw.execute_batch(&insert).unwrap();
    drop(Ledger::open(&path).unwrap());
    let rows = ledger.records(&UsageFilter::default(), 0, 10).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|(_, row)| row.calls == 1 && row.cost == Some(NanoUsd(7)))
    );
}

#[test]
fn a_file_that_is_none_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database at all, but some notes that somebody wants to keep";
    std::fs::write(&path, text).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
