//! The tier on this machine's disk: what was answered yesterday, or by the process before this one.
//!
//! Files are read and written on Tokio's blocking threads, at most [`AT_ONCE`] at a time, so that a disk that hangs takes
//! no more of them. Nothing is touched before the first look.

mod folder;
mod marks;
#[cfg(all(test, not(ossai_loom)))]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::envelope::{Kind, Sealer, Times};
use super::marks::{Id, Token};
use super::tier::{Fault, Guard};
use super::{Found, Kept, Scopes, parse};
use crate::call::key::Key;
use crate::types::CacheTier;
use folder::{Folder, Stored};

/// Most files being read or written at once.
const AT_ONCE: usize = 16;

/// How the tier on the disk is set up.
pub(super) struct Settings {
    pub(super) path: PathBuf,
    /// Most bytes of completions and of embeddings.
    pub(super) limits: [u64; 2],
    /// Largest answer.
    pub(super) max_body: usize,
    pub(super) compress_from: usize,
    pub(super) encrypt: bool,
    /// Instead of the folder's own secret.
    pub(super) secret: Option<[u8; 32]>,
}

/// The marks in the folder: the digest of a call's scopes, and the tenant's mark that changes every time.
pub(super) struct Marks {
    pub(super) digest: Token,
    pub(super) any: Token,
}

/// The disk tier.
pub(super) struct Disk {
    pub(super) guard: Guard,
    files: Arc<Files>,
    room: Arc<Semaphore>,
    /// Writers wait here and not at the lock of the folder, where waiting would count as the disk's slowness.
    turn: Semaphore,
}

struct Files {
    settings: Settings,
    opened: Mutex<Option<Arc<Opened>>>,
}

struct Opened {
    folder: Folder,
    sealer: Sealer,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("guard", &self.guard)
            .field("path", &self.files.settings.path)
            .finish_non_exhaustive()
    }
}

impl Disk {
    pub(super) fn new(guard: Guard, settings: Settings) -> Self {
        Self {
            guard,
            files: Arc::new(Files {
                settings,
                opened: Mutex::default(),
            }),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            turn: Semaphore::new(1),
        }
    }

    /// The best of what is kept under these keys: fresh before stale, in their order.
    pub(super) async fn find(
        &self,
        kind: Kind,
        keys: &[Key],
        scopes: &Scopes,
        now: u64,
    ) -> Result<(Option<Found>, Marks), Fault> {
        let (files, keys, scopes) = (Arc::clone(&self.files), keys.to_vec(), scopes.clone());
        let work = self.blocking(move || files.find(kind, &keys, &scopes, now));
        self.guard.within(work).await
    }

    /// The marks of a call that asks for nothing else.
    pub(super) async fn marks_of(&self, scopes: &Scopes) -> Result<Marks, Fault> {
        let (files, scopes) = (Arc::clone(&self.files), scopes.clone());
        let work = self.blocking(move || files.marks(&scopes));
        self.guard.within(work).await
    }

    /// Changes the mark of a scope, and then the one of the tenant that changes every time. Gives that one.
    pub(super) async fn invalidate(&self, scope: Id, any: Id) -> Result<Token, Fault> {
        let files = Arc::clone(&self.files);
        let work = self.blocking(move || {
            files.again(|opened| {
                opened.folder.invalidate(&scope)?;
                opened.folder.invalidate(&any)
            })
        });
        self.guard.within(work).await
    }

    /// Keeps an answer.
    pub(super) async fn keep(&self, kept: &Arc<Kept>, times: Times, now: u64) {
        if !self.guard.takes_writes() {
            return self.guard.dropped();
        }
        let _turn = self.turn.acquire().await;
        let (files, kept) = (Arc::clone(&self.files), Arc::clone(kept));
        let work = self.blocking(move || files.keep(&kept, &times, now));
        match self.guard.within(work).await {
            Ok(Stored::Yes { evicted }) => {
                self.guard.stored();
                self.guard.evicted(evicted);
            }
            _ => self.guard.dropped(),
        }
    }

