//! The files of the disk tier. Everything here blocks; [`super::Disk`] keeps it off the callers' threads.
//!
//! ```text
//! PATH/ossai-cache-1/            0700, ours
//!   key                          32 random bytes, 0600
//!   completions.lock             held by whoever writes; has how many bytes the files take
//!   completions.tmp              the file being written
//!   completions/3f/3f09…         an envelope, by the digest of its key; its time of change says until when it is kept
//!   embeddings…                  the same
//!   marks/                       see `marks.rs`
//! ```
//! A file becomes visible whole, by renaming, or not at all; readers take no lock. Whoever writes holds the lock of its
//! kind, so that processes sharing the folder keep one limit between them and leave at most one unfinished file behind
//! however often they are killed. What the files take is written down before a file appears, so that a crash lets the sum
//! be too large, never too small; counting anew corrects it. No list of files is held anywhere: counting and evicting
//! walk the folder in constant memory.

use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

use super::super::envelope::Kind;
use crate::call::key::Key;

/// Files take whole blocks of a disk.
const BLOCK: u64 = 4_096;
/// How long a writer waits for another one's lock.
const PATIENCE: Duration = Duration::from_millis(500);

/// An open cache folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Most bytes of completions and of embeddings.
    limits: [u64; 2],
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is there; so many others had to go.
    Yes { evicted: u64 },
    /// It would not fit, or another process has been writing for too long.
    No,
}

impl Folder {
    /// Makes the folder where it is not there, and sees to it that it is ours alone.
    pub(super) fn open(path: &Path, limits: [u64; 2]) -> io::Result<Self> {
        private_builder().recursive(true).create(path)?;
        let root = path.join("ossai-cache-1");
        own_folder(&root)?;
        for name in [Kind::Completion.name(), Kind::Embedding.name(), "marks"] {
            own_folder(&root.join(name))?;
        }
        Ok(Self { root, limits })
    }

