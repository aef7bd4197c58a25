//! Embeddings and models.

use ossai_proto::v1 as pb;

use super::{
    ConvertError, Converted, extra_text, read_each, read_extra, read_json_option, write_each,
};
use crate::types::{Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, ModelInfo};

impl From<&EmbeddingRequest> for pb::EmbeddingRequest {
    fn from(request: &EmbeddingRequest) -> Self {
        use pb::embedding_request::Input;
        let EmbeddingRequest {
            model,
            input,
            dimensions,
            user,
            extra,
        } = request;
        Self {
            model: model.clone(),
            input: Some(match input {
                EmbeddingInput::Text(text) => Input::Text(text.clone()),
                EmbeddingInput::Texts(texts) => Input::Texts(pb::TextList {
                    texts: texts.clone(),
                }),
                EmbeddingInput::Tokens(tokens) => Input::Tokens(pb::TokenList {
                    tokens: tokens.clone(),
                }),
                EmbeddingInput::TokenLists(lists) => Input::TokenLists(pb::TokenLists {
                    lists: lists
                        .iter()
                        .map(|tokens| pb::TokenList {
                            tokens: tokens.clone(),
                        })
                        .collect(),
                }),
            }),
            dimensions: *dimensions,
            user: user.clone(),
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::EmbeddingRequest> for EmbeddingRequest {
    type Error = ConvertError;

    fn try_from(request: pb::EmbeddingRequest) -> Converted<Self> {
        use pb::embedding_request::Input;
        let pb::EmbeddingRequest {
            model,
            input,
            dimensions,
            user,
            extra_json,
        } = request;
        Ok(Self {
            model,
            input: match input {
                Some(Input::Text(text)) => EmbeddingInput::Text(text),
                Some(Input::Texts(list)) => EmbeddingInput::Texts(list.texts),
                Some(Input::Tokens(list)) => EmbeddingInput::Tokens(list.tokens),
                Some(Input::TokenLists(lists)) => EmbeddingInput::TokenLists(
                    lists.lists.into_iter().map(|list| list.tokens).collect(),
                ),
                None => {
                    return Err(ConvertError::new("input", "expected text, texts or tokens"));
                }
            },
            dimensions,
            user,
            extra: read_extra(&extra_json, "extra")?,
        })
    }
}

impl From<&EmbeddingResponse> for pb::EmbeddingResult {
    fn from(response: &EmbeddingResponse) -> Self {
        let EmbeddingResponse {
            model,
            response_model,
            embeddings,
            usage,
            raw_usage,
            cost,
            cache,
            attempts,
            request_id,
            upstream_request_id,
            timing,
            trace,
        } = response;
        Self {
            model: model.clone(),
            response_model: response_model.clone(),
            embeddings: embeddings
                .iter()
                .map(|Embedding { index, vector }| pb::Embedding {
                    index: *index,
                    vector: vector.clone(),
                })
                .collect(),
            usage: Some(usage.into()),
            raw_usage_json: raw_usage.as_ref().map(ToString::to_string),
            cost: Some(cost.into()),
            cache: Some(cache.into()),
            attempts: write_each(attempts),
            request_id: request_id.clone(),
            upstream_request_id: upstream_request_id.clone(),
            timing: Some(timing.into()),
            trace: trace.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<pb::EmbeddingResult> for EmbeddingResponse {
    type Error = ConvertError;

    fn try_from(result: pb::EmbeddingResult) -> Converted<Self> {
        let pb::EmbeddingResult {
            model,
            response_model,
            embeddings,
            usage,
            raw_usage_json,
            cost,
            cache,
            attempts,
            request_id,
            upstream_request_id,
            timing,
            trace,
        } = result;
        Ok(Self {
            model,
            response_model,
            embeddings: embeddings
                .into_iter()
                .map(|pb::Embedding { index, vector }| Embedding { index, vector })
                .collect(),
            usage: usage.unwrap_or_default().into(),
            raw_usage: read_json_option(raw_usage_json, "raw_usage")?,
            cost: cost.unwrap_or_default().into(),
            cache: cache.unwrap_or_default().into(),
            attempts: read_each(attempts, "attempts")?,
            request_id,
            upstream_request_id,
            timing: timing.unwrap_or_default().into(),
            trace: trace.map(|trace| Box::new(trace.into())),
        })
    }
}

impl From<&ModelInfo> for pb::Model {
    fn from(model: &ModelInfo) -> Self {
        let ModelInfo {
            id,
            created,
            owned_by,
            extra,
        } = model;
        Self {
            id: id.clone(),
            created: *created,
            owned_by: owned_by.clone(),
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::Model> for ModelInfo {
    type Error = ConvertError;

    fn try_from(model: pb::Model) -> Converted<Self> {
        let pb::Model {
            id,
            created,
            owned_by,
            extra_json,
        } = model;
        Ok(Self {
            id,
            created,
            owned_by,
            extra: read_extra(&extra_json, "extra")?,
        })
    }
}
