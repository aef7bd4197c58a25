//! Writing a cassette: what a connection brought, scrubbed, in the order in which it was asked for.
//!
//! The file is whole at every moment: each answer that is finished makes a new one, which takes the place of the old by its
//! name. That is done where the answer is read and blocks it for as long as a file takes to write; what a program that
//! ends at once has recorded is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;

use super::chunk::Chunk;
use super::format::{Answer, Asked, BETWEEN, End, HEAD, Interaction, TAIL, render};
use super::scrub::Scrub;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::Clock;

/// Where answers are written.
pub(super) struct Recorder {
    path: PathBuf,
    max_bytes: usize,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// As they stand in the file, by the order in which they were asked for.
    items: BTreeMap<u64, String>,
    bytes: usize,
    next: u64,
    tried: bool,
    /// Why nothing more can be written.
    over: Option<Error>,
}

/// What one response brings, until it is written.
pub(crate) struct Tape {
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    scrub: Scrub,
    place: u64,
    started: Duration,
    asked: Option<Asked>,
    head: Option<Head>,
    pieces: Vec<(u64, Bytes)>,
    bytes: usize,
}

struct Head {
    status: u16,
    headers: BTreeMap<String, String>,
    ms: u64,
}

impl Recorder {
    /// The one of this file, which all clients share that record to it at the same time, or one that writes after these.
    pub(super) fn shared(path: &Path, max_bytes: u64, before: &[Interaction]) -> Arc<Self> {
        static OPEN: Mutex<Vec<Weak<Recorder>>> = Mutex::new(Vec::new());
        // Not the name of a link is taken but the file it leads to.
        let path = fs::canonicalize(path)
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_else(|_| path.to_owned());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|recorder| recorder.strong_count() > 0);
        let mut known = open.iter().filter_map(Weak::upgrade);
        if let Some(recorder) = known.find(|recorder| recorder.path == path) {
            return recorder;
        }
        let recorder = Arc::new(Self::new(path, max_bytes, before));
        open.push(Arc::downgrade(&recorder));
        recorder
    }

    fn new(path: PathBuf, max_bytes: u64, before: &[Interaction]) -> Self {
        let mut written = Written {
            bytes: HEAD.len() + TAIL.len(),
            ..Written::default()
        };
        for interaction in before {
            let place = written.place();
            written.add(place, render(interaction));
        }
        Self {
            path,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            written: Mutex::new(written),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to record an answer; an error where it could not be written, before anything is asked.
    pub(super) fn tape(
        self: &Arc<Self>,
        asked: Asked,
        scrub: Scrub,
        clock: &Arc<dyn Clock>,
    ) -> Result<Box<Tape>> {
        let mut written = self.written();
        if !written.tried {
            written.tried = true;
            if let Err(error) = self.try_out() {
                written.over = Some(self.failed(&error));
            }
        }
        if let Some(error) = &written.over {
            return Err(error.clone());
        }
        Ok(Box::new(Tape {
            recorder: Arc::clone(self),
            clock: Arc::clone(clock),
            scrub,
            place: written.place(),
            started: clock.now(),
            asked: Some(asked),
            head: None,
            pieces: Vec::new(),
            bytes: 0,
        }))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::new(
            ErrorKind::InvalidState,
            format!(
                "the cassette {} cannot be written: {error}",
                self.path.display()
            ),
        )
        .with(|fields| fields.detail = Some("cassette".into()))
    }

    fn full(&self) -> Error {
        Error::new(
            ErrorKind::InvalidState,
            format!(
                "the cassette {} is full: the answer would make it longer than {} bytes (`cassette.max_bytes`)",
                self.path.display(),
                self.max_bytes
            ),
        )
        .with(|fields| fields.detail = Some("cassette".into()))
    }

    /// Makes the folder and sees whether a file can be made there.
    fn try_out(&self) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        if self.path.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        let (file, beside) = self.beside()?;
        drop(file);
        fs::remove_file(beside)
    }

    /// A new file beside the cassette.
    fn beside(&self) -> std::io::Result<(File, PathBuf)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(
            ".{}-{}.tmp",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        ));
        let path = self.path.with_file_name(name);
        // One of a process of the same number, killed long ago.
        let _ = fs::remove_file(&path);
        Ok((File::create_new(&path)?, path))
    }

    fn write(&self, written: &Written) -> std::io::Result<()> {
        let (mut file, beside) = self.beside()?;
        let mut text = String::with_capacity(written.bytes);
        text.push_str(HEAD);
        for (i, item) in written.items.values().enumerate() {
            text.push_str(if i == 0 { "" } else { BETWEEN });
            text.push_str(item);
        }
        text.push_str(TAIL);
        let done = file
            .write_all(text.as_bytes())
            .and_then(|()| fs::rename(&beside, &self.path));
        if done.is_err() {
            let _ = fs::remove_file(&beside);
        }
        done
    }

    fn keep(&self, place: u64, item: String) -> Result<()> {
        let mut written = self.written();
        if written.bytes.saturating_add(item.len() + BETWEEN.len()) > self.max_bytes {
            let error = self.full();
            written.over = Some(error.clone());
            return Err(error);
        }
        written.add(place, item);
        self.write(&written).map_err(|error| {
            let error = self.failed(&error);
            written.over = Some(error.clone());
            error
        })
    }
}

