//! Arbitrary values from a seed: every field of every type, named, so that a new field does not compile until it is
//! generated here too.

use std::collections::BTreeMap;

use ossai::error::{Billed, Error, Fields, KINDS};
use ossai::types::*;
use serde_json::{Number, Value};

/// A source of values; equal seeds give equal values.
pub(crate) struct Gen(u64);

impl Gen {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    fn flag(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn int(&mut self) -> u64 {
        let bits = self.bits();
        self.of(&[0, 1, 255, 1 << 53, (1 << 53) + 1, u64::MAX, bits])
    }

    fn float(&mut self) -> f64 {
        let any = f64::from_bits(self.bits());
        let any = if any.is_finite() { any } else { 0.1 };
        self.of(&[0.0, -0.0, 0.1, 1.0, f64::MIN_POSITIVE, f64::MAX, any])
    }

    fn text(&mut self) -> String {
        let pieces = [
            "",
            "a",
            "type",
            "text",
            "\0",
            "\"",
            "\\",
            "\n",
            "é",
            "漢",
            "👩‍🚀",
            "\u{feff}",
            " b",
        ];
        (0..self.below(5)).map(|_| self.of(&pieces)).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.flag()),
            2 => self.int().into(),
            3 => (self.bits() as i64).into(),
            4 => Number::from_f64(self.float()).map_or(Value::Null, Value::Number),
            5 => self.text().into(),
            6 => Value::Array(self.list(|g| g.value(depth - 1))),
            _ => Value::Object(self.extra(depth - 1)),
        }
    }

    fn json(&mut self) -> Value {
        self.value(3)
    }

    fn extra(&mut self, depth: usize) -> Extra {
        self.list(|g| (g.text(), g.value(depth)))
            .into_iter()
            .collect()
    }

    fn fields(&mut self) -> Extra {
        self.extra(2)
    }

    fn reasoning_part(&mut self) -> ReasoningPart {
        ReasoningPart {
            text: self.text(),
            signature: self.option(Self::text),
            redacted: self.option(Self::text),
            extra: self.fields(),
        }
    }

    fn part(&mut self) -> Part {
        match self.below(6) {
            0 => Part::Text(TextPart {
                text: self.text(),
                extra: self.fields(),
            }),
            1 => Part::Image(ImagePart {
                url: self.option(Self::text),
                data: self.option(Self::text),
                media_type: self.option(Self::text),
                detail: self.option(Self::text),
                extra: self.fields(),
            }),
            2 => Part::Audio(AudioPart {
                data: self.text(),
                format: self.text(),
                extra: self.fields(),
            }),
            3 => Part::File(FilePart {
                url: self.option(Self::text),
                data: self.option(Self::text),
                file_id: self.option(Self::text),
                media_type: self.option(Self::text),
                filename: self.option(Self::text),
                extra: self.fields(),
            }),
            4 => Part::Reasoning(self.reasoning_part()),
            _ => Part::Other(self.json()),
        }
    }

    fn tool_call(&mut self) -> ToolCall {
        ToolCall {
            id: self.text(),
            name: self.text(),
            arguments: self.text(),
            extra: self.fields(),
        }
    }

    fn message(&mut self) -> Message {
        Message {
            role: self.of(&[
                Role::System,
                Role::Developer,
                Role::User,
                Role::Assistant,
                Role::Tool,
            ]),
            content: if self.flag() {
                Content::Text(self.text())
            } else {
                Content::Parts(self.list(Self::part))
            },
            name: self.option(Self::text),
            tool_calls: self.list(Self::tool_call),
            tool_call_id: self.option(Self::text),
            is_error: self.flag(),
            extra: self.fields(),
        }
    }

    fn tool(&mut self) -> Tool {
        if self.flag() {
            return Tool::Provider(self.json());
        }
        Tool::Function(ToolDefinition {
            name: self.text(),
            description: self.option(Self::text),
            parameters: self.option(Self::json),
            strict: self.option(Self::flag),
            extra: self.fields(),
        })
    }

    pub(crate) fn request(&mut self) -> CompletionRequest {
        use ReasoningEffort as Effort;
        CompletionRequest {
            model: self.text(),
            messages: self.list(Self::message),
            tools: self.list(Self::tool),
            tool_choice: self.option(|g| match g.below(4) {
                0 => ToolChoice::Auto,
                1 => ToolChoice::None,
                2 => ToolChoice::Required,
                _ => ToolChoice::Function(g.text()),
            }),
            parallel_tool_calls: self.option(Self::flag),
            response_format: self.option(|g| match g.below(3) {
                0 => ResponseFormat::Text,
                1 => ResponseFormat::JsonObject,
                _ => ResponseFormat::JsonSchema {
                    name: g.text(),
                    schema: g.json(),
                    strict: g.option(Self::flag),
                    description: g.option(Self::text),
                },
            }),
            max_tokens: self.option(Self::int),
            temperature: self.option(Self::float),
            top_p: self.option(Self::float),
            top_k: self.option(Self::int),
            frequency_penalty: self.option(Self::float),
            presence_penalty: self.option(Self::float),
            seed: self.option(|g| g.bits() as i64),
            stop: self.list(Self::text),
            reasoning_effort: self.option(|g| {
                g.of(&[
                    Effort::None,
                    Effort::Minimal,
                    Effort::Low,
                    Effort::Medium,
                    Effort::High,
                    Effort::Xhigh,
                    Effort::Max,
                ])
            }),
            service_tier: self.option(Self::text),
            metadata: self.fields(),
            user: self.option(Self::text),
            extra: self.fields(),
        }
    }

    fn trace(&mut self) -> Trace {
        Trace {
            steps: self.list(|g| TraceStep {
                at_us: g.int(),
                stage: g.text().into(),
                outcome: g.text().into(),
                why: g.option(Self::text).map(Into::into),
                fields: g.list(Self::text),
                wait_ms: g.option(Self::int),
                attempt: g.option(|g| g.bits() as u32),
                by: g.option(Self::text).map(Into::into),
            }),
            omitted: self.bits() as u32,
        }
    }

    /// Options as an orchestrator takes them from a caller: without those that only the direct road has.
    pub(crate) fn options(&mut self) -> CallOptions {
        CallOptions {
            timeout_ms: None,
            attempt_timeout_ms: self.option(Self::int),
            first_byte_timeout_ms: self.option(Self::int),
            stream_idle_timeout_ms: self.option(Self::int),
            max_attempts: self.option(|g| g.bits() as u32),
            fallbacks: self.option(|g| g.list(Self::text)),
            fallback_on: self.option(|g| g.list(Self::text)),
            cache: CacheOptions {
                no_cache: self.flag(),
                refresh: self.flag(),
                max_age_ms: self.option(Self::int),
                ttl_ms: self.option(Self::int),
            },
            coalesce: self.option(Self::flag),
            idempotency_key: self.option(Self::text),
            headers: BTreeMap::new(),
            tags: self.list(|g| (g.text(), g.text())).into_iter().collect(),
            key_id: None,
            max_cost: self.option(|g| NanoUsd(g.int())),
            prices: None,
            traceparent: None,
            trace: self.option(Self::flag),
            priority: self.option(|g| g.bits() as i32),
            patience_ms: self.option(Self::int),
            hedge: self.option(|g| g.bits() & 1 == 1),
            hedge_after_ms: self.option(Self::int),
            safe: self.option(|g| g.bits() & 1 == 1),
            batch: self.option(Self::flag),
            prompt_cache: self.option(|g| {
                g.of(&[
                    PromptCache::Off,
                    PromptCache::Auto,
                    PromptCache::FiveMinutes,
                    PromptCache::OneHour,
                ])
            }),
            unsupported: self.option(|g| g.of(&[Unsupported::Drop, Unsupported::Refuse])),
        }
    }

    fn usage(&mut self) -> Usage {
        Usage {
            input_tokens: self.int(),
            output_tokens: self.int(),
            cache_read_tokens: self.int(),
            cache_write_tokens: self.int(),
            cache_write_1h_tokens: self.int(),
            cache_write_12h_tokens: self.int(),
            reasoning_tokens: self.int(),
            audio_input_tokens: self.int(),
            audio_cache_read_tokens: self.int(),
            audio_output_tokens: self.int(),
            image_input_tokens: self.int(),
            citation_tokens: self.int(),
            web_searches: self.int(),
            service_tier: self.option(Self::text),
            speed: self.option(Self::text),
            region: self.option(Self::text),
            estimated: self.flag(),
        }
    }

    fn cost(&mut self) -> Cost {
        Cost {
            status: self.of(&[
                CostStatus::Exact,
                CostStatus::Estimated,
                CostStatus::Unknown,
            ]),
            total: self.option(|g| NanoUsd(g.int())),
            input_pico: self.int(),
            cache_read_pico: self.int(),
            cache_write_pico: self.int(),
            output_pico: self.int(),
            other_pico: self.int(),
            prompt_cache_saved_pico: i64::from_ne_bytes(self.int().to_ne_bytes()),
            price_version: self.text(),
        }
    }

    fn cache(&mut self) -> CacheOutcome {
        CacheOutcome {
            status: self.of(&[CacheStatus::Hit, CacheStatus::Miss, CacheStatus::Bypass]),
            tier: self.option(|g| {
                g.of(&[
                    CacheTier::Memory,
                    CacheTier::Redis,
                    CacheTier::Disk,
                    CacheTier::Semantic,
                    CacheTier::Orchestrator,
                ])
            }),
            age_ms: self.option(Self::int),
            joined: self.flag(),
            saved: self.option(|g| NanoUsd(g.int())),
            stale: self.flag(),
            similarity: self.option(|g| f64::from(g.bits() as u16) / 65_535.0),
            lookup_cost: self.option(|g| NanoUsd(g.int())),
        }
    }

    fn attempt(&mut self) -> Attempt {
        Attempt {
            error: self.option(|g| g.of(KINDS).kind),
            status: self.option(|g| g.bits() as u16),
            delay_ms: self.int(),
            upstream_request_id: self.option(Self::text),
            duration_us: self.int(),
            model: self.option(Self::text),
            parallel: self.bits() & 1 == 1,
            endpoint: self.option(Self::text),
        }
    }

    fn timing(&mut self) -> Timing {
        Timing {
            queue_us: self.int(),
            first_token_us: self.option(Self::int),
            total_us: self.int(),
            overhead_us: self.int(),
        }
    }

    fn finish_reason(&mut self) -> FinishReason {
        self.of(&[
            FinishReason::Stop,
            FinishReason::Length,
            FinishReason::ToolCalls,
            FinishReason::ContentFilter,
            FinishReason::Refusal,
            FinishReason::Pause,
            FinishReason::Other("vendor_word".into()),
        ])
    }

    pub(crate) fn completion(&mut self) -> Completion {
        let answer = Answer {
            id: self.text(),
            model: self.text(),
            response_model: self.option(Self::text),
            created: self.option(Self::int),
            text: self.text(),
            parts: self.list(|g| match g.below(5) {
                0 => OutputPart::Text { text: g.text() },
                1 => OutputPart::Refusal { text: g.text() },
                2 => OutputPart::Reasoning(g.reasoning_part()),
                3 => OutputPart::ToolCall(g.tool_call()),
                _ => OutputPart::Other(g.json()),
            }),
            finish_reason: self.finish_reason(),
            raw_finish_reason: self.option(Self::text),
            usage: self.usage(),
            raw_usage: self.option(Self::json).map(Into::into),
            upstream_request_id: self.option(Self::text),
            dropped_params: self.list(Self::text),
            extra: self.fields(),
        };
        Completion {
            answer: answer.into(),
            cost: self.cost(),
            cache: self.cache(),
            attempts: self.list(Self::attempt),
            request_id: self.text(),
            timing: self.timing(),
            trace: self.option(|g| Box::new(g.trace())),
            tool_run: None,
        }
    }

    pub(crate) fn event(&mut self) -> StreamEvent {
        let index = self.bits() as u32;
        match self.below(12) {
            0 => StreamEvent::Start {
                id: self.text(),
                response_model: self.option(Self::text),
                created: self.option(Self::int),
            },
            1 => StreamEvent::TextDelta {
                index,
                text: self.text(),
            },
            2 => StreamEvent::RefusalDelta {
                index,
                text: self.text(),
            },
            3 => StreamEvent::ReasoningDelta {
                index,
                text: self.text(),
                signature: self.option(Self::text),
                redacted: self.option(Self::text),
                extra: self.fields(),
            },
            4 => StreamEvent::ToolCallStart {
                index,
                id: self.text(),
                name: self.text(),
                extra: self.fields(),
            },
            5 => StreamEvent::ToolCallDelta {
                index,
                arguments: self.text(),
            },
            6 => StreamEvent::Part {
                index,
                part: self.json(),
            },
            7 => StreamEvent::Usage {
                usage: self.usage(),
                raw: self.option(Self::json).map(Into::into),
            },
            8 => StreamEvent::Finish {
                reason: self.finish_reason(),
                raw: self.option(Self::text),
            },
            9 => StreamEvent::Extra {
                fields: self.fields(),
            },
            10 => StreamEvent::Annotation {
                index,
                field: self.text(),
                annotation: self.json(),
            },
            _ => StreamEvent::End {
                completion: Box::new(self.completion()),
            },
        }
    }

    pub(crate) fn embedding_request(&mut self) -> EmbeddingRequest {
        EmbeddingRequest {
            model: self.text(),
            input: match self.below(4) {
                0 => EmbeddingInput::Text(self.text()),
                1 => EmbeddingInput::Texts(self.list(Self::text)),
                2 => EmbeddingInput::Tokens(self.list(|g| g.bits() as u32)),
                _ => EmbeddingInput::TokenLists(self.list(|g| g.list(|g| g.bits() as u32))),
            },
            dimensions: self.option(|g| g.bits() as u32),
            user: self.option(Self::text),
            extra: self.fields(),
        }
    }

    pub(crate) fn embedding_response(&mut self) -> EmbeddingResponse {
        EmbeddingResponse {
            model: self.text(),
            response_model: self.option(Self::text),
            embeddings: self.list(|g| Embedding {
                index: g.bits() as u32,
                vector: g.list(|g| g.float() as f32),
            }),
            usage: self.usage(),
            raw_usage: self.option(Self::json).map(Into::into),
            cost: self.cost(),
            cache: self.cache(),
            attempts: self.list(Self::attempt),
            request_id: self.text(),
            upstream_request_id: self.option(Self::text),
            timing: self.timing(),
            trace: self.option(|g| Box::new(g.trace())),
        }
    }

    pub(crate) fn model(&mut self) -> ModelInfo {
        ModelInfo {
            id: self.text(),
            created: self.option(Self::int),
            owned_by: self.option(Self::text),
            extra: self.fields(),
        }
    }

    pub(crate) fn error(&mut self) -> Error {
        Error::from_fields(Fields {
            kind: self.of(KINDS).kind,
            message: self.text(),
            retriable: self.flag(),
            field: self.option(Self::text),
            detail: self.option(Self::text),
            retry_after_ms: self.option(Self::int),
            http_status: self.option(|g| g.bits() as u16),
            grpc_code: self.option(|g| g.bits() as i32),
            provider_code: self.option(Self::text),
            provider: self.option(Self::text),
            model: self.option(Self::text),
            request_id: self.option(Self::text),
            upstream_request_id: self.option(Self::text),
            phase: self.option(Self::text),
            scope: self.option(Self::text),
            gave_up: self.option(Self::text),
            budgets: self.list(|g| ossai::BudgetRefusal {
                scope: g.text(),
                tag: g.option(Self::text),
                name: g.option(Self::text),
                window: g.text(),
                unit: g.text(),
                limit: g.int(),
                spent: g.int(),
                held: g.int(),
                asked: g.int(),
                available: g.int(),
                resets_at_ms: g.option(Self::int),
            }),
            billed: self.of(&[Billed::No, Billed::Maybe, Billed::Yes]),
            attempts: self.list(Self::attempt),
            partial: self.option(|g| Box::new(g.completion())),
            trace: self.option(|g| Box::new(g.trace())),
            source: None,
        })
    }
}
