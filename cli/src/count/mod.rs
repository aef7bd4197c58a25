//! `ossai count`: tokens of texts, files and folders, as the published encodings count them.

mod files;

use std::path::{Path, PathBuf};

use clap::Args;
use ossai::tokens::{self, Encoding, Estimate};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::{out, out_bytes, out_styled, stdout_is_terminal, whole_stdin};

/// Count tokens
#[derive(Args)]
#[command(after_help = "Examples:
  ossai count README.md src
  cat prompt.txt | ossai count -m openai/gpt-4
  ossai count -t 1000 long.txt > short.txt
  ossai count --fits 8000 prompt.txt && echo small enough
  echo 'hello world' | ossai count --encode | ossai count --decode

Names of special tokens in the text are ordinary text. Counts are exact where the model's encoding is
public; elsewhere they are estimates and say so.")]
pub struct Count {
    /// Files and folders; `-` or nothing reads standard input. Folders are read as git sees them
    paths: Vec<PathBuf>,
    /// The model whose tokens are counted
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The encoding itself [default: o200k_base]
    #[arg(short, long, value_name = "NAME", conflicts_with = "model")]
    encoding: Option<String>,
    /// Print the text, cut to at most this many tokens
    #[arg(short, long, value_name = "N", conflicts_with_all = ["encode", "decode", "fits"])]
    truncate: Option<usize>,
    /// Print the tokens' numbers
    #[arg(long, conflicts_with_all = ["decode", "fits"])]
    encode: bool,
    /// Read tokens' numbers and print their text
    #[arg(long, conflicts_with = "fits")]
    decode: bool,
    /// Print nothing; exit 0 if it is at most this many tokens, 1 if it is more
    #[arg(long, value_name = "N")]
    fits: Option<usize>,
}

/// One counted text.
#[derive(Debug, Serialize)]
struct Counted {
    path: String,
    tokens: u64,
    bytes: u64,
    #[serde(skip)]
    estimate: Estimate,
}

/// A file that was passed over.
#[derive(Debug, Serialize)]
struct Skipped {
    path: String,
    why: String,
    /// It was named on the command line.
    #[serde(skip)]
    named: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    total: u64,
    files: Vec<Counted>,
    skipped: Vec<Skipped>,
    encoding: &'static str,
    exact: bool,
    /// Where the count is an estimate: no fewer than this …
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<u64>,
    /// … and no more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<u64>,
}

/// What counts: an encoding, and the model where it publishes none and is estimated from that encoding.
#[derive(Clone, Copy)]
struct Counter<'a> {
    encoding: &'static Encoding,
    estimated: Option<&'a str>,
}

impl Counter<'_> {
    fn count(self, text: &str) -> Estimate {
        let tokens = self.encoding.count(text) as u64;
        match self.estimated {
            None => Estimate::of(tokens),
            Some(model) => tokens::scale(tokens, tokens::family_ratio(model)),
        }
    }
}

