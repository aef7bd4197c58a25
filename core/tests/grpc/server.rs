//! An orchestrator for the tests, over the generated traits: its models do what their names say.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, future::pending, stream};
use ossai::error::{Error, ErrorKind};
use ossai::transport::convert::{check_protocol, event_message, status_from_error};
use ossai::types::*;
use ossai_proto::v1 as pb;
use pb::completion_service_server::{CompletionService, CompletionServiceServer};
use pb::embedding_service_server::{EmbeddingService, EmbeddingServiceServer};
use pb::model_service_server::{ModelService, ModelServiceServer};
use pb::stream_completion_response::Event;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming};
use tonic::{Request, Response, Status};

/// What the server saw.
pub(crate) enum Seen {
    Call(MetadataMap, Box<pb::CallOptions>),
    /// A call was given up before it ended.
    Dropped,
}

#[derive(Clone)]
struct Desk(UnboundedSender<Seen>, Going);

/// The connection on which the orchestrator is shutting down: the first that asked for `test/going`.
type Going = Arc<std::sync::OnceLock<Option<SocketAddr>>>;

struct Guard(UnboundedSender<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(Seen::Dropped);
    }
}

/// Starts it, with TLS when there is an identity.
pub(crate) async fn start(identity: Option<Identity>) -> (SocketAddr, UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = unbounded_channel();
    let desk = Arc::new(Desk(sender, Going::default()));
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder();
    if let Some(identity) = identity {
        server = server
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap();
    }
    let server = server
        .add_service(CompletionServiceServer::from_arc(desk.clone()))
        .add_service(EmbeddingServiceServer::from_arc(desk.clone()))
        .add_service(ModelServiceServer::from_arc(desk))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    (address, seen)
}

impl Desk {
    fn see(&self, metadata: &MetadataMap, options: Option<pb::CallOptions>) -> Result<(), Status> {
        check_protocol(metadata).map_err(|error| status_from_error(&error))?;
        let _ = self.0.send(Seen::Call(
            metadata.clone(),
            Box::new(options.unwrap_or_default()),
        ));
        Ok(())
    }

    async fn hang(&self) {
        let _guard = Guard(self.0.clone());
        pending().await
    }
}

fn read(request: Option<pb::CompletionRequest>) -> Result<CompletionRequest, Status> {
    request
        .ok_or_else(|| Error::invalid("request", "expected a request"))
        .and_then(|request| {
            request
                .try_into()
                .map_err(|e: ossai::transport::convert::ConvertError| e.invalid_request())
        })
        .map_err(|error| status_from_error(&error))
}

pub(crate) fn refusal() -> Error {
    Error::new(ErrorKind::RateLimited, "too many requests for 漢字").with(|fields| {
        fields.retry_after_ms = Some(1234);
        fields.http_status = Some(429);
        fields.provider = Some("openai".into());
        fields.attempts = vec![Attempt {
            status: Some(429),
            ..Attempt::default()
        }];
    })
}

#[tonic::async_trait]
impl CompletionService for Desk {
    async fn create_completion(
        &self,
        request: Request<pb::CreateCompletionRequest>,
    ) -> Result<Response<pb::CreateCompletionResponse>, Status> {
        let peer = request.remote_addr();
        let (metadata, _, message) = request.into_parts();
        let request = read(message.request)?;
        self.see(&metadata, message.options)?;
        match request.model.as_str() {
            "test/going" if *self.1.get_or_init(|| peer) == peer => {
                let error = Error::new(ErrorKind::ShuttingDown, "the server is shutting down");
                return Err(status_from_error(&error));
            }
            "test/hang" => self.hang().await,
            "test/refuse" => return Err(status_from_error(&refusal())),
            "test/other-version" => {
                let mut answer = Response::new(pb::CreateCompletionResponse::default());
                answer
                    .metadata_mut()
                    .insert("x-ossai-protocol", "2".parse().unwrap());
                return Ok(answer);
            }
            "test/empty" => return Ok(Response::new(pb::CreateCompletionResponse::default())),
            _ => {}
        }
        Ok(Response::new(pb::CreateCompletionResponse {
            completion: Some((&echo(&request)).into()),
        }))
    }

