//! Vendors' error bodies and the kinds they mean.

#![allow(clippy::unwrap_used)]

use ossai::ErrorKind::{self, *};
use ossai::cost::usage::UsageApi;
use ossai::provider::{Api, StreamDecoder, decode_completion, decode_error, decode_stream_error};
use ossai::transport::sse::SseEvent;
use serde_json::json;

fn read(api: Api, status: u16, body: &str) -> ossai::Error {
    decode_error(api, status, &|_| None, body.as_bytes())
}

/// Status, body, kind, vendor's code.
const OPENAI: &[(u16, &str, ErrorKind, Option<&str>)] = &[
    (
        401,
        r#"{"error":{"message":"Incorrect API key provided: sk-abc1********wxyz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        Authentication,
        Some("invalid_api_key"),
    ),
    (
        401,
        r#"{"error":{"message":"You didn't provide an API key.","type":"invalid_request_error","param":null,"code":null}}"#,
        Authentication,
        Some("invalid_request_error"),
    ),
    (
        400,
        r#"{"error":{"message":"Invalid value: 'x'.","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}"#,
        InvalidRequest,
        Some("invalid_value"),
    ),
    (
        400,
        r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ContextLengthExceeded,
        Some("context_length_exceeded"),
    ),
    (
        403,
        r#"{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}"#,
        PermissionDenied,
        Some("unsupported_country_region_territory"),
    ),
    (
        404,
        r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
        NotFound,
        Some("model_not_found"),
    ),
    (
        404,
        r#"{"error":{"message":"Invalid URL (POST /v1/x)","type":"invalid_request_error","param":null,"code":null}}"#,
        NotFound,
        Some("invalid_request_error"),
    ),
    (
        429,
        r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-abc on tokens per min.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
        RateLimited,
        Some("rate_limit_exceeded"),
    ),
    (
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        QuotaExhausted,
        Some("insufficient_quota"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"insufficient_quota","code":null}}"#,
        QuotaExhausted,
        Some("insufficient_quota"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"requests","code":"credit_balance_exhausted"}}"#,
        QuotaExhausted,
        Some("credit_balance_exhausted"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"requests","code":"organization_spend_limit_exceeded"}}"#,
        QuotaExhausted,
        Some("organization_spend_limit_exceeded"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"requests","code":"project_spend_limit_exceeded"}}"#,
        QuotaExhausted,
        Some("project_spend_limit_exceeded"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"requests","code":"organization_usage_limit_exceeded"}}"#,
        QuotaExhausted,
        Some("organization_usage_limit_exceeded"),
    ),
    (
        400,
        r#"{"error":{"message":"blocked","type":"image_generation_user_error","param":null,"code":"moderation_blocked"}}"#,
        ContentFiltered,
        Some("moderation_blocked"),
    ),
    (
        400,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        ContentFiltered,
        Some("content_filter"),
    ),
    (
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        NotFound,
        Some("DeploymentNotFound"),
    ),
    (
        429,
        r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded call rate limit."}}"#,
        RateLimited,
        None,
    ),
    (
        500,
        r#"{"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}"#,
        UpstreamError,
        Some("server_error"),
    ),
    (
        503,
        r#"{"error":{"message":"That model is currently overloaded with other requests.","type":"server_error","param":null,"code":null}}"#,
        Overloaded,
        Some("server_error"),
    ),
    (
        503,
        r#"{"error":{"message":"Slow down","type":"server_error","param":null,"code":"slow_down"}}"#,
        Overloaded,
        Some("slow_down"),
    ),
    (408, "", UpstreamError, None),
    (
        409,
        r#"{"error":{"message":"x","type":"conflict","param":null,"code":null}}"#,
        Conflict,
        Some("conflict"),
    ),
    (413, "", RequestTooLarge, None),
    (501, "", Unsupported, None),
];

