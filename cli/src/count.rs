//! `ossai count`: tokens of texts, files and folders, as the published encodings count them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use ignore::{WalkBuilder, WalkState};
use ossai::tokens::{self, Encoding};
use serde::Serialize;

use crate::common::{Failure, Global, out, piped, progress_bar, stdout_is_terminal};

/// Files larger than this are passed over, and said to be.
const MAX_FILE: u64 = 1 << 30;

/// Count tokens
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ossai count README.md src
  cat prompt.txt | ossai count -m openai/gpt-4
  ossai count -t 1000 long.txt > short.txt")]
pub struct Count {
    /// Files and folders; `-` or nothing reads standard input. Folders are read as git sees them
    paths: Vec<PathBuf>,
    /// The model whose encoding counts
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The encoding itself (o200k_base, cl100k_base …)
    #[arg(short, long, value_name = "NAME", conflicts_with = "model")]
    encoding: Option<String>,
    /// Print the text, cut to at most this many tokens
    #[arg(short, long, value_name = "N", conflicts_with_all = ["encode", "decode", "fits"])]
    truncate: Option<usize>,
    /// Print the tokens' numbers
    #[arg(long, conflicts_with_all = ["decode", "fits"])]
    encode: bool,
    /// Read numbers and print their text
    #[arg(long, conflicts_with = "fits")]
    decode: bool,
    /// Print nothing; exit 0 if it is at most this many tokens, 1 if it is more
    #[arg(long, value_name = "N")]
    fits: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Counted {
    path: String,
    tokens: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Skipped {
    path: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Report {
    total: u64,
    files: Vec<Counted>,
    skipped: Vec<Skipped>,
    encoding: &'static str,
    exact: bool,
}

impl Count {
    /// Runs the command.
    ///
    /// # Errors
    /// Unknown encodings, paths that cannot be read, a closed standard output.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let (encoding, exact) = self.encoding()?;
        if self.truncate.is_some() || self.encode || self.decode || self.fits.is_some() {
            return self.one_text(encoding);
        }
        let reads_stdin =
            self.paths.is_empty() || self.paths.iter().any(|path| path == Path::new("-"));
        let mut report = Report {
            total: 0,
            files: Vec::new(),
            skipped: Vec::new(),
            encoding: encoding.name(),
            exact,
        };
        if reads_stdin {
            let text = piped()?.unwrap_or_default();
            report.files.push(Counted {
                path: "-".into(),
                tokens: encoding.count(&text) as u64,
                bytes: text.len() as u64,
            });
        }
        let folders: Vec<&PathBuf> = self
            .paths
            .iter()
            .filter(|path| *path != Path::new("-"))
            .collect();
        let one =
            report.files.len() + folders.len() == 1 && !folders.iter().any(|path| path.is_dir());
        if let Some(missing) = folders.iter().find(|path| !path.exists()) {
            return Err(Failure::message(format!(
                "{}: no such file or folder",
                missing.display()
            )));
        }
        count_all(&folders, encoding, &mut report);
        report.files.sort_by(|a, b| a.path.cmp(&b.path));
        report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        report.total = report.files.iter().map(|file| file.tokens).sum();
        print(global, &report, one)
    }

    fn encoding(&self) -> Result<(&'static Encoding, bool), Failure> {
        let known = || {
            Encoding::all()
                .iter()
                .map(Encoding::name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        if let Some(name) = &self.encoding {
            return Encoding::get(name)
                .map(|encoding| (encoding, true))
                .ok_or_else(|| {
                    Failure::Call(ossai::Error::invalid(
                        "--encoding",
                        format_args!("expected one of {}", known()),
                    ))
                });
        }
        let fallback =
            || Encoding::get("o200k_base").ok_or_else(|| Failure::message("no encoding"));
        match &self.model {
            None => Ok((fallback()?, true)),
            Some(model) => match tokens::encoding_for_model(model) {
                Some(encoding) => Ok((encoding, true)),
                None => {
                    anstream::eprintln!(
                        "{model} publishes no encoding: counted as o200k_base, an estimate"
                    );
                    Ok((fallback()?, false))
                }
            },
        }
    }

    fn text(&self) -> Result<String, Failure> {
        match self.paths.as_slice() {
            [] => Ok(piped()?.unwrap_or_default()),
            [path] if path == Path::new("-") => Ok(piped()?.unwrap_or_default()),
            [path] => std::fs::read_to_string(path)
                .map_err(|error| Failure::message(format!("{}: {error}", path.display()))),
            _ => Err(Failure::Call(ossai::Error::invalid(
                "PATHS",
                "expected one file, or standard input",
            ))),
        }
    }

    fn one_text(&self, encoding: &Encoding) -> Result<(), Failure> {
        let text = self.text()?;
        if let Some(limit) = self.truncate {
            return out(encoding.truncate(&text, limit));
        }
        if let Some(limit) = self.fits {
            return encoding.fits(&text, limit).map(|_| ()).ok_or(Failure::No);
        }
        if self.decode {
            let numbers: Vec<u32> = text
                .split_whitespace()
                .map(|number| number.parse())
                .collect::<Result<_, _>>()
                .map_err(|_| {
                    Failure::Call(ossai::Error::invalid(
                        "--decode",
                        "expected numbers between spaces",
                    ))
                })?;
            let bytes = encoding
                .decode(&numbers)
                .map_err(|error| Failure::message(error.to_string()))?;
            return out(&String::from_utf8_lossy(&bytes));
        }
        let numbers: Vec<String> = encoding.encode(&text).iter().map(u32::to_string).collect();
        out(&format!("{}\n", numbers.join(" ")))
    }
}

/// Counts every file beneath the paths, on all cores.
fn count_all(paths: &[&PathBuf], encoding: &'static Encoding, report: &mut Report) {
    let Some((first, rest)) = paths.split_first() else {
        return;
    };
    let bar = progress_bar();
    let found = Mutex::new((Vec::new(), Vec::new()));
    let mut walk = WalkBuilder::new(first);
    for path in rest {
        walk.add(path);
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    walk.threads(threads).hidden(true).build_parallel().run(|| {
        Box::new(|entry| {
            let outcome = match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    bar.inc_length(1);
                    let outcome = count_file(entry.path(), encoding);
                    bar.inc(1);
                    outcome
                }
                Ok(_) => return WalkState::Continue,
                Err(error) => Err(Skipped {
                    path: String::new(),
                    why: error.to_string(),
                }),
            };
            let mut found = found
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match outcome {
                Ok(counted) => found.0.push(counted),
                Err(skipped) => found.1.push(skipped),
            }
            WalkState::Continue
        })
    });
    bar.finish_and_clear();
    let (files, skipped) = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    report.files.extend(files);
    report.skipped.extend(skipped);
}

fn count_file(path: &Path, encoding: &Encoding) -> Result<Counted, Skipped> {
    let name = path.display().to_string();
    let skipped = |why: &str| Skipped {
        path: name.clone(),
        why: why.into(),
    };
    let size = path
        .metadata()
        .map_err(|error| skipped(&error.to_string()))?
        .len();
    if size > MAX_FILE {
        return Err(skipped("larger than 1 GiB"));
    }
    let bytes = std::fs::read(path).map_err(|error| skipped(&error.to_string()))?;
    if bytes.contains(&0) {
        return Err(skipped("binary"));
    }
    let text = String::from_utf8(bytes).map_err(|_| skipped("not UTF-8"))?;
    Ok(Counted {
        tokens: encoding.count(&text) as u64,
        bytes: text.len() as u64,
        path: name,
    })
}

fn print(global: &Global, report: &Report, one: bool) -> Result<(), Failure> {
    if global.json {
        return global.print_json(report);
    }
    if global.jsonl {
        for file in &report.files {
            global.print_json(file)?;
        }
        return Ok(());
    }
    if one && !stdout_is_terminal() {
        return out(&format!("{}\n", report.total));
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
    out(&text)?;
    if !report.skipped.is_empty() {
        anstream::eprintln!(
            "{} files passed over (binary, too large or unreadable)",
            report.skipped.len()
        );
    }
    Ok(())
}
