//! Messages of another program over gRPC: refused with the field's name, or read, written and read as the same again.

use std::fmt::Debug;

use ossai::transport::convert::{
    ConvertError, error_from_status, event_message, options_message, read_event, should_retry,
};
use ossai::{
    CallOptions, Completion, CompletionRequest, EmbeddingRequest, EmbeddingResponse, ModelInfo,
};
use ossai_proto::v1 as pb;
use prost::Message;
use tonic::Status;

use super::{check_error, choose};

/// A number that is none equals nothing, itself included, but is shown as itself.
fn same<T: PartialEq + Debug>(a: &T, b: &T) {
    if a != b {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

fn check<P, T>(bytes: &[u8])
where
    P: Message + Default + for<'a> From<&'a T>,
    T: TryFrom<P, Error = ConvertError> + PartialEq + Debug,
{
    let Ok(message) = P::decode(bytes) else {
        return;
    };
    match T::try_from(message) {
        Ok(value) => same(&T::try_from(P::from(&value)), &Ok(value)),
        Err(fault) => {
            assert!(!fault.field.is_empty() && !fault.expected.is_empty());
            check_error(&fault.clone().invalid_request());
            check_error(&fault.decode_error());
        }
    }
}

pub fn messages(input: &[u8]) {
    let Some((which, bytes)) = choose(input, 7) else {
        return;
    };
    match which {
        0 => check::<pb::CompletionRequest, CompletionRequest>(bytes),
        1 => check::<pb::Completion, Completion>(bytes),
        2 => check::<pb::EmbeddingRequest, EmbeddingRequest>(bytes),
        3 => check::<pb::EmbeddingResult, EmbeddingResponse>(bytes),
        4 => check::<pb::Model, ModelInfo>(bytes),
        5 => {
            if let Ok(message) = pb::CallOptions::decode(bytes) {
                // The time a call has goes beside the message, as metadata.
                let options = CallOptions {
                    timeout_ms: None,
                    ..CallOptions::from(message)
                };
                same(&CallOptions::from(options_message(&options)), &options);
            }
        }
        _ => {
            let Ok(message) = pb::StreamCompletionResponse::decode(bytes) else {
                return;
            };
            let Some(Ok(Some(event))) = message.event.map(read_event) else {
                return;
            };
            let again = event_message(message.sequence, &event);
            same(&again.event.map(read_event), &Some(Ok(Some(event))));
        }
    }
}

/// A status with details of any server.
pub fn status(input: &[u8]) {
    let Some((code, details)) = choose(input, 17) else {
        return;
    };
    let code = tonic::Code::from_i32(i32::try_from(code).unwrap_or(2));
    let error = error_from_status(Status::with_details(code, "said", details.to_vec().into()));
    let _ = should_retry(&error);
    assert!(serde_json::to_string(&error).is_ok());
    assert!(!format!("{error}{error:?}").is_empty());
}