const ANTHROPIC: &[(u16, &str, ErrorKind, Option<&str>)] = &[
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}"#,
        InvalidRequest,
        Some("invalid_request_error"),
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 205000 tokens > 200000 maximum"}}"#,
        ContextLengthExceeded,
        Some("invalid_request_error"),
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#,
        ContextLengthExceeded,
        Some("invalid_request_error"),
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
        QuotaExhausted,
        Some("invalid_request_error"),
    ),
    (
        401,
        r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
        Authentication,
        Some("authentication_error"),
    ),
    (
        402,
        r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#,
        QuotaExhausted,
        Some("billing_error"),
    ),
    (
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"x"}}"#,
        PermissionDenied,
        Some("permission_error"),
    ),
    (
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}"#,
        NotFound,
        Some("not_found_error"),
    ),
    (
        409,
        r#"{"type":"error","error":{"type":"conflict_error","message":"x"}}"#,
        Conflict,
        Some("conflict_error"),
    ),
    (
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
        RequestTooLarge,
        Some("request_too_large"),
    ),
    (
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
        RateLimited,
        Some("rate_limit_error"),
    ),
    (
        500,
        r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
        UpstreamError,
        Some("api_error"),
    ),
    (
        504,
        r#"{"type":"error","error":{"type":"timeout_error","message":"x"}}"#,
        UpstreamError,
        Some("timeout_error"),
    ),
    (
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Overloaded,
        Some("overloaded_error"),
    ),
];

const SERVERS: &[(u16, &str, ErrorKind, Option<&str>)] = &[
    // vLLM, by version.
    (
        400,
        r#"{"object":"error","message":"max_tokens must be at least 1, got -186.","type":"BadRequestError","param":null,"code":400}"#,
        InvalidRequest,
        Some("BadRequestError"),
    ),
    (
        400,
        r#"{"error":{"message":"You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens.","type":"BadRequestError","param":"input_tokens","code":400}}"#,
        ContextLengthExceeded,
        Some("BadRequestError"),
    ),
    (
        400,
        r#"{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}"#,
        ContextLengthExceeded,
        Some("BadRequestError"),
    ),
    (
        404,
        r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":"model","code":404}}"#,
        NotFound,
        Some("NotFoundError"),
    ),
    // Ollama, its own address and the compatible one.
    (404, r#"{"error":"model 'x' not found"}"#, NotFound, None),
    (
        404,
        r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}"#,
        NotFound,
        Some("not_found_error"),
    ),
    (
        400,
        r#"{"error":{"message":"invalid message format","type":"invalid_request_error","param":null,"code":null}}"#,
        InvalidRequest,
        Some("invalid_request_error"),
    ),
    // llama.cpp
    (
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}"#,
        ContextLengthExceeded,
        Some("exceed_context_size_error"),
    ),
    (
        503,
        r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
        Overloaded,
        Some("unavailable_error"),
    ),
    (
        401,
        r#"{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}"#,
        Authentication,
        Some("authentication_error"),
    ),
    // FastAPI
    (404, r#"{"detail":"Not Found"}"#, NotFound, None),
    (
        422,
        r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"field required","type":"value_error.missing"}]}"#,
        InvalidRequest,
        None,
    ),
    // Others
    (
        400,
        r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
        InvalidRequest,
        Some("INVALID_ARGUMENT"),
    ),
    (
        429,
        r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}"#,
        RateLimited,
        Some("RESOURCE_EXHAUSTED"),
    ),
    (
        400,
        r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 200000 tokens."}"#,
        ContextLengthExceeded,
        Some("Client specified an invalid argument"),
    ),
    (
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        QuotaExhausted,
        Some("invalid_request_error"),
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"exceeded_current_quota_error"}}"#,
        QuotaExhausted,
        Some("exceeded_current_quota_error"),
    ),
    (
        429,
        r#"{"error":{"message":"The engine is currently overloaded","type":"engine_overloaded_error"}}"#,
        Overloaded,
        Some("engine_overloaded_error"),
    ),
    (
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error","param":null,"code":null}"#,
        InvalidRequest,
        Some("invalid_request_error"),
    ),
    (
        402,
        r#"{"error":{"message":"the budget of tenant t is used up","type":"invalid_request_error","code":"budget_exceeded"}}"#,
        BudgetExceeded,
        Some("budget_exceeded"),
    ),
    (
        502,
        "<html><head><title>502 Bad Gateway</title></head></html>",
        UpstreamError,
        None,
    ),
    (
        403,
        "<!DOCTYPE html><html>Just a moment...</html>",
        PermissionDenied,
        None,
    ),
    (404, "404 page not found", NotFound, None),
    (500, "", UpstreamError, None),
    (400, "{\"error\":", InvalidRequest, None),
    (500, "null", UpstreamError, None),
    (418, "\"x\"", InvalidRequest, None),
];

