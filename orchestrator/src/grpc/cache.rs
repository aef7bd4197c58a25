//! Kept answers of the caller's tenant that shall not be given any more.

use ossai::{Error, Invalidation, Result};
use ossai_proto::v1 as pb;
use pb::cache_service_server::CacheService;
use tonic::{Request, Response, Status};

use super::{Desk, enter, reply, status};

#[tonic::async_trait]
impl CacheService for Desk {
    async fn invalidate_cache(
        &self,
        request: Request<pb::InvalidateCacheRequest>,
    ) -> Result<Response<pb::InvalidateCacheResponse>, Status> {
        let (caller, _, message) = enter(request)?;
        let run = async {
            let tenant = &caller.identity.tenant;
            let client = self.0.clients.get(tenant)?;
            let what = message
                .what
                .ok_or_else(|| Error::invalid("what", "expected `model`, `tag` or `all`"))?;
            let what = match Invalidation::from(what) {
                Invalidation::Model(model) => Invalidation::Model(self.0.full_model_name(&model)?),
                what => what,
            };
            let done = client.invalidate(&what).await?;
            tracing::info!(
                tenant = %tenant,
                key = %caller.identity.key_id.as_deref().unwrap_or_default(),
                what = match what {
                    Invalidation::Model(_) => "model",
                    Invalidation::Tag { .. } => "tag",
                    Invalidation::All => "all",
                },
                dropped = done.dropped,
                "kept answers were invalidated"
            );
            Ok(reply(pb::InvalidateCacheResponse::from(&done)))
        };
        run.await.map_err(status)
    }
}
