//! Past calls priced again.

use ossai::cost::{PriceContext, PriceTable, cost};
use ossai::ledger::{UsageFilter, UsageRow};
use ossai::{NanoUsd, Usage};

use crate::{DAY, Numbers, at, ledger};

#[test]
fn past_calls_price_again_to_the_same_nanodollar() {
    let (_folder, ledger) = ledger();
    let table = PriceTable::embedded();
    let mut numbers = Numbers(23);
    let models: Vec<_> = table
        .models()
        .filter(|model| !model.prices.is_empty())
        .collect();
    let rows: Vec<UsageRow> = (0..3000)
        .map(|_| {
            let model = models[numbers.below(models.len() as u64) as usize];
            let found = table.find(&model.id).unwrap();
            let input_tokens = 1 + numbers.below(300_000);
            let usage = Usage {
                input_tokens,
                output_tokens: numbers.below(5000),
                cache_read_tokens: numbers.below(input_tokens),
                service_tier: [None, Some("flex".to_owned()), Some("batch".to_owned())]
                    [numbers.below(3) as usize]
                    .clone(),
                speed: (numbers.below(8) == 0).then(|| "fast".to_owned()),
                region: (numbers.below(8) == 0).then(|| "us".to_owned()),
                ..Usage::default()
            };
            let time = at("2026-01-01") + numbers.below(320 * DAY as u64) as i64;
            let context = PriceContext {
                at: time / 1000,
                ..PriceContext::default()
            };
            let priced = cost(&found, &usage, &context);
            UsageRow {
                // Recorded a little after it was priced.
                time: time + 3,
                model: model.id.clone(),
                usage,
                cost: priced.total,
                price_version: priced.price_version,
                cache: "miss".into(),
                ..UsageRow::default()
            }
        })
        .collect();
    ledger.record(&rows).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!(
        (again.records, again.different, again.other_version),
        (3000, 0, 0),
        "{again:?}"
    );
    assert_eq!(again.same + again.unpriced, 3000);
    assert!(again.same > 2000);
    assert_eq!(again.recorded, again.repriced);

    // A hedged call's copy that lost was charged with its input, and the whole rounded up once.
    let row = rows
        .iter()
        .find(|row| row.cost.is_some_and(|cost| cost.0 > 0))
        .unwrap();
    let context = PriceContext {
        at: row.time / 1000,
        ..PriceContext::default()
    };
    let found = table.find(&row.model).unwrap();
    let input = Usage {
        input_tokens: row.usage.input_tokens,
        ..Usage::default()
    };
    let pico = |usage: &Usage| {
        let cost = cost(&found, usage, &context);
        u128::from(cost.input_pico)
            + u128::from(cost.cache_read_pico)
            + u128::from(cost.output_pico)
    };
    let hedged = UsageRow {
        cost: Some(NanoUsd::from_pico_ceil(pico(&row.usage) + pico(&input))),
        attempts: 2,
        ..row.clone()
    };
    ledger.record(&[hedged]).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!((again.records, again.different), (3001, 0));

    // What somebody changed is found; what other prices made is not judged.
    let mut wrong = row.clone();
    wrong.cost = Some(NanoUsd(wrong.cost.map_or(0, |cost| cost.0) + 1));
    wrong.request_id = "changed".into();
    let other = UsageRow {
        price_version: "1999-01-01".into(),
        ..row.clone()
    };
    ledger.record(&[wrong, other]).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!((again.different, again.other_version), (1, 1));
    assert_eq!(
        (&*again.different_ids, again.repriced.0 + 1),
        (&["changed".to_owned()][..], again.recorded.0)
    );
}