impl Count {
    /// Runs the command.
    ///
    /// # Errors
    /// Unknown encodings, paths that cannot be read, a closed standard output.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let counter = self.counter()?;
        if self.truncate.is_some() || self.encode || self.decode || self.fits.is_some() {
            return self.one_text(global, counter);
        }
        let is_stdin = |path: &&PathBuf| path.as_path() == Path::new("-");
        let named: Vec<&PathBuf> = self.paths.iter().filter(|path| !is_stdin(path)).collect();
        for path in &named {
            path.metadata()
                .map_err(|error| Failure::path(path, &error))?;
        }
        let (mut counted, mut skipped) = files::count(&named, counter);
        if self.paths.is_empty() || self.paths.iter().any(|path| is_stdin(&path)) {
            let text = whole_stdin()?;
            counted.push(Counted::new("-".into(), &text, counter));
        }
        counted.sort_by(|a, b| a.path.cmp(&b.path));
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let total = counted
            .iter()
            .fold(Estimate::of(0), |sum, file| sum.plus(file.estimate));
        let estimated = counter.estimated.is_some();
        let report = Report {
            total: total.expected,
            files: counted,
            skipped,
            encoding: counter.encoding.name(),
            exact: !estimated,
            low: estimated.then_some(total.low),
            high: estimated.then_some(total.high),
        };
        let bare = self.paths.len() <= 1 && !named.iter().any(|path| path.is_dir());
        print(global, &report, bare)?;
        let named_skipped: Vec<_> = report
            .skipped
            .iter()
            .filter(|skipped| skipped.named)
            .collect();
        for skipped in &named_skipped {
            anstream::eprintln!("{}: not counted: {}", skipped.path, skipped.why);
        }
        if named_skipped.is_empty() {
            Ok(())
        } else {
            Err(Failure::No)
        }
    }

    fn counter(&self) -> Result<Counter<'_>, Failure> {
        let get = |name: &str| {
            Encoding::get(name).ok_or_else(|| {
                let known: Vec<_> = Encoding::all().iter().map(Encoding::name).collect();
                Failure::usage(
                    "--encoding",
                    format_args!("expected one of {}", known.join(", ")),
                )
            })
        };
        let exact = |encoding| Counter {
            encoding,
            estimated: None,
        };
        match (&self.encoding, &self.model) {
            (Some(name), _) => Ok(exact(get(name)?)),
            (None, None) => Ok(exact(get("o200k_base")?)),
            (None, Some(model)) => match tokens::encoding_for_model(model) {
                Some(encoding) => Ok(exact(encoding)),
                None => Ok(Counter {
                    encoding: get("o200k_base")?,
                    estimated: Some(model),
                }),
            },
        }
    }

    fn text(&self) -> Result<String, Failure> {
        match self.paths.as_slice() {
            [] => whole_stdin(),
            [path] if path == Path::new("-") => whole_stdin(),
            [path] => files::read(path)
                .map_err(|why| Failure::message(format!("{}: {why}", path.display()))),
            _ => Err(Failure::usage(
                "PATHS",
                "expected one file, or standard input",
            )),
        }
    }

    fn one_text(&self, global: &Global, counter: Counter<'_>) -> Result<(), Failure> {
        let encoding = counter.encoding;
        if counter.estimated.is_some() {
            let expected = "expected a model whose encoding is public, or --encoding NAME, where tokens are cut or shown";
            return Err(Failure::usage("--model", expected));
        }
        let text = self.text()?;
        if let Some(limit) = self.truncate {
            return out(encoding.truncate(&text, limit));
        }
        if let Some(limit) = self.fits {
            return encoding.fits(&text, limit).map(|_| ()).ok_or(Failure::No);
        }
        if self.decode {
            let separators = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']');
            let numbers = text.split(separators).filter(|number| !number.is_empty());
            let ids: Vec<u32> =
                numbers
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .map_err(|_| {
                        Failure::usage("--decode", "expected numbers between spaces or commas")
                    })?;
            let bytes = encoding
                .decode(&ids)
                .map_err(|error| Failure::usage("--decode", error))?;
            return out_bytes(&bytes);
        }
        let ids = encoding.encode(&text);
        if global.json || global.jsonl {
            return global.print_json(
                &json!({ "tokens": ids, "total": ids.len(), "encoding": encoding.name() }),
            );
        }
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        out(&format!("{}\n", ids.join(" ")))
    }
}

impl Counted {
    fn new(path: String, text: &str, counter: Counter<'_>) -> Self {
        let estimate = counter.count(text);
        Self {
            path,
            tokens: estimate.expected,
            bytes: text.len() as u64,
            estimate,
        }
    }
}

fn print(global: &Global, report: &Report, bare: bool) -> Result<(), Failure> {
    if global.json {
        return global.print_json(report);
    }
    if global.jsonl {
        return report
            .files
            .iter()
            .try_for_each(|file| global.print_json(file));
    }
    if let (Some(low), Some(high)) = (report.low, report.high) {
        anstream::eprintln!(
            "an estimate, between {low} and {high}: the model publishes no encoding"
        );
    }
    if bare && !stdout_is_terminal() {
        return if report.files.is_empty() {
            Ok(())
        } else {
            out(&format!("{}\n", report.total))
        };
    }
    let mut text = String::new();
    for file in &report.files {
        text.push_str(&format!("{:>12}  {}\n", file.tokens, file.path));
    }
    if report.files.len() != 1 {
        text.push_str(&format!(
            "{:>12}  total ({} files)\n",
            report.total,
            report.files.len()
        ));
    }
    out_styled(&text)?;
    if !report.skipped.is_empty() {
        anstream::eprintln!(
            "{} passed over (binary, too large or unreadable; --json names them)",
            report.skipped.len()
        );
    }
    Ok(())
}
