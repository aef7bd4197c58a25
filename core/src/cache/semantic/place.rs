//! Where the questions are kept: in this process, or in a database that others share.

use std::sync::Arc;
use std::time::Duration;

use super::config::SemanticCache;
#[cfg(feature = "postgres")]
use super::postgres::Shelf;
use super::{Index, Item};
use crate::cache::marks::{Id, Token};
use crate::cache::memory::{Entry, Value};
use crate::call::key::Key;
use crate::client::Config;
use crate::error::Result;
use crate::observe::TierStats;

/// One of the two; never one before the other, so that what is invalidated counts at once.
#[derive(Debug)]
pub(crate) enum Place {
    Here(Index),
    #[cfg(feature = "postgres")]
    There(Box<Shelf>),
}

/// Which kept questions are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) group: &'a Key,
    /// Of length 1.
    pub(crate) vector: &'a [f32],
    pub(crate) now: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) threshold: f64,
    pub(crate) top: usize,
}

/// What a look gave.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The nearest first.
    pub(crate) near: Vec<(f32, Arc<Item>)>,
    /// The marks before the answer is asked for, where others can invalidate it meanwhile.
    pub(crate) seen: Option<Token>,
}

/// A question and its answer, to be kept. A build without a place that others share asks nothing of what can invalidate it.
#[cfg_attr(not(feature = "postgres"), allow(dead_code))]
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) group: Key,
    pub(crate) key: Key,
    pub(crate) text: Box<str>,
    pub(crate) vector: Arc<[f32]>,
    pub(crate) value: Value,
    pub(crate) now: Duration,
    pub(crate) ttl: Duration,
    pub(crate) tags: Option<Arc<[Id]>>,
    /// What can invalidate it.
    pub(crate) scopes: Vec<Id>,
    /// The marks from before it was asked for.
    pub(crate) seen: Option<Token>,
}

impl Place {
    pub(super) fn of(semantic: &SemanticCache, config: &Config) -> Result<Self> {
        #[cfg(feature = "postgres")]
        if let Some(settings) = &semantic.postgres {
            let shelf = Shelf::new(settings, semantic, config)?;
            return Ok(Self::There(Box::new(shelf)));
        }
        let _ = config;
        let index = Index::new(semantic.max_entries, semantic.max_bytes);
        Ok(Self::Here(index))
    }

    /// The nearest kept questions that may count for a call with these scopes.
    ///
    /// # Errors
    /// A word for why the place could not be asked.
    pub(crate) async fn nearest(
        &self,
        wanted: &Wanted<'_>,
        scopes: &[Id],
    ) -> std::result::Result<Looked, &'static str> {
        match self {
            Self::Here(index) => {
                let _ = scopes;
                let near = index.nearest(wanted).await;
                Ok(Looked { near, seen: None })
            }
            #[cfg(feature = "postgres")]
            Self::There(shelf) => {
                let (near, seen) = shelf.nearest(wanted, scopes).await?;
                let seen = Some(seen);
                Ok(Looked { near, seen })
            }
        }
    }

    /// The vector of exactly this question, where it is kept here.
    pub(crate) fn vector(&self, group: &Key, key: &Key) -> Option<Arc<[f32]>> {
        match self {
            Self::Here(index) => index.vector(group, key),
            #[cfg(feature = "postgres")]
            Self::There(_) => None,
        }
    }

    /// The same where it is kept elsewhere, with the marks by now; to be asked before its new answer is.
    pub(crate) async fn known(
        &self,
        group: &Key,
        key: &Key,
        scopes: &[Id],
    ) -> Option<(Arc<[f32]>, Token)> {
        match self {
            Self::Here(_) => {
                let _ = (group, key, scopes);
                None
            }
            #[cfg(feature = "postgres")]
            Self::There(shelf) => shelf.known(group, key, scopes).await,
        }
    }

    /// Whether others share it.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Self::Here(_))
    }

    /// Keeps an answer; elsewhere that is done beside the call.
    pub(crate) fn keep(&self, fresh: Fresh) {
        match self {
            Self::Here(index) => {
                let entry = Entry::new(fresh.value, fresh.now, fresh.ttl).tagged(fresh.tags);
                let item = Item {
                    key: fresh.key,
                    text: fresh.text,
                    vector: fresh.vector,
                    entry,
                    found_age: None,
                };
                index.put(fresh.group, item);
            }
            #[cfg(feature = "postgres")]
            Self::There(shelf) => shelf.keep(fresh),
        }
    }

    /// Lets go of what is kept in this process.
    pub(crate) fn clear(&self) {
        match self {
            Self::Here(index) => index.clear(),
            #[cfg(feature = "postgres")]
            Self::There(_) => {}
        }
    }

    /// Lets go of what fits and is kept in this process.
    pub(crate) fn drop_where(&self, fits: impl Fn(&Entry) -> bool) {
        match self {
            Self::Here(index) => index.drop_where(fits),
            #[cfg(feature = "postgres")]
            Self::There(_) => {}
        }
    }

    /// Lets go of what has this scope and is kept elsewhere. Says whether anything is.
    ///
    /// # Errors
    /// A word for why it could not be told.
    pub(crate) async fn invalidate(&self, scope: &Id) -> std::result::Result<bool, &'static str> {
        match self {
            Self::Here(_) => {
                let _ = scope;
                Ok(false)
            }
            #[cfg(feature = "postgres")]
            Self::There(shelf) => shelf.invalidate(scope).await.map(|()| true),
        }
    }

    /// Waits until nothing is on its way.
    pub(crate) async fn flush(&self) {
        match self {
            Self::Here(_) => {}
            #[cfg(feature = "postgres")]
            Self::There(shelf) => shelf.flush().await,
        }
    }

    /// Entries and bytes; elsewhere those of the tenant, when there was last made room.
    pub(crate) fn size(&self) -> (u64, u64) {
        match self {
            Self::Here(index) => index.size(),
            #[cfg(feature = "postgres")]
            Self::There(shelf) => shelf.size(),
        }
    }

    /// What the way to others has done, where there is one.
    pub(crate) fn tier(&self) -> Option<TierStats> {
        match self {
            Self::Here(_) => None,
            #[cfg(feature = "postgres")]
            Self::There(shelf) => Some(shelf.stats()),
        }
    }
}
