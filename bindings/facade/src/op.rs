//! The operations by name, their arguments read from JSON, and how each is carried out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ossai::client::config::without_value;
use ossai::cost::{ModelKind, ModelQuery, ModelSort, PriceContext};
use ossai::tokens::{self, Encoding};
use ossai::{
    CallOptions, Client, CompletionRequest, EmbeddingRequest, Error, EstimateOptions, Invalidation,
    Result,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::call::Running;
use crate::reply::Reply;
use crate::tools::{Asker, Events, ToolPlan};

/// What can be asked of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A whole answer.
    Complete,
    /// An answer as events.
    Stream,
    /// Vectors.
    Embed,
    /// What the upstreams serve.
    Models,
    /// Whether the upstreams take calls.
    Health,
    /// What is spent, held and left of the budgets.
    Budgets,
    /// A kept answer, or null; never waits.
    Lookup,
    /// What a call would do, without sending it.
    Explain,
    /// The key calls are kept and shared under, in hex.
    Key,
    /// The tokens of a request.
    Count,
    /// The tokens of a text.
    CountText,
    /// The beginning of a text that has at most so many tokens.
    Truncate,
    /// A text cut into parts of at most so many tokens.
    Split,
    /// What a request will cost.
    Estimate,
    /// A model's entry in the price table, or null.
    Price,
    /// The price table's models that fit conditions.
    Catalog,
    /// The session's counters.
    Stats,
    /// Forgets every kept answer.
    ClearCache,
    /// Lets kept answers count no more, in every tier.
    Invalidate,
    /// Refuses new calls and waits for those under way.
    Close,
}

impl Op {
    /// Every operation by its name.
    pub const ALL: &[(&'static str, Self)] = &[
        ("complete", Self::Complete),
        ("stream", Self::Stream),
        ("embed", Self::Embed),
        ("models", Self::Models),
        ("health", Self::Health),
        ("budgets", Self::Budgets),
        ("lookup", Self::Lookup),
        ("explain", Self::Explain),
        ("key", Self::Key),
        ("count", Self::Count),
        ("count_text", Self::CountText),
        ("truncate", Self::Truncate),
        ("split", Self::Split),
        ("estimate", Self::Estimate),
        ("price", Self::Price),
        ("catalog", Self::Catalog),
        ("stats", Self::Stats),
        ("clear_cache", Self::ClearCache),
        ("invalidate", Self::Invalidate),
        ("close", Self::Close),
    ];

    /// Reads the name.
    ///
    /// # Errors
    /// `invalid_request` naming the operations there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, op)| *op).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            Error::invalid("op", format!("expected one of {}", known.join(", ")))
        })
    }
}

/// An operation with its arguments as values, for bindings that build them without JSON.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Work {
    /// [`Op::Complete`].
    Complete(Arc<CompletionRequest>, Arc<CallOptions>),
    /// [`Op::Stream`]: request, options, and the credit in events it starts with; none is without limit.
    Stream(Arc<CompletionRequest>, Arc<CallOptions>, Option<u32>),
    /// [`Op::Complete`] with tools whose handlers the host has.
    CompleteWithTools(Arc<CompletionRequest>, Arc<CallOptions>, Arc<ToolPlan>),
    /// [`Op::Stream`] with tools whose handlers the host has.
    StreamWithTools(
        Arc<CompletionRequest>,
        Arc<CallOptions>,
        Option<u32>,
        Arc<ToolPlan>,
    ),
    /// [`Op::Embed`].
    Embed(Arc<EmbeddingRequest>, Arc<CallOptions>),
    /// [`Op::Models`].
    Models(ModelsRequest),
    /// [`Op::Health`].
    Health,
    /// [`Op::Budgets`].
    Budgets,
    /// [`Op::Lookup`].
    Lookup(Arc<CompletionRequest>, Arc<CallOptions>),
    /// [`Op::Explain`].
    Explain(Arc<CompletionRequest>, Arc<CallOptions>),
    /// [`Op::Key`].
    Key(Arc<CompletionRequest>),
    /// [`Op::Count`].
    Count(Arc<CompletionRequest>),
    /// [`Op::CountText`].
    CountText(TextRequest),
    /// [`Op::Truncate`].
    Truncate(TruncateRequest),
    /// [`Op::Split`].
    Split(SplitRequest),
    /// [`Op::Estimate`].
    Estimate(Arc<CompletionRequest>, EstimateOptions),
    /// [`Op::Price`].
    Price(PriceRequest),
    /// [`Op::Catalog`].
    Catalog(CatalogRequest),
    /// [`Op::Stats`].
    Stats,
    /// [`Op::ClearCache`].
    ClearCache,
    /// [`Op::Invalidate`].
    Invalidate(Invalidation),
    /// [`Op::Close`].
    Close(CloseRequest),
}