#[test]
fn every_vendors_errors_have_their_kind_and_code() {
    let tables = [
        (Api::OpenAiChat, OPENAI),
        (Api::OpenAiResponses, OPENAI),
        (Api::AnthropicMessages, ANTHROPIC),
        (Api::OpenAiChat, SERVERS),
    ];
    for (api, table) in tables {
        for (status, body, kind, code) in table {
            let error = read(api, *status, body);
            assert_eq!(error.kind(), *kind, "{status} {body}");
            let fields = error.fields();
            assert_eq!(fields.provider_code.as_deref(), *code, "{status} {body}");
            assert_eq!(fields.http_status, Some(*status));
            assert_eq!(fields.retriable, kind.row().retriable);
            assert!(!fields.message.is_empty());
        }
    }
}

#[test]
fn a_message_is_the_vendors_own_words_without_keys_and_bounded() {
    let error = read(Api::OpenAiChat, 401, OPENAI[0].1);
    assert_eq!(
        error.fields().message,
        "Incorrect API key provided: [redacted]"
    );
    let body = json!({"error": {"message": "é".repeat(5000)}}).to_string();
    assert!(
        read(Api::OpenAiChat, 400, &body)
            .fields()
            .message
            .chars()
            .count()
            <= 501
    );
    let detail = read(Api::OpenAiChat, 422, SERVERS[11].1);
    assert_eq!(
        detail.fields().message,
        "body.messages.0.role: field required"
    );
    assert_eq!(
        read(Api::OpenAiChat, 404, r#"{"error":"model 'x' not found"}"#)
            .fields()
            .message,
        "model 'x' not found"
    );
    assert_eq!(
        read(Api::OpenAiChat, 500, "").fields().message,
        "the provider answered with status 500"
    );
    let page = read(Api::OpenAiChat, 502, "<html>secret</html>")
        .fields()
        .message
        .clone();
    assert!(!page.contains("secret") && page.contains("page"), "{page}");
}

#[test]
fn the_wrong_field_is_named_where_the_vendor_names_it() {
    let error = read(Api::OpenAiChat, 400, OPENAI[2].1);
    assert_eq!(error.fields().field.as_deref(), Some("messages[0].role"));
}

#[test]
fn the_request_id_comes_from_the_header_or_the_body() {
    let header = |name: &str| (name == "request-id").then(|| "req_header".to_owned());
    let error = decode_error(
        Api::AnthropicMessages,
        400,
        &header,
        ANTHROPIC[0].1.as_bytes(),
    );
    assert_eq!(
        error.fields().upstream_request_id.as_deref(),
        Some("req_header")
    );
    let error = read(Api::AnthropicMessages, 400, ANTHROPIC[0].1);
    assert_eq!(
        error.fields().upstream_request_id.as_deref(),
        Some("req_011CSHoEeqs5C35K2UUqR7Fy")
    );
    let hostile = |_: &str| Some("a\r\nb".to_owned());
    assert_eq!(
        decode_error(Api::OpenAiChat, 400, &hostile, b"")
            .fields()
            .upstream_request_id,
        None
    );
}

#[test]
fn errors_inside_a_stream_have_the_same_kinds() {
    let cases = [
        (
            Api::AnthropicMessages,
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Overloaded,
        ),
        (
            Api::AnthropicMessages,
            "error",
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
            RateLimited,
        ),
        (
            Api::AnthropicMessages,
            "error",
            r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
            UpstreamError,
        ),
        (
            Api::AnthropicMessages,
            "error",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#,
            ContextLengthExceeded,
        ),
        (
            Api::OpenAiChat,
            "",
            r#"{"error":{"message":"x","type":"server_error","code":null}}"#,
            UpstreamError,
        ),
        (
            Api::OpenAiChat,
            "",
            r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            QuotaExhausted,
        ),
        (
            Api::OpenAiChat,
            "",
            r#"{"id":"gen-1","error":{"code":502,"message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            UpstreamError,
        ),
        (
            Api::OpenAiChat,
            "",
            r#"{"error":{"code":429,"message":"x"}}"#,
            RateLimited,
        ),
        (Api::OpenAiChat, "", r#"{"error":"boom"}"#, UpstreamError),
        (
            Api::OpenAiChat,
            "",
            r#"{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}"#,
            InvalidRequest,
        ),
        (Api::OpenAiChat, "error", r#"not json"#, UpstreamError),
        (
            Api::OpenAiResponses,
            "error",
            r#"{"type":"error","code":"rate_limit_exceeded","message":"x","param":null,"sequence_number":1}"#,
            RateLimited,
        ),
        (
            Api::OpenAiResponses,
            "error",
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"x"}}"#,
            ContextLengthExceeded,
        ),
        (
            Api::OpenAiResponses,
            "response.failed",
            r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}}"#,
            UpstreamError,
        ),
        (
            Api::OpenAiResponses,
            "response.failed",
            r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"invalid_prompt","message":"x"},"output":[]}}"#,
            InvalidRequest,
        ),
    ];
    for (api, event, data, kind) in cases {
        let mut decoder = StreamDecoder::new(api, UsageApi::OpenAiChat);
        let error = decoder
            .push(
                &SseEvent {
                    event,
                    data,
                    id: None,
                },
                &mut Vec::new(),
            )
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{data}");
        if let Ok(value) = serde_json::from_str(data) {
            assert_eq!(decode_stream_error(api, &value).kind(), kind, "{data}");
        }
    }
}

