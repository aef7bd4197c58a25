//! The marks in the folder: `marks/` and the scope, 16 random bytes each, once it was invalidated; before, there is none.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use super::super::marks::{self, Id, NONE, Token};
use super::folder::{Folder, foreign, no_follow, private_file};

impl Folder {
    fn mark_path(&self, id: &Id) -> PathBuf {
        self.marks()
            .join(format!("{:032x}", u128::from_be_bytes(*id)))
    }

    /// The mark of a scope.
    pub(super) fn mark(&self, id: &Id) -> io::Result<Token> {
        let mut file = match no_follow().read(true).open(self.mark_path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(NONE),
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        if !about.is_file() || about.len() != 16 {
            return Err(foreign());
        }
        let mut token = NONE;
        file.read_exact(&mut token)?;
        Ok(token)
    }

    /// The digest an answer with these scopes must have.
    pub(super) fn digest(&self, ids: &[Id]) -> io::Result<Token> {
        let tokens = ids.iter().map(|id| self.mark(id));
        Ok(marks::digest(&tokens.collect::<io::Result<Vec<_>>>()?))
    }

    /// Changes the mark of a scope: whole or not at all. Gives the new one.
    pub(super) fn invalidate(&self, id: &Id) -> io::Result<Token> {
        let fresh = || marks::fresh().ok_or_else(|| io::Error::other("no randomness"));
        let (token, suffix) = (fresh()?, u128::from_le_bytes(fresh()?));
        let unfinished = self.marks().join(format!("new.{suffix:032x}"));
        let mut file = private_file().create_new(true).open(&unfinished)?;
        let written = file
            .write_all(&token)
            .and_then(|()| fs::rename(&unfinished, self.mark_path(id)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.map(|()| token)
    }
}
