//! Completions and embeddings.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use ossai::transport::convert::{event_message, status_from_error};
use ossai::{CompletionRequest, EmbeddingRequest, Error, Result};
use ossai_proto::RESUME_KEY;
use ossai_proto::v1 as pb;
use pb::completion_service_server::CompletionService;
use pb::embedding_service_server::EmbeddingService;
use pb::stream_completion_response::Event;
use tokio::time::{Sleep, sleep};
use tonic::{Request, Response, Status};

use super::replay::{Recording, Seen};
use super::resume::{Broken, Reader};
use super::{Desk, enter, options, read, replay, reply, status};
use crate::call::{Asked, Call};
use crate::guard::replay::Kept;
use crate::http::check_messages;
use crate::live::{Item, Live};

#[tonic::async_trait]
impl CompletionService for Desk {
    async fn create_completion(
        &self,
        request: Request<pb::CreateCompletionRequest>,
    ) -> Result<Response<pb::CreateCompletionResponse>, Status> {
        let (caller, metadata, message) = enter(request)?;
        let run = async {
            let turn = replay::begin(
                &self.0,
                &caller,
                "complete",
                &message.request,
                &message.options,
            )?;
            let ticket = match turn {
                Seen::Before(kept) => return replay::one(&kept),
                Seen::First(ticket) => ticket,
            };
            let (options, _) = options(&caller, &metadata, message.options)?;
            let request = self.completion_request(message.request)?;
            let mut call =
                Call::begin(&self.0, caller, Asked::Chat(&request), &options, false).await?;
            let client = call.client().clone();
            match client.complete_with(request, options).await {
                Ok(answer) => {
                    call.completed(&answer);
                    let message = pb::CreateCompletionResponse {
                        completion: Some((&answer).into()),
                    };
                    replay::keep(ticket, &message);
                    Ok(reply(message))
                }
                Err(error) => {
                    call.failed(&error);
                    Err(error)
                }
            }
        };
        run.await.map_err(status)
    }

    type StreamCompletionStream = Messages;

    async fn stream_completion(
        &self,
        request: Request<pb::StreamCompletionRequest>,
    ) -> Result<Response<Messages>, Status> {
        let connection = request.extensions().get::<Broken>().cloned();
        let connection = connection.unwrap_or_default();
        let (caller, metadata, message) = enter(request)?;
        let tenant = Arc::clone(&caller.identity.tenant);
        if let Some(resume) = message.resume {
            let reader = self
                .0
                .kept
                .go_on(&resume.token, resume.after, &tenant, connection);
            return Ok(reply(Messages::Resumable(reader.map_err(status)?)));
        }
        let run = async {
            let turn = replay::begin(
                &self.0,
                &caller,
                "stream",
                &message.request,
                &message.options,
            )?;
            let ticket = match turn {
                Seen::Before(kept) => return Ok(Begun::Before(kept)),
                Seen::First(ticket) => ticket,
            };
            let (options, left) = options(&caller, &metadata, message.options)?;
            let request = self.completion_request(message.request)?;
            let call = Call::begin(&self.0, caller, Asked::Chat(&request), &options, true).await?;
            let client = call.client().clone();
            let opening = Box::pin(async move { client.stream_with(request, options).await });
            let live = Live::open(call, opening).await?;
            // The time a caller sets in metadata is for the whole of the stream.
            let deadline = left.map(|left| Box::pin(sleep(left)));
            Ok(Begun::Now(Box::new(Source {
                live,
                sequence: 0,
                deadline,
                recording: ticket.map(Recording::new),
            })))
        };
        let source = match run.await.map_err(status)? {
            Begun::Before(kept) => return Ok(replay::marked(Messages::Kept(kept, 0))),
            Begun::Now(source) => source,
        };
        if !message.resumable {
            return Ok(reply(Messages::Plain(source)));
        }
        Ok(match self.0.kept.take_in(source, tenant, connection) {
            Err(source) => reply(Messages::Plain(source)),
            Ok((reader, token)) => {
                let mut response = reply(Messages::Resumable(reader));
                if let Ok(token) = token.parse() {
                    response.metadata_mut().insert(RESUME_KEY, token);
                }
                response
            }
        })
    }
}

