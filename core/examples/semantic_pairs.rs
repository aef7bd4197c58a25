//! How often the semantic cache is right: pairs of questions put to a client, with and without the gates.
//!
//! `semantic_pairs PAIRS [MODEL [CONFIG]]`: a file of pairs (`conformance/semantic/pairs.tsv` says how), the embedding model
//! (`local/hash` unless said otherwise) and a configuration (JSON) with its provider. Each pair has a system prompt of its
//! own, so that no pair sees another's answer. Both questions go through the client's public calls; whether the second one
//! was answered by the first one's answer, and how near they are, is what the answer says of itself.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ossai::client::config::{Gates, SemanticCache, Watch};
use ossai::{CacheTier, Client, CompletionRequest, Config, Message};

const THRESHOLDS: [f64; 8] = [0.60, 0.70, 0.80, 0.85, 0.90, 0.93, 0.95, 0.97];

struct Pair {
    relation: String,
    texts: [String; 2],
}

/// What became of a pair: how near the two are, and whether the gates let it pass.
struct Outcome {
    similarity: Option<f64>,
    passes: bool,
}

fn pairs(text: &str) -> Result<Vec<Pair>, String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(n, line)| match line.split('\t').collect::<Vec<_>>()[..] {
            [relation, _, a, b] => Ok(Pair {
                relation: relation.to_owned(),
                texts: [a.to_owned(), b.to_owned()],
            }),
            _ => Err(format!("line {}: expected four fields", n + 1)),
        })
        .collect()
}

fn client(config: &Config, model: &str, gates: Gates) -> ossai::Result<Client> {
    let mut config = config.clone();
    config.cache.semantic = Some(SemanticCache {
        model: model.to_owned(),
        threshold: 0.0,
        gates,
        watch: Watch {
            check_percent: 0.0,
            ..Watch::default()
        },
        ..SemanticCache::default()
    });
    Client::new(config)
}

/// How near the second question was to the first, if it was answered by its answer.
async fn hit(client: &Client, n: usize, pair: &Pair) -> ossai::Result<Option<f64>> {
    let mut found = None;
    for text in &pair.texts {
        let answer = client
            .complete(CompletionRequest {
                model: "local/extract".into(),
                messages: vec![
                    Message::system(format!("Pair {n}.")),
                    Message::user(text.clone()),
                ],
                ..CompletionRequest::default()
            })
            .await?;
        found = answer.cache.similarity;
        assert_eq!(
            found.is_some(),
            answer.cache.tier == Some(CacheTier::Semantic)
        );
    }
    Ok(found)
}

async fn run(path: &str, model: &str, config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let pairs = pairs(&std::fs::read_to_string(path)?)?;
    let off = Gates {
        numbers: false,
        negation: false,
        entities: false,
        language: false,
        direction: false,
    };
    let bare = client(config, model, off)?;
    let gated = client(config, model, Gates::default())?;
    let mut outcomes: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for (n, pair) in pairs.iter().enumerate() {
        let outcome = Outcome {
            similarity: hit(&bare, n, pair).await?,
            passes: hit(&gated, n, pair).await?.is_some(),
        };
        if std::env::var_os("PAIRS").is_some() {
            let similarity = outcome.similarity.unwrap_or(-1.0);
            let [a, b] = &pair.texts;
            println!(
                "{}\t{}\t{similarity:.4}\t{a}\t{b}",
                pair.relation, outcome.passes
            );
        }
        outcomes.entry(&pair.relation).or_default().push(outcome);
    }
    let failures = bare.stats().semantic.map_or(0, |stats| stats.failures);
    if failures > 0 {
        return Err(format!("{failures} questions could not be embedded").into());
    }
    let same = outcomes.remove("same").unwrap_or_default();
    let other: Vec<&Outcome> = outcomes.values().flatten().collect();
    println!(
        "\n{path} by {model}: {} pairs with one answer, {} with two",
        same.len(),
        other.len()
    );
    println!(
        "\n| threshold | true hits | false hits | true hits, gates | false hits, gates |\n|---|---|---|---|---|"
    );
    for threshold in THRESHOLDS {
        let near = |o: &Outcome| o.similarity.is_some_and(|s| s >= threshold);
        let share =
            |hits: usize, of: usize| format!("{hits} ({:.1} %)", hits as f64 * 100.0 / of as f64);
        println!(
            "| {threshold:.2} | {} | {} | {} | {} |",
            share(same.iter().filter(|o| near(o)).count(), same.len()),
            share(other.iter().filter(|o| near(o)).count(), other.len()),
            share(
                same.iter().filter(|o| near(o) && o.passes).count(),
                same.len()
            ),
            share(
                other.iter().filter(|o| near(o) && o.passes).count(),
                other.len()
            ),
        );
    }
    println!("\n| what keeps them apart | pairs | let pass by the gates |\n|---|---|---|");
    for (relation, outcomes) in &outcomes {
        let passing = outcomes.iter().filter(|o| o.passes).count();
        println!("| {relation} | {} | {passing} |", outcomes.len());
    }
    let passing = same.iter().filter(|o| o.passes).count();
    println!("| nothing | {} | {passing} |", same.len());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        eprintln!("usage: semantic_pairs PAIRS [MODEL [CONFIG]]");
        return ExitCode::FAILURE;
    };
    let model = arguments.get(1).map_or("local/hash", String::as_str);
    let outcome = arguments
        .get(2)
        .map_or(Ok(Config::default()), |path| {
            let json = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
            Config::from_json(&json).map_err(|error| error.to_string())
        })
        .and_then(|config| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let ran = runtime.block_on(run(path, model, &config));
            ran.map_err(|error| error.to_string())
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
