//! What vendors answer: whole, in pieces, as errors, and how they count.

use ossai::call::Fold;
use ossai::cost::usage::{UsageApi, normalise, usage_api};
use ossai::provider::{self, Api, Progress, StreamDecoder};
use ossai::transport::sse::SseParser;
use ossai::{Completion, StreamEvent};
use ossai_proto::v1 as pb;

use super::{check_error, choose};

const APIS: [Api; 3] = [
    Api::OpenAiChat,
    Api::OpenAiResponses,
    Api::AnthropicMessages,
];
const USAGES: [UsageApi; 11] = [
    UsageApi::OpenAiChat,
    UsageApi::OpenAiResponses,
    UsageApi::Anthropic,
    UsageApi::Bedrock,
    UsageApi::Gemini,
    UsageApi::XaiChat,
    UsageApi::XaiResponses,
    UsageApi::Perplexity,
    UsageApi::Cohere,
    UsageApi::OpenAiCompatible,
    UsageApi::OpenAiEmbedding,
];

fn counting(api: Api) -> UsageApi {
    usage_api("openai", api)
}

/// A part never exceeds its whole, whoever counts.
pub fn usage(input: &[u8]) {
    let Some((api, json)) = choose(input, USAGES.len()) else {
        return;
    };
    if let Ok(raw) = serde_json::from_slice(json) {
        let usage = normalise(USAGES[api], &raw);
        assert!(usage.cache_read_tokens <= usage.input_tokens, "{usage:?}");
        assert!(usage.cache_write_tokens <= usage.input_tokens, "{usage:?}");
        assert!(
            usage.cache_write_1h_tokens <= usage.cache_write_tokens,
            "{usage:?}"
        );
        assert!(usage.reasoning_tokens <= usage.output_tokens, "{usage:?}");
    }
}

/// What was read is the same after JSON and after gRPC.
fn check_answer(answer: &Completion) {
    let json = serde_json::to_string(answer).expect("an answer is written");
    let back: Completion = serde_json::from_str(&json).expect("and read again");
    assert_eq!(*answer, back);
    let message = pb::Completion::from(answer);
    assert_eq!(Completion::try_from(message).as_ref(), Ok(answer));
}

/// A body that should be an answer, vectors or a listing.
pub fn whole(input: &[u8]) {
    let Some((what, body)) = choose(input, 5) else {
        return;
    };
    let failed = match what {
        3 => provider::decode_embedding(body, 2).err(),
        4 => provider::decode_models(body).err(),
        at => match provider::decode_completion(APIS[at], counting(APIS[at]), body) {
            Ok(answer) => {
                check_answer(&answer);
                None
            }
            Err(error) => Some(error),
        },
    };
    if let Some(error) = failed {
        check_error(&error);
    }
}

fn read<'a>(api: Api, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<StreamEvent>, bool) {
    let mut parser = SseParser::new(1 << 16);
    let mut decoder = StreamDecoder::new(api, counting(api));
    let (mut out, mut done) = (Vec::new(), false);
    for piece in pieces {
        let outcome = parser.feed(piece, |event| {
            if !done {
                done = decoder.push(&event, &mut out)? == Progress::Done;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            check_error(&error);
            return (out, false);
        }
        if done {
            return (out, true);
        }
    }
    match decoder.end(&mut out) {
        Ok(()) => (out, true),
        Err(error) => {
            check_error(&error);
            (out, false)
        }
    }
}

/// A stream, its events and the answer they fold to, which do not depend on where it was cut.
pub fn streamed(input: &[u8]) {
    let Some((api, stream)) = choose(input, APIS.len()) else {
        return;
    };
    let (events, whole) = read(APIS[api], std::iter::once(stream));
    assert_eq!(
        read(APIS[api], stream.chunks(7)),
        (events.clone(), whole),
        "pieces of 7"
    );
    let mut fold = Fold::new();
    for event in events {
        if let Err(error) = fold.push(&event) {
            check_error(&error);
            return;
        }
    }
    check_answer(&fold.partial());
    if whole {
        check_answer(&fold.finish());
    }
}

/// A body with a status that is none of success.
pub fn error(input: &[u8]) {
    let Some((api, rest)) = choose(input, APIS.len()) else {
        return;
    };
    let Some((status, rest)) = rest.split_first_chunk::<2>() else {
        return;
    };
    let (id, body) = rest.split_at(rest.iter().position(|b| *b == b'\n').unwrap_or(0));
    let id = String::from_utf8_lossy(id).into_owned();
    let status = u16::from_be_bytes(*status) % 600;
    check_error(&provider::decode_error(
        APIS[api],
        status,
        &|_| Some(id.clone()),
        body,
    ));
    if let Ok(value) = serde_json::from_slice(body) {
        check_error(&provider::decode_stream_error(APIS[api], &value));
    }
}