    /// The folder's own secret, made by whoever needs it first.
    pub(super) fn secret(&self) -> io::Result<[u8; 32]> {
        let path = self.root.join("key");
        match read_secret(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| io::Error::other("no randomness"))?;
        let mut suffix = [0; 8];
        SystemRandom::new()
            .fill(&mut suffix)
            .map_err(|_| io::Error::other("no randomness"))?;
        let name = format!("key.{:016x}", u64::from_le_bytes(suffix));
        let fresh = self.root.join(name);
        let mut file = private_file().create_new(true).open(&fresh)?;
        let linked = file
            .write_all(&secret)
            // Unlike a rename this fails where somebody else was first.
            .and_then(|()| fs::hard_link(&fresh, &path));
        let _ = fs::remove_file(&fresh);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => read_secret(&path),
        }
    }

    pub(super) fn marks(&self) -> PathBuf {
        self.root.join("marks")
    }

    fn path(&self, kind: Kind, key: &Key) -> PathBuf {
        let name = key.hex();
        let shard = name.get(..2).unwrap_or_default();
        self.root.join(kind.name()).join(shard).join(&name)
    }

    /// The bytes kept under a key, if there are any and no more than `most`.
    pub(super) fn read(&self, kind: Kind, key: &Key, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match no_follow().read(true).open(self.path(kind, key)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        let length = usize::try_from(about.len()).unwrap_or(usize::MAX);
        if !about.is_file() || length > most {
            return Err(foreign());
        }
        let mut bytes = Vec::with_capacity(length);
        file.take(about.len()).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Takes a file away, whatever it is.
    pub(super) fn remove(&self, kind: Kind, key: &Key) {
        let _ = fs::remove_file(self.path(kind, key));
    }

    /// Keeps `bytes` under a key until `kept_until` (ms since 1970), in place of what was there.
    pub(super) fn write(
        &self,
        kind: Kind,
        key: &Key,
        bytes: &[u8],
        kept_until: u64,
        now: u64,
    ) -> io::Result<Stored> {
        let limit = self.limits[usize::from(kind == Kind::Embedding)];
        let size = taken(bytes.len() as u64);
        if size > limit {
            return Ok(Stored::No);
        }
        let Some(mut ledger) = Ledger::lock(&self.root, kind)? else {
            return Ok(Stored::No);
        };
        let path = self.path(kind, key);
        let size_now = || fs::symlink_metadata(&path).map_or(0, |about| taken(about.len()));
        let mut old = size_now();
        let folder = self.root.join(kind.name());
        let mut sum = match ledger.read() {
            Some(sum) => sum,
            None => count(&folder)?,
        };
        let mut evicted = 0;
        if sum.saturating_sub(old).saturating_add(size) > limit {
            // A tenth of air, so that not every write has to walk the folder.
            let target = (limit - limit / 10).saturating_sub(size);
            (sum, evicted) = evict(&folder, target.saturating_add(old), now)?;
            old = size_now();
        }
        if sum.saturating_sub(old).saturating_add(size) > limit {
            ledger.write(sum)?;
            return Ok(Stored::No);
        }
        // Old and new are there together for a moment, and the new one perhaps never.
        ledger.write(sum.saturating_add(size))?;
        let unfinished = self.root.join(format!("{}.tmp", kind.name()));
        let outcome = place(&unfinished, &path, bytes, kept_until);
        match &outcome {
            Ok(()) => ledger.write(sum.saturating_sub(old).saturating_add(size))?,
            Err(_) => {
                let _ = fs::remove_file(&unfinished);
                let _ = ledger.write(sum);
            }
        }
        outcome.map(|()| Stored::Yes { evicted })
    }
}

/// Writes beside and renames.
fn place(unfinished: &Path, path: &Path, bytes: &[u8], kept_until: u64) -> io::Result<()> {
    // One that a killed process left behind.
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file().create_new(true).open(unfinished)?;
    file.write_all(bytes)?;
    let kept_until = UNIX_EPOCH.checked_add(Duration::from_millis(kept_until));
    file.set_times(FileTimes::new().set_modified(kept_until.unwrap_or(FAR)))?;
    drop(file);
    if let Some(shard) = path.parent() {
        match private_builder().create(shard) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    fs::rename(unfinished, path)
}

/// Stands for times no system can write: over, so that they go first.
const FAR: SystemTime = UNIX_EPOCH;

/// How many bytes the files of a kind take, held under a lock.
struct Ledger(File);

impl Ledger {
    /// Waits a little for the lock; `None` where somebody else has it for longer.
    fn lock(root: &Path, kind: Kind) -> io::Result<Option<Self>> {
        let file = private_file()
            .create(true)
            .read(true)
            .truncate(false)
            .open(root.join(format!("{}.lock", kind.name())))?;
        if !file.metadata()?.is_file() {
            return Err(foreign());
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) if Instant::now() >= end => return Ok(None),
                Err(fs::TryLockError::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// The sum, if it was written whole: a number and its complement.
    fn read(&mut self) -> Option<u64> {
        self.0.rewind().ok()?;
        let mut bytes = [0; 16];
        self.0.read_exact(&mut bytes).ok()?;
        let (sum, rest) = bytes.split_first_chunk::<8>()?;
        let (sum, check) = (u64::from_le_bytes(*sum), rest.first_chunk::<8>()?);
        (!sum == u64::from_le_bytes(*check)).then_some(sum)
    }

    fn write(&mut self, sum: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&sum.to_le_bytes());
        second.copy_from_slice(&(!sum).to_le_bytes());
        self.0.rewind()?;
        self.0.write_all(&bytes)
    }
}

fn taken(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1).saturating_mul(BLOCK)
}

/// Every file of a kind, with what is known of it; what vanishes meanwhile is passed over.
fn each(folder: &Path, mut see: impl FnMut(&Path, &Metadata)) -> io::Result<()> {
    for shard in fs::read_dir(folder)? {
        let shard = shard?;
        if !shard.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_file(shard.path());
            continue;
        }
        for entry in fs::read_dir(shard.path()).into_iter().flatten().flatten() {
            // Not followed: of a link it tells of the link.
            if let Ok(about) = entry.metadata() {
                see(&entry.path(), &about);
            }
        }
    }
    Ok(())
}

fn count(folder: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    each(folder, |_, about| {
        sum = sum.saturating_add(taken(about.len()))
    })?;
    Ok(sum)
}

/// Removes what is over, then what has least time left, until no more than `target` bytes are taken. Gives what is left
/// and how many files went.
fn evict(folder: &Path, target: u64, now: u64) -> io::Result<(u64, u64)> {
    /// What is left of its time, to the next power of two of milliseconds; 0 is over.
    fn class(about: &Metadata, now: u64) -> usize {
        let kept_until = about
            .modified()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or(0);
        match kept_until.saturating_sub(now) {
            0 => 0,
            left => 1 + left.ilog2() as usize,
        }
    }
    let mut sizes = [0_u64; 65];
    each(folder, |_, about| {
        if let Some(size) = sizes.get_mut(class(about, now)) {
            *size = size.saturating_add(taken(about.len()));
        }
    })?;
    let mut sum = sizes
        .iter()
        .fold(0_u64, |sum, size| sum.saturating_add(*size));
    // All of the classes below the last one go, and of the last as much as is needed.
    let mut last = 0;
    let mut after = sum.saturating_sub(sizes.first().copied().unwrap_or(0));
    for (class, size) in sizes.iter().enumerate().skip(1) {
        if after <= target {
            break;
        }
        last = class;
        after = after.saturating_sub(*size);
    }
    let mut gone = 0;
    each(folder, |path, about| {
        let class = class(about, now);
        let goes = class == 0 || class < last || (class == last && sum > target);
        if goes && fs::remove_file(path).is_ok() {
            sum = sum.saturating_sub(taken(about.len()));
            gone += 1;
        }
    })?;
    Ok((sum, gone))
}

pub(super) fn foreign() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not a file of ours")
}

