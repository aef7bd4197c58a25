//! The answer to a gathered request as each caller's own: its vectors, its part of the tokens and of the money.
//!
//! Parts are differences of running sums, so that they add up to the whole whatever it is: tokens in proportion to what
//! each caller's inputs count, money in proportion to these tokens, rounded up once over the whole.

use crate::types::{Cost, CostStatus, EmbeddingResponse, NanoUsd, Usage};

/// Cuts `whole` in proportion to `weights`; the parts sum up to it. Without any weight all parts weigh the same.
fn cut(whole: u64, weights: &[u64]) -> Vec<u64> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let (total, even) = match total {
        0 => (weights.len().max(1) as u128, true),
        total => (total, false),
    };
    let (mut sum, mut before) = (0_u128, 0_u64);
    weights
        .iter()
        .map(|weight| {
            sum += if even { 1 } else { u128::from(*weight) };
            // Below 2^64 · 2^64, and the quotient is at most `whole`.
            let upto = u64::try_from(u128::from(whole) * sum / total).unwrap_or(whole);
            let part = upto - before;
            before = upto;
            part
        })
        .collect()
}

/// Divides an answer among callers with so many inputs and so many counted tokens each.
pub(super) fn divide(
    whole: EmbeddingResponse,
    cost: &Cost,
    loads: &[(usize, u64)],
) -> Vec<EmbeddingResponse> {
    let counted: Vec<u64> = loads.iter().map(|(_, tokens)| *tokens).collect();
    let usages = usages(&whole.usage, &counted);
    let used: Vec<u64> = usages.iter().map(Usage::total_tokens).collect();
    let weights = if used.iter().any(|tokens| *tokens > 0) {
        &used
    } else {
        &counted
    };
    let estimated = usages.iter().any(|usage| usage.estimated);
    let mut costs = costs(cost, weights);
    for cost in &mut costs {
        if estimated && cost.status == CostStatus::Exact {
            cost.status = CostStatus::Estimated;
        }
    }
    let mut embeddings = whole.embeddings.into_iter();
    loads
        .iter()
        .zip(usages.into_iter().zip(costs))
        .map(|((inputs, _), (usage, cost))| EmbeddingResponse {
            response_model: whole.response_model.clone(),
            embeddings: (0_u32..)
                .zip(embeddings.by_ref().take(*inputs))
                .map(|(index, mut embedding)| {
                    embedding.index = index;
                    embedding
                })
                .collect(),
            usage,
            cost,
            ..EmbeddingResponse::default()
        })
        .collect()
}

/// The tokens of each. What our counts and the vendor's total agree on is exact; else the parts are estimates of a sum
/// that is exact.
fn usages(whole: &Usage, counted: &[u64]) -> Vec<Usage> {
    let sum: u64 = counted.iter().fold(0, |sum, n| sum.saturating_add(*n));
    let estimated = whole.estimated || (counted.len() > 1 && sum != whole.input_tokens);
    let inputs = cut(whole.input_tokens, counted);
    let outputs = cut(whole.output_tokens, counted);
    let images = cut(whole.image_input_tokens, counted);
    let cached = cut(whole.cache_read_tokens, counted);
    inputs
        .into_iter()
        .zip(outputs)
        .zip(images.into_iter().zip(cached))
        .map(|((input, output), (image, cached))| Usage {
            input_tokens: input,
            output_tokens: output,
            image_input_tokens: image,
            cache_read_tokens: cached,
            service_tier: whole.service_tier.clone(),
            speed: whole.speed.clone(),
            region: whole.region.clone(),
            estimated,
            ..Usage::default()
        })
        .collect()
}

