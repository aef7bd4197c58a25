//! What a chat request counts beyond its text: the frame of each message and the definitions of tools.
//!
//! Source: OpenAI Cookbook, "How to count tokens with tiktoken", sections 6 and 7. The message overhead equals the
//! usage the API returned for every model tried there (gpt-3.5-turbo-0125 to gpt-4o-mini); the tool overhead likewise for
//! one request of one tool with two properties. Vendors other than OpenAI publish nothing: there this is an estimate.

use super::encoding::Encoding;

/// Tokens that frame each message.
pub const PER_MESSAGE: usize = 3;
/// Tokens that a message's name adds to its own.
pub const PER_NAME: usize = 1;
/// Tokens that begin the answer, once in a request.
pub const REPLY_PRIMER: usize = 3;

/// The parts of a chat message that become tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant`, `tool`, …
    pub role: &'a str,
    /// The author's name, if the message has one.
    pub name: Option<&'a str>,
    /// The texts of the content, in order; images are counted by [`image_tokens`](super::image_tokens).
    pub texts: &'a [&'a str],
    /// Tool calls of the assistant: name and arguments.
    pub tool_calls: &'a [(&'a str, &'a str)],
}

/// A tool definition, as far as it becomes tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tool<'a> {
    /// The function's name.
    pub name: &'a str,
    /// What it does; may be empty.
    pub description: &'a str,
    /// Its parameters.
    pub properties: &'a [Property<'a>],
}

/// A property of a JSON Schema object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Property<'a> {
    /// The property's name.
    pub name: &'a str,
    /// Its JSON type, such as `string`.
    pub kind: &'a str,
    /// What it means; may be empty.
    pub description: &'a str,
    /// The values of its `enum`.
    pub choices: &'a [&'a str],
    /// Properties of the object, or of the items, that it holds.
    pub properties: &'a [Property<'a>],
}

/// The tokens of the messages of a request and of the beginning of its answer.
///
/// Equal to the API's count for messages of text. A tool call counts as its name, its arguments and the frame of a
/// message; its real form is not published, and differs by some tokens a call.
pub fn chat_tokens(encoding: &Encoding, messages: &[Message<'_>]) -> usize {
    let message = |m: &Message<'_>| {
        let name = m.name.map_or(0, |name| encoding.count(name) + PER_NAME);
        let texts: usize = m.texts.iter().map(|text| encoding.count(text)).sum();
        let calls = m.tool_calls.iter().map(|(name, arguments)| {
            PER_MESSAGE + encoding.count(name) + encoding.count(arguments)
        });
        PER_MESSAGE + encoding.count(m.role) + name + texts + calls.sum::<usize>()
    };
    messages.iter().map(message).sum::<usize>() + REPLY_PRIMER
}

/// The tokens of the tool definitions of a request; 0 for none.
///
/// The Cookbook's formula, for the models that use o200k_base and cl100k_base. It was fitted to flat parameters and met
/// the API's count exactly there. Nested properties, which it leaves out, are counted like outer ones; with those,
/// long enums or schema keywords beyond type, description and enum, expect to be within about a tenth of the definitions.
pub fn tool_tokens(encoding: &Encoding, tools: &[Tool<'_>]) -> usize {
    const END: usize = 12;
    if tools.is_empty() {
        return 0;
    }
    let start = if encoding.name().starts_with("o200k") {
        7
    } else {
        10
    };
    let tool = |tool: &Tool<'_>| {
        let line = format!("{}:{}", tool.name, without_period(tool.description));
        start + encoding.count(&line) + properties(encoding, tool.properties)
    };
    tools.iter().map(tool).sum::<usize>() + END
}

fn properties(encoding: &Encoding, list: &[Property<'_>]) -> usize {
    const START: usize = 3;
    const EACH: usize = 3;
    const CHOICE: usize = 3;
    if list.is_empty() {
        return 0;
    }
    let property = |p: &Property<'_>| {
        let line = format!("{}:{}:{}", p.name, p.kind, without_period(p.description));
        let choices: usize = p.choices.iter().map(|c| CHOICE + encoding.count(c)).sum();
        // An enum as such takes 3 off, which its first value has added.
        EACH + encoding.count(&line)
            + choices.saturating_sub(3)
            + properties(encoding, p.properties)
    };
    START + list.iter().map(property).sum::<usize>()
}

fn without_period(description: &str) -> &str {
    description.strip_suffix('.').unwrap_or(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEATHER: Tool<'static> = Tool {
        name: "get_current_weather",
        description: "Get the current weather in a given location",
        properties: &[
            Property {
                name: "location",
                kind: "string",
                description: "The city and state, e.g. San Francisco, CA",
                choices: &[],
                properties: &[],
            },
            Property {
                name: "unit",
                kind: "string",
                description: "The unit of temperature to return",
                choices: &["celsius", "fahrenheit"],
                properties: &[],
            },
        ],
    };

    fn text<'a>(role: &'a str, name: Option<&'a str>, texts: &'a [&'a str]) -> Message<'a> {
        Message {
            role,
            name,
            texts,
            tool_calls: &[],
        }
    }

    #[test]
    fn the_cookbooks_tool_request_counts_what_the_api_returned() {
        let messages = [
            text(
                "system",
                None,
                &["You are a helpful assistant that can answer to questions about the weather."],
            ),
            text("user", None, &["What's the weather like in San Francisco?"]),
        ];
        for (encoding, returned) in [("o200k_base", 101), ("cl100k_base", 105)] {
            let encoding = Encoding::get(encoding).unwrap();
            let total = chat_tokens(encoding, &messages) + tool_tokens(encoding, &[WEATHER]);
            assert_eq!(total, returned, "{}", encoding.name());
        }
    }

    #[test]
    fn the_cookbooks_chat_counts_what_the_api_returned() {
        let (user, assistant) = (Some("example_user"), Some("example_assistant"));
        let messages = [
            text(
                "system",
                None,
                &[
                    "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
                ],
            ),
            text(
                "system",
                user,
                &["New synergies will help drive top-line growth."],
            ),
            text(
                "system",
                assistant,
                &["Things working well together will increase revenue."],
            ),
            text(
                "system",
                user,
                &[
                    "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
                ],
            ),
            text(
                "system",
                assistant,
                &["Let's talk later when we're less busy about how to do better."],
            ),
            text(
                "user",
                None,
                &[
                    "This late pivot means we don't have time to boil the ocean for the client deliverable.",
                ],
            ),
        ];
        for (encoding, returned) in [("o200k_base", 124), ("cl100k_base", 129)] {
            assert_eq!(
                chat_tokens(Encoding::get(encoding).unwrap(), &messages),
                returned
            );
        }
    }

    #[test]
    fn no_tools_count_nothing_and_nested_properties_count_more() {
        let encoding = Encoding::get("o200k_base").unwrap();
        assert_eq!(tool_tokens(encoding, &[]), 0);
        let outer = [Property {
            name: "query",
            kind: "object",
            properties: WEATHER.properties,
            ..Property::default()
        }];
        let nested = Tool {
            properties: &outer,
            ..WEATHER
        };
        assert!(tool_tokens(encoding, &[nested]) > tool_tokens(encoding, &[WEATHER]));
    }
}
