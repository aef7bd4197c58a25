//! What the price table promises: look-ups, overlays and errors.
#![allow(clippy::unwrap_used)]

use ossai::Error;
use ossai::cost::{
    Date, Found, Match, Meter, ModelKind, ModelQuery, ModelSort, PriceContext, PriceEntry,
    PriceTable, cost, rates_in_force,
};
use ossai::types::{CostStatus, NanoUsd, Usage};
use serde_json::json;

const EMBEDDED: &str = include_str!("../data/models.json");

fn table() -> &'static PriceTable {
    PriceTable::embedded()
}

fn today() -> PriceContext<'static> {
    PriceContext {
        at: Date::parse("2026-11-20").unwrap().start(),
        ..PriceContext::default()
    }
}

fn a_thousand_in(found: &Found) -> Option<NanoUsd> {
    let usage = Usage {
        input_tokens: 1000,
        ..Usage::default()
    };
    cost(found, &usage, &today()).total
}

fn problems(json: &str) -> Vec<(String, String)> {
    let error = table().with_overlay(json).unwrap_err();
    error
        .0
        .into_iter()
        .map(|problem| (problem.path, problem.expected))
        .collect()
}

fn paths(json: &str) -> Vec<String> {
    problems(json).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn the_embedded_table_reads_without_a_mistake_and_is_whole() {
    if let Err(error) = table().with_overlay(EMBEDDED) {
        panic!("{error}");
    }
    let rows: serde_json::Value = serde_json::from_str(EMBEDDED).unwrap();
    assert_eq!(
        table().models().len(),
        rows["models"].as_array().unwrap().len()
    );
    assert_eq!(table().date(), rows["generated"].as_str().unwrap());
    for entry in table().models() {
        assert_eq!(entry.id, format!("{}/{}", entry.provider, entry.model));
        assert!(
            entry.limits.input.or(entry.limits.context).is_some(),
            "{}",
            entry.id
        );
    }
}

#[test]
fn every_regional_price_of_the_embedded_table_is_a_whole_number_of_picodollars() {
    for entry in table().models() {
        for factor in &entry.multipliers {
            for price in &entry.prices {
                for (meter, pico) in price
                    .rates
                    .iter()
                    .chain(price.tiers.iter().flat_map(|tier| tier.rates.iter()))
                {
                    assert_eq!(
                        u128::from(pico) * u128::from(factor.ppm) % 1_000_000,
                        0,
                        "{} {meter:?}",
                        entry.id
                    );
                }
            }
        }
    }
}

#[test]
fn a_model_is_found_by_its_exact_id_only() {
    let found = table().find("openai/gpt-5").unwrap();
    assert_eq!(
        (found.entry.id.as_str(), found.matched, found.alias),
        ("openai/gpt-5", Match::Listed, false)
    );
    for unknown in [
        "gpt-5",
        "openai/GPT-5",
        "openai/gpt-5-ultra",
        "openai/gpt-5.",
        "openai/gpt-5-20",
        "azure/gpt-5",
        "openai/",
        "/gpt-5",
        "",
        "openai/gpt-5-mini-x",
    ] {
        assert!(table().find(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn a_listed_snapshot_is_priced_exactly_and_says_which_entry_priced_it() {
    let found = table().find("openai/gpt-4o-2024-08-06").unwrap();
    assert_eq!(
        (found.entry.id.as_str(), found.matched, found.alias),
        ("openai/gpt-4o", Match::Listed, true)
    );
    let usage = Usage {
        input_tokens: 1000,
        ..Usage::default()
    };
    let cost = cost(&found, &usage, &today());
    assert_eq!(
        (cost.status, cost.price_version.as_str()),
        (CostStatus::Exact, "2026-11-20;as=openai/gpt-4o")
    );
    assert_eq!(
        table()
            .find("anthropic/claude-sonnet-4-5-20250929")
            .unwrap()
            .matched,
        Match::Listed
    );
    assert_eq!(
        table()
            .find("bedrock/us.amazon.nova-pro-v1:0")
            .unwrap()
            .matched,
        Match::Listed
    );
}

#[test]
fn a_snapshot_priced_otherwise_is_not_taken_for_the_model() {
    assert!(table().find("openai/gpt-4o-2024-05-13").is_none());
    assert!(table().find("bedrock/eu.amazon.nova-pro-v1:0").is_none());
}

#[test]
fn an_unlisted_date_or_region_is_priced_as_the_model_but_only_estimated() {
    for (id, base) in [
        ("openai/gpt-6.1-sol-2026-12-24", "openai/gpt-6.1-sol"),
        (
            "anthropic/claude-opus-5-5-20261101",
            "anthropic/claude-opus-5-5",
        ),
        (
            "bedrock/apac.meta.llama3-3-70b-instruct-v1:0",
            "bedrock/meta.llama3-3-70b-instruct-v1:0",
        ),
    ] {
        let found = table().find(id).unwrap();
        assert_eq!(
            (found.entry.id.as_str(), found.matched),
            (base, Match::Derived),
            "{id}"
        );
        let cost = cost(
            &found,
            &Usage {
                input_tokens: 1000,
                ..Usage::default()
            },
            &today(),
        );
        assert_eq!(cost.status, CostStatus::Estimated);
        assert!(cost.price_version.ends_with(&format!(";as={base}")));
    }
    for no_day in [
        "openai/gpt-5-2026-02-30",
        "openai/gpt-5-1026-01-01",
        "openai/gpt-5-20261301",
        "openai/-2026-01-01",
        "bedrock/mars.amazon.nova-pro-v1:0",
        "openai/gpt-5-２026-01-01",
    ] {
        assert!(table().find(no_day).is_none(), "{no_day}");
    }
}

#[test]
fn a_short_overlay_replaces_a_models_prices_as_a_whole() {
    let over = table().with_overlay(r#"{"openai/gpt-6.1-sol": {"input": 1.5, "output": 7}, "acme/new": [{"input": 3, "output": 4}, {"from": "2026-11-01", "input": 5, "output": 6}]}"#).unwrap();
    let sol = over.find("openai/gpt-6.1-sol").unwrap();
    assert_eq!(a_thousand_in(&sol), Some(NanoUsd(1_500_000)));
    assert_eq!(
        sol.entry.prices.len(),
        1,
        "no tier and no variant of the table's is left"
    );
    assert_eq!(
        sol.entry.limits.output,
        Some(128_000),
        "what is not a price stays"
    );
    assert_eq!(
        cost(&sol, &Usage::default(), &today()).price_version,
        "overlay"
    );
    let new = over.find("acme/new").unwrap();
    assert_eq!(
        (
            new.entry.provider.as_str(),
            new.entry.model.as_str(),
            new.entry.kind
        ),
        ("acme", "new", ModelKind::Chat)
    );
    assert_eq!(a_thousand_in(&new), Some(NanoUsd(5_000_000)));
    assert_eq!(
        cost(&new, &Usage::default(), &today()).price_version,
        "overlay+2026-11-01"
    );
    // The table beneath is as it was.
    assert_eq!(
        a_thousand_in(&table().find("openai/gpt-6.1-sol").unwrap()),
        Some(NanoUsd(2_000_000))
    );
}

#[test]
fn a_full_overlay_replaces_what_a_row_names_and_keeps_the_rest() {
    let over = table()
        .with_overlay(r#"{"schema":"ossai-models/1","generated":"2026-12-01","models":[{"id":"openai/gpt-5","limits":{"output":7}},{"id":"acme/embed","kind":"embedding","dims":8,"prices":[{"input":0.1}]}]}"#)
        .unwrap();
    let gpt = over.get("openai/gpt-5").unwrap();
    assert_eq!(
        (gpt.limits.output, gpt.limits.input),
        (Some(7), Some(272_000))
    );
    assert_eq!(
        &*gpt.version, "2026-11-20",
        "its prices are still the table's"
    );
    let embed = over.find("acme/embed").unwrap();
    assert_eq!(
        (embed.entry.dims, embed.entry.kind),
        (Some(8), ModelKind::Embedding)
    );
    assert_eq!(
        cost(&embed, &Usage::default(), &today()).price_version,
        "overlay:2026-12-01"
    );
    assert_eq!(a_thousand_in(&embed), Some(NanoUsd(100_000)));
}

#[test]
fn overlays_lie_over_each_other() {
    let one = table()
        .with_overlay(r#"{"acme/a": {"input": 1, "output": 1}}"#)
        .unwrap();
    let two = one
        .with_overlay(
            r#"{"acme/a": {"input": 2, "output": 2}, "acme/b": {"input": 3, "output": 3}}"#,
        )
        .unwrap();
    assert_eq!(
        a_thousand_in(&two.find("acme/a").unwrap()),
        Some(NanoUsd(2_000_000))
    );
    assert_eq!(two.models().len(), table().models().len() + 2);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_path() {
    let found = problems(
        r#"{"schema": "v9", "extra": 1, "models": [
            {"id": "noslash"},
            {"id": "a/b", "kind": "poem", "limits": {"input": -1, "inputs": 2}, "dims": "x", "caps": [1],
             "dates": {"retires": "2026-02-30"}, "multipliers": {"region:us": 0, "planet:mars": 1, "region:eu": 1.12345678},
             "prices": [
                {"input": -1, "output": 0.00000001, "cache_read": "3", "cached": 1},
                {"when": {"batch": 1, "utc": [{"hours": ["1-2"], "days": [0]}], "moon": true}, "input": 2000000},
                {"from": "yesterday", "input": 1, "tiers": [{"above_input": 5, "input": 1}, {"above_input": 5}, {"input": 1e400}]},
                {}
            ]},
            {"id": "a/c"}, {"id": "a/c"}
        ]}"#,
    );
    let expected = [
        ("schema", "expected ossai-models/1"),
        ("models[0].id", "expected provider/model"),
        ("models[1].dims", "expected a whole number"),
        ("models[1].caps", "expected a list of strings"),
        ("models[1].kind", "expected chat, embedding or rerank"),
        ("models[1].limits.input", "expected a whole number"),
        (
            "models[1].limits.inputs",
            "unknown key; expected one of context, input, output",
        ),
        ("models[1].dates.retires", "expected a date, YYYY-MM-DD"),
        (
            r#"models[1].multipliers["region:us"]"#,
            "expected a factor above 0 and at most 100",
        ),
        (
            r#"models[1].multipliers["planet:mars"]"#,
            "unknown key; expected region:NAME or inference_geo:NAME",
        ),
        (
            r#"models[1].multipliers["region:eu"]"#,
            "expected at most 6 decimals (a whole number of picodollars)",
        ),
        (
            "models[1].prices[0].input",
            "expected a number that is not negative",
        ),
        (
            "models[1].prices[0].output",
            "expected at most 6 decimals (a whole number of picodollars)",
        ),
        ("models[1].prices[0].cache_read", "expected a number"),
        ("models[1].prices[1].when.batch", "expected true or false"),
        (
            "models[1].prices[1].when.utc[0].hours",
            "expected spans like 22:00-24:00, not empty",
        ),
        (
            "models[1].prices[1].when.utc[0].days",
            "expected days from 1 (Monday) to 7",
        ),
        (
            "models[1].prices[1].when.moon",
            "unknown key; expected one of batch, service_tier, speed, utc",
        ),
        (
            "models[1].prices[1].input",
            "expected at most 1000000: is the unit right?",
        ),
        ("models[1].prices[2].from", "expected a date, YYYY-MM-DD"),
        (
            "models[1].prices[2].tiers[2].input",
            "expected at most 1000000: is the unit right?",
        ),
        (
            "models[1].prices[2].tiers[2].above_input",
            "expected a whole number",
        ),
        ("models[1].prices[2].tiers", "expected rising above_input"),
        ("models[1].prices[2].tiers[1]", "expected at least one rate"),
        ("models[1].prices[3]", "expected at least one rate"),
        ("models[3].id", "expected each id once (a/c)"),
    ];
    for (path, text) in expected {
        assert!(
            found.iter().any(|(p, t)| p == path && t == text),
            "{path}: {text} is not in {found:#?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|(path, _)| path == "models[1].prices[0].cached")
    );
    assert!(found.iter().any(|(path, _)| path == "extra"));
    assert_eq!(found.len(), expected.len() + 2, "{found:#?}");
}

#[test]
fn what_is_no_price_document_is_refused_with_its_place() {
    assert_eq!(paths("{"), ["prices"]);
    assert_eq!(paths(""), ["prices"]);
    assert_eq!(paths("[1]"), [""]);
    assert_eq!(paths(r#"{"gpt": {"input": 1}}"#), ["gpt"]);
    assert_eq!(paths(r#"{"a/b": 5}"#), [r#"["a/b"]"#]);
    assert_eq!(
        paths(r#"{"a/b": {"input": 1, "input": 2}}"#),
        [r#"["a/b"].input"#]
    );
    assert_eq!(
        paths(&format!(
            r#"{{"a/b": {}1{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        ))
        .len(),
        1
    );
    let many: Vec<String> = (0..1000)
        .map(|n| format!(r#""{n}": {{"input": -1}}"#))
        .collect();
    assert_eq!(
        problems(&format!("{{{}}}", many.join(","))).len(),
        100,
        "problems are bounded"
    );
    let long = format!(r#"{{"a/b": [{}]}}"#, vec![r#"{"input": 1}"#; 300].join(","));
    assert_eq!(
        problems(&long),
        [(
            r#"["a/b"]"#.to_owned(),
            "expected at most 256 items".to_owned()
        )]
    );
}

#[test]
fn price_mistakes_become_an_invalid_request_that_names_the_first_field() {
    let error = table()
        .with_overlay(r#"{"a/b": {"input": -1, "output": "x"}}"#)
        .unwrap_err();
    let error = Error::from(error);
    assert_eq!(error.kind(), ossai::ErrorKind::InvalidRequest);
    assert_eq!(error.fields().field.as_deref(), Some(r#"["a/b"].input"#));
    assert!(
        error
            .to_string()
            .contains(r#"["a/b"].output: expected a number"#),
        "{error}"
    );
}

#[test]
fn a_calls_own_prices_go_before_the_tables() {
    let prices = json!({"input": 0.3, "output": 1.1, "tiers": [{"above_input": 10, "input": 9}]});
    let found = table()
        .find_for_call("openai/gpt-6.1-sol", Some(&prices))
        .unwrap()
        .unwrap();
    assert_eq!(a_thousand_in(&found), Some(NanoUsd(9_000_000)));
    assert_eq!(
        cost(&found, &Usage::default(), &today()).price_version,
        "call"
    );
    // Regional factors are the vendor's surcharge on any price.
    let us = PriceContext {
        region: Some("us"),
        ..today()
    };
    assert_eq!(
        rates_in_force(&found.entry, &us, 5).get(Meter::Input),
        Some(330_000)
    );
    // An unknown model is priced by them too, an unlisted one not without them.
    assert!(
        table()
            .find_for_call("acme/x", Some(&prices))
            .unwrap()
            .is_some()
    );
    assert!(table().find_for_call("acme/x", None).unwrap().is_none());
    let error = table()
        .find_for_call(
            "acme/x",
            Some(&json!([{"input": 1}, {"input": -1, "in": 2}])),
        )
        .unwrap_err();
    assert_eq!(error.0[0].path, "prices[1].input");
    assert_eq!(error.0.len(), 2, "{error}");
    assert_eq!(
        PriceEntry::from_json(&json!([]), "options.prices")
            .unwrap_err()
            .0[0]
            .path,
        "options.prices"
    );
    assert_eq!(
        PriceEntry::from_json(&json!("free"), "options.prices")
            .unwrap_err()
            .0[0]
            .path,
        "options.prices"
    );
}

#[test]
fn what_an_entry_prints_reads_back_as_the_same_entry() {
    let rows =
        serde_json::to_string(&table().models().map(|entry| &**entry).collect::<Vec<_>>()).unwrap();
    let bare = table()
        .with_overlay(&format!(r#"{{"models": {rows}}}"#))
        .unwrap();
    for entry in table().models() {
        let back = bare.get(&entry.id).unwrap();
        assert_eq!(back.prices, entry.prices, "{}", entry.id);
        assert_eq!(back.multipliers, entry.multipliers);
        assert_eq!(
            (&back.limits, &back.dates, &back.caps),
            (&entry.limits, &entry.dates, &entry.caps)
        );
    }
}

#[test]
fn models_are_listed_by_provider_kind_ability_and_price() {
    let list = |query: &ModelQuery<'_>| -> Vec<String> {
        table()
            .query(query, &today())
            .iter()
            .map(|e| e.id.clone())
            .collect()
    };
    let all = list(&ModelQuery {
        retired: true,
        ..ModelQuery::default()
    });
    assert_eq!(all.len(), table().models().len());
    assert!(all.is_sorted());
    let alive = list(&ModelQuery::default());
    assert!(
        !alive.contains(&"deepseek/deepseek-chat".to_owned()),
        "retired in July"
    );
    let embedders = list(&ModelQuery {
        provider: Some("openai"),
        kind: Some(ModelKind::Embedding),
        ..ModelQuery::default()
    });
    assert!(
        !embedders.is_empty()
            && embedders
                .iter()
                .all(|id| id.starts_with("openai/text-embedding"))
    );
    let cheap = ModelQuery {
        caps: &["tools", "vision"],
        max_input: Some(500_000),
        sort: ModelSort::Input,
        ..ModelQuery::default()
    };
    let cheap = table().query(&cheap, &today());
    let prices: Vec<_> = cheap
        .iter()
        .map(|e| rates_in_force(e, &today(), 0).get(Meter::Input).unwrap())
        .collect();
    assert!(prices.len() > 5 && prices.is_sorted() && prices.iter().all(|pico| *pico <= 500_000));
    assert!(
        cheap
            .iter()
            .all(|e| e.has_cap("tools") && e.has_cap("vision"))
    );
    let by_output = table().query(
        &ModelQuery {
            sort: ModelSort::Output,
            ..ModelQuery::default()
        },
        &today(),
    );
    let known: Vec<bool> = by_output
        .iter()
        .map(|e| rates_in_force(e, &today(), 0).get(Meter::Output).is_some())
        .collect();
    assert!(
        known.is_sorted_by(|a, b| a >= b),
        "unknown prices come last"
    );
    assert_eq!(
        list(&ModelQuery {
            text: Some("OPUS-5-5"),
            ..ModelQuery::default()
        }),
        ["anthropic/claude-opus-5-5"]
    );
}
