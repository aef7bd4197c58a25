//! Answers, and how they came about.

use ossai_proto::v1 as pb;

use super::{
    ConvertError, Converted, extra_text, read_each, read_extra, read_json, read_json_option,
    write_each,
};
use crate::error::ErrorKind;
use crate::types::{
    Answer, Attempt, CacheOutcome, CacheStatus, CacheTier, Completion, FinishReason, NanoUsd,
    OutputPart, Timing, Trace, TraceStep,
};

impl From<&Completion> for pb::Completion {
    fn from(completion: &Completion) -> Self {
        let Completion {
            answer,
            cost,
            cache,
            attempts,
            request_id,
            timing,
            trace,
            // Tool loops run in the client: no peer has part in one.
            tool_run: _,
        } = completion;
        let Answer {
            id,
            model,
            response_model,
            created,
            text,
            parts,
            finish_reason,
            raw_finish_reason,
            usage,
            raw_usage,
            upstream_request_id,
            dropped_params,
            extra,
        } = &**answer;
        Self {
            id: id.clone(),
            model: model.clone(),
            response_model: response_model.clone(),
            created: *created,
            text: text.clone(),
            parts: write_each(parts),
            finish_reason: finish_reason.as_str().into(),
            raw_finish_reason: raw_finish_reason.clone(),
            usage: Some(usage.into()),
            raw_usage_json: raw_usage.as_ref().map(ToString::to_string),
            cost: Some(cost.into()),
            cache: Some(cache.into()),
            attempts: write_each(attempts),
            request_id: request_id.clone(),
            upstream_request_id: upstream_request_id.clone(),
            timing: Some(timing.into()),
            dropped_params: dropped_params.clone(),
            trace: trace.as_deref().map(Into::into),
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::Completion> for Completion {
    type Error = ConvertError;

    fn try_from(completion: pb::Completion) -> Converted<Self> {
        let pb::Completion {
            id,
            model,
            response_model,
            created,
            text,
            parts,
            finish_reason,
            raw_finish_reason,
            usage,
            raw_usage_json,
            cost,
            cache,
            attempts,
            request_id,
            upstream_request_id,
            timing,
            dropped_params,
            extra_json,
            trace,
        } = completion;
        let answer = Answer {
            id,
            model,
            response_model,
            created,
            text,
            parts: read_parts(parts)?,
            finish_reason: read_finish_reason(&finish_reason),
            raw_finish_reason,
            usage: usage.unwrap_or_default().into(),
            raw_usage: read_json_option(raw_usage_json, "raw_usage")?,
            upstream_request_id,
            dropped_params,
            extra: read_extra(&extra_json, "extra")?,
        };
        Ok(Self {
            answer: answer.into(),
            cost: cost.unwrap_or_default().into(),
            cache: cache.unwrap_or_default().into(),
            attempts: read_each(attempts, "attempts")?,
            request_id,
            timing: timing.unwrap_or_default().into(),
            trace: trace.map(|trace| Box::new(trace.into())),
            tool_run: None,
        })
    }
}

pub(super) fn read_finish_reason(name: &str) -> FinishReason {
    if name.is_empty() {
        FinishReason::default()
    } else {
        FinishReason::from_name(name)
    }
}

impl From<&OutputPart> for pb::OutputPart {
    fn from(part: &OutputPart) -> Self {
        use pb::output_part::Kind;
        Self {
            kind: Some(match part {
                OutputPart::Text { text } => Kind::Text(pb::OutputText { text: text.clone() }),
                OutputPart::Refusal { text } => {
                    Kind::Refusal(pb::OutputRefusal { text: text.clone() })
                }
                OutputPart::Reasoning(reasoning) => Kind::Reasoning(reasoning.into()),
                OutputPart::ToolCall(call) => Kind::ToolCall(call.into()),
                OutputPart::Other(value) => Kind::OtherJson(value.to_string()),
            }),
        }
    }
}

/// Reads the parts of an answer; one of a kind unknown here is skipped.
fn read_parts(parts: Vec<pb::OutputPart>) -> Converted<Vec<OutputPart>> {
    use pb::output_part::Kind;
    let read = |(i, kind)| {
        let part = match kind {
            Kind::Text(pb::OutputText { text }) => Ok(OutputPart::Text { text }),
            Kind::Refusal(pb::OutputRefusal { text }) => Ok(OutputPart::Refusal { text }),
            Kind::Reasoning(reasoning) => reasoning.try_into().map(OutputPart::Reasoning),
            Kind::ToolCall(call) => call.try_into().map(OutputPart::ToolCall),
            Kind::OtherJson(text) => read_json(&text, "other_json").map(OutputPart::Other),
        };
        part.map_err(|error: ConvertError| error.within(&format!("parts[{i}]")))
    };
    parts
        .into_iter()
        .enumerate()
        .filter_map(|(i, part)| part.kind.map(|kind| (i, kind)))
        .map(read)
        .collect()
}

impl From<&CacheOutcome> for pb::CacheOutcome {
    fn from(cache: &CacheOutcome) -> Self {
        let CacheOutcome {
            status,
            tier,
            age_ms,
            joined,
            saved,
            stale,
            similarity,
            lookup_cost,
        } = cache;
        let status = match status {
            CacheStatus::Hit => pb::CacheStatus::Hit,
            CacheStatus::Miss => pb::CacheStatus::Miss,
            CacheStatus::Bypass => pb::CacheStatus::Bypass,
        };
        let tier = match tier {
            None => pb::CacheTier::Unspecified,
            Some(CacheTier::Memory) => pb::CacheTier::Memory,
            Some(CacheTier::Redis) => pb::CacheTier::Redis,
            Some(CacheTier::Disk) => pb::CacheTier::Disk,
            Some(CacheTier::Semantic) => pb::CacheTier::Semantic,
            Some(CacheTier::Orchestrator) => pb::CacheTier::Orchestrator,
        };
        Self {
            status: status.into(),
            tier: tier.into(),
            age_ms: *age_ms,
            joined: *joined,
            saved_nano_usd: saved.map(|saved| saved.0),
            stale: *stale,
            similarity: *similarity,
            lookup_nano_usd: lookup_cost.map(|cost| cost.0),
        }
    }
}

impl From<pb::CacheOutcome> for CacheOutcome {
    fn from(cache: pb::CacheOutcome) -> Self {
        let pb::CacheOutcome {
            status,
            tier,
            age_ms,
            joined,
            saved_nano_usd,
            stale,
            similarity,
            lookup_nano_usd,
        } = cache;
        Self {
            status: match pb::CacheStatus::try_from(status) {
                Ok(pb::CacheStatus::Hit) => CacheStatus::Hit,
                Ok(pb::CacheStatus::Miss) => CacheStatus::Miss,
                Ok(pb::CacheStatus::Bypass | pb::CacheStatus::Unspecified) | Err(_) => {
                    CacheStatus::Bypass
                }
            },
            tier: match pb::CacheTier::try_from(tier) {
                Ok(pb::CacheTier::Unspecified) => None,
                Ok(pb::CacheTier::Memory) => Some(CacheTier::Memory),
                Ok(pb::CacheTier::Redis) => Some(CacheTier::Redis),
                Ok(pb::CacheTier::Disk) => Some(CacheTier::Disk),
                Ok(pb::CacheTier::Semantic) => Some(CacheTier::Semantic),
                // Whatever a newer orchestrator calls it, it is one of the orchestrator's.
                Ok(pb::CacheTier::Orchestrator) | Err(_) => Some(CacheTier::Orchestrator),
            },
            age_ms,
            joined,
            saved: saved_nano_usd.map(NanoUsd),
            stale,
            similarity,
            lookup_cost: lookup_nano_usd.map(NanoUsd),
        }
    }
}

impl From<&Attempt> for pb::Attempt {
    fn from(attempt: &Attempt) -> Self {
        let Attempt {
            error,
            status,
            delay_ms,
            upstream_request_id,
            duration_us,
            model,
            parallel,
            endpoint,
        } = attempt;
        Self {
            error: error.map(|kind| kind.name().into()),
            status: status.map(u32::from),
            delay_ms: *delay_ms,
            upstream_request_id: upstream_request_id.clone(),
            duration_us: *duration_us,
            model: model.clone(),
            parallel: *parallel,
            endpoint: endpoint.clone(),
        }
    }
}

impl TryFrom<pb::Attempt> for Attempt {
    type Error = ConvertError;

    fn try_from(attempt: pb::Attempt) -> Converted<Self> {
        let pb::Attempt {
            error,
            status,
            delay_ms,
            upstream_request_id,
            duration_us,
            model,
            parallel,
            endpoint,
        } = attempt;
        Ok(Self {
            // A newer peer's kind is a failure of a sort this version cannot name, as in JSON.
            error: error
                .map(|name| ErrorKind::from_name(&name).unwrap_or(ErrorKind::UpstreamError)),
            status: status
                .map(u16::try_from)
                .transpose()
                .map_err(|_| ConvertError::new("status", "expected an HTTP status"))?,
            delay_ms,
            upstream_request_id,
            duration_us,
            model,
            parallel,
            endpoint,
        })
    }
}

impl From<&Timing> for pb::Timing {
    fn from(timing: &Timing) -> Self {
        let Timing {
            queue_us,
            first_token_us,
            total_us,
            overhead_us,
        } = *timing;
        Self {
            queue_us,
            first_token_us,
            total_us,
            overhead_us,
        }
    }
}

impl From<pb::Timing> for Timing {
    fn from(timing: pb::Timing) -> Self {
        let pb::Timing {
            queue_us,
            first_token_us,
            total_us,
            overhead_us,
        } = timing;
        Self {
            queue_us,
            first_token_us,
            total_us,
            overhead_us,
        }
    }
}

impl From<&Trace> for pb::Trace {
    fn from(trace: &Trace) -> Self {
        let Trace { steps, omitted } = trace;
        Self {
            steps: steps
                .iter()
                .map(|step| {
                    let TraceStep {
                        at_us,
                        stage,
                        outcome,
                        why,
                        fields,
                        wait_ms,
                        attempt,
                        by,
                    } = step;
                    pb::TraceStep {
                        at_us: *at_us,
                        stage: stage.clone().into_owned(),
                        outcome: outcome.clone().into_owned(),
                        why: why.clone().map(Into::into),
                        fields: fields.clone(),
                        wait_ms: *wait_ms,
                        attempt: *attempt,
                        by: by.clone().map(Into::into),
                    }
                })
                .collect(),
            omitted: *omitted,
        }
    }
}

impl From<pb::Trace> for Trace {
    fn from(trace: pb::Trace) -> Self {
        let pb::Trace { steps, omitted } = trace;
        let mut trace = Self {
            omitted,
            ..Self::default()
        };
        for step in steps {
            let pb::TraceStep {
                at_us,
                stage,
                outcome,
                why,
                fields,
                wait_ms,
                attempt,
                by,
            } = step;
            trace.push(TraceStep {
                at_us,
                stage: stage.into(),
                outcome: outcome.into(),
                why: why.map(Into::into),
                fields,
                wait_ms,
                attempt,
                by: by.map(Into::into),
            });
        }
        trace
    }
}
