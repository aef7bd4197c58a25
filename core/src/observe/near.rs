//! Which earlier call a miss nearly was, and in what it differs: the usual reason for a cache that never hits is one
//! field nobody thought of.
//!
//! Only calls that are traced are remembered, as 64-bit digests of their fields: what is held is bounded and gives no
//! content away. The work is done on a miss, never on the way to a hit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::call::key::{Key, Place, completion_key};
use crate::types::{CompletionRequest, Message};

/// Most calls remembered.
const MOST: usize = 128;
/// Most messages told apart; later ones count as one field.
const MESSAGES: usize = 32;

/// What is remembered of a call: its fields by name, as digests.
#[derive(Debug)]
struct Seen {
    key: Key,
    fields: Vec<(Name, u64)>,
}

/// A field of a request or of the place it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Field(&'static str),
    Message(usize),
    LaterMessages,
}

impl Name {
    fn path(self) -> String {
        match self {
            Self::Field(name) => name.into(),
            Self::Message(i) => format!("messages[{i}]"),
            Self::LaterMessages => format!("messages[{MESSAGES}..]"),
        }
    }
}

/// How a call that was not in the cache stands to the ones before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nearness {
    /// None was seen.
    Unknown,
    /// The very same one was seen: its answer is gone, or was never stored.
    Same,
    /// The nearest one differs in these fields.
    Differs(Vec<String>),
}

/// The traced calls of a client.
#[derive(Debug, Default)]
pub(crate) struct NearMisses(Mutex<VecDeque<Seen>>);

impl NearMisses {
    /// The nearest of the calls before; remembers this one if `remember`.
    pub(crate) fn compare(
        &self,
        key: Key,
        place: &Place<'_>,
        request: &CompletionRequest,
        remember: bool,
    ) -> Nearness {
        let fields = digests(place, request);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().any(|seen| seen.key == key) {
            return Nearness::Same;
        }
        let nearest = seen
            .iter()
            .map(|seen| differences(&seen.fields, &fields))
            .min_by_key(Vec::len);
        if remember {
            if seen.len() >= MOST {
                seen.pop_front();
            }
            seen.push_back(Seen { key, fields });
        }
        match nearest {
            None => Nearness::Unknown,
            Some(names) => Nearness::Differs(names.into_iter().map(Name::path).collect()),
        }
    }
}

fn differences(a: &[(Name, u64)], b: &[(Name, u64)]) -> Vec<Name> {
    let missing_in = |other: &[(Name, u64)], field: &(Name, u64)| !other.contains(field);
    let mut names: Vec<Name> = b
        .iter()
        .filter(|field| missing_in(a, field))
        .chain(a.iter().filter(|field| missing_in(b, field)))
        .map(|(name, _)| *name)
        .collect();
    let mut known = Vec::with_capacity(names.len());
    names.retain(|name| {
        let new = !known.contains(name);
        known.push(*name);
        new
    });
    names
}

/// The fields that are in the key of this request and set, as paths.
pub(crate) fn fields_in_key(place: &Place<'_>, request: &CompletionRequest) -> Vec<String> {
    let default = digests(&EMPTY, &CompletionRequest::default());
    digests(place, request)
        .into_iter()
        .filter(|field| !default.contains(field))
        .map(|(name, _)| name.path())
        .collect()
}

const EMPTY: Place<'static> = Place {
    tenant: None,
    credential: &[0; 32],
    provider: "",
    base_url: "",
    endpoint: "",
    model: "",
};

