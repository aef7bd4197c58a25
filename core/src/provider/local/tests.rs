use std::time::{Duration, Instant};

use super::passages::render;
use super::*;
use crate::types::{
    Content, FinishReason, ImagePart, Message, Part, ResponseFormat, TextPart, Tool, ToolChoice,
    ToolDefinition, Usage,
};

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn ask(prompt: impl Into<String>) -> Completion {
    complete(&CompletionRequest::new(EXTRACT, prompt), &words).unwrap()
}

fn over(passages: &[(&str, &str)], question: &str) -> Completion {
    ask(format!(
        "{}\n\n{question}",
        render(passages.iter().copied())
    ))
}

fn first_citation(answer: &Completion) -> u64 {
    answer.extra["citations"][0]["number"].as_u64().unwrap()
}

const DOCS: &[(&str, &str)] = &[
    (
        "docs/cache.md:1-9",
        "# Memory cache\n\nThe memory cache is bounded by bytes. Only complete answers are stored.\nAn entry that is \
         refreshed keeps its place.\n\n```rust\nlet cache = Cache::new(1024);\n```",
    ),
    (
        "docs/flights.md:3-20",
        "# Flights\n\nIdentical calls share one flight. Nobody leads a flight, so nobody's cancellation fails the\n\
         others; the last subscriber to leave cancels it. Streams use the same flight.",
    ),
    (
        "core/src/retry/backoff.rs:1-8",
        "//! Waits between tries grow with full jitter, so that clients do not come back all at once.\n\n/// Returns the \
         wait before try `n`, at most 20 seconds.\npub fn backoff_delay(n: u32, random: u64) -> Duration {\n    \
         todo_later(n)\n}",
    ),
    (
        "README.md:5-9",
        "ossai is a client core for programs that call language models. It counts tokens, prices calls and caches answers.",
    ),
];

#[test]
fn it_quotes_the_sentence_that_answers_and_cites_its_passage() {
    let answer = over(DOCS, "Why does nobody lead a flight?");
    assert!(
        answer.text.starts_with(
            "Nobody leads a flight, so nobody's cancellation fails the others; the last subscriber to leave cancels it."
        ),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains("[2]\n\nQuoted by local/extract"),
        "{}",
        answer.text
    );
    assert!(
        answer.text.ends_with("\n[2] docs/flights.md:3-20"),
        "{}",
        answer.text
    );
    assert_eq!(answer.finish_reason, FinishReason::Stop);

    assert_eq!(
        first_citation(&over(DOCS, "What is stored in the cache?")),
        1
    );
    assert_eq!(
        first_citation(&over(DOCS, "How long does it wait between tries at most?")),
        3
    );
    assert_eq!(first_citation(&over(DOCS, "What is ossai")), 4);
}

#[test]
fn it_finds_code_by_the_words_of_its_names_and_quotes_its_documentation() {
    let answer = over(DOCS, "What does backoff_delay return?");
    assert!(
        answer
            .text
            .starts_with("Returns the wait before try `n`, at most 20 seconds. "),
        "{}",
        answer.text
    );
    assert_eq!(first_citation(&answer), 3);
}

#[test]
fn bare_code_is_quoted_only_where_no_prose_answers() {
    assert!(
        !over(DOCS, "How is the cache bounded?")
            .text
            .contains("let cache")
    );
    let code = [(
        "a.rs:1-2",
        "pub fn fold_events(events: &[Event]) -> Completion {\n    start();",
    )];
    assert!(
        over(&code, "Where is fold_events?")
            .text
            .starts_with("`pub fn fold_events(events: &[Event]) -> Completion {` [1]")
    );
}

#[test]
fn it_answers_in_chinese_japanese_and_arabic() {
    let chinese = [
        ("a.md:1-2", "价格表每天更新一次。价格以整数计算。"),
        (
            "b.md:1-2",
            "没有人领导航班，所以没有人的取消会使其他人失败。最后离开的订阅者取消它。",
        ),
    ];
    let answer = over(&chinese, "为什么没有人领导航班？");
    assert!(
        answer
            .text
            .starts_with("没有人领导航班，所以没有人的取消会使其他人失败。"),
        "{}",
        answer.text
    );
    assert_eq!(first_citation(&answer), 2);

    let japanese = [
        ("a.md:1-1", "価格は整数です。"),
        (
            "b.md:1-1",
            "キャッシュはバイト数で制限されます。完全な回答だけが保存されます。",
        ),
    ];
    assert_eq!(
        first_citation(&over(&japanese, "キャッシュに保存されるのは何ですか？")),
        2
    );

    let arabic = [
        ("a.md:1-1", "تحسب الأسعار بالأعداد الصحيحة."),
        (
            "b.md:1-1",
            "لا تُخزَّن في الذاكرة إلا الإجابات الكاملة. وتُحذف الإجابات القديمة.",
        ),
    ];
    let answer = over(&arabic, "ما هي الإجابات التي تخزن في الذاكرة؟");
    assert_eq!(first_citation(&answer), 2);
    assert!(
        answer
            .text
            .starts_with("لا تُخزَّن في الذاكرة إلا الإجابات الكاملة."),
        "{}",
        answer.text
    );
}

