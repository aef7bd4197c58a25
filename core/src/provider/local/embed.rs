//! `local/hash`: embeddings without a model, by hashing what a text is spelt with.

use crate::error::{Error, ErrorKind, Result};
use crate::types::{Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Usage};

use super::words::each_word;

const DIMENSIONS: u32 = 256;
const RANGE: std::ops::RangeInclusive<u32> = 32..=1024;

/// Embeds every input of `request`; `count` counts the tokens of a text.
///
/// Features are the words in normal form (see [`super::words`]) and their character trigrams, hashed with a sign into
/// `dimensions` places (32 to 1024, by default 256; Weinberger et al., "Feature Hashing for Large Scale Multitask
/// Learning", ICML 2009), then scaled to length 1. Texts are near when they share words or spellings: the vectors are
/// lexical and know nothing of meaning. Sums are integers and the one square root is IEEE, so vectors are equal on every
/// platform.
///
/// # Errors
/// `invalid_request` naming `input`, `input[i]` or `dimensions`; `unsupported` for inputs given as tokens.
pub fn embed(request: &EmbeddingRequest, count: &dyn Fn(&str) -> u64) -> Result<EmbeddingResponse> {
    super::check_model(&request.model, super::HASH)?;
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if !RANGE.contains(&dimensions) {
        return Err(Error::invalid(
            "dimensions",
            format_args!("expected {} to {}", RANGE.start(), RANGE.end()),
        ));
    }
    let (texts, one) = match &request.input {
        EmbeddingInput::Text(text) => (std::slice::from_ref(text), true),
        EmbeddingInput::Texts(texts) => (texts.as_slice(), false),
        EmbeddingInput::Tokens(_) | EmbeddingInput::TokenLists(_) => {
            let error = Error::new(
                ErrorKind::Unsupported,
                "input: local/hash reads text only, not tokens",
            );
            return Err(error.with(|fields| fields.field = Some("input".into())));
        }
    };
    if texts.is_empty() {
        return Err(Error::invalid("input", "expected at least one text"));
    }
    if let Some(i) = texts.iter().position(String::is_empty) {
        let path = if one {
            "input".to_owned()
        } else {
            format!("input[{i}]")
        };
        return Err(Error::invalid(path, "expected a text that is not empty"));
    }
    Ok(EmbeddingResponse {
        model: request.model.clone(),
        response_model: Some(super::HASH_VERSION.into()),
        embeddings: texts
            .iter()
            .zip(0..)
            .map(|(text, index)| Embedding {
                index,
                vector: vector(text, dimensions),
            })
            .collect(),
        usage: Usage {
            input_tokens: texts
                .iter()
                .fold(0, |sum, text| count(text).saturating_add(sum)),
            ..Usage::default()
        },
        ..EmbeddingResponse::default()
    })
}

