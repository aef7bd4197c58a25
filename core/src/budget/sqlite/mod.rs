//! The ledger in a file: several processes of one machine, and balances that outlive them all.

mod books;

use std::path::Path;
use std::time::{Duration, Instant};

use super::kept::{Fault, Keeping, Message, Outcome, Round};
pub(super) use books::Books;
#[cfg(test)]
pub(super) use books::Ended;
use books::Work;

/// The file, opened when it is first needed.
pub(super) struct File<'a> {
    path: &'a Path,
    books: Option<Books>,
}

impl<'a> File<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, books: None }
    }

    /// Whether it failed at the very end, where what was in it may be in the file, is told by `doubts`.
    fn try_keep(&mut self, round: &Round<'_>, doubts: &mut bool) -> rusqlite::Result<Vec<Outcome>> {
        let books = match &mut self.books {
            Some(books) => books,
            none => none.insert(open(self.path)?),
        };
        let (owner, now) = (round.owner, round.now);
        let work = books.begin()?;
        if let Some(lease) = round.lease {
            work.renew(owner, now.saturating_add(lease))?;
            work.reap(now)?;
        }
        for (ask, charge) in round.owed {
            work.end(ask, owner, *charge, now)?;
        }
        let outcomes = round
            .batch
            .iter()
            .map(|message| carry_out(&work, message, owner, now))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        *doubts = true;
        work.commit()?;
        Ok(outcomes)
    }
}

impl Keeping for File<'_> {
    fn keep(&mut self, round: &Round<'_>) -> Result<Vec<Outcome>, Fault> {
        let mut doubts = false;
        self.try_keep(round, &mut doubts).map_err(|error| {
            if !is_busy(&error) {
                self.books = None;
            }
            Fault {
                error: error.to_string(),
                doubts,
            }
        })
    }
}

fn carry_out(
    work: &Work<'_>,
    message: &Message,
    owner: i64,
    now: i64,
) -> rusqlite::Result<Outcome> {
    Ok(match message {
        Message::Reserve(ask, _) => Outcome::Reserved(work.reserve(ask, owner, now)?),
        Message::End(ask, charge) => {
            work.end(ask, owner, *charge, now)?;
            Outcome::Nothing
        }
        Message::List(now, _) => {
            work.reap(*now)?;
            Outcome::Listed(work.list(*now)?)
        }
        Message::Read(accounts, _) => Outcome::Read(
            accounts
                .iter()
                .map(|account| work.balance(account))
                .collect::<rusqlite::Result<_>>()?,
        ),
        Message::Flush(_) => Outcome::Nothing,
    })
}

/// Opens the file. Processes that do so at the same moment are in each other's way for an instant.
fn open(path: &Path) -> rusqlite::Result<Books> {
    let began = Instant::now();
    loop {
        match Books::open(path) {
            Err(error) if is_busy(&error) && began.elapsed() < super::PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            outcome => return outcome,
        }
    }
}

/// Whether another process has the file.
fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}