#[test]
fn plain_prose_is_read_by_paragraph_and_the_question_is_not_quoted() {
    let answer = ask(
        "The sea is blue.\n\nThe forest is green because of chlorophyll.\n\nWhy is the forest green?",
    );
    assert!(
        answer
            .text
            .starts_with("The forest is green because of chlorophyll. [2]"),
        "{}",
        answer.text
    );
    assert!(
        answer.text.ends_with("[2] messages[0], paragraph 2"),
        "{}",
        answer.text
    );
    let first = ask(
        "Why is the forest green?\n\nThe sea is blue.\n\nThe forest is green because of chlorophyll.",
    );
    assert!(
        first
            .text
            .starts_with("The forest is green because of chlorophyll."),
        "{}",
        first.text
    );

    let mut request = CompletionRequest::new(EXTRACT, "What colour is the sea?");
    request
        .messages
        .insert(0, Message::system("The sea is blue. The forest is green."));
    assert!(
        complete(&request, &words)
            .unwrap()
            .text
            .starts_with("The sea is blue. [1]")
    );
}

#[test]
fn instructions_around_a_block_are_not_quoted() {
    let mut request = CompletionRequest::new(
        EXTRACT,
        format!("{}\n\nWhat is a flight?", render(DOCS.iter().copied())),
    );
    request.messages.insert(
        0,
        Message::system("Say what a flight is. A flight is what the passages say it is."),
    );
    assert!(
        !complete(&request, &words)
            .unwrap()
            .text
            .contains("Say what")
    );
}

#[test]
fn a_text_to_summarise_is_summarised_without_a_question() {
    let text = "Caches store answers. Caches expire answers after their time to live. Dogs bark.";
    for prompt in [
        format!("{text}\n\nSummarise the text above."),
        format!("Summarize: {text}"),
    ] {
        let answer = ask(prompt);
        assert!(
            answer.text.contains("Caches store answers."),
            "{}",
            answer.text
        );
        assert!(answer.extra.contains_key("citations"));
    }
}

#[test]
fn with_nothing_to_quote_it_says_what_it_is() {
    for prompt in ["Hello", "", "What is the capital of France?", "🧑‍🚀", "?"] {
        let answer = ask(prompt);
        assert!(
            answer
                .text
                .starts_with("I am local/extract, an offline extractive model"),
            "{}",
            answer.text
        );
        assert!(answer.text.ends_with("no passages to quote."));
        assert_eq!(answer.finish_reason, FinishReason::Stop);
    }
    let mut empty = CompletionRequest::new(EXTRACT, format!("{}\n\nWhat does it say?", render([])));
    empty
        .messages
        .insert(0, Message::system("Say what the passages say."));
    assert!(
        complete(&empty, &words)
            .unwrap()
            .text
            .ends_with("no passages to quote.")
    );
    let none = over(DOCS, "Who won the 1998 championship?");
    assert!(
        none.text
            .ends_with("No sentence of any of the 4 passages shares a word with it."),
        "{}",
        none.text
    );
    assert!(none.extra.is_empty());
}

#[test]
fn a_weak_match_is_called_one() {
    let answer = over(
        DOCS,
        "Which volcano erupted while tourists visited the complete archipelago yesterday?",
    );
    assert!(
        answer
            .text
            .starts_with("The passages may not answer this; "),
        "{}",
        answer.text
    );
}

#[test]
fn it_does_not_repeat_itself() {
    let same = "Nobody leads a flight.";
    let answer = over(
        &[("a:1-1", same), ("b:1-1", same), ("c:1-1", same)],
        "Who leads a flight?",
    );
    assert_eq!(answer.text.matches(same).count(), 1, "{}", answer.text);
}

