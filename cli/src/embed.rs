//! `ossai embed`: vectors of texts.

use std::path::PathBuf;

use clap::Args;
use ossai::{EmbeddingInput, EmbeddingRequest};
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::whole_stdin;
use crate::model;

/// Turn texts into vectors
#[derive(Args)]
#[command(after_help = "Examples:
  ossai embed 'first text' 'second text'
  ossai embed -m openai/text-embedding-3-small --dimensions 256 -f a.txt -f b.txt
  printf 'one\\ntwo\\n' | ossai embed --jsonl

Prints one vector a line, as a JSON list; with --jsonl as {\"index\", \"embedding\"}; with --json the whole
answer. The default model local/hash needs no key and no network: it compares words, not meaning.")]
pub struct Embed {
    /// Texts; nothing, or `-`, reads standard input, one text a line
    texts: Vec<String>,
    /// Take a whole file as one text; may be given several times
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Model, as `provider/model`
    #[arg(short, long, default_value = "local/hash")]
    model: String,
    /// Length of the vectors
    #[arg(short, long, value_name = "N")]
    dimensions: Option<u32>,
}

impl Embed {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever ended the call.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        model::check(&client, &self.model)?;
        let reads_stdin = match self.texts.as_slice() {
            [] => self.file.is_empty(),
            [only] => only == "-",
            _ => false,
        };
        let mut texts = if reads_stdin {
            let lines = whole_stdin()?;
            lines
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        } else {
            self.texts
        };
        for path in &self.file {
            texts.push(std::fs::read_to_string(path).map_err(|error| Failure::path(path, &error))?);
        }
        let request = EmbeddingRequest {
            model: self.model,
            input: EmbeddingInput::Texts(texts),
            dimensions: self.dimensions,
            ..EmbeddingRequest::default()
        };
        let answer = client.embed(request).await?;
        if global.json {
            return global.print_json(&answer);
        }
        for (index, embedding) in answer.embeddings.iter().enumerate() {
            let line = if global.jsonl {
                json!({ "index": index, "embedding": embedding.vector })
            } else {
                json!(embedding.vector)
            };
            crate::io::out(&format!("{line}\n"))?;
        }
        Ok(())
    }
}
