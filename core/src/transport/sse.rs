//! Server-sent events out of bytes, however the network cut them.
//!
//! Ours because the common parsers crash on a leading BOM, stop on invalid UTF-8, or take quadratic time when a long line
//! arrives in small pieces. The rules are those of the WHATWG HTML standard, "9.2.6 Interpreting an event stream"; the
//! input is never decoded as a whole. Joined data lines are decoded together at the end of their event, which equals
//! decoding line by line: a line end is ASCII and so never lies inside a UTF-8 sequence.

#[cfg(test)]
mod fields;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;
use std::time::Duration;

use memchr::memchr2;

use crate::error::{Error, ErrorKind, Result};

/// Largest event by default, in bytes.
pub const MAX_EVENT_BYTES: usize = 128 << 20;

const BOM: &[u8] = b"\xEF\xBB\xBF";
const NAMES: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
const LONGEST_NAME: usize = 5;
/// A buffer that one large event grew beyond this is given back after it.
const KEPT_CAPACITY: usize = 1 << 20;

/// One event, borrowed from the chunk it came in where it came in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its type; `message` where the stream names none.
    pub event: &'a str,
    /// Its data lines, joined with LF.
    pub data: &'a str,
    /// The last event id the stream has set, by this event or an earlier one; `None` while there is none or it is empty.
    pub id: Option<&'a str>,
}

/// Reads events out of chunks.
///
/// Time is linear in the bytes fed. Memory stays below the event limit plus a constant (a few times the limit where text is
/// not UTF-8 and has to be rewritten); comments and unknown fields are never stored. An event whose lines all lie in one chunk, with one data
/// line, is handed out without copying its data.
#[derive(Debug)]
pub struct SseParser {
    max_event_bytes: usize,
    /// How many bytes of a leading BOM were seen; `None` once the start is past.
    bom: Option<usize>,
    /// The last line ended with CR: a LF right after belongs to it.
    after_cr: bool,
    /// The start of a line whose end has not come; only ever of a known field.
    line: Vec<u8>,
    /// Inside a line that is a comment or an unknown field.
    ignoring: bool,
    /// Data lines of the open block; those still in the current chunk are not here.
    data: Vec<u8>,
    has_data: bool,
    event: String,
    last_id: String,
    /// The id the open block sets, if `has_id`.
    next_id: String,
    has_id: bool,
    retry: Option<Duration>,
    /// Bytes in the open block's known fields so far.
    size: usize,
    failed: Option<Error>,
    /// Bytes scanned or copied, to prove that time is linear.
    #[cfg(test)]
    work: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new(MAX_EVENT_BYTES)
    }
}

