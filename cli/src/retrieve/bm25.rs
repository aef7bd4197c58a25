//! BM25 over passages with tantivy, in memory.
//!
//! Prose counts for more than data, as a question is seldom answered by a lock file. One segment written by one thread: document numbers are the passages' places, so ties come in the order of paths and
//! lines. Words are those of `local/extract`, so that what is found is what it can quote.

use std::collections::BTreeSet;

use ossai::provider::local::words::each_word;
use ossai::{Error, ErrorKind, Result};
use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::BooleanQuery;
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{Searcher, TantivyDocument, TantivyError, Term};

use super::Passage;

const TOKENIZER: &str = "words";
/// Memory the writer reserves, in bytes; tantivy's least.
const WRITER_MEMORY: usize = 15_000_000;
/// Hits looked at for each that is asked for, before weights.
const LOOKED_AT: usize = 8;
/// Most words of a question that are looked up.
const MAX_WORDS: usize = 64;

pub(super) struct Bm25 {
    searcher: Searcher,
    field: Field,
    weights: Vec<f32>,
}

impl Bm25 {
    pub(super) fn build(passages: &[Passage]) -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqs);
        let field = schema.add_text_field(
            "text",
            TextOptions::default().set_indexing_options(indexing),
        );
        let tokenizers = TokenizerManager::default();
        tokenizers.register(TOKENIZER, TextAnalyzer::from(Words));
        let mut writer = tantivy::Index::builder()
            .schema(schema.build())
            .tokenizers(tokenizers)
            .single_segment_index_writer(RamDirectory::create(), WRITER_MEMORY)
            .map_err(internal)?;
        for passage in passages {
            let mut document = TantivyDocument::new();
            document.add_text(field, format!("{}\n{}", passage.path, passage.text));
            writer.add_document(document).map_err(internal)?;
        }
        let index = writer.finalize().map_err(internal)?;
        let searcher = index.reader().map_err(internal)?.searcher();
        let weights = passages
            .iter()
            .map(|passage| weight(&passage.path))
            .collect();
        Ok(Self {
            searcher,
            field,
            weights,
        })
    }

    /// Places of the best passages, best first.
    pub(super) fn search(&self, question: &str, limit: usize) -> Result<Vec<u32>> {
        let mut words = BTreeSet::new();
        each_word(question, |word| {
            if words.len() < MAX_WORDS {
                words.insert(word.to_owned());
            }
        });
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let terms = words
            .iter()
            .map(|word| Term::from_field_text(self.field, word))
            .collect();
        let query = BooleanQuery::new_multiterms_query(terms);
        let top = TopDocs::with_limit(limit.saturating_mul(LOOKED_AT)).order_by_score();
        let hits = self.searcher.search(&query, &top).map_err(internal)?;
        let weight = |place: u32| self.weights.get(place as usize).copied().unwrap_or(1.0);
        let mut hits: Vec<(f32, u32)> = hits
            .into_iter()
            .map(|(score, at)| (score * weight(at.doc_id), at.doc_id))
            .collect();
        hits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Ok(hits
            .into_iter()
            .take(limit)
            .map(|(_, place)| place)
            .collect())
    }
}

/// What a file's kind counts for.
fn weight(path: &str) -> f32 {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "md" | "mdx" | "markdown" | "rst" | "adoc" | "txt" => 1.4,
        "json" | "jsonl" | "csv" | "tsv" | "lock" | "svg" | "xml" | "log" | "map" | "html" => 0.4,
        _ => 1.0,
    }
}

fn internal(error: TantivyError) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the index in memory failed: {error}"),
    )
    .with_source(error)
}

/// Words in normal form as tantivy takes them.
#[derive(Clone)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream(&mut self, text: &str) -> WordStream {
        let mut tokens = Vec::new();
        each_word(text, |word| {
            tokens.push(Token {
                position: tokens.len(),
                text: word.to_owned(),
                ..Token::default()
            });
        });
        WordStream {
            tokens,
            next: 0,
            none: Token::default(),
        }
    }
}

struct WordStream {
    tokens: Vec<Token>,
    next: usize,
    none: Token,
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        self.tokens
            .get(self.next.wrapping_sub(1))
            .unwrap_or(&self.none)
    }

    fn token_mut(&mut self) -> &mut Token {
        self.tokens
            .get_mut(self.next.wrapping_sub(1))
            .unwrap_or(&mut self.none)
    }
}
