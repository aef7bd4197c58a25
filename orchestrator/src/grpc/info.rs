//! Models, token counts and estimates.

use ossai::cost::Estimate;
use ossai::tokens::Encoding;
use ossai::{
    CompletionRequest, Cost, CostStatus, Error, ErrorKind, EstimateOptions, NanoUsd, Result,
    TokenCount,
};
use ossai_proto::v1 as pb;
use pb::cost_service_server::CostService;
use pb::model_service_server::ModelService;
use pb::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use super::{Desk, enter, page, read, reply, status};
use crate::http::{check_messages, off_thread};

/// Models of a page, and the most one can ask for.
const MODELS: usize = 500;
const MAX_MODELS: usize = 1000;

#[tonic::async_trait]
impl ModelService for Desk {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let (skip, size) = page(message.page_size, &message.page_token, MODELS, MAX_MODELS)?;
            let models = self.0.models.get(&self.0, &caller, None).await?;
            let mut models: Vec<_> = models.iter().collect();
            models.sort_by(|a, b| a.id.cmp(&b.id));
            let end = skip.saturating_add(size);
            let more = models.len() > end;
            Ok(reply(pb::ListModelsResponse {
                models: models
                    .into_iter()
                    .skip(skip)
                    .take(size)
                    .map(Into::into)
                    .collect(),
                next_page_token: if more { end.to_string() } else { String::new() },
            }))
        };
        run.await.map_err(status)
    }
}

#[tonic::async_trait]
impl TokenService for Desk {
    async fn count_tokens(
        &self,
        request: Request<pb::CountTokensRequest>,
    ) -> Result<Response<pb::CountTokensResponse>, Status> {
        use pb::count_tokens_request::Input;
        let (caller, _, message) = enter(request)?;
        let run = async {
            let client = self.0.clients.get(&caller.identity.tenant)?;
            let count = match message.input {
                None => return Err(Error::invalid("input", "expected `text` or `request`")),
                Some(Input::Text(text)) => match Encoding::get(&message.model) {
                    Some(encoding) => off_thread(move || Ok(exact(encoding, &text))).await?,
                    None => {
                        let model = self.0.full_model_name(&message.model)?;
                        off_thread(move || Ok(client.count_text(&model, &text))).await?
                    }
                },
                Some(Input::Request(request)) => {
                    let mut request: CompletionRequest = read(Some(request), "request")?;
                    if request.model.is_empty() {
                        request.model = message.model;
                    }
                    check_messages(&self.0, &request)?;
                    request.model = self.0.full_model_name(&request.model)?;
                    off_thread(move || client.count(&request)).await?
                }
            };
            Ok(reply(pb::CountTokensResponse {
                count: Some(token_count(count)),
            }))
        };
        run.await.map_err(status)
    }
}

fn exact(encoding: &Encoding, text: &str) -> TokenCount {
    let tokens = encoding.count(text) as u64;
    TokenCount {
        tokens,
        low: tokens,
        high: tokens,
        exact: true,
        encoding: encoding.name().into(),
    }
}

fn token_count(count: TokenCount) -> pb::TokenCount {
    let TokenCount {
        tokens,
        low,
        high,
        exact,
        encoding,
    } = count;
    pb::TokenCount {
        tokens,
        exact,
        low,
        high,
        encoding,
    }
}

#[tonic::async_trait]
impl CostService for Desk {
    async fn estimate_cost(
        &self,
        request: Request<pb::EstimateCostRequest>,
    ) -> Result<Response<pb::EstimateCostResponse>, Status> {
        use pb::estimate_cost_request::Input;
        let (caller, _, message) = enter(request)?;
        let run = async {
            let client = self.0.clients.get(&caller.identity.tenant)?;
            let request = match message.input {
                None => {
                    return Err(Error::invalid(
                        "input",
                        "expected `completion` or `embedding`",
                    ));
                }
                Some(Input::Embedding(_)) => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "embeddings cannot be estimated yet",
                    ));
                }
                Some(Input::Completion(request)) => {
                    self.named(read(Some(request), "completion")?)?
                }
            };
            let options = EstimateOptions {
                output_tokens: message.expected_output_tokens,
                ..EstimateOptions::default()
            };
            let (count, estimate) = off_thread(move || {
                Ok((
                    client.count(&request)?,
                    client.estimate(&request, &options)?,
                ))
            })
            .await?;
            Ok(reply(estimate_message(count, &estimate)))
        };
        run.await.map_err(status)
    }
}

impl Desk {
    fn named(&self, mut request: CompletionRequest) -> Result<CompletionRequest> {
        check_messages(&self.0, &request)?;
        request.model = self.0.full_model_name(&request.model)?;
        Ok(request)
    }
}

fn estimate_message(count: TokenCount, estimate: &Estimate) -> pb::EstimateCostResponse {
    let cost = |total: Option<NanoUsd>| {
        let status = if total.is_some() {
            CostStatus::Estimated
        } else {
            CostStatus::Unknown
        };
        let cost = Cost {
            status,
            total,
            price_version: estimate.price_version.clone(),
            ..Cost::default()
        };
        Some(pb::Cost::from(&cost))
    };
    let tokens = &estimate.output_tokens;
    pb::EstimateCostResponse {
        input: Some(token_count(count)),
        low_output_tokens: tokens.low.unwrap_or(0),
        expected_output_tokens: tokens.expected.unwrap_or(0),
        high_output_tokens: tokens.high.unwrap_or(0),
        low: cost(estimate.low),
        expected: cost(estimate.expected),
        high: cost(estimate.high),
    }
}