    type StreamCompletionStream =
        Pin<Box<dyn Stream<Item = Result<pb::StreamCompletionResponse, Status>> + Send>>;

    async fn stream_completion(
        &self,
        request: Request<pb::StreamCompletionRequest>,
    ) -> Result<Response<Self::StreamCompletionStream>, Status> {
        let (metadata, _, message) = request.into_parts();
        let request = read(message.request)?;
        self.see(&metadata, message.options)?;
        let delta = StreamEvent::TextDelta {
            index: 0,
            text: "hello".into(),
        };
        let first = stream::iter([Ok(event_message(1, &delta))]);
        let heartbeat = pb::StreamCompletionResponse {
            sequence: 0,
            event: Some(Event::Heartbeat(pb::Heartbeat {})),
        };
        let unknown = pb::StreamCompletionResponse {
            sequence: 2,
            event: None,
        };
        let end = StreamEvent::End {
            completion: Box::new(echo(&request)),
        };
        let desk = self.clone();
        let hang = stream::once(async move {
            desk.hang().await;
            Err(Status::internal("not reached"))
        });
        let events: Self::StreamCompletionStream = match request.model.as_str() {
            "test/hang" => Box::pin(first.chain(hang)),
            "test/silent" => Box::pin(stream::iter([Ok(heartbeat)]).chain(hang)),
            "test/cut" => Box::pin(first),
            "test/gap" => Box::pin(first.chain(stream::iter([Ok(event_message(3, &end))]))),
            "test/refuse" => Box::pin(stream::iter([Err(status_from_error(&refusal()))])),
            "test/refuse-late" => {
                Box::pin(first.chain(stream::iter([Err(status_from_error(&refusal()))])))
            }
            _ => {
                let rest = [Ok(heartbeat), Ok(unknown), Ok(event_message(3, &end))];
                Box::pin(first.chain(stream::iter(rest)))
            }
        };
        Ok(Response::new(events))
    }
}

/// The answer that says the question again.
pub(crate) fn echo(request: &CompletionRequest) -> Completion {
    let text: String = request
        .messages
        .iter()
        .map(|message| message.content.text())
        .collect();
    Completion::from(Answer {
        model: request.model.clone(),
        parts: vec![OutputPart::Text { text: text.clone() }],
        text,
        extra: request.extra.clone(),
        ..Answer::default()
    })
}

#[tonic::async_trait]
impl EmbeddingService for Desk {
    async fn create_embedding(
        &self,
        request: Request<pb::CreateEmbeddingRequest>,
    ) -> Result<Response<pb::CreateEmbeddingResponse>, Status> {
        let request = EmbeddingRequest::try_from(request.into_inner().request.unwrap()).unwrap();
        let dimensions = request.dimensions.unwrap_or(1) as usize;
        let embeddings = (0..request.input.len() as u32)
            .map(|index| Embedding {
                index,
                vector: vec![index as f32; dimensions],
            })
            .collect();
        let response = EmbeddingResponse {
            embeddings,
            ..EmbeddingResponse::default()
        };
        Ok(Response::new(pb::CreateEmbeddingResponse {
            result: Some((&response).into()),
        }))
    }
}

#[tonic::async_trait]
impl ModelService for Desk {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let page: usize = request.into_inner().page_token.parse().unwrap_or(0);
        let models = vec![pb::Model {
            id: format!("test/{page}"),
            ..pb::Model::default()
        }];
        let next_page_token = if page < 2 {
            (page + 1).to_string()
        } else {
            String::new()
        };
        Ok(Response::new(pb::ListModelsResponse {
            models,
            next_page_token,
        }))
    }
}