/// Of one provider, or of all that can be called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsRequest {
    /// Only this one's.
    pub provider: Option<String>,
}

/// A text for a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRequest {
    /// `provider/model`.
    pub model: String,
    /// The text.
    pub text: String,
}

/// A text to shorten.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncateRequest {
    /// `provider/model`.
    pub model: String,
    /// The text.
    pub text: String,
    /// Most tokens of what is kept.
    pub max_tokens: usize,
}

/// A text to cut.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRequest {
    /// `provider/model`.
    pub model: String,
    /// The text.
    pub text: String,
    /// Most tokens of each part.
    pub max_tokens: usize,
    /// Tokens each part repeats of the one before, at most.
    #[serde(default)]
    pub overlap: usize,
}

/// Whose prices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRequest {
    /// `provider/model`.
    pub model: String,
}

/// Conditions on the price table's models.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogRequest {
    /// Only this provider's.
    pub provider: Option<String>,
    /// `chat`, `embedding` or `rerank`.
    pub kind: Option<String>,
    /// Only those that can do all of this.
    pub caps: Vec<String>,
    /// Only ids with this in them.
    pub text: Option<String>,
    /// At least this many tokens of context.
    pub min_context: Option<u64>,
    /// Also those no longer served.
    pub retired: bool,
    /// `id`, `input`, `output`, `context` or `released`.
    pub sort: Option<String>,
}

/// How to close.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseRequest {
    /// How long calls under way may go on; what is left then is cancelled.
    pub patience_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What stands among a call's options beside the core's own.
#[derive(Default)]
struct Beside {
    /// The credit a stream starts with.
    credit: Option<u32>,
    tools: Option<Arc<ToolPlan>>,
}

/// Reads a call's options, and what stands beside them.
fn split_options(json: &str, streamed: bool) -> Result<(Arc<CallOptions>, Beside)> {
    let beside = json.contains("\"tools\"") || (streamed && json.contains("\"credit\""));
    if !beside {
        return Ok((read("options", json)?, Beside::default()));
    }
    let mut options: serde_json::Map<String, serde_json::Value> = read("options", json)?;
    let credit = if streamed {
        options.remove("credit")
    } else {
        None
    };
    let credit = match credit {
        None | Some(serde_json::Value::Null) => None,
        Some(credit) => Some(
            credit
                .as_u64()
                .and_then(|credit| u32::try_from(credit).ok())
                .ok_or_else(|| Error::invalid("options.credit", "expected 0 to 4294967295"))?,
        ),
    };
    let tools = match options.remove("tools") {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::Object(plan)) => Some(Arc::new(ToolPlan::from_map(plan)?)),
        Some(_) => return Err(Error::invalid("options.tools", "expected an object")),
    };
    let options = read("options", &serde_json::Value::Object(options).to_string())?;
    Ok((options, Beside { credit, tools }))
}

/// Reads JSON; the error names the path beneath `root` and repeats no value. A request's own paths have no root.
pub(crate) fn read<T: DeserializeOwned>(root: &str, json: &str) -> Result<T> {
    let json = if json.is_empty() { "{}" } else { json };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = match (root, path.as_str()) {
            ("", ".") => "request".to_owned(),
            ("", path) => path.to_owned(),
            (root, ".") => root.to_owned(),
            (root, path) => format!("{root}.{path}"),
        };
        Error::invalid(field, without_value(&error.into_inner().to_string()))
    })?;
    let root = if root.is_empty() { "request" } else { root };
    deserializer
        .end()
        .map_err(|error| Error::invalid(root, error))?;
    Ok(value)
}

