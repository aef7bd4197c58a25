//! Tool calls put together from pieces that servers number, name and identify as they please.

use super::{CallDelta, ChatStream, MAX_PARTS, part};
use crate::Result;
use crate::provider::read::{Loose, decode_error};
use crate::types::{Extra, StreamEvent};

pub(super) struct Call {
    /// The vendor's number of the call; servers that count wrongly make it ambiguous, the id decides then.
    pub(super) upstream: Option<u64>,
    pub(super) id: String,
    /// Our part, once the name is known.
    pub(super) part: Option<u32>,
    /// Arguments that came before the name.
    pub(super) waiting: String,
    pub(super) extra: Extra,
}

impl ChatStream {
    pub(super) fn call(&mut self, delta: CallDelta<'_>, out: &mut Vec<StreamEvent>) -> Result<()> {
        let function = delta.function.unwrap_or_default();
        let at = self.find_call(delta.index.number(), delta.id.text(), function.name.text());
        let at = match at {
            Some(at) => at,
            None if self.calls.len() >= MAX_PARTS => {
                return Err(decode_error("the answer has too many tool calls"));
            }
            None => {
                self.calls.push(Call {
                    upstream: delta.index.number(),
                    id: delta.id.text().unwrap_or_default().to_owned(),
                    part: None,
                    waiting: String::new(),
                    extra: Extra::new(),
                });
                self.calls.len() - 1
            }
        };
        let Some(call) = self.calls.get_mut(at) else {
            return Err(decode_error("a tool call that is not there"));
        };
        if call.part.is_none() {
            call.extra.extend(delta.extra);
            if let (true, Some(id)) = (call.id.is_empty(), delta.id.text()) {
                id.clone_into(&mut call.id);
            }
        }
        let arguments = match function.arguments {
            Loose::Str(text) => text.into_owned(),
            Loose::Other(value) => value.to_string(),
            Loose::Null | Loose::Int(_) => String::new(),
        };
        match (call.part, function.name.text()) {
            (Some(index), _) => {
                if !arguments.is_empty() {
                    out.push(StreamEvent::ToolCallDelta { index, arguments });
                }
            }
            (None, name) => {
                self.kept = true;
                call.waiting.push_str(&arguments);
                if let Some(name) = name {
                    let index = part(&mut call.part, &mut self.parts)?;
                    start_call(call, at, index, name, out);
                }
            }
        }
        Ok(())
    }

    pub(super) fn find_call(
        &self,
        index: Option<u64>,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Option<usize> {
        let by_index = |call: &Call| call.upstream == index;
        let found = match (index, id, name) {
            (Some(_), _, _) => self.calls.iter().rposition(by_index),
            (None, Some(id), _) => return self.calls.iter().rposition(|call| call.id == id),
            (None, None, Some(_)) => None,
            (None, None, None) => self.calls.len().checked_sub(1),
        };
        // Some servers number every call 0: another id with a name begins another call.
        found.filter(|at| {
            let known = self.calls.get(*at).map_or("", |call| call.id.as_str());
            id.is_none() || name.is_none() || known.is_empty() || id == Some(known)
        })
    }
}

pub(super) fn start_call(
    call: &mut Call,
    at: usize,
    index: u32,
    name: &str,
    out: &mut Vec<StreamEvent>,
) {
    let id = match call.id.as_str() {
        "" => format!("call_{at}"),
        id => id.to_owned(),
    };
    let extra = std::mem::take(&mut call.extra);
    out.push(StreamEvent::ToolCallStart {
        index,
        id,
        name: name.to_owned(),
        extra,
    });
    let arguments = std::mem::take(&mut call.waiting);
    if !arguments.is_empty() {
        out.push(StreamEvent::ToolCallDelta { index, arguments });
    }
}