#[test]
fn the_same_request_gives_the_same_answer() {
    let first = over(DOCS, "How are answers cached and priced?");
    for _ in 0..20 {
        assert_eq!(over(DOCS, "How are answers cached and priced?"), first);
    }
    let mut sampled = CompletionRequest::new(EXTRACT, "The sea is blue.\n\nWhat is blue?");
    let plain = complete(&sampled, &words).unwrap();
    (sampled.temperature, sampled.seed, sampled.top_p) = (Some(1.9), Some(7), Some(0.1));
    assert_eq!(complete(&sampled, &words).unwrap(), plain);
}

#[test]
fn max_tokens_cuts_the_answer_and_says_so() {
    let full = over(DOCS, "Why does nobody lead a flight?");
    for limit in [1, 2, 7, 20] {
        let mut request = CompletionRequest::new(
            EXTRACT,
            format!(
                "{}\n\nWhy does nobody lead a flight?",
                render(DOCS.iter().copied())
            ),
        );
        request.max_tokens = Some(limit);
        let cut = complete(&request, &words).unwrap();
        assert_eq!(
            (cut.finish_reason.clone(), cut.usage.output_tokens),
            (FinishReason::Length, limit)
        );
        assert!(full.text.starts_with(&cut.text));
        request.max_tokens = Some(words(&full.text));
        assert_eq!(
            complete(&request, &words).unwrap().finish_reason,
            FinishReason::Stop
        );
    }
}

#[test]
fn a_stop_sequence_ends_the_answer_before_it() {
    let mut request = CompletionRequest::new(
        EXTRACT,
        format!(
            "{}\n\nWhy does nobody lead a flight?",
            render(DOCS.iter().copied())
        ),
    );
    request.stop = vec!["never there".into(), "cancellation".into(), "so".into()];
    let answer = complete(&request, &words).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.finish_reason.clone()),
        ("Nobody leads a flight, ", FinishReason::Stop)
    );
    request.stop = vec!["Nobody".into()];
    let empty = complete(&request, &words).unwrap();
    assert_eq!(
        (
            empty.text.as_str(),
            empty.parts.len(),
            empty.usage.output_tokens
        ),
        ("", 0, 0)
    );
}

