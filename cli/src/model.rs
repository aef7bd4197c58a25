//! Which model is asked when none is named, and what is said of a name that is none.

use ossai::client::presets::preset;
use ossai::{Client, Config, Error, ErrorKind};

use crate::failure::Failure;

/// The model used when no key and no server is configured.
pub const OFFLINE: &str = "local/extract";

/// For each vendor the cheap model of the current generation (price table of 2026-11-20).
pub const DEFAULTS: &[(&str, &str)] = &[
    ("openai", "openai/gpt-6-luna"),
    ("anthropic", "anthropic/claude-haiku-5-5"),
    ("google", "google/gemini-3.5-flash-lite"),
];

fn set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !value.trim().is_empty())
}

fn has_key(config: &Config, provider: &str) -> bool {
    let configured = config.providers.get(provider).is_some_and(|provider| {
        provider.api_key.is_some() || provider.api_key_env.as_deref().is_some_and(set)
    });
    configured
        || preset(provider)
            .and_then(|preset| preset.key_env)
            .is_some_and(set)
}

/// The model asked when none is named: `OSSAI_MODEL`; else one that there is a key for; else the first one Ollama has; else
/// the offline one, which is said on standard error. An orchestrator is asked what it has.
///
/// # Errors
/// The orchestrator or Ollama does not answer.
pub async fn default_model(client: &Client) -> Result<String, Failure> {
    if let Ok(model) = std::env::var("OSSAI_MODEL")
        && !model.trim().is_empty()
    {
        return Ok(model.trim().to_owned());
    }
    let config = client.config();
    let ollama = set("OLLAMA_HOST") || config.providers.contains_key("ollama");
    if config.endpoint.is_some() {
        let served = client.models(None).await?;
        let has = |id: &str| served.iter().any(|model| model.id == id);
        if let Some((_, model)) = DEFAULTS.iter().find(|(_, model)| has(model)) {
            return Ok((*model).to_owned());
        }
        if let Some(model) = served.iter().find(|model| model.id.starts_with("ollama/")) {
            return Ok(model.id.clone());
        }
    } else if let Some((_, model)) = DEFAULTS
        .iter()
        .find(|(provider, _)| has_key(config, provider))
    {
        return Ok((*model).to_owned());
    } else if ollama {
        let served = client.models(Some("ollama")).await?;
        return match served.into_iter().next() {
            Some(model) => Ok(model.id),
            None => Err(Failure::message(
                "Ollama has no model: `ollama pull` gets one, or name another with -m",
            )),
        };
    }
    anstream::eprintln!(
        "using {OFFLINE}, which works offline and only quotes (-m MODEL names another)"
    );
    Ok(OFFLINE.into())
}

/// Refuses a name without a provider, saying which known models may be meant.
///
/// # Errors
/// `invalid_request` naming `model`.
pub fn check(client: &Client, model: &str) -> Result<(), Failure> {
    if model
        .split_once('/')
        .is_some_and(|(provider, name)| !provider.is_empty() && !name.is_empty())
    {
        return Ok(());
    }
    let ends = format!("/{}", model.trim_matches('/').to_lowercase());
    let mut meant = client
        .prices()
        .models()
        .filter(|entry| entry.id.to_lowercase().ends_with(&ends))
        .map(|entry| entry.id.as_str());
    let meant = match (meant.next(), meant.next()) {
        (None, _) => {
            "for example openai/gpt-6-luna; `ossai models` lists the known ones".to_owned()
        }
        (Some(one), None) => format!("perhaps {one}"),
        (Some(one), Some(other)) => format!("perhaps {one} or {other}"),
    };
    let message = format!("model: expected `provider/model`, found `{model}`: {meant}");
    let error = Error::new(ErrorKind::InvalidRequest, message);
    Err(error
        .with(|fields| fields.field = Some("model".into()))
        .into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ossai::cost::PriceTable;

    #[test]
    fn every_default_model_has_a_price_and_no_end_in_sight() {
        for (provider, model) in DEFAULTS {
            let entry = PriceTable::embedded().get(model).unwrap();
            assert_eq!(entry.provider, *provider);
            assert!(
                !entry.prices.is_empty() && entry.dates.retires.is_none(),
                "{model}"
            );
        }
    }

    #[test]
    fn a_model_without_a_provider_is_told_what_may_be_meant() {
        let client = Client::new(Config::default()).unwrap();
        let Err(Failure::Call(error)) = check(&client, "gpt-5-mini") else {
            panic!()
        };
        assert!(error.to_string().contains("openai/gpt-5-mini"), "{error}");
        assert!(check(&client, "acme/anything").is_ok());
        assert!(
            check(&client, "/x").is_err()
                && check(&client, "x/").is_err()
                && check(&client, "").is_err()
        );
    }
}
