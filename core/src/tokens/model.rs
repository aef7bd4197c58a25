//! Which encoding a model uses, as published; models that publish none are estimated (`estimate`).

use super::encoding::Encoding;

/// Exact names, from tiktoken 0.14's `model.py`.
const NAMES: &[(&str, &str)] = &[
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4-mini", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4o", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5-turbo", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
    ("gpt-35-turbo", "cl100k_base"),
    ("davinci-002", "cl100k_base"),
    ("babbage-002", "cl100k_base"),
    ("text-embedding-ada-002", "cl100k_base"),
    ("text-embedding-3-small", "cl100k_base"),
    ("text-embedding-3-large", "cl100k_base"),
    ("text-davinci-003", "p50k_base"),
    ("text-davinci-002", "p50k_base"),
    ("text-davinci-001", "r50k_base"),
    ("text-curie-001", "r50k_base"),
    ("text-babbage-001", "r50k_base"),
    ("text-ada-001", "r50k_base"),
    ("davinci", "r50k_base"),
    ("curie", "r50k_base"),
    ("babbage", "r50k_base"),
    ("ada", "r50k_base"),
    ("code-davinci-002", "p50k_base"),
    ("code-davinci-001", "p50k_base"),
    ("code-cushman-002", "p50k_base"),
    ("code-cushman-001", "p50k_base"),
    ("davinci-codex", "p50k_base"),
    ("cushman-codex", "p50k_base"),
    ("text-davinci-edit-001", "p50k_edit"),
    ("code-davinci-edit-001", "p50k_edit"),
    ("text-similarity-davinci-001", "r50k_base"),
    ("text-similarity-curie-001", "r50k_base"),
    ("text-similarity-babbage-001", "r50k_base"),
    ("text-similarity-ada-001", "r50k_base"),
    ("text-search-davinci-doc-001", "r50k_base"),
    ("text-search-curie-doc-001", "r50k_base"),
    ("text-search-babbage-doc-001", "r50k_base"),
    ("text-search-ada-doc-001", "r50k_base"),
    ("code-search-babbage-code-001", "r50k_base"),
    ("code-search-ada-code-001", "r50k_base"),
    ("gpt2", "gpt2"),
    ("gpt-2", "gpt2"),
];

/// Prefixes, from tiktoken 0.14's `model.py`; `codex-mini` from tiktoken-rs 0.12.
const PREFIXES: &[(&str, &str)] = &[
    ("o1-", "o200k_base"),
    ("o3-", "o200k_base"),
    ("o4-mini-", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("gpt-4.5-", "o200k_base"),
    ("gpt-4.1-", "o200k_base"),
    ("chatgpt-4o-", "o200k_base"),
    ("gpt-4o-", "o200k_base"),
    ("gpt-4-", "cl100k_base"),
    ("gpt-3.5-turbo-", "cl100k_base"),
    ("gpt-35-turbo-", "cl100k_base"),
    ("gpt-oss-", "o200k_harmony"),
    ("codex-mini", "o200k_base"),
    ("ft:gpt-4o", "o200k_base"),
    ("ft:gpt-4.1", "o200k_base"),
    ("ft:gpt-4", "cl100k_base"),
    ("ft:gpt-3.5-turbo", "cl100k_base"),
    ("ft:davinci-002", "cl100k_base"),
    ("ft:babbage-002", "cl100k_base"),
];

/// The encoding of a model, named with or without its provider (`openai/gpt-4o`, `gpt-4o`); `None` when no tokenizer is
/// published for it.
///
/// The table is that of tiktoken 0.14.0. It maps every `gpt-5*` name to o200k_base; for GPT-5.6 and later nobody but
/// that prefix says so, and for GPT-6 nothing does, so from 5.6 on the answer here is `None` and counts are estimates.
pub fn encoding_for_model(model: &str) -> Option<&'static Encoding> {
    let name = model.rsplit('/').next().unwrap_or(model);
    if let Some(minor) = name.strip_prefix("gpt-5.") {
        let digits = minor.split(|c: char| !c.is_ascii_digit()).next();
        if digits
            .and_then(|d| d.parse::<u32>().ok())
            .is_some_and(|m| m >= 6)
        {
            return None;
        }
    }
    let exact = NAMES.iter().find(|(known, _)| *known == name);
    let found = exact.or_else(|| PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)));
    found.and_then(|(_, encoding)| Encoding::get(encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(model: &str) -> Option<&'static str> {
        encoding_for_model(model).map(|e| e.name())
    }

    #[test]
    fn a_model_is_found_with_and_without_its_provider() {
        assert_eq!(name("openai/gpt-4o"), Some("o200k_base"));
        assert_eq!(name("gpt-4o-mini"), Some("o200k_base"));
        assert_eq!(name("azure/gpt-4-32k"), Some("cl100k_base"));
        assert_eq!(name("openrouter/openai/gpt-4.1-nano"), Some("o200k_base"));
        assert_eq!(name("gpt-oss-20b"), Some("o200k_harmony"));
        assert_eq!(name("openai/text-embedding-3-small"), Some("cl100k_base"));
        assert_eq!(name("ft:gpt-4.1-mini:org::id"), Some("o200k_base"));
    }

    #[test]
    fn a_model_without_a_published_tokenizer_has_none() {
        for model in [
            "openai/gpt-5.6",
            "gpt-5.12-mini",
            "openai/gpt-6",
            "anthropic/claude-opus-4",
            "",
            "/",
            "gpt",
        ] {
            assert_eq!(name(model), None, "{model}");
        }
        assert_eq!(name("gpt-5.5"), Some("o200k_base"));
        assert_eq!(name("gpt-5-mini"), Some("o200k_base"));
    }

    #[test]
    fn every_name_of_the_table_leads_to_an_encoding() {
        for (model, encoding) in NAMES {
            assert_eq!(name(model), Some(*encoding));
        }
    }
}
