//! Providers by their usual names, so that a key in the environment is all a user needs.
//!
//! Addresses are the vendors' documented ones (November 2026); each speaks OpenAI's Chat Completions unless said.

use super::config::{Auth, ProviderKind};

/// What is known of a provider by name.
#[derive(Debug)]
pub struct Preset {
    /// The name models are asked for under.
    pub name: &'static str,
    /// Whose way of speaking it has.
    pub kind: ProviderKind,
    /// Base address.
    pub base_url: &'static str,
    /// The vendor's own variable for the key; none where no key is needed.
    pub key_env: Option<&'static str>,
    /// Variables that replace the base address.
    pub base_env: Option<&'static str>,
    /// Which header carries the key.
    pub auth: Auth,
}

const fn compatible(name: &'static str, base_url: &'static str, key_env: &'static str) -> Preset {
    Preset {
        name,
        kind: ProviderKind::Openai,
        base_url,
        key_env: Some(key_env),
        base_env: None,
        auth: Auth::Bearer,
    }
}

/// The providers known by name.
pub const PRESETS: &[Preset] = &[
    Preset {
        base_env: Some("OPENAI_BASE_URL"),
        ..compatible("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")
    },
    Preset {
        name: "anthropic",
        kind: ProviderKind::Anthropic,
        base_url: "https://api.anthropic.com/v1",
        key_env: Some("ANTHROPIC_API_KEY"),
        base_env: Some("ANTHROPIC_BASE_URL"),
        auth: Auth::XApiKey,
    },
    Preset {
        name: "local",
        kind: ProviderKind::Local,
        base_url: "",
        key_env: None,
        base_env: None,
        auth: Auth::None,
    },
    Preset {
        name: "ollama",
        kind: ProviderKind::Openai,
        base_url: "http://localhost:11434/v1",
        key_env: None,
        base_env: Some("OLLAMA_HOST"),
        auth: Auth::None,
    },
    compatible(
        "alibaba",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
    ),
    compatible("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    compatible(
        "cohere",
        "https://api.cohere.ai/compatibility/v1",
        "COHERE_API_KEY",
    ),
    compatible(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
    ),
    compatible(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
    ),
    compatible(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
    ),
    compatible(
        "google",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
    ),
    compatible("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    compatible("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    compatible("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
    ),
    compatible(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
    ),
    compatible(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
    ),
    compatible("voyage", "https://api.voyageai.com/v1", "VOYAGE_API_KEY"),
    compatible("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    compatible("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
];

/// The preset of that name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