impl Work {
    /// Reads an operation's arguments; an empty document is `{}`.
    ///
    /// # Errors
    /// `invalid_request` naming the field.
    pub fn read(op: Op, request: &str, options: &str) -> Result<Self> {
        if !matches!(
            op,
            Op::Complete | Op::Stream | Op::Embed | Op::Lookup | Op::Explain | Op::Estimate
        ) {
            read::<Nothing>("options", options)?;
        }
        Ok(match op {
            Op::Complete => {
                let (options, beside) = split_options(options, false)?;
                let request = read("", request)?;
                match beside.tools {
                    None => Self::Complete(request, options),
                    Some(tools) => Self::CompleteWithTools(request, options, tools),
                }
            }
            Op::Stream => {
                let (options, beside) = split_options(options, true)?;
                let request = read("", request)?;
                match beside.tools {
                    None => Self::Stream(request, options, beside.credit),
                    Some(tools) => Self::StreamWithTools(request, options, beside.credit, tools),
                }
            }
            Op::Embed => Self::Embed(read("", request)?, read("options", options)?),
            Op::Lookup => Self::Lookup(read("", request)?, read("options", options)?),
            Op::Explain => Self::Explain(read("", request)?, read("options", options)?),
            Op::Estimate => Self::Estimate(read("", request)?, read("options", options)?),
            Op::Models => Self::Models(read("", request)?),
            Op::Key => Self::Key(read("", request)?),
            Op::Count => Self::Count(read("", request)?),
            Op::CountText => Self::CountText(read("", request)?),
            Op::Truncate => Self::Truncate(read("", request)?),
            Op::Split => Self::Split(read("", request)?),
            Op::Price => Self::Price(read("", request)?),
            Op::Catalog => Self::Catalog(read("", request)?),
            Op::Close => Self::Close(read("", request)?),
            Op::Health => read::<Nothing>("", request).map(|_| Self::Health)?,
            Op::Budgets => read::<Nothing>("", request).map(|_| Self::Budgets)?,
            Op::Stats => read::<Nothing>("", request).map(|_| Self::Stats)?,
            Op::ClearCache => read::<Nothing>("", request).map(|_| Self::ClearCache)?,
            Op::Invalidate => Self::Invalidate(read("", request)?),
        })
    }

    /// The credit a stream starts with.
    pub(crate) fn credit(&self) -> Option<u32> {
        match self {
            Self::Stream(_, _, credit) | Self::StreamWithTools(_, _, credit, _) => *credit,
            _ => None,
        }
    }
}

/// What an asynchronous operation gives.
pub(crate) enum Answer {
    Reply(Reply),
    Stream(Events),
    /// The client is closed: whether nothing went on upstream any more, and what is left of the patience for answers that
    /// are on their way to their hosts. Calls that are still under way then end.
    Closed {
        idle: bool,
        left: Duration,
    },
}

/// How an operation is carried out.
pub(crate) enum Carried {
    /// Here and now.
    Now(Reply),
    /// In its own time.
    Later(Running),
}