impl Written {
    fn place(&mut self) -> u64 {
        let place = self.next;
        self.next += 1;
        place
    }

    fn add(&mut self, place: u64, item: String) {
        self.bytes = self.bytes.saturating_add(item.len() + BETWEEN.len());
        self.items.insert(place, item);
    }
}

impl Tape {
    fn ms(&self) -> u64 {
        let since = self.clock.now().saturating_sub(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The response has begun.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.head = Some(Head {
            status: status.as_u16(),
            headers: self.scrub.answered(headers),
            ms: self.ms(),
        });
    }

    /// What was read next.
    pub(crate) fn note(&mut self, read: &Result<Option<Bytes>>) -> Result<()> {
        match read {
            Ok(Some(bytes)) => {
                self.bytes = self.bytes.saturating_add(bytes.len());
                if self.bytes > self.recorder.max_bytes {
                    self.asked = None;
                    self.pieces = Vec::new();
                    let error = self.recorder.full();
                    self.recorder.written().over = Some(error.clone());
                    return Err(error);
                }
                self.pieces.push((self.ms(), bytes.clone()));
                Ok(())
            }
            Ok(None) => self.finish(End::Whole),
            Err(error) if error.kind() == ErrorKind::Timeout => self.finish(End::Stall),
            Err(_) => self.finish(End::Cut),
        }
    }

    /// Writes it, once.
    fn finish(&mut self, end: End) -> Result<()> {
        let (Some(request), Some(head)) = (self.asked.take(), self.head.take()) else {
            return Ok(());
        };
        let last = self.ms();
        let is_stream = head
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        for (ms, bytes) in self.pieces.drain(..) {
            match pieces.first_mut() {
                // Where a body's pieces begin and end says something of streams only.
                Some((_, whole)) if !is_stream => whole.extend_from_slice(&bytes),
                _ => pieces.push((if is_stream { ms } else { last }, bytes.to_vec())),
            }
        }
        self.scrub.pieces(&mut pieces);
        let interaction = Interaction {
            note: None,
            request,
            fault: None,
            response: Some(Answer {
                status: head.status,
                headers: head.headers,
                ms: head.ms,
                body: pieces
                    .iter()
                    .filter(|(_, bytes)| !bytes.is_empty())
                    .map(|(ms, bytes)| Chunk::of(*ms, bytes, !is_stream))
                    .collect(),
                // Streams are left at their own end, which is inside them.
                end: match end {
                    End::Left if is_stream => End::Whole,
                    end => end,
                },
            }),
        };
        self.recorder.keep(self.place, render(&interaction))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Err(error) = self.finish(End::Left) {
            tracing::warn!(target: "ossai", %error, "an answer was not recorded");
        }
    }
}