/// Each field through the key's own encoding, everything else left at its default: two requests with equal digests have
/// equal keys, and which digests differ is where they differ.
fn digests(place: &Place<'_>, request: &CompletionRequest) -> Vec<(Name, u64)> {
    let short = |place: &Place<'_>, request: &CompletionRequest| {
        let [a, b, c, d, e, f, g, h, ..] = completion_key(place, request).0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    };
    let none = CompletionRequest::default();
    let at = |place: Place<'_>| short(&place, &none);
    let with = |request: CompletionRequest| short(&EMPTY, &request);
    let of_messages = |messages: &[Message]| {
        with(CompletionRequest {
            messages: messages.to_vec(),
            ..CompletionRequest::default()
        })
    };
    let place = *place;
    // Every field by name: a new one does not compile until it is told apart here too.
    let CompletionRequest {
        model: _,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        max_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop,
        reasoning_effort,
        service_tier,
        metadata,
        user,
        extra,
    } = request;
    let mut fields = vec![
        (
            "tenant",
            at(Place {
                tenant: place.tenant,
                ..EMPTY
            }),
        ),
        (
            "credential",
            at(Place {
                credential: place.credential,
                ..EMPTY
            }),
        ),
        (
            "provider",
            at(Place {
                provider: place.provider,
                ..EMPTY
            }),
        ),
        (
            "base_url",
            at(Place {
                base_url: place.base_url,
                ..EMPTY
            }),
        ),
        (
            "endpoint",
            at(Place {
                endpoint: place.endpoint,
                ..EMPTY
            }),
        ),
        (
            "model",
            at(Place {
                model: place.model,
                ..EMPTY
            }),
        ),
    ];
    macro_rules! each {
        ($($field:ident),*) => {
            $(fields.push((
                stringify!($field),
                with(CompletionRequest { $field: $field.clone(), ..CompletionRequest::default() }),
            ));)*
        };
    }
    each!(
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        max_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop,
        reasoning_effort,
        service_tier,
        metadata,
        user,
        extra
    );
    let (first, later) = messages.split_at(messages.len().min(MESSAGES));
    let messages = first
        .iter()
        .enumerate()
        .map(|(i, message)| (Name::Message(i), of_messages(std::slice::from_ref(message))))
        .chain((!later.is_empty()).then(|| (Name::LaterMessages, of_messages(later))));
    fields
        .into_iter()
        .map(|(name, digest)| (Name::Field(name), digest))
        .chain(messages)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> CompletionRequest {
        CompletionRequest::new("openai/m", text)
    }

    fn compare(near: &NearMisses, place: &Place<'_>, request: &CompletionRequest) -> Nearness {
        near.compare(completion_key(place, request), place, request, true)
    }

    #[test]
    fn a_miss_names_the_fields_in_which_the_nearest_call_differs() {
        let near = NearMisses::default();
        assert_eq!(
            compare(&near, &EMPTY, &request("a quite different one")),
            Nearness::Unknown
        );
        compare(&near, &EMPTY, &request("q"));
        let warm = CompletionRequest {
            temperature: Some(0.5),
            ..request("q")
        };
        assert_eq!(
            compare(&near, &EMPTY, &warm),
            Nearness::Differs(vec!["temperature".into()])
        );
        let mut longer = request("q");
        longer.messages.push(Message::user("more"));
        assert_eq!(
            compare(&near, &EMPTY, &longer),
            Nearness::Differs(vec!["messages[1]".into()])
        );
        let elsewhere = Place {
            tenant: Some(""),
            ..EMPTY
        };
        assert_eq!(
            compare(&near, &elsewhere, &request("q")),
            Nearness::Differs(vec!["tenant".into()])
        );
        assert_eq!(compare(&near, &EMPTY, &request("q")), Nearness::Same);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let near = NearMisses::default();
        for i in 0..1000 {
            compare(&near, &EMPTY, &request(&i.to_string()));
        }
        assert_eq!(near.0.lock().unwrap().len(), MOST);
        let mut long = request("x");
        long.messages = vec![Message::user("x"); 5_000];
        assert_eq!(
            digests(&EMPTY, &long).len(),
            digests(&EMPTY, &request("x")).len() + MESSAGES
        );
    }

    #[test]
    fn the_fields_in_the_key_are_those_that_are_set() {
        let place = Place {
            model: "m",
            ..EMPTY
        };
        let request = CompletionRequest {
            seed: Some(7),
            ..request("q")
        };
        assert_eq!(
            fields_in_key(&place, &request),
            ["model", "seed", "messages[0]"]
        );
    }
}