impl Desk {
    fn completion_request(
        &self,
        message: Option<pb::CompletionRequest>,
    ) -> Result<CompletionRequest> {
        let mut request: CompletionRequest = read(message, "request")?;
        check_messages(&self.0, &request)?;
        request.model = self.0.full_model_name(&request.model)?;
        Ok(request)
    }
}

/// A streamed answer as messages, from its first event on.
pub(super) struct Source {
    live: Live,
    sequence: u64,
    deadline: Option<Pin<Box<Sleep>>>,
    recording: Option<Recording>,
}

impl Source {
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<pb::StreamCompletionResponse, Status>>> {
        let late = self
            .deadline
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        let item = if late {
            self.deadline = None;
            Some(self.live.cut(Error::timeout("body", "total")))
        } else {
            match self.live.poll_item(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(item) => item,
            }
        };
        Poll::Ready(item.map(|item| match item {
            Item::Event(event, trailer) => {
                self.sequence += 1;
                let message = event_message(self.sequence, &event);
                if let Some(recording) = &mut self.recording {
                    recording.push(&message);
                }
                if trailer.is_some()
                    && let Some(recording) = self.recording.take()
                {
                    recording.finish();
                }
                Ok(message)
            }
            Item::Failed(error) => {
                self.recording = None;
                Err(status_from_error(&error))
            }
            Item::Silence => Ok(pb::StreamCompletionResponse {
                sequence: 0,
                event: Some(Event::Heartbeat(pb::Heartbeat {})),
            }),
        }))
    }
}

/// What a call for a stream comes to.
enum Begun {
    Before(Arc<Kept>),
    Now(Box<Source>),
}

/// A streamed answer on its way to one caller, or as it was kept.
pub(super) enum Messages {
    Plain(Box<Source>),
    Resumable(Reader),
    /// With the number of messages read.
    Kept(Arc<Kept>, usize),
}

impl Stream for Messages {
    type Item = Result<pb::StreamCompletionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Plain(source) => source.poll(cx),
            Self::Resumable(reader) => reader.poll(cx),
            Self::Kept(kept, next) => {
                let part = kept.parts.get(*next);
                *next += 1;
                Poll::Ready(part.map(|part| replay::message(part).map_err(status)))
            }
        }
    }
}

#[tonic::async_trait]
impl EmbeddingService for Desk {
    async fn create_embedding(
        &self,
        request: Request<pb::CreateEmbeddingRequest>,
    ) -> Result<Response<pb::CreateEmbeddingResponse>, Status> {
        let (caller, metadata, message) = enter(request)?;
        let run = async {
            let turn = replay::begin(
                &self.0,
                &caller,
                "embed",
                &message.request,
                &message.options,
            )?;
            let ticket = match turn {
                Seen::Before(kept) => return replay::one(&kept),
                Seen::First(ticket) => ticket,
            };
            let (options, _) = options(&caller, &metadata, message.options)?;
            let mut request: EmbeddingRequest = read(message.request, "request")?;
            request.model = self.0.full_model_name(&request.model)?;
            let request = Arc::new(request);
            let mut call = Call::begin(
                &self.0,
                caller,
                Asked::Embeddings(&request),
                &options,
                false,
            )
            .await?;
            let client = call.client().clone();
            match client.embed_with(Arc::clone(&request), options).await {
                Ok(answer) => {
                    call.embedded(&answer);
                    let message = pb::CreateEmbeddingResponse {
                        result: Some((&answer).into()),
                    };
                    replay::keep(ticket, &message);
                    Ok(reply(message))
                }
                Err(error) => {
                    call.failed(&error);
                    Err(error)
                }
            }
        };
        run.await.map_err(status)
    }
}
