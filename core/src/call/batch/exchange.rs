//! Requests to a vendor that belong to a batch and not to a call: asked and read whole, or read line by line.

use bytes::Bytes;
use http::{Method, Uri};

use crate::call::attempt::request_id;
use crate::call::pipeline::{Failure, Flight, Success, Try};
use crate::error::{Error, ErrorKind, Result};

/// A request whose answer is read whole.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    uri: Uri,
    /// Its type and its bytes.
    content: Option<(String, Bytes)>,
}

impl Ask {
    pub(super) fn get(uri: Uri) -> Self {
        Self {
            method: Method::GET,
            uri,
            content: None,
        }
    }

    pub(super) fn post(uri: Uri, content: (String, Bytes)) -> Self {
        Self {
            method: Method::POST,
            uri,
            content: Some(content),
        }
    }
}

impl Try for Ask {
    type Value = Bytes;

    async fn attempt(&self, flight: &Flight) -> Result<Success<Bytes>, Failure> {
        let phase = flight.phase();
        let limits = flight.limits();
        let content = self.content.as_ref();
        let content = content.map(|(kind, body)| (kind.as_str(), body.clone()));
        let method = self.method.clone();
        let mut response = flight
            .exchange(
                method,
                self.uri.clone(),
                content,
                "application/json",
                limits,
                phase,
            )
            .await?;
        let value = response.body(phase).await?;
        Ok(Success {
            value,
            status: Some(response.status.as_u16()),
            upstream_request_id: request_id(response.headers()),
        })
    }
}

/// How much of results is read.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// Most lines.
    pub(super) most: usize,
    /// Most bytes of one.
    pub(super) longest: u64,
}

/// Results, read line by line: a whole batch's need not fit into the memory.
pub(super) struct Download<'a> {
    pub(super) uri: Uri,
    pub(super) lines: Lines,
    /// Is given every line, again those it had when a connection broke.
    pub(super) each: &'a (dyn Fn(&[u8]) + Sync),
}

impl Try for Download<'_> {
    type Value = ();

    async fn attempt(&self, flight: &Flight) -> Result<Success<()>, Failure> {
        let phase = flight.phase();
        let mut limits = flight.limits();
        limits.max_body = u64::MAX;
        let uri = self.uri.clone();
        let mut response = flight
            .exchange(Method::GET, uri, None, "*/*", limits, phase)
            .await?;
        let mut cut = Cut::new(self.lines);
        while let Some(chunk) = response.chunk(phase).await? {
            cut.push(&chunk, self.each)?;
        }
        cut.end(self.each)?;
        Ok(Success {
            value: (),
            status: Some(response.status.as_u16()),
            upstream_request_id: None,
        })
    }
}

/// Cuts what comes in pieces into lines.
struct Cut {
    lines: Lines,
    count: usize,
    rest: Vec<u8>,
}

impl Cut {
    fn new(lines: Lines) -> Self {
        Self {
            lines,
            count: 0,
            rest: Vec::new(),
        }
    }

    fn push(&mut self, mut piece: &[u8], each: &dyn Fn(&[u8])) -> Result<()> {
        while let Some(at) = memchr::memchr(b'\n', piece) {
            let (line, after) = piece.split_at(at);
            self.room(line)?;
            self.rest.extend_from_slice(line);
            piece = after.get(1..).unwrap_or_default();
            self.end(each)?;
        }
        self.room(piece)?;
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn room(&self, more: &[u8]) -> Result<()> {
        let bytes = self.rest.len() as u64 + more.len() as u64;
        if bytes > self.lines.longest {
            let longest = self.lines.longest;
            let text = format!("a result is over {longest} bytes (`limits.max_response_bytes`)");
            return Err(Error::new(ErrorKind::ResponseTooLarge, text));
        }
        Ok(())
    }

    fn end(&mut self, each: &dyn Fn(&[u8])) -> Result<()> {
        self.count += 1;
        if self.count > self.lines.most {
            let text = format!("the results have over {} lines", self.lines.most);
            return Err(Error::new(ErrorKind::ResponseTooLarge, text));
        }
        if !self.rest.trim_ascii().is_empty() {
            each(&self.rest);
        }
        self.rest.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::lock;
    use super::*;

    fn lines(text: &[u8], pieces: usize) -> Result<Vec<String>> {
        let (most, longest) = (4, 8);
        let mut cut = Cut::new(Lines { most, longest });
        let seen = Mutex::new(Vec::new());
        let each = |line: &[u8]| lock(&seen).push(String::from_utf8_lossy(line).into_owned());
        for piece in text.chunks(pieces) {
            cut.push(piece, &each)?;
        }
        cut.end(&each)?;
        let seen = lock(&seen).clone();
        Ok(seen)
    }

    #[test]
    fn however_lines_are_cut_into_pieces_they_come_out_whole() {
        for pieces in 1..20 {
            assert_eq!(
                lines(b"one\ntwo\r\n\nthree", pieces).unwrap(),
                ["one", "two\r", "three"]
            );
            assert_eq!(lines(b"one\n", pieces).unwrap(), ["one"]);
            assert!(lines(b"", pieces).unwrap().is_empty());
        }
    }

    #[test]
    fn lines_that_are_too_long_or_too_many_are_refused() {
        for pieces in 1..20 {
            assert!(lines(b"12345678", pieces).is_ok());
            assert!(lines(b"123456789", pieces).is_err());
            assert!(lines(b"1\n2\n3\n4\n5", pieces).is_err());
        }
    }
}
