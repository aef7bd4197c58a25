//! Writes request bodies straight into bytes, so that a prompt of megabytes is copied once.

use std::fmt::Display;

use serde::Serialize;

use crate::types::Extra;

/// An open JSON object at the end of a buffer; remembers its keys, so that `extra` never repeats one.
pub(super) struct Obj<'b> {
    out: &'b mut Vec<u8>,
    keys: Vec<&'static str>,
    empty: bool,
}

impl<'b> Obj<'b> {
    /// Writes one object by `fill`.
    pub(super) fn write<E>(
        out: &'b mut Vec<u8>,
        fill: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        out.push(b'{');
        let mut object = Self {
            out,
            keys: Vec::new(),
            empty: true,
        };
        fill(&mut object)?;
        object.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &'static str) {
        self.keys.push(key);
        self.name(key);
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        value(self.out, name);
        self.out.push(b':');
    }

    pub(super) fn put<T: Serialize + ?Sized>(&mut self, key: &'static str, v: &T) {
        self.key(key);
        value(self.out, v);
    }

    pub(super) fn some<T: Serialize>(&mut self, key: &'static str, v: &Option<T>) {
        if let Some(v) = v {
            self.put(key, v);
        }
    }

    /// JSON text that was checked before.
    pub(super) fn raw(&mut self, key: &'static str, json: &str) {
        self.key(key);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A string made of displayable pieces (`data:` addresses) without building it first.
    pub(super) fn joined(&mut self, key: &'static str, pieces: &[&dyn Display]) {
        let text: String = pieces.iter().map(ToString::to_string).collect();
        self.put(key, &text);
    }

    pub(super) fn object<E>(
        &mut self,
        key: &'static str,
        fill: impl FnOnce(&mut Obj<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.key(key);
        Obj::write(self.out, fill)
    }

    pub(super) fn array<E>(
        &mut self,
        key: &'static str,
        fill: impl FnOnce(&mut Arr<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.key(key);
        Arr::write(self.out, fill)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }

    /// Adds unknown fields, except those written already and those in `skip`.
    pub(super) fn extra(&mut self, extra: &Extra, skip: &[&str]) {
        for (name, v) in extra {
            if !self.has(name) && !skip.contains(&name.as_str()) {
                self.name(name);
                value(self.out, v);
            }
        }
    }
}

/// An open JSON array at the end of a buffer.
pub(super) struct Arr<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl<'b> Arr<'b> {
    pub(super) fn write<E>(
        out: &'b mut Vec<u8>,
        fill: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        out.push(b'[');
        let mut array = Self { out, empty: true };
        fill(&mut array)?;
        array.out.push(b']');
        Ok(())
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    pub(super) fn put<T: Serialize + ?Sized>(&mut self, v: &T) {
        self.comma();
        value(self.out, v);
    }

    pub(super) fn object<E>(
        &mut self,
        fill: impl FnOnce(&mut Obj<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.comma();
        Obj::write(self.out, fill)
    }
}

fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, v: &T) {
    // Strings, numbers and JSON values written to memory cannot fail; an impossible failure must still be valid JSON.
    let start = out.len();
    if serde_json::to_writer(&mut *out, v).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}
