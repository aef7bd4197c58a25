//! Record and replay: what providers answered, kept in a file and given again, for tests that need neither keys nor network.
//!
//! It stands where requests leave for the network, beneath everything else: retries, caches, shared calls, decoding and
//! prices run on replayed bytes as on those of a connection. It is told by the configuration alone, so that it is the
//! same in every language. `docs/record-replay.md` has the format.

mod chunk;
mod compare;
pub(crate) mod config;
mod format;
mod play;
mod record;
mod scrub;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderMap;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::retry::Clock;
use crate::transport::http::Request;
use compare::{Form, Rules};
use config::{Cassette, CassetteMode, CassetteTiming};
use format::{Asked, Interaction};
use record::Recorder;
use scrub::Scrub;

pub(crate) use play::{Cut, Play, Playback};
pub(crate) use record::Tape;

/// A cassette in use by one client.
pub(crate) struct Deck {
    /// As it is named in errors.
    file: String,
    mode: CassetteMode,
    timing: CassetteTiming,
    repeats: bool,
    rules: Rules,
    scrub: Scrub,
    recorded: Vec<(Interaction, Form)>,
    /// How many requests each of them has answered.
    given: Mutex<Vec<u32>>,
    recorder: Option<Arc<Recorder>>,
}

impl std::fmt::Debug for Deck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deck")
            .field("file", &self.file)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What comes of a request.
pub(crate) enum Begun {
    /// It is answered.
    Play(Play),
    /// It goes out, and this records its answer.
    Record(Box<Tape>),
}

impl Deck {
    /// Reads the file, where answers come out of it; `None` where nothing is done with it.
    pub(crate) fn open<'a>(
        config: Option<&Cassette>,
        sent: impl IntoIterator<Item = &'a HeaderMap>,
    ) -> Result<Option<Self>> {
        let Some(config) = config.filter(|config| config.mode != CassetteMode::Off) else {
            return Ok(None);
        };
        let path = config.file()?;
        let file = path.display().to_string();
        let recorded = if config.replays() {
            load(config, path, &file)?
        } else {
            Vec::new()
        };
        let rules = Rules::new(config);
        let recorder = (config.mode != CassetteMode::Replay)
            .then(|| Recorder::shared(path, config.max_bytes, &recorded));
        Ok(Some(Self {
            file,
            mode: config.mode,
            timing: config.timing,
            repeats: config.allow_repeats,
            scrub: Scrub::new(config, sent),
            given: Mutex::new(vec![0; recorded.len()]),
            recorded: recorded
                .into_iter()
                .map(|interaction| {
                    let form = rules.form(&interaction.request);
                    (interaction, form)
                })
                .collect(),
            rules,
            recorder,
        }))
    }

    /// Answers a request, or begins to record its answer.
    ///
    /// # Errors
    /// `invalid_state` where there is no answer to it and none may be asked for, and where none could be written.
    pub(crate) fn begin(&self, request: &Request, clock: &Arc<dyn Clock>) -> Result<Begun> {
        let scrub = self.scrub.with(&request.headers);
        let body = match request.body.as_ref() {
            [] => None,
            bytes => Some(
                serde_json::from_slice(bytes)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
            ),
        };
        let asked = Asked {
            method: request.method.to_string(),
            url: scrub.url(&request.uri),
            headers: scrub.asked(&request.headers, &self.rules.headers),
            body: body.map(|body| scrub.body(body)),
        };
        if self.mode != CassetteMode::Record {
            let form = self.rules.form(&asked);
            if let Some(play) = self.take(&form, clock) {
                return Ok(Begun::Play(play));
            }
            if self.recorder.is_none() {
                return Err(self.miss(&asked, &form));
            }
        }
        match &self.recorder {
            Some(recorder) => recorder.tape(asked, scrub, clock).map(Begun::Record),
            None => Err(Error::new(ErrorKind::Internal, "nothing records")),
        }
    }

    /// The first answer to it that was not given yet.
    fn take(&self, form: &Form, clock: &Arc<dyn Clock>) -> Option<Play> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for ((interaction, recorded), given) in self.recorded.iter().zip(given.iter_mut()) {
            if !self.rules.differences(recorded, form).is_empty() {
                continue;
            }
            let answer = interaction.response.as_ref();
            let strikes = interaction.fault.as_ref().map_or(0, |fault| fault.times);
            let room = strikes.saturating_add(answer.is_some().into());
            if *given < room {
                let fault = interaction.fault.as_ref().filter(|_| *given < strikes);
                *given += 1;
                return Some(Play::new(answer, fault, self.timing, clock));
            }
            last = Some(interaction);
        }
        let last = last.filter(|_| self.repeats)?;
        // Unharmed where it has a response, else as it was.
        let fault = last.fault.as_ref().filter(|_| last.response.is_none());
        Some(Play::new(last.response.as_ref(), fault, self.timing, clock))
    }

    /// Says what was asked, and what the nearest recorded request differs in.
    fn miss(&self, asked: &Asked, form: &Form) -> Error {
        let nearest = self
            .recorded
            .iter()
            .enumerate()
            .map(|(i, (_, recorded))| (i, self.rules.differences(recorded, form)))
            .min_by_key(|(_, differences)| differences.len());
        let count = self.recorded.len();
        let why = match nearest {
            None => "nothing is recorded in it".to_owned(),
            Some((_, differences)) if differences.is_empty() => {
                "all its answers to that have been given (`allow_repeats` gives the last one again)"
                    .to_owned()
            }
            Some((i, differences)) => format!(
                "of {count} recorded, the nearest (interactions[{i}]) differs in {}",
                differences.join(", ")
            ),
        };
        let model = compare::model(form)
            .map(|model| format!(" ({model})"))
            .unwrap_or_default();
        Error::new(
            ErrorKind::InvalidState,
            format!(
                "the cassette {} has no answer to {} {}{model}: {why}",
                self.file, asked.method, asked.url
            ),
        )
        .with(|fields| fields.detail = Some("cassette".into()))
    }
}

fn load(config: &Cassette, path: &Path, file: &str) -> Result<Vec<Interaction>> {
    let wrong =
        |what: &dyn std::fmt::Display| Error::invalid(format::ROOT, format_args!("{file}: {what}"));
    let length = match std::fs::metadata(path) {
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && config.mode == CassetteMode::ReplayOrRecord =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(wrong(&error).with_source(error)),
        Ok(about) if !about.is_file() => return Err(wrong(&"expected a file")),
        Ok(about) => about.len(),
    };
    if length > config.max_bytes {
        return Err(wrong(&format_args!(
            "{length} bytes, expected at most {} (`cassette.max_bytes`)",
            config.max_bytes
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error).with_source(error))?;
    format::read(file, &text)
}