fn read_secret(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = no_follow().read(true).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() != 32 || !is_private(&about) {
        return Err(foreign());
    }
    let mut secret = [0; 32];
    file.read_exact(&mut secret)?;
    Ok(secret)
}

#[cfg(unix)]
mod os {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use super::{DirBuilder, ErrorKind, Metadata, OpenOptions, Path, foreign, fs, io};

    /// Never through a link, and never waiting for a pipe somebody has put there.
    pub(in super::super) fn no_follow() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
        options
    }

    pub(in super::super) fn private_file() -> OpenOptions {
        let mut options = no_follow();
        options.write(true).mode(0o600);
        options
    }

    pub(super) fn private_builder() -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    }

    pub(super) fn is_private(about: &Metadata) -> bool {
        about.mode() & 0o077 == 0
    }

    /// Makes a folder, or takes one that is there: a real one, of this user, closed to all others.
    pub(super) fn own_folder(path: &Path) -> io::Result<()> {
        match private_builder().create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let about = fs::symlink_metadata(path)?;
        if !about.is_dir() {
            return Err(foreign());
        }
        if !is_private(&about) {
            // Only the owner may do this.
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod os {
    use super::{DirBuilder, ErrorKind, Metadata, OpenOptions, Path, foreign, fs, io};

    pub(in super::super) fn no_follow() -> OpenOptions {
        let mut options = OpenOptions::new();
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;
            /// `FILE_FLAG_OPEN_REPARSE_POINT`: the link itself, which is no file then.
            options.custom_flags(0x0020_0000);
        }
        options
    }

    pub(in super::super) fn private_file() -> OpenOptions {
        let mut options = no_follow();
        options.write(true);
        options
    }

    pub(super) fn private_builder() -> DirBuilder {
        DirBuilder::new()
    }

    /// Where there are no modes, the folder of a user is private by what it stands in.
    pub(super) fn is_private(_: &Metadata) -> bool {
        true
    }

    pub(super) fn own_folder(path: &Path) -> io::Result<()> {
        match private_builder().create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !fs::symlink_metadata(path)?.is_dir() {
            return Err(foreign());
        }
        Ok(())
    }
}

use os::{is_private, own_folder, private_builder};
pub(super) use os::{no_follow, private_file};