    /// Runs `work` on a blocking thread. A dropped wait leaves it running: its place is free when it ends.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| Fault::Away("closed"))?;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(place);
            outcome
        });
        match done.await {
            Ok(outcome) => outcome.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Away("broken")),
        }
    }
}

impl Files {
    fn opened(&self) -> io::Result<Arc<Opened>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let settings = &self.settings;
        let folder = Folder::open(&settings.path, settings.limits)?;
        let secret = match settings.secret {
            _ if !settings.encrypt => None,
            None => Some(folder.secret()?),
            given => given,
        };
        let sealer = Sealer::new(secret, settings.compress_from, settings.max_body);
        Ok(Arc::clone(
            opened.insert(Arc::new(Opened { folder, sealer })),
        ))
    }

    fn marks(&self, scopes: &Scopes) -> io::Result<Marks> {
        let folder = &self.opened()?.folder;
        Ok(Marks {
            digest: folder.digest(&scopes.of(scopes.tags.as_ref()))?,
            any: folder.mark(&scopes.any)?,
        })
    }

    fn find(
        &self,
        kind: Kind,
        keys: &[Key],
        scopes: &Scopes,
        now: u64,
    ) -> io::Result<(Option<Found>, Marks)> {
        let opened = self.opened()?;
        let marks = self.marks(scopes)?;
        let mut best: Option<Found> = None;
        for key in keys {
            let bytes = match opened.folder.read(kind, key, opened.sealer.max_bytes()) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) if fault(&error) == Fault::Foreign("foreign") => {
                    opened.folder.remove(kind, key);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let found = opened
                .sealer
                .open(kind, key, bytes)
                .ok()
                .filter(|(times, _)| now < times.kept_until)
                .and_then(|(times, body)| {
                    let (label, value) = parse(kind, &body)?;
                    Some(Found::new(CacheTier::Disk, *key, times, label, value))
                });
            let found = match found {
                Some(found) => {
                    let of = scopes.of(found.label.tags.as_ref());
                    let counts = opened.folder.digest(&of)? == found.label.disk;
                    counts.then_some(found)
                }
                None => None,
            };
            let Some(found) = found else {
                // Damaged, invalidated, of another secret or version, or over: of no use to anybody.
                opened.folder.remove(kind, key);
                continue;
            };
            if found.times.is_fresh(now) {
                return Ok((Some(found), marks));
            }
            best = best.or(Some(found));
        }
        Ok((best, marks))
    }

    fn keep(&self, kept: &Kept, times: &Times, now: u64) -> io::Result<Stored> {
        let Some(body) = kept.body() else {
            return Ok(Stored::No);
        };
        self.again(|opened| {
            let Some(sealed) = opened.sealer.seal(kept.kind, &kept.key, times, body) else {
                return Ok(Stored::No);
            };
            let (kind, key, until) = (kept.kind, &kept.key, times.kept_until);
            opened.folder.write(kind, key, &sealed, until, now)
        })
    }

    /// Writes, and once more where somebody has taken the folder away: with it went its secret.
    fn again<T>(&self, write: impl Fn(&Opened) -> io::Result<T>) -> io::Result<T> {
        match write(&*self.opened()?) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
                write(&*self.opened()?)
            }
            outcome => outcome,
        }
    }
}

/// What an error of the system means for the tier.
fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Fault::Refused("full")
        }
        ErrorKind::ReadOnlyFilesystem => Fault::Refused("read_only"),
        ErrorKind::PermissionDenied => Fault::Refused("permission"),
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Refused("gone"),
        // A link where a file should be is reported as a loop, whose kind is not stable yet.
        ErrorKind::InvalidData | ErrorKind::IsADirectory => Fault::Foreign("foreign"),
        #[cfg(unix)]
        _ if error.raw_os_error() == Some(libc::ELOOP) => Fault::Foreign("foreign"),
        #[cfg(unix)]
        _ if error.raw_os_error() == Some(libc::ENXIO) => Fault::Foreign("foreign"),
        _ => Fault::Away("io"),
    }
}
