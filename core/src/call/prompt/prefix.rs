//! The beginnings of a request in the order vendors read them: tools, instructions, messages.

use std::borrow::Cow;

use serde::Serialize;

use crate::types::{CompletionRequest, Content, Message, Part, Role, Tool};

/// Where a beginning ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After the last tool.
    Tools,
    /// After the last instruction.
    System,
    /// After the message with this number.
    Message(usize),
}

/// How long a vendor keeps what it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ttl {
    Five,
    Hour,
}

/// A beginning of a request.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    pub(super) place: Place,
    /// Of everything up to here, and of whose it is.
    pub(super) hash: u128,
    /// How long everything up to here is.
    pub(super) bytes: u64,
    /// The longest time of a mark of the caller's own since the boundary before.
    pub(super) own: Option<Ttl>,
    /// Whether a mark can stand here.
    pub(super) markable: bool,
}

/// All of them, the shortest first.
pub(super) struct Prefixes<'a> {
    request: &'a CompletionRequest,
    pub(super) boundaries: Vec<Boundary>,
    /// What conversations of one kind have in common: tools and instructions.
    pub(super) family: u128,
    /// How many marks the caller has set.
    pub(super) own: usize,
    /// The order of the tools by name, where it is not the caller's.
    pub(super) order: Option<Vec<usize>>,
    hasher: blake3::Hasher,
    bytes: u64,
    failed: bool,
}

impl<'a> Prefixes<'a> {
    /// The beginnings of a request; `whose` tells apart what no two can share.
    pub(super) fn of(request: &'a CompletionRequest, whose: &[&[u8]]) -> Self {
        let mut all = Self {
            request,
            boundaries: Vec::with_capacity(request.messages.len() + 2),
            family: 0,
            own: 0,
            order: order(&request.tools),
            hasher: blake3::Hasher::new_derive_key("ossai 2026 prompt prefix v1"),
            bytes: 0,
            failed: false,
        };
        for text in whose {
            all.take(text);
        }
        all.bytes = 0;
        all.tools();
        all.system();
        all.family = all.finish(b"family");
        // These are written into the request after the instructions, or change how the messages are read.
        all.add(&(
            &request.tool_choice,
            request.parallel_tool_calls,
            &request.response_format,
            request.reasoning_effort,
            request.extra.get("thinking"),
        ));
        for (at, message) in request.messages.iter().enumerate() {
            if is_system(message) || (message.content.is_empty() && message.tool_calls.is_empty()) {
                continue;
            }
            let own = all.add(message);
            all.boundary(Place::Message(at), own, is_markable(message));
        }
        all
    }

    /// `None` where the request cannot be written: the encoder says why.
    pub(super) fn complete(self) -> Option<Self> {
        (!self.failed).then_some(self)
    }

    /// How long the request is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn tools(&mut self) {
        let tools = &self.request.tools;
        let mut own = None;
        let mut deferred = false;
        for at in 0..tools.len() {
            let at = self
                .order
                .as_ref()
                .and_then(|order| order.get(at))
                .map_or(at, |at| *at);
            let Some(tool) = tools.get(at) else { continue };
            own = self.add(tool).max(own);
            let deferred_by = |extra: Option<&serde_json::Value>| extra.is_some_and(|v| v == true);
            // A tool that is loaded later is no part of the beginning, and a mark on it is refused.
            deferred = match tool {
                Tool::Function(function) => deferred_by(function.extra.get("defer_loading")),
                Tool::Provider(value) => {
                    deferred_by(value.get("defer_loading")) || !value.is_object()
                }
            };
        }
        if !tools.is_empty() {
            self.boundary(Place::Tools, own, !deferred);
        }
    }

    fn system(&mut self) {
        let request = self.request;
        let mut own = None;
        let mut markable = None;
        for message in request
            .messages
            .iter()
            .filter(|m| is_system(m) && !m.content.is_empty())
        {
            own = self.add(message).max(own);
            markable = Some(is_markable(message));
        }
        if let Some(markable) = markable {
            self.boundary(Place::System, own, markable);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// Adds what comes next and says which mark of the caller's is in it.
    fn add(&mut self, what: &impl Serialize) -> Option<Ttl> {
        let Ok(json) = serde_json::to_vec(what) else {
            self.failed = true;
            return None;
        };
        self.take(&json);
        // A quote inside a text is escaped: this is a field's name and nothing else.
        let marks = memchr::memmem::find_iter(&json, br#""cache_control":"#).count();
        self.own += marks;
        let hour = || memchr::memmem::find(&json, br#""ttl":"1h""#).is_some();
        (marks > 0).then(|| if hour() { Ttl::Hour } else { Ttl::Five })
    }

    fn finish(&self, what: &[u8]) -> u128 {
        let mut hasher = self.hasher.clone();
        hasher.update(what);
        let mut first = [0; 16];
        hasher.finalize_xof().fill(&mut first);
        u128::from_le_bytes(first)
    }

    fn boundary(&mut self, place: Place, own: Option<Ttl>, markable: bool) {
        let hash = self.finish(b"");
        self.boundaries.push(Boundary {
            place,
            hash,
            bytes: self.bytes,
            own,
            markable,
        });
    }
}

pub(super) fn is_system(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// Whether a mark on the message comes to stand on its last block.
fn is_markable(message: &Message) -> bool {
    if message.role == Role::Tool {
        return true;
    }
    message.tool_calls.is_empty()
        && match &message.content {
            Content::Text(text) => !text.is_empty(),
            Content::Parts(parts) => match parts.last() {
                Some(Part::Text(text)) => !text.text.is_empty(),
                Some(Part::Image(_) | Part::File(_)) => true,
                _ => false,
            },
        }
}

/// The tools by name, so that equal sets begin alike. `None` where they are in that order, and where the caller has marked one:
/// what stands before a mark is the caller's choice.
fn order(tools: &[Tool]) -> Option<Vec<usize>> {
    fn name(tool: &Tool) -> Cow<'_, str> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        match tool {
            Tool::Function(function) => Cow::Borrowed(&function.name),
            Tool::Provider(value) => {
                let named = value
                    .get("name")
                    .or_else(|| value.get("type"))
                    .and_then(text);
                Cow::Owned(named.unwrap_or_default())
            }
        }
    }
    let marked = |tool: &Tool| match tool {
        Tool::Function(function) => function.extra.contains_key("cache_control"),
        Tool::Provider(value) => value.get("cache_control").is_some(),
    };
    if tools.is_sorted_by_key(name) || tools.iter().any(marked) {
        return None;
    }
    let mut order: Vec<usize> = (0..tools.len()).collect();
    order.sort_by_cached_key(|at| tools.get(*at).map(name));
    Some(order)
}

/// Puts the tools in that order.
pub(super) fn reorder(tools: &mut Vec<Tool>, order: Option<&[usize]>) {
    if let Some(order) = order {
        *tools = order
            .iter()
            .filter_map(|at| tools.get(*at).cloned())
            .collect();
    }
}