impl Work {
    /// Carries the operation out, or says how.
    pub(crate) fn carry(self, client: &Client, asker: impl FnOnce() -> Asker) -> Result<Carried> {
        let client = client.clone();
        Ok(match self {
            Self::Complete(request, options) => later(async move {
                let answer = client.complete_with(request, options).await?;
                Ok(Answer::Reply(Reply::Completion(Box::new(answer))))
            }),
            Self::Stream(request, options, _) => later(async move {
                let stream = client.stream_with(request, options).await?;
                Ok(Answer::Stream(Events::Plain(Box::new(stream))))
            }),
            Self::CompleteWithTools(request, options, tools) => {
                let client = tools.client(&client, &asker())?;
                later(async move {
                    let answer = client.complete_with(request, options).await?;
                    Ok(Answer::Reply(Reply::Completion(Box::new(answer))))
                })
            }
            Self::StreamWithTools(request, options, _, tools) => {
                let client = tools.client(&client, &asker())?;
                later(async move {
                    let stream = client.stream_with(request, options).await?;
                    Ok(Answer::Stream(Events::Loop(Box::new(stream))))
                })
            }
            Self::Embed(request, options) => later(async move {
                let answer = client.embed_with(request, options).await?;
                Ok(Answer::Reply(Reply::Embedding(Box::new(answer))))
            }),
            Self::Models(request) => later(async move {
                let models = client.models(request.provider.as_deref()).await?;
                Reply::value(models).map(Answer::Reply)
            }),
            Self::Health => later(async move {
                let health = client.health().await?;
                Reply::value(health).map(Answer::Reply)
            }),
            Self::Budgets => later(async move {
                let budgets = client.budgets().await?;
                Reply::value(budgets).map(Answer::Reply)
            }),
            Self::Close(request) => later(async move {
                let patience = Duration::from_millis(request.patience_ms);
                let started = Instant::now();
                let idle = client.close(patience).await;
                let left = patience.saturating_sub(started.elapsed());
                Ok(Answer::Closed { idle, left })
            }),
            Self::Lookup(request, options) => {
                Carried::Now(match client.lookup(&request, &options)? {
                    Some(answer) => Reply::Completion(Box::new(answer)),
                    None => Reply::Value(serde_json::Value::Null),
                })
            }
            Self::Explain(request, options) => now(client.explain(&request, &options)?)?,
            Self::Key(request) => Carried::Now(Reply::Value(json!({
                "key": client.key(&request)?.0.iter().map(|b| format!("{b:02x}")).collect::<String>(),
            }))),
            Self::Count(request) => now(client.count(&request)?)?,
            Self::CountText(request) => now(client.count_text(&request.model, &request.text))?,
            Self::Truncate(request) => {
                let encoding = encoding(&request.model);
                let kept = encoding.truncate(&request.text, request.max_tokens);
                Carried::Now(Reply::Value(json!({
                    "text": kept,
                    "tokens": encoding.count(kept),
                    "truncated": kept.len() < request.text.len(),
                    "encoding": encoding.name(),
                })))
            }
            Self::Split(request) => {
                let encoding = encoding(&request.model);
                let parts = encoding
                    .split(&request.text, request.max_tokens, request.overlap)
                    .map_err(|error| {
                        let text = error.to_string();
                        let (field, expected) =
                            text.split_once(": ").unwrap_or(("max_tokens", &text));
                        Error::invalid(field, expected)
                    })?;
                let parts: Vec<&str> = parts
                    .into_iter()
                    .filter_map(|range| request.text.get(range))
                    .collect();
                Carried::Now(Reply::Value(
                    json!({ "parts": parts, "encoding": encoding.name() }),
                ))
            }
            Self::Estimate(request, options) => now(client.estimate(&request, &options)?)?,
            Self::Price(request) => now(client
                .prices()
                .find(&request.model)
                .map(|found| found.entry))?,
            Self::Catalog(request) => now(catalog(&client, &request)?)?,
            Self::Stats => now(client.stats())?,
            Self::Invalidate(what) => later(async move {
                let done = client.invalidate(&what).await?;
                Reply::value(done).map(Answer::Reply)
            }),
            Self::ClearCache => {
                client.clear_cache();
                Carried::Now(Reply::Value(json!({})))
            }
        })
    }
}

fn later(running: impl Future<Output = Result<Answer>> + Send + 'static) -> Carried {
    Carried::Later(Box::pin(running))
}

fn now(value: impl serde::Serialize) -> Result<Carried> {
    Reply::value(value).map(Carried::Now)
}

/// The model's published encoding, or the newest one, by which texts of other models are cut approximately.
fn encoding(model: &str) -> &'static Encoding {
    tokens::encoding_for_model(model)
        .or_else(|| Encoding::get("o200k_base"))
        .unwrap_or(&Encoding::all()[0])
}

fn catalog(client: &Client, request: &CatalogRequest) -> Result<serde_json::Value> {
    let kind = request
        .kind
        .as_deref()
        .map(|name| {
            ModelKind::from_name(name)
                .ok_or_else(|| Error::invalid("kind", "expected chat, embedding or rerank"))
        })
        .transpose()?;
    let sort = match request.sort.as_deref() {
        None | Some("id") => ModelSort::Id,
        Some("input") => ModelSort::Input,
        Some("output") => ModelSort::Output,
        Some("context") => ModelSort::Context,
        Some("released") => ModelSort::Released,
        Some(_) => {
            return Err(Error::invalid(
                "sort",
                "expected id, input, output, context or released",
            ));
        }
    };
    let caps: Vec<&str> = request.caps.iter().map(String::as_str).collect();
    let query = ModelQuery {
        provider: request.provider.as_deref(),
        kind,
        caps: &caps,
        text: request.text.as_deref(),
        min_context: request.min_context,
        retired: request.retired,
        sort,
        ..ModelQuery::default()
    };
    let models = client
        .prices()
        .query(&query, &PriceContext::at(SystemTime::now()));
    Ok(json!({ "date": client.prices().date(), "models": models }))
}
