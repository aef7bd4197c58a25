//! `ossai embed`: vectors of texts.

use clap::Args;
use ossai::{EmbeddingInput, EmbeddingRequest};

use crate::common::{Failure, Global, out, piped};

/// Turn texts into vectors
#[derive(Args, Debug)]
pub struct Embed {
    /// Texts; nothing reads standard input, one text a line
    texts: Vec<String>,
    /// Model, as `provider/model`
    #[arg(short, long, default_value = "local/hash")]
    model: String,
    /// Length of the vectors
    #[arg(short, long)]
    dimensions: Option<u32>,
}

impl Embed {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever ended the call.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let texts = if self.texts.is_empty() {
            piped()?
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        } else {
            self.texts
        };
        let request = EmbeddingRequest {
            model: self.model,
            input: EmbeddingInput::Texts(texts),
            dimensions: self.dimensions,
            ..EmbeddingRequest::default()
        };
        let answer = global.client()?.embed(request).await?;
        if global.json {
            return global.print_json(&answer);
        }
        for embedding in &answer.embeddings {
            let line = serde_json::to_string(&embedding.vector)
                .map_err(|error| Failure::message(error.to_string()))?;
            out(&format!("{line}\n"))?;
        }
        Ok(())
    }
}