impl SseParser {
    /// A parser that fails once one event has more than `max_event_bytes`: its `data`, `event`, `id` and `retry` lines
    /// counted with their names and without their ends, and its data once decoded.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            bom: Some(0),
            after_cr: false,
            line: Vec::new(),
            ignoring: false,
            data: Vec::new(),
            has_data: false,
            event: String::new(),
            last_id: String::new(),
            next_id: String::new(),
            has_id: false,
            retry: None,
            size: 0,
            failed: None,
            #[cfg(test)]
            work: 0,
        }
    }

    /// Reads a chunk and calls `on_event` for every event it completes. A block without its empty line is never
    /// delivered: at the end of the stream there is nothing to call.
    ///
    /// # Errors
    /// `response_too_large` for an event above the limit, or what `on_event` returned. The parser stays failed: every
    /// later call returns the same error.
    pub fn feed<F>(&mut self, chunk: &[u8], mut on_event: F) -> Result<()>
    where
        F: FnMut(SseEvent<'_>) -> Result<()>,
    {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.read(chunk, &mut on_event);
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
            self.line = Vec::new();
            self.data = Vec::new();
        }
        outcome
    }

    /// The id to resume after: the last one of a finished block, `None` while there is none or it is empty.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        Some(self.last_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The reconnection time the stream asked for last.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn read<F>(&mut self, chunk: &[u8], on_event: &mut F) -> Result<()>
    where
        F: FnMut(SseEvent<'_>) -> Result<()>,
    {
        let mut rest = self.after_bom(chunk);
        // The open block's data while it is one line of this chunk.
        let mut borrowed: Option<&[u8]> = None;
        loop {
            if self.after_cr && !rest.is_empty() {
                self.after_cr = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some((line, end, tail)) = split_line(rest) else {
                break;
            };
            self.count(line.len() + 1);
            self.after_cr = end == b'\r';
            rest = tail;
            if self.ignoring {
                self.ignoring = false;
            } else if !self.line.is_empty() {
                self.carry(line)?;
                self.end_carried_line()?;
            } else if line.is_empty() {
                self.dispatch(borrowed.take(), on_event)?;
            } else if let Some((field, value)) = split_field(line) {
                self.grow(line.len())?;
                if field != Field::Data {
                    self.set(field, value)?;
                } else if borrowed.is_none() && !self.has_data {
                    borrowed = Some(value);
                } else {
                    self.keep(borrowed.take());
                    self.append(value);
                }
            }
        }
        self.count(rest.len());
        self.keep(borrowed);
        self.carry(rest)
    }

    /// Leaves out a byte order mark at the very start, whole or in pieces.
    fn after_bom<'c>(&mut self, mut chunk: &'c [u8]) -> &'c [u8] {
        while let (Some(seen), Some((&byte, tail))) = (self.bom, chunk.split_first()) {
            if BOM.get(seen) != Some(&byte) {
                self.bom = None;
                // What looked like a BOM is the start of a field of no known name.
                self.ignoring = seen > 0;
            } else {
                chunk = tail;
                self.bom = Some(seen + 1).filter(|seen| *seen < BOM.len());
            }
        }
        chunk
    }

    /// Keeps a piece of a line whose end is not in this chunk, unless the line is of no use.
    fn carry(&mut self, piece: &[u8]) -> Result<()> {
        if self.ignoring || piece.is_empty() {
            return Ok(());
        }
        // As many bytes as it takes to tell the field.
        let missing = (LONGEST_NAME + 1).saturating_sub(self.line.len());
        let (head, tail) = piece.split_at_checked(missing).unwrap_or((piece, &[]));
        self.line.extend_from_slice(head);
        if !may_be_known(&self.line) {
            self.line.clear();
            self.ignoring = true;
            return Ok(());
        }
        let length = self.line.len().saturating_add(tail.len());
        if length > LONGEST_NAME && self.size.saturating_add(length) > self.max_event_bytes {
            return Err(self.too_large());
        }
        self.line.extend_from_slice(tail);
        self.count(piece.len());
        Ok(())
    }

    fn end_carried_line(&mut self) -> Result<()> {
        if self.ignoring {
            self.ignoring = false;
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.line);
        self.count(line.len());
        if let Some((field, value)) = split_field(&line) {
            self.grow(line.len())?;
            if field != Field::Data {
                self.set(field, value)?;
            } else if self.has_data {
                self.append(value);
            } else {
                // The line becomes the data: a large one is not held twice.
                let name = line.len() - value.len();
                line.drain(..name);
                std::mem::swap(&mut line, &mut self.data);
                self.has_data = true;
            }
        }
        line.clear();
        self.line = line;
        Ok(())
    }

    fn set(&mut self, field: Field, value: &[u8]) -> Result<()> {
        match field {
            Field::Data => self.append(value),
            Field::Event => {
                let text = self.decode(value)?;
                self.event.clear();
                self.event.push_str(&text);
            }
            Field::Id => {
                if !value.contains(&0) {
                    let text = self.decode(value)?;
                    self.next_id.clear();
                    self.next_id.push_str(&text);
                    self.has_id = true;
                }
            }
            Field::Retry => {
                if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                    let milliseconds = value.iter().fold(0_u64, |sum, digit| {
                        sum.saturating_mul(10)
                            .saturating_add(u64::from(digit - b'0'))
                    });
                    self.retry = Some(Duration::from_millis(milliseconds));
                }
            }
        }
        Ok(())
    }

    /// Copies a borrowed data line because the block goes on without it.
    fn keep(&mut self, borrowed: Option<&[u8]>) {
        if let Some(value) = borrowed {
            self.append(value);
        }
    }

    fn append(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        self.count(value.len() + 1);
    }

    /// Ends the block: delivers it if it has a data line, even an empty one.
    fn dispatch<F>(&mut self, borrowed: Option<&[u8]>, on_event: &mut F) -> Result<()>
    where
        F: FnMut(SseEvent<'_>) -> Result<()>,
    {
        self.size = 0;
        if self.has_id {
            self.has_id = false;
            std::mem::swap(&mut self.last_id, &mut self.next_id);
        }
        if borrowed.is_some() || self.has_data {
            let data = self.decode(borrowed.unwrap_or(&self.data))?;
            on_event(SseEvent {
                event: if self.event.is_empty() {
                    "message"
                } else {
                    &self.event
                },
                data: &data,
                id: self.last_event_id(),
            })?;
            let length = data.len();
            self.count(length);
        }
        self.has_data = false;
        release(&mut self.data);
        release(&mut self.line);
        self.event.clear();
        Ok(())
    }

    /// The text of `bytes`, U+FFFD for what is not UTF-8.
    fn decode<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, str>> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(Cow::Borrowed(text));
        }
        // One bad byte becomes three, so the limit is held to again.
        let mut text = String::with_capacity(bytes.len());
        for piece in bytes.utf8_chunks() {
            text.push_str(piece.valid());
            if !piece.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            if text.len() > self.max_event_bytes {
                return Err(self.too_large());
            }
        }
        Ok(Cow::Owned(text))
    }

    fn grow(&mut self, bytes: usize) -> Result<()> {
        self.size = self.size.saturating_add(bytes);
        if self.size > self.max_event_bytes {
            Err(self.too_large())
        } else {
            Ok(())
        }
    }

    fn too_large(&self) -> Error {
        Error::new(
            ErrorKind::ResponseTooLarge,
            format!(
                "an event of the stream has more than {} bytes",
                self.max_event_bytes
            ),
        )
    }

    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn count(&mut self, _: usize) {}
}

