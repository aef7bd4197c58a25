//! Messages and what stands in them.

use ossai_proto::v1 as pb;

use super::{ConvertError, Converted, extra_text, read_each, read_extra, read_json, write_each};
use crate::types::{
    AudioPart, Content, FilePart, ImagePart, Message, Part, ReasoningPart, Role, TextPart, ToolCall,
};

const PART: &str = "expected a part of a kind this version knows";

impl From<&Message> for pb::Message {
    fn from(message: &Message) -> Self {
        let Message {
            role,
            content,
            name,
            tool_calls,
            tool_call_id,
            is_error,
            extra,
        } = message;
        Self {
            role: pb::Role::from(*role).into(),
            content: Some(match content {
                Content::Text(text) => pb::message::Content::Text(text.clone()),
                Content::Parts(parts) => pb::message::Content::Parts(pb::PartList {
                    parts: write_each(parts),
                }),
            }),
            name: name.clone(),
            tool_calls: write_each(tool_calls),
            tool_call_id: tool_call_id.clone(),
            is_error: *is_error,
            extra_json: extra_text(extra),
        }
    }
}

impl TryFrom<pb::Message> for Message {
    type Error = ConvertError;

    fn try_from(message: pb::Message) -> Converted<Self> {
        let pb::Message {
            role,
            content,
            name,
            tool_calls,
            tool_call_id,
            is_error,
            extra_json,
        } = message;
        Ok(Self {
            role: read_role(role)?,
            content: match content {
                None => Content::default(),
                Some(pb::message::Content::Text(text)) => Content::Text(text),
                Some(pb::message::Content::Parts(list)) => {
                    Content::Parts(read_each(list.parts, "content")?)
                }
            },
            name,
            tool_calls: read_each(tool_calls, "tool_calls")?,
            tool_call_id,
            is_error,
            extra: read_extra(&extra_json, "extra")?,
        })
    }
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::Developer => Self::Developer,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
            Role::Tool => Self::Tool,
        }
    }
}

fn read_role(role: i32) -> Converted<Role> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::System) => Ok(Role::System),
        Ok(pb::Role::Developer) => Ok(Role::Developer),
        Ok(pb::Role::User) => Ok(Role::User),
        Ok(pb::Role::Assistant) => Ok(Role::Assistant),
        Ok(pb::Role::Tool) => Ok(Role::Tool),
        Ok(pb::Role::Unspecified) | Err(_) => Err(ConvertError::new(
            "role",
            "expected system, developer, user, assistant or tool",
        )),
    }
}

impl From<&Part> for pb::Part {
    fn from(part: &Part) -> Self {
        use pb::part::Kind;
        let kind = match part {
            Part::Text(part) => Kind::Text(part.into()),
            Part::Image(part) => Kind::Image(part.into()),
            Part::Audio(part) => Kind::Audio(part.into()),
            Part::File(part) => Kind::File(part.into()),
            Part::Reasoning(part) => Kind::Reasoning(part.into()),
            Part::Other(value) => Kind::OtherJson(value.to_string()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Part> for Part {
    type Error = ConvertError;

    fn try_from(part: pb::Part) -> Converted<Self> {
        use pb::part::Kind;
        Ok(
            match part.kind.ok_or_else(|| ConvertError::new("type", PART))? {
                Kind::Text(part) => Self::Text(part.try_into()?),
                Kind::Image(part) => Self::Image(part.try_into()?),
                Kind::Audio(part) => Self::Audio(part.try_into()?),
                Kind::File(part) => Self::File(part.try_into()?),
                Kind::Reasoning(part) => Self::Reasoning(part.try_into()?),
                Kind::OtherJson(text) => Self::Other(read_json(&text, "other_json")?),
            },
        )
    }
}

/// A record whose fields are the same on both sides but for `extra`.
macro_rules! record {
    ($name:ident { $($field:ident),* }) => {
        impl From<&$name> for pb::$name {
            fn from(value: &$name) -> Self {
                let $name { $($field,)* extra } = value;
                Self { $($field: $field.clone(),)* extra_json: extra_text(extra) }
            }
        }

        impl TryFrom<pb::$name> for $name {
            type Error = ConvertError;

            fn try_from(value: pb::$name) -> Converted<Self> {
                let pb::$name { $($field,)* extra_json } = value;
                Ok(Self { $($field,)* extra: read_extra(&extra_json, "extra")? })
            }
        }
    };
}

record!(TextPart { text });
record!(ImagePart {
    url,
    data,
    media_type,
    detail
});
record!(AudioPart { data, format });
record!(FilePart {
    url,
    data,
    file_id,
    media_type,
    filename
});
record!(ReasoningPart {
    text,
    signature,
    redacted
});
record!(ToolCall {
    id,
    name,
    arguments
});
