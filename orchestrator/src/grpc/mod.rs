//! The gRPC services of `ossai.orchestrator.v1`, with health and reflection beside them.
//!
//! Each method reads its message into the public vocabulary (`ossai::transport::convert`), does what its HTTP sibling
//! does, and writes the answer back.

mod cache;
mod calls;
mod info;
mod replay;
pub(crate) mod resume;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ossai::transport::convert::{
    ConvertError, check_protocol, stamp_protocol, status_from_error, time_left,
};
use ossai::{CallOptions, Error, ErrorKind, Result};
use ossai_proto::v1 as pb;
use pb::cache_service_server::{CacheServiceServer, SERVICE_NAME as CACHES};
use pb::completion_service_server::{CompletionServiceServer, SERVICE_NAME as COMPLETIONS};
use pb::cost_service_server::{CostServiceServer, SERVICE_NAME as COSTS};
use pb::embedding_service_server::{EmbeddingServiceServer, SERVICE_NAME as EMBEDDINGS};
use pb::model_service_server::{ModelServiceServer, SERVICE_NAME as MODELS};
use pb::token_service_server::{SERVICE_NAME as TOKENS, TokenServiceServer};
use pb::usage_service_server::{SERVICE_NAME as USAGE, UsageServiceServer};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::app::App;
use crate::call::Caller;
use crate::http::{scoped_key, valid_idempotency_key};

/// Of the time a caller leaves, this much is kept for the way back: a twentieth, at most 50 ms.
const MARGIN: Duration = Duration::from_millis(50);

/// The whole server first, then each service.
const SERVICES: &[&str] = &[
    "",
    COMPLETIONS,
    EMBEDDINGS,
    MODELS,
    TOKENS,
    COSTS,
    USAGE,
    CACHES,
];

/// What the health service says.
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Takes no more calls, from now on.
    pub(crate) async fn leave(&self) {
        for service in SERVICES {
            self.0
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }
}

/// The state of every service.
#[derive(Clone)]
struct Desk(Arc<App>);

/// The services as routes, and their health.
pub(crate) async fn routes(app: &Arc<App>) -> Result<(Router<Arc<App>>, Health)> {
    let desk = Arc::new(Desk(Arc::clone(app)));
    let most = app.config.limits.grpc_message_bytes;
    let (reporter, health) = health_reporter();
    for service in SERVICES {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let path = |service: &str| format!("/{service}/{{*method}}");
    let mut router = Router::new()
        .route_service(
            &path(COMPLETIONS),
            CompletionServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(EMBEDDINGS),
            EmbeddingServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(MODELS),
            ModelServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(TOKENS),
            TokenServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(COSTS),
            CostServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(CACHES),
            CacheServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(most),
        )
        .route_service(
            &path(USAGE),
            UsageServiceServer::from_arc(desk).max_decoding_message_size(most),
        )
        .route_service("/grpc.health.v1.Health/{*method}", health);
    if app.config.reflection.unwrap_or(app.config.is_loopback()) {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(ossai_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let broken = |error: tonic_reflection::server::Error| {
            Error::new(
                ErrorKind::Internal,
                "the protocol's description cannot be read",
            )
            .with_source(error)
        };
        router = router
            .route_service(
                "/grpc.reflection.v1.ServerReflection/{*method}",
                builder().build_v1().map_err(broken)?,
            )
            .route_service(
                "/grpc.reflection.v1alpha.ServerReflection/{*method}",
                builder().build_v1alpha().map_err(broken)?,
            );
    }
    Ok((router, Health(reporter)))
}

fn status(error: Error) -> Status {
    status_from_error(&error)
}

/// A request's caller, metadata and message.
fn enter<T>(request: Request<T>) -> Result<(Caller, MetadataMap, T), Status> {
    let (metadata, extensions, message) = request.into_parts();
    check_protocol(&metadata).map_err(status)?;
    let caller = extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| {
        status(Error::new(
            ErrorKind::Internal,
            "the request passed no gate",
        ))
    })?;
    Ok((caller, metadata, message))
}

fn reply<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    stamp_protocol(response.metadata_mut());
    response
}

/// Reads a message that must be there.
fn read<P, T: TryFrom<P, Error = ConvertError>>(message: Option<P>, field: &str) -> Result<T> {
    let message = message.ok_or_else(|| Error::invalid(field, "expected it"))?;
    T::try_from(message).map_err(|error| {
        // Fields of a request are named as in HTTP: without the message they stand in.
        error.invalid_request()
    })
}

/// What a caller wants, and the time its metadata leaves.
fn options(
    caller: &Caller,
    metadata: &MetadataMap,
    options: Option<pb::CallOptions>,
) -> Result<(CallOptions, Option<Duration>)> {
    let mut options: CallOptions = options.unwrap_or_default().into();
    let left = time_left(metadata)?;
    if let Some(left) = left {
        let rest = left
            .saturating_sub(MARGIN.min(left / 20))
            .saturating_sub(caller.arrived.elapsed());
        let millis = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        options.timeout_ms = Some(options.timeout_ms.map_or(millis, |given| given.min(millis)));
    }
    if let Some(key) = &options.idempotency_key {
        let key = valid_idempotency_key("options.idempotency_key", key)?;
        options.idempotency_key = Some(scoped_key(&caller.identity.tenant, key));
    }
    if let Some(trace) = metadata.get("traceparent") {
        let trace = trace
            .to_str()
            .map_err(|_| Error::invalid("traceparent", "expected visible ASCII characters"))?;
        options.traceparent = Some(trace.to_owned());
    }
    Ok((options, left))
}

/// The rows of a page by AIP-158: where it begins, how many it has at most.
fn page(size: i32, token: &str, default: usize, most: usize) -> Result<(usize, usize)> {
    let size =
        usize::try_from(size).map_err(|_| Error::invalid("page_size", "expected 0 or more"))?;
    let skip = match token {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| Error::invalid("page_token", "expected a `next_page_token`"))?,
    };
    Ok((skip, if size == 0 { default } else { size.min(most) }))
}