/// The first line of `bytes`, the byte that ended it and the rest.
#[inline]
fn split_line(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let length = match bytes.first()? {
        b'\n' | b'\r' => 0,
        _ => memchr2(b'\n', b'\r', bytes)?,
    };
    let (line, rest) = bytes.split_at_checked(length)?;
    let (end, tail) = rest.split_first()?;
    Some((line, *end, tail))
}

/// The field of a whole line and its value, one leading space dropped; `None` for comments and unknown fields.
#[inline]
fn split_field(line: &[u8]) -> Option<(Field, &[u8])> {
    let (field, rest) = if let Some(rest) = line.strip_prefix(b"data") {
        (Field::Data, rest)
    } else if let Some(rest) = line.strip_prefix(b"event") {
        (Field::Event, rest)
    } else if let Some(rest) = line.strip_prefix(b"id") {
        (Field::Id, rest)
    } else if let Some(rest) = line.strip_prefix(b"retry") {
        (Field::Retry, rest)
    } else {
        return None;
    };
    match rest.split_first() {
        None => Some((field, rest)),
        Some((b':', value)) => Some((field, value.strip_prefix(b" ").unwrap_or(value))),
        Some(_) => None,
    }
}

/// Whether a line that starts so can be a known field.
fn may_be_known(start: &[u8]) -> bool {
    split_field(start).is_some() || NAMES.iter().any(|name| name.starts_with(start))
}

fn release(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_CAPACITY {
        *buffer = Vec::new();
    }
}
