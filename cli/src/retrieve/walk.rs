//! The files of a folder as git sees them, and their text.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ossai::{Error, Result};

/// Largest file that is read, in bytes.
pub const MAX_FILE: u64 = 2 << 20;

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its path, beginning with the root it was found under, with `/` on every platform.
    pub name: String,
}

/// Files left out, by reason; ignored and hidden ones are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Not UTF-8 text.
    pub binary: u64,
    /// Over [`MAX_FILE`].
    pub large: u64,
    /// Not to be read: permissions, or gone meanwhile.
    pub unreadable: u64,
    /// The first that could not be read, and why.
    pub first_unreadable: Option<String>,
}

impl Skipped {
    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.binary + self.large + self.unreadable
    }

    fn unreadable(&mut self, error: impl fmt::Display) {
        self.unreadable += 1;
        self.first_unreadable
            .get_or_insert_with(|| error.to_string());
    }
}

impl std::ops::AddAssign for Skipped {
    fn add_assign(&mut self, more: Self) {
        self.binary += more.binary;
        self.large += more.large;
        self.unreadable += more.unreadable;
        self.first_unreadable = self.first_unreadable.take().or(more.first_unreadable);
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "skipped {} binary, {} over {} MiB, {} unreadable",
            self.binary,
            self.large,
            MAX_FILE >> 20,
            self.unreadable
        )?;
        match &self.first_unreadable {
            Some(first) => write!(f, ": {first}"),
            None => Ok(()),
        }
    }
}

/// Lists the files of `root` in the order of their names: without ignored and hidden ones, following no links.
///
/// `.gitignore` files count within a git repository and without one. A `root` that is a file is listed whatever ignores it.
///
/// # Errors
/// `invalid_request` naming `over` when `root` is missing, unreadable or neither file nor folder.
pub fn files(root: &Path) -> Result<(Vec<Found>, Skipped)> {
    let wrong = |what: &dyn fmt::Display| {
        Error::invalid("over", format_args!("{}: {what}", root.display()))
    };
    let meta = root
        .metadata()
        .map_err(|error| wrong(&error).with_source(error))?;
    // Names can be opened from the current folder, so that a citation leads somewhere.
    let name_of = |path: &Path| {
        let path = path.strip_prefix(".").unwrap_or(path);
        let parts = path.iter().map(|part| part.to_string_lossy());
        parts.collect::<Vec<_>>().join("/").replace("//", "/")
    };
    if meta.is_file() {
        let (path, name) = (root.to_owned(), name_of(root));
        return Ok((vec![Found { path, name }], Skipped::default()));
    }
    if !meta.is_dir() {
        return Err(wrong(&"expected a file or a folder"));
    }
    std::fs::read_dir(root).map_err(|error| wrong(&error).with_source(error))?;
    let mut found = Vec::new();
    let mut skipped = Skipped::default();
    for entry in WalkBuilder::new(root).require_git(false).build() {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                let path = entry.into_path();
                let name = name_of(&path);
                found.push(Found { path, name });
            }
            Ok(_) => {}
            Err(error) => skipped.unreadable(error),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((found, skipped))
}

/// The text of a file, or nothing and a count of why.
pub fn read(file: &Found, skipped: &mut Skipped) -> Option<String> {
    let mut bytes = Vec::new();
    // One byte more than allowed, as a file may grow while it is read.
    let outcome =
        File::open(&file.path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = outcome {
        skipped.unreadable(format_args!("{}: {error}", file.path.display()));
        return None;
    }
    if bytes.len() as u64 > MAX_FILE {
        skipped.large += 1;
        return None;
    }
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    if text.is_none() {
        skipped.binary += 1;
    }
    text.map(|text| {
        text.strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text)
    })
}