/// The money of each. Each meter is divided exactly; a part's total is what the running sum of all meters, rounded up,
/// grows by, so that all totals together are the whole's.
fn costs(whole: &Cost, weights: &[u64]) -> Vec<Cost> {
    let meters = [
        whole.input_pico,
        whole.cache_read_pico,
        whole.cache_write_pico,
        whole.output_pico,
        whole.other_pico,
    ]
    .map(|pico| cut(pico, weights));
    // What a vendor's cache saved may be a loss.
    let saved = whole.prompt_cache_saved_pico;
    let savings = cut(saved.unsigned_abs(), weights);
    let (mut sum, mut before) = (0_u128, NanoUsd::ZERO);
    (0..weights.len())
        .map(|i| {
            let [input, read, write, output, other] = std::array::from_fn(|meter| {
                meters.get(meter).and_then(|m| m.get(i)).map_or(0, |n| *n)
            });
            sum += [input, read, write, output, other]
                .map(u128::from)
                .iter()
                .sum::<u128>();
            let upto = NanoUsd::from_pico_ceil(sum);
            let total = upto.saturating_sub(before);
            before = upto;
            Cost {
                status: whole.status,
                total: whole.total.map(|_| total),
                input_pico: input,
                cache_read_pico: read,
                cache_write_pico: write,
                output_pico: output,
                other_pico: other,
                prompt_cache_saved_pico: saved.signum()
                    * savings
                        .get(i)
                        .map_or(0, |n| i64::try_from(*n).unwrap_or(i64::MAX)),
                price_version: whole.price_version.clone(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Embedding;

    fn whole(tokens: u64, inputs: u32) -> EmbeddingResponse {
        EmbeddingResponse {
            embeddings: (0..inputs)
                .map(|index| Embedding {
                    index,
                    vector: vec![1.0, index as f32],
                })
                .collect(),
            usage: Usage {
                input_tokens: tokens,
                ..Usage::default()
            },
            ..EmbeddingResponse::default()
        }
    }

    fn price(pico: u64, other: u64) -> Cost {
        Cost {
            status: CostStatus::Exact,
            total: Some(NanoUsd::from_pico_ceil(
                u128::from(pico) + u128::from(other),
            )),
            input_pico: pico,
            other_pico: other,
            price_version: "v".into(),
            ..Cost::default()
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_in_tokens_in_money_and_in_vectors(
            loads in proptest::collection::vec((1_usize..5, 0_u64..5_000), 1..40),
            tokens in 0_u64..1_000_000,
            pico in 0_u64..10_000_000,
            other in 0_u64..3_000,
        ) {
            let inputs: usize = loads.iter().map(|(inputs, _)| inputs).sum();
            let cost = price(pico, other);
            let parts = divide(whole(tokens, u32::try_from(inputs).unwrap()), &cost, &loads);
            prop_assert_eq!(parts.iter().map(|part| part.usage.input_tokens).sum::<u64>(), tokens);
            let totals: Vec<NanoUsd> = parts.iter().filter_map(|part| part.cost.total).collect();
            prop_assert_eq!(totals.len(), loads.len());
            prop_assert_eq!(totals.into_iter().sum::<NanoUsd>(), cost.total.unwrap());
            prop_assert_eq!(parts.iter().map(|part| part.cost.input_pico).sum::<u64>(), pico);
            let mut place = 0.0;
            for (part, (inputs, _)) in parts.iter().zip(&loads) {
                prop_assert_eq!(part.embeddings.len(), *inputs);
                for (at, embedding) in part.embeddings.iter().enumerate() {
                    prop_assert_eq!(embedding.index as usize, at);
                    prop_assert_eq!(embedding.vector[1], place);
                    place += 1.0;
                }
            }
        }
    }

    #[test]
    fn counts_the_vendor_agrees_with_are_each_callers_own() {
        let parts = divide(whole(10, 2), &price(200_000, 0), &[(1, 3), (1, 7)]);
        let told: Vec<_> = parts
            .iter()
            .map(|p| (p.usage.input_tokens, p.usage.estimated, p.cost.total))
            .collect();
        assert_eq!(
            told,
            [
                (3, false, Some(NanoUsd(60))),
                (7, false, Some(NanoUsd(140)))
            ]
        );
        let parts = divide(whole(12, 2), &price(240_000, 0), &[(1, 3), (1, 7)]);
        assert!(parts.iter().all(|part| part.usage.estimated));
    }

    #[test]
    fn an_unknown_price_stays_unknown() {
        let parts = divide(whole(10, 2), &Cost::default(), &[(1, 3), (1, 7)]);
        assert!(parts.iter().all(|part| part.cost == Cost::default()));
    }
}