/// Folds events by their documented meaning.
fn fold(model: &str, events: &[StreamEvent]) -> Completion {
    let mut out = crate::types::Answer {
        model: model.into(),
        ..Default::default()
    };
    for event in events {
        match event.clone() {
            StreamEvent::Start {
                id,
                response_model,
                created,
            } => {
                (out.id, out.response_model, out.created) = (id, response_model, created);
            }
            StreamEvent::TextDelta { index: 0, text } => {
                assert!(!text.is_empty());
                out.text.push_str(&text);
                out.parts = vec![OutputPart::Text {
                    text: out.text.clone(),
                }];
            }
            StreamEvent::Extra { fields } => out.extra.extend(fields),
            StreamEvent::Finish { reason, .. } => out.finish_reason = reason,
            StreamEvent::Usage { usage, .. } => out.usage = usage,
            StreamEvent::End { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    out.into()
}

#[test]
fn the_events_fold_to_the_completion_and_end_with_it() {
    let block = render(DOCS.iter().copied());
    for (prompt, limit, stop) in [
        (
            format!("{block}\n\nWhy does nobody lead a flight?"),
            None,
            None,
        ),
        (
            format!("{block}\n\nWhy does nobody lead a flight?"),
            Some(5),
            None,
        ),
        (
            format!("{block}\n\nWhy does nobody lead a flight?"),
            None,
            Some("Nobody"),
        ),
        (
            "缓存以字节为单位。\n\n缓存的单位是什么？".into(),
            None,
            None,
        ),
        (String::new(), None, None),
    ] {
        let mut request = CompletionRequest::new(EXTRACT, prompt);
        request.max_tokens = limit;
        request.stop.extend(stop.map(String::from));
        let whole = complete(&request, &words).unwrap();
        let events = events(&request, &words).unwrap();
        assert_eq!(fold(EXTRACT, &events), whole);
        assert_eq!(
            events.last(),
            Some(&StreamEvent::End {
                completion: Box::new(whole)
            })
        );
    }
}

#[test]
fn usage_is_what_the_counter_says() {
    let mut request = CompletionRequest::new(EXTRACT, "The sea is blue.\n\nWhat is blue?");
    request.messages.insert(0, Message::system("Be brief."));
    let answer = complete(&request, &words).unwrap();
    let expected = Usage {
        input_tokens: 9,
        output_tokens: words(&answer.text),
        ..Usage::default()
    };
    assert_eq!(answer.usage, expected);
}

#[test]
fn json_mode_gives_answer_and_citations() {
    let mut request = CompletionRequest::new(
        EXTRACT,
        "He said \"blue\" of the sea.\n\nWhat colour is the sea?",
    );
    request.response_format = Some(ResponseFormat::JsonObject);
    let json: serde_json::Value =
        serde_json::from_str(&complete(&request, &words).unwrap().text).unwrap();
    let expected = serde_json::json!({
        "answer": "He said \"blue\" of the sea. [1]",
        "citations": [{ "number": 1, "source": "messages[0], paragraph 1" }],
    });
    assert_eq!(json, expected);
}

#[test]
fn what_it_cannot_do_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut CompletionRequest)| {
        let mut request = CompletionRequest::new(EXTRACT, "Hi");
        change(&mut request);
        let error = complete(&request, &words).unwrap_err();
        assert_eq!(events(&request, &words).unwrap_err().kind(), error.kind());
        (
            error.kind().name(),
            error.fields().field.clone().unwrap_or_default(),
        )
    };
    let tool = || {
        Tool::Function(ToolDefinition {
            name: "f".into(),
            ..ToolDefinition::default()
        })
    };
    assert_eq!(
        refused(&|r| r.tool_choice = Some(ToolChoice::Required)),
        ("unsupported", "tool_choice".into())
    );
    assert_eq!(
        refused(&|r| r.tool_choice = Some(ToolChoice::Function("f".into()))),
        ("unsupported", "tool_choice".into())
    );
    let schema = || ResponseFormat::JsonSchema {
        name: "x".into(),
        schema: serde_json::json!({}),
        strict: None,
        description: None,
    };
    assert_eq!(
        refused(&|r| r.response_format = Some(schema())),
        ("unsupported", "response_format".into())
    );
    let parts = || {
        Content::Parts(vec![
            Part::Text(TextPart::default()),
            Part::Image(ImagePart::default()),
        ])
    };
    assert_eq!(
        refused(&|r| r.messages[0].content = parts()),
        ("unsupported", "messages[0].content[1]".into())
    );
    assert_eq!(
        refused(&|r| drop(r.extra.insert("n".into(), 2.into()))),
        ("unsupported", "n".into())
    );
    assert_eq!(
        refused(&|r| r.messages.clear()),
        ("invalid_request", "messages".into())
    );
    assert_eq!(
        refused(&|r| r.max_tokens = Some(0)),
        ("invalid_request", "max_tokens".into())
    );
    assert_eq!(
        refused(&|r| r.stop = vec!["a".into(), String::new()]),
        ("invalid_request", "stop[1]".into())
    );
    assert_eq!(
        refused(&|r| r.model = "local/other".into()),
        ("not_found", "model".into())
    );

    let mut offered = CompletionRequest::new(EXTRACT, "Hi");
    (offered.tools, offered.tool_choice) = (vec![tool()], Some(ToolChoice::Auto));
    assert!(complete(&offered, &words).is_ok());
}

#[test]
fn ten_megabytes_take_bounded_time_and_so_does_odd_text() {
    let fill = |unit: &str| unit.repeat((1 << 18) / unit.len());
    let sentence = "The cache holds answers and nobody leads a flight while it is under way.\n";
    let inputs = [
        sentence.repeat((10 << 20) / sentence.len()),
        fill("x"),
        fill("why? "),
        fill("字"),
        fill("a.\n\n"),
        format!("<passages>\n{}", fill("[1] why\n\nwhy x.\n\n")),
    ];
    for text in inputs {
        let began = Instant::now();
        let answer = ask(format!("{text}\n\nWhy does nobody lead a flight?"));
        assert!(answer.text.len() < 4000, "{}", answer.text.len());
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{:.20} took {:?}",
            text,
            began.elapsed()
        );
    }
}

#[test]
fn no_text_makes_it_panic() {
    let atoms = [
        "?",
        "。",
        "؟",
        ".",
        "\n",
        "\n\n",
        " ",
        "<passages>\n",
        "</passages>\n",
        "[1] a.rs:1-2\n",
        "```",
        "# ",
        "//",
        "/*",
        "*/",
        "\"\"\"",
        "|",
        "é",
        "e\u{301}",
        "字",
        "한",
        "🧑‍🚀",
        "\u{202e}",
        "\0",
        "ﷺ",
        "word",
        "İ",
        "\u{feff}",
        "- ",
        "1. ",
        "ال",
        "\r\n",
        "*",
        "_",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..5_000 {
        let mut text = String::new();
        for _ in 0..24 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(atoms[(state >> 33) as usize % atoms.len()]);
        }
        let answer = ask(&text);
        assert_eq!(
            answer.parts,
            [OutputPart::Text {
                text: answer.text.clone()
            }]
        );
    }
}
