//! What is promised of the planner where time passes: on times given, none waited for.

use std::time::Duration;

use super::marks::{Chosen, Prices, choose};
use super::prefix::{Place, Prefixes, Ttl};
use super::reuse::Reuse;
use crate::types::{CompletionRequest, Message, PromptCache, Tool, ToolDefinition};

/// Claude Opus 5.5 (the table of November 2026).
const PRICES: Prices = Prices {
    input: 4_000_000,
    read: 200_000,
    write: 5_000_000,
    write_1h: Some(8_000_000),
};
const LEAST: u64 = 512;

fn request(question: &str) -> CompletionRequest {
    CompletionRequest {
        messages: vec![Message::system("x".repeat(4_000)), Message::user(question)],
        ..CompletionRequest::default()
    }
}

struct Planner {
    reuse: Reuse,
    now: Duration,
    wanted: PromptCache,
    prices: Prices,
}

impl Planner {
    fn new() -> Self {
        Self {
            reuse: Reuse::default(),
            now: Duration::from_secs(1_000),
            wanted: PromptCache::Auto,
            prices: PRICES,
        }
    }

    fn ask(&mut self, after_minutes: u64, request: &CompletionRequest) -> Vec<Chosen> {
        self.now += Duration::from_secs(60 * after_minutes);
        let prefixes = Prefixes::of(request, &[b"tenant"]);
        let tallies = self.reuse.see(&prefixes, self.now);
        choose(&prefixes, &tallies, &self.prices, LEAST, self.wanted)
    }

    /// How long instructions are kept after so many calls at this distance, each with a question of its own.
    fn kept(&mut self, minutes: u64, calls: u32) -> Option<Ttl> {
        let mut last = Vec::new();
        for n in 0..calls {
            last = self.ask(minutes, &request(&format!("{minutes} {n}")));
        }
        last.iter()
            .find(|mark| mark.place == Place::System)
            .map(|mark| mark.ttl)
    }
}

#[test]
fn what_was_never_seen_to_come_again_is_not_bet_on() {
    assert!(Planner::new().ask(0, &request("One.")).is_empty());
}

#[test]
fn what_comes_again_within_minutes_is_kept_five_minutes() {
    assert_eq!(Planner::new().kept(1, 2), Some(Ttl::Five));
    assert_eq!(Planner::new().kept(4, 30), Some(Ttl::Five));
}

#[test]
fn what_comes_again_after_twenty_minutes_is_kept_an_hour_once_that_is_likely() {
    assert_eq!(Planner::new().kept(20, 2), None);
    assert_eq!(Planner::new().kept(20, 3), Some(Ttl::Hour));
}

#[test]
fn what_comes_again_after_hours_is_not_kept() {
    assert_eq!(Planner::new().kept(90, 30), None);
}

#[test]
fn what_no_longer_comes_again_is_given_up_and_what_does_is_taken_up() {
    let mut planner = Planner::new();
    assert_eq!(planner.kept(1, 100), Some(Ttl::Five));
    assert_eq!(planner.kept(90, 200), None);
    assert_eq!(planner.kept(1, 100), Some(Ttl::Five));
}

#[test]
fn a_vendor_whose_cache_saves_nothing_is_sent_no_mark() {
    let mut planner = Planner::new();
    planner.prices.read = planner.prices.input;
    assert_eq!(planner.kept(1, 30), None);
    let mut planner = Planner::new();
    planner.prices.write_1h = None;
    assert_eq!(planner.kept(20, 30), None);
}

#[test]
fn a_chosen_time_holds_and_is_a_bet_of_its_own() {
    let mut planner = Planner {
        wanted: PromptCache::OneHour,
        ..Planner::new()
    };
    assert_eq!(planner.kept(1, 2), None);
    assert_eq!(planner.kept(1, 3), Some(Ttl::Hour));
    let mut planner = Planner {
        wanted: PromptCache::FiveMinutes,
        ..Planner::new()
    };
    assert_eq!(planner.kept(20, 30), None);
}

#[test]
fn an_hour_stands_before_five_minutes_never_after() {
    let mut planner = Planner::new();
    // Instructions come every twenty minutes, in conversations whose turns follow each other at once.
    let mut last = Vec::new();
    for n in 0..12 {
        let mut request = request(&format!("Conversation {n}"));
        planner.ask(20, &request);
        request.messages.push(Message::assistant("Yes?"));
        request.messages.push(Message::user("Go on."));
        last = planner.ask(0, &request);
    }
    let times: Vec<Ttl> = last.iter().map(|mark| mark.ttl).collect();
    assert!(times.len() > 1, "{last:?}");
    assert!(times.is_sorted_by(|a, b| a >= b), "{last:?}");
}

#[test]
fn there_are_never_more_than_four_marks_the_callers_among_them() {
    for own in 0..6 {
        let mut planner = Planner::new();
        let mut request = request("One.");
        let tool = |name: String| {
            Tool::Function(ToolDefinition {
                name,
                description: Some("d".repeat(3_000)),
                ..ToolDefinition::default()
            })
        };
        request.tools = (0..6).map(|n| tool(format!("t{n}"))).collect();
        for (n, tool) in request.tools.iter_mut().enumerate() {
            if let Tool::Function(function) = tool
                && n < own
            {
                let mark = serde_json::json!({"type": "ephemeral"});
                function.extra.insert("cache_control".into(), mark);
            }
        }
        planner.ask(1, &request);
        request.messages.push(Message::assistant("Yes?"));
        request.messages.push(Message::user("Go on."));
        let marks = planner.ask(1, &request);
        assert!(
            marks.len() + own <= 4 || marks.is_empty(),
            "{own}: {marks:?}"
        );
        assert_eq!(marks.is_empty(), own >= 4, "{own}: {marks:?}");
    }
}

#[test]
fn equal_sets_of_tools_begin_alike_unless_the_caller_marked_one() {
    let tool = |name: &str| {
        Tool::Function(ToolDefinition {
            name: name.into(),
            ..ToolDefinition::default()
        })
    };
    let with = |tools: Vec<Tool>| CompletionRequest {
        tools,
        ..request("One.")
    };
    let hash = |request: &CompletionRequest| Prefixes::of(request, &[]).family;
    let (one, other) = (
        with(vec![tool("a"), tool("b")]),
        with(vec![tool("b"), tool("a")]),
    );
    assert_eq!(hash(&one), hash(&other));
    assert_ne!(hash(&one), hash(&with(vec![tool("a")])));
    let mut marked = other.clone();
    if let Some(Tool::Function(function)) = marked.tools.first_mut() {
        function.extra.insert(
            "cache_control".into(),
            serde_json::json!({"type": "ephemeral"}),
        );
    }
    assert!(Prefixes::of(&marked, &[]).order.is_none());
}

#[test]
fn tenants_share_nothing() {
    let request = request("One.");
    let hash = |whose: &[u8]| Prefixes::of(&request, &[whose]).family;
    assert_ne!(hash(b"a"), hash(b"b"));
}

#[test]
fn a_mark_in_a_text_is_no_mark() {
    let text = r#"He wrote "cache_control": {"ttl":"1h"}"#;
    assert_eq!(Prefixes::of(&request(text), &[]).own, 0);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut planner = Planner::new();
    for n in 0..9_000 {
        planner.ask(0, &request(&n.to_string()));
    }
    assert!(planner.reuse.len() <= 2 * 4_096, "{}", planner.reuse.len());
    // And what comes all the time is not forgotten for what never does.
    assert_eq!(planner.kept(0, 1), Some(Ttl::Five));
}
