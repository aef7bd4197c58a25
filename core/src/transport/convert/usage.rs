//! Usage and cost.

use ossai_proto::v1 as pb;

use crate::types::{Cost, CostStatus, NanoUsd, Usage};

macro_rules! usage {
    ($($field:ident),*) => {
        impl From<&Usage> for pb::Usage {
            fn from(usage: &Usage) -> Self {
                let Usage { $($field),* } = usage;
                Self { $($field: $field.clone()),* }
            }
        }

        impl From<pb::Usage> for Usage {
            fn from(usage: pb::Usage) -> Self {
                let pb::Usage { $($field),* } = usage;
                Self { $($field),* }
            }
        }
    };
}

usage!(
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_1h_tokens,
    cache_write_12h_tokens,
    reasoning_tokens,
    audio_input_tokens,
    audio_cache_read_tokens,
    audio_output_tokens,
    image_input_tokens,
    citation_tokens,
    web_searches,
    service_tier,
    speed,
    region,
    estimated
);

impl From<&Cost> for pb::Cost {
    fn from(cost: &Cost) -> Self {
        let Cost {
            status,
            total,
            input_pico,
            cache_read_pico,
            cache_write_pico,
            output_pico,
            other_pico,
            prompt_cache_saved_pico,
            price_version,
        } = cost;
        let status = match status {
            CostStatus::Exact => pb::CostStatus::Exact,
            CostStatus::Estimated => pb::CostStatus::Estimated,
            CostStatus::Unknown => pb::CostStatus::Unknown,
        };
        Self {
            status: status.into(),
            total_nano_usd: total.map(|total| total.0),
            input_pico_usd: *input_pico,
            cache_read_pico_usd: *cache_read_pico,
            cache_write_pico_usd: *cache_write_pico,
            output_pico_usd: *output_pico,
            other_pico_usd: *other_pico,
            prompt_cache_saved_pico_usd: *prompt_cache_saved_pico,
            price_version: price_version.clone(),
        }
    }
}

impl From<pb::Cost> for Cost {
    fn from(cost: pb::Cost) -> Self {
        let pb::Cost {
            status,
            total_nano_usd,
            input_pico_usd,
            cache_read_pico_usd,
            cache_write_pico_usd,
            output_pico_usd,
            other_pico_usd,
            prompt_cache_saved_pico_usd,
            price_version,
        } = cost;
        Self {
            status: match pb::CostStatus::try_from(status) {
                Ok(pb::CostStatus::Exact) => CostStatus::Exact,
                Ok(pb::CostStatus::Estimated) => CostStatus::Estimated,
                Ok(pb::CostStatus::Unknown) => CostStatus::Unknown,
                // A status of a newer peer: how sure it is cannot be said, that there is an amount can.
                Ok(pb::CostStatus::Unspecified) | Err(_) if total_nano_usd.is_some() => {
                    CostStatus::Estimated
                }
                Ok(pb::CostStatus::Unspecified) | Err(_) => CostStatus::Unknown,
            },
            total: total_nano_usd.map(NanoUsd),
            input_pico: input_pico_usd,
            cache_read_pico: cache_read_pico_usd,
            cache_write_pico: cache_write_pico_usd,
            output_pico: output_pico_usd,
            other_pico: other_pico_usd,
            prompt_cache_saved_pico: prompt_cache_saved_pico_usd,
            price_version,
        }
    }
}