fn vector(text: &str, dimensions: u32) -> Vec<f32> {
    let mut sums = vec![0_i64; dimensions as usize];
    let mut add = |feature: u64, weight: i64| {
        let place = (feature >> 32) % u64::from(dimensions);
        if let Some(sum) = sums.get_mut(place as usize) {
            *sum = sum.saturating_add(if feature & 1 == 0 { weight } else { -weight });
        }
    };
    let mut window = Vec::new();
    each_word(text, |word| {
        add(hash(b'w', word.chars()), 4);
        window.clear();
        window.push('^');
        window.extend(word.chars());
        window.push('$');
        for gram in window.windows(3) {
            add(hash(b'g', gram.iter().copied()), 1);
        }
    });
    if sums.iter().all(|&sum| sum == 0) {
        // Nothing but common words or signs, or everything cancelled out: the spelling as a whole is the one feature.
        let feature = hash(b't', text.trim().chars());
        if let Some(sum) = sums.get_mut(((feature >> 32) % u64::from(dimensions)) as usize) {
            *sum = 1;
        }
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    {
        let length = sums
            .iter()
            .map(|&sum| sum as f64 * sum as f64)
            .sum::<f64>()
            .sqrt();
        sums.into_iter()
            .map(|sum| (sum as f64 / length) as f32)
            .collect()
    }
}

/// FNV-1a of a kind of feature and its characters (draft-eastlake-fnv), mixed so that every bit depends on all of them.
fn hash(kind: u8, chars: impl Iterator<Item = char>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = step(0xcbf2_9ce4_8422_2325, kind);
    for c in chars {
        hash = u32::from(c).to_le_bytes().into_iter().fold(hash, step);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(input: EmbeddingInput, dimensions: Option<u32>) -> EmbeddingRequest {
        EmbeddingRequest {
            model: "local/hash".into(),
            input,
            dimensions,
            ..EmbeddingRequest::default()
        }
    }

    fn one(text: &str) -> Vec<f32> {
        let response = embed(&request(EmbeddingInput::Text(text.into()), None), &|_| 1).unwrap();
        response.embeddings[0].vector.clone()
    }

    fn near(a: &str, b: &str) -> f32 {
        one(a).iter().zip(one(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_the_length_asked_for_and_norm_one() {
        for dimensions in [32, 256, 1000, 1024] {
            let texts = ["a flight of calls", "the", "?!", " ", "缓存", "🧑‍🚀", "x"]
                .map(String::from)
                .to_vec();
            let response = embed(
                &request(EmbeddingInput::Texts(texts), Some(dimensions)),
                &|_| 2,
            )
            .unwrap();
            assert_eq!(response.usage.input_tokens, 14);
            for (i, embedding) in response.embeddings.iter().enumerate() {
                assert_eq!(embedding.index as usize, i);
                assert_eq!(embedding.vector.len(), dimensions as usize);
                let norm: f32 = embedding.vector.iter().map(|x| x * x).sum();
                assert!((norm - 1.0).abs() < 1e-5, "{norm}");
            }
        }
    }

    #[test]
    fn texts_that_share_words_or_spelling_are_near() {
        assert!((near("the cache is full", "The cache is full!") - 1.0).abs() < 1e-6);
        assert!(near("retry after an error", "errors are retried") > 0.5);
        assert!(near("缓存命中", "缓存未命中") > near("缓存命中", "价格表") + 0.3);
        assert!(near("retry after an error", "a table of prices").abs() < 0.3);
    }

    #[test]
    fn vectors_never_change() {
        let vector = one("Nobody leads a flight");
        let places: Vec<(usize, u32)> = vector
            .iter()
            .enumerate()
            .filter(|(_, x)| x.abs() > 0.3)
            .map(|(i, x)| (i, x.to_bits()))
            .collect();
        assert_eq!(places, PINNED);
    }

    const PINNED: [(usize, u32); 3] = [(31, 0x3f00_0000), (64, 0x3f00_0000), (85, 0x3f00_0000)];

    #[test]
    fn wrong_input_is_named() {
        let field = |input, dimensions| {
            let error = embed(&request(input, dimensions), &|_| 1).unwrap_err();
            (error.kind(), error.fields().field.clone().unwrap())
        };
        let texts =
            |texts: &[&str]| EmbeddingInput::Texts(texts.iter().map(|&t| t.to_owned()).collect());
        assert_eq!(
            field(texts(&[]), None),
            (ErrorKind::InvalidRequest, "input".into())
        );
        assert_eq!(
            field(texts(&["a", ""]), None),
            (ErrorKind::InvalidRequest, "input[1]".into())
        );
        assert_eq!(
            field(texts(&["a"]), Some(31)),
            (ErrorKind::InvalidRequest, "dimensions".into())
        );
        assert_eq!(
            field(texts(&["a"]), Some(1025)),
            (ErrorKind::InvalidRequest, "dimensions".into())
        );
        assert_eq!(
            field(EmbeddingInput::Tokens(vec![1]), None),
            (ErrorKind::Unsupported, "input".into())
        );
    }
}