#[test]
fn an_error_in_a_successful_answer_is_an_error() {
    for (api, body, kind) in [
        (
            Api::OpenAiChat,
            r#"{"error":{"message":"x","code":429}}"#,
            RateLimited,
        ),
        (
            Api::AnthropicMessages,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
            Overloaded,
        ),
        (
            Api::OpenAiResponses,
            r#"{"id":"r","status":"failed","error":{"code":"rate_limit_exceeded","message":"x"},"output":[]}"#,
            RateLimited,
        ),
        (Api::OpenAiChat, r#"{"id":"x","choices":[]}"#, DecodeError),
        (Api::OpenAiChat, r#"{"id":"x"}"#, DecodeError),
        (Api::OpenAiResponses, "{}", DecodeError),
        (Api::AnthropicMessages, "{}", DecodeError),
        (Api::AnthropicMessages, "[1]", DecodeError),
    ] {
        let error = decode_completion(api, UsageApi::OpenAiChat, body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
    }
}

#[test]
fn unreadable_answers_are_decode_errors_that_do_not_quote_them() {
    for api in [
        Api::OpenAiChat,
        Api::OpenAiResponses,
        Api::AnthropicMessages,
    ] {
        for body in [
            "",
            "secret",
            r#"{"choices":"secret"}"#,
            r#"{"choices":[{"message":{"tool_calls":"secret"}}]}"#,
        ] {
            let error = decode_completion(api, UsageApi::OpenAiChat, body.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), DecodeError, "{body}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            decode_completion(api, UsageApi::OpenAiChat, deep.as_bytes())
                .unwrap_err()
                .kind(),
            DecodeError
        );
    }
}

#[test]
fn only_the_exact_sentinel_ends_a_chat_stream() {
    let chunk = r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    for forged in [" [DONE]", "[DONE] ", "[done]", "[DONE]x", "\"[DONE]\""] {
        let mut decoder = StreamDecoder::new(Api::OpenAiChat, UsageApi::OpenAiChat);
        let mut out = Vec::new();
        decoder
            .push(
                &SseEvent {
                    event: "",
                    data: chunk,
                    id: None,
                },
                &mut out,
            )
            .unwrap();
        let error = decoder
            .push(
                &SseEvent {
                    event: "",
                    data: forged,
                    id: None,
                },
                &mut out,
            )
            .unwrap_err();
        assert_eq!(error.kind(), DecodeError, "{forged}");
    }
    let mut decoder = StreamDecoder::new(Api::OpenAiChat, UsageApi::OpenAiChat);
    let done = SseEvent {
        event: "",
        data: "[DONE]",
        id: None,
    };
    assert_eq!(
        decoder.push(&done, &mut Vec::new()).unwrap_err().kind(),
        DecodeError
    );
}
