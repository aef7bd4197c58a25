//! Prints what reading one stream event costs, in nanoseconds. Run with `--release`.

use std::hint::black_box;
use std::time::Instant;

use ossai::cost::usage::UsageApi;
use ossai::provider::{Api, StreamDecoder};
use ossai::transport::sse::SseEvent;

const CHAT: &str = r#"{"id":"chatcmpl-BhKQlzp2q9vJXn6Qx1uZ3s8dQeZ5W","object":"chat.completion.chunk","created":1795000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_62a23a81ef","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"a1B2c3D4e5F6g7"}"#;
const CHAT_BARE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"llama","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
const CHAT_TOOL: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":"{\"a\""}}]},"finish_reason":null}]}"#;
const RESPONSES: &str = r#"{"type":"response.output_text.delta","sequence_number":17,"item_id":"msg_68a1f0c2a1b48197b1c1f0a2d3e4f5a6","output_index":1,"content_index":0,"delta":" token","logprobs":[],"obfuscation":"a1B2c3D4e5"}"#;
const ANTHROPIC: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" token"}}"#;
const ANTHROPIC_START: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;

fn main() {
    run("openai_chat text", Api::OpenAiChat, None, CHAT);
    run(
        "openai_chat text, compatible server",
        Api::OpenAiChat,
        None,
        CHAT_BARE,
    );
    run(
        "openai_chat tool arguments",
        Api::OpenAiChat,
        None,
        CHAT_TOOL,
    );
    run(
        "openai_responses text",
        Api::OpenAiResponses,
        None,
        RESPONSES,
    );
    run(
        "anthropic_messages text",
        Api::AnthropicMessages,
        Some(ANTHROPIC_START),
        ANTHROPIC,
    );
}

fn run(name: &str, api: Api, first: Option<&str>, data: &str) {
    // Short batches, the best of many: a busy machine interrupts long ones.
    const ROUNDS: u32 = 1_000;
    let mut best = f64::INFINITY;
    for _ in 0..500 {
        let mut decoder = StreamDecoder::new(api, UsageApi::OpenAiChat);
        let mut out = Vec::new();
        let event = |data| SseEvent {
            event: "",
            data,
            id: None,
        };
        if let Some(first) = first {
            decoder
                .push(&event(first), &mut out)
                .unwrap_or_else(|e| panic!("{e}"));
        }
        let start = Instant::now();
        for _ in 0..ROUNDS {
            out.clear();
            decoder
                .push(black_box(&event(data)), &mut out)
                .unwrap_or_else(|e| panic!("{e}"));
            black_box(&out);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    println!("{name:<40} {best:>7.0} ns/event ({} bytes)", data.len());
}
