//! `anthropic-beta`: what a caller of `/v1/messages` switches on by name in Anthropic's API.
//!
//! The names go to models of providers that speak that API, behind the operator's own; to others they mean nothing, and the
//! vendor's SDKs send them without asking, so there they are left out. An answer under a beta is no answer without it:
//! such a call neither reads nor fills the cache and shares no flight.

use axum::http::HeaderMap;
use ossai::client::config::{Config, ProviderKind};
use ossai::client::presets::preset;
use ossai::provider::Api;
use ossai::{CacheOptions, CallOptions, Error, Result};

const BETA: &str = "anthropic-beta";
/// Most names of a call, and the longest one.
const MOST: usize = 32;
const LONGEST: usize = 128;

/// Adds the names in a request's headers to what goes to the provider of `model` (`provider/name`).
///
/// # Errors
/// `invalid_request` naming the header, for more than 32 names and for what is none: 1 to 128 letters, digits, `.`, `_`, `:`
/// and `-`.
pub(super) fn pass_on(
    config: &Config,
    headers: &HeaderMap,
    model: &str,
    options: &mut CallOptions,
) -> Result<()> {
    let wrong = || {
        Error::invalid(
            BETA,
            "expected at most 32 names of betas, separated by commas",
        )
    };
    let mut names = Vec::new();
    for value in headers.get_all(BETA) {
        let value = value.to_str().map_err(|_| wrong())?;
        let given = value.split(',').map(str::trim);
        for name in given.filter(|name| !name.is_empty()) {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
            if name.len() > LONGEST || !name.bytes().all(is_name) || names.len() == MOST {
                return Err(wrong());
            }
            names.push(name.to_owned());
        }
    }
    let provider = model.split('/').next().unwrap_or_default();
    if names.is_empty() || !speaks_anthropic(config, provider) {
        return Ok(());
    }
    let own = config.providers.get(provider).map(|it| &it.headers);
    let mut own = own.into_iter().flatten();
    if let Some((_, own)) = own.find(|(name, _)| name.eq_ignore_ascii_case(BETA)) {
        names.insert(0, own.clone());
    }
    options.headers.insert(BETA.to_owned(), names.join(","));
    options.cache = CacheOptions {
        no_cache: true,
        ..CacheOptions::default()
    };
    options.coalesce = Some(false);
    Ok(())
}

fn speaks_anthropic(config: &Config, provider: &str) -> bool {
    let settings = config.providers.get(provider);
    if let Some(api) = settings.and_then(|it| it.api) {
        return api == Api::AnthropicMessages;
    }
    let preset = preset(provider);
    let kind = settings.and_then(|it| it.kind).or(preset.map(|it| it.kind));
    kind == Some(ProviderKind::Anthropic)
}
