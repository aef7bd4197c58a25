//! Names of fields in errors: ours as the Responses API has them.

use ossai::Error;

/// Which item of the input each of our messages and tool calls came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<Place>);

#[derive(Clone, Debug, Default)]
struct Place {
    /// Absent for the instructions.
    item: Option<usize>,
    calls: Vec<usize>,
}

impl Names {
    /// The next message is the instructions.
    pub(super) fn instructions(&mut self) {
        self.0.push(Place::default());
    }

    /// The next message begins with this item.
    pub(super) fn message(&mut self, item: usize) {
        self.0.push(Place {
            item: Some(item),
            calls: Vec::new(),
        });
    }

    /// The last message's next call is this item.
    pub(super) fn call(&mut self, item: usize) {
        if let Some(place) = self.0.last_mut() {
            place.calls.push(item);
        }
    }

    /// An error with its field named as the caller knows it, in its message, too.
    pub(crate) fn rename(&self, error: Error) -> Error {
        let Some(old) = error.fields().field.clone() else {
            return error;
        };
        let new = self.field(&old);
        if new == old {
            return error;
        }
        error.with(|fields| {
            if let Some(rest) = fields.message.strip_prefix(old.as_str()) {
                fields.message = format!("{new}{rest}");
            }
            fields.field = Some(new);
        })
    }

    fn field(&self, field: &str) -> String {
        match field {
            "messages" => return "input".into(),
            "max_tokens" => return "max_output_tokens".into(),
            "reasoning_effort" => return "reasoning.effort".into(),
            "response_format" => return "text.format".into(),
            _ => {}
        }
        if let Some(rest) = field.strip_prefix("response_format.") {
            return format!("text.format.{rest}");
        }
        let Some((at, rest)) = index(field, "messages[") else {
            return field.to_owned();
        };
        let Some(place) = self.0.get(at) else {
            return field.to_owned();
        };
        let Some(item) = place.item else {
            return "instructions".into();
        };
        if let Some((call, rest)) = index(rest, ".tool_calls[")
            && let Some(item) = place.calls.get(call)
        {
            let rest = if rest == ".id" { ".call_id" } else { rest };
            return format!("input[{item}]{rest}");
        }
        match rest {
            ".tool_call_id" => format!("input[{item}].call_id"),
            rest => format!("input[{item}]{rest}"),
        }
    }
}

/// The number after a prefix, and what follows its bracket.
fn index<'a>(text: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = text.strip_prefix(prefix)?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}
