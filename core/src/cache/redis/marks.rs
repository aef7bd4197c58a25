//! The marks in Redis: `ossai:marks:` and the scope, 16 random bytes each.
//!
//! A mark that is not there (it never was, its server was emptied or made room) is no mark that answers could match: the
//! next flight makes a new one, and what was kept under the one before is a miss.

use redis::cmd;

use super::super::marks::{self, Id, Scopes, Token};
use super::super::tier::Fault;
use super::Redis;

/// How long the mark of a model or a tag lives, and how long one of a whole tenant: a month and a year.
const LIFE_MS: u64 = 30 * 86_400_000;
const LONG_MS: u64 = 365 * 86_400_000;

/// The marks somebody asked for.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Known(Vec<(Id, Option<Token>)>);

impl Known {
    pub(in super::super) fn get(&self, id: &Id) -> Option<Token> {
        let (_, token) = self.0.iter().find(|(known, _)| known == id)?;
        *token
    }

    /// The digest an answer with these scopes must have; `None` where a mark is missing.
    pub(in super::super) fn digest(&self, ids: &[Id]) -> Option<Token> {
        let tokens = ids.iter().map(|id| self.get(id));
        let tokens = tokens.collect::<Option<Vec<Token>>>()?;
        Some(marks::digest(&tokens))
    }
}

impl Redis {
    fn mark_name(&self, id: &Id) -> String {
        use std::fmt::Write as _;
        let mut name = format!("{}marks:", self.prefix);
        for byte in id {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// The marks of these scopes.
    pub(super) async fn read_marks(&self, ids: &[Id]) -> Result<Known, Fault> {
        let mut command = cmd("MGET");
        for id in ids {
            command.arg(self.mark_name(id));
        }
        let answers: Vec<Option<Vec<u8>>> = self.line.ask(&command).await?;
        if answers.len() != ids.len() {
            return Err(Fault::Foreign("foreign"));
        }
        let tokens = answers
            .into_iter()
            .map(|bytes| Token::try_from(bytes?.as_slice()).ok());
        Ok(Known(ids.iter().copied().zip(tokens).collect()))
    }

    /// Whether an answer with this digest counts.
    pub(super) async fn counts(
        &self,
        known: &Known,
        ids: &[Id],
        digest: Token,
    ) -> Result<bool, Fault> {
        let unknown: Vec<Id> = ids
            .iter()
            .filter(|id| !known.0.iter().any(|(known, _)| known == *id))
            .copied()
            .collect();
        if unknown.is_empty() {
            return Ok(known.digest(ids) == Some(digest));
        }
        let mut all = known.clone();
        all.0.extend(self.read_marks(&unknown).await?.0);
        Ok(all.digest(ids) == Some(digest))
    }

    /// The same of an answer found beneath.
    pub(in super::super) async fn vouches(
        &self,
        known: &Known,
        ids: &[Id],
        digest: Token,
    ) -> Result<bool, Fault> {
        let asked = self.counts(known, ids, digest);
        self.told(self.guard.within(asked).await)
    }

    /// The marks of a call that asks for nothing else.
    pub(in super::super) async fn marks_of(&self, scopes: &Scopes) -> Result<Known, Fault> {
        let ids = scopes.asked();
        let asked = self.read_marks(&ids);
        self.told(self.guard.within(asked).await)
    }

    /// Makes the marks that are missing, one after the other: a server that takes no writes is asked once.
    pub(in super::super) async fn complete_marks(&self, known: &mut Known, scopes: &Scopes) {
        if known.0.iter().all(|(_, token)| token.is_some()) {
            return;
        }
        let made = async {
            for (id, token) in known.0.iter_mut().filter(|(_, token)| token.is_none()) {
                if !self.guard.takes_writes() {
                    return Ok(());
                }
                let Some(fresh) = marks::fresh() else {
                    return Ok(());
                };
                let plain = self.set(id, fresh, scopes);
                let mut command = plain.clone();
                command.arg("NX");
                *token = match self.line.ask::<Option<String>>(&command).await? {
                    Some(_) => Some(fresh),
                    None => match self.read_marks(&[*id]).await?.get(id) {
                        // Somebody else was faster.
                        Some(theirs) => Some(theirs),
                        // What is there is no mark, and no answer matches it.
                        None => {
                            self.line.ask::<()>(&plain).await?;
                            Some(fresh)
                        }
                    },
                };
            }
            Ok(())
        };
        let made = self.guard.within(made).await;
        let _ = self.told(made);
    }

    fn set(&self, id: &Id, token: Token, scopes: &Scopes) -> ::redis::Cmd {
        let long = [scopes.any, scopes.all].contains(id);
        let mut command = cmd("SET");
        command
            .arg(self.mark_name(id))
            .arg(&token[..])
            .arg("PX")
            .arg(if long { LONG_MS } else { LIFE_MS });
        command
    }

    /// Changes the mark of a scope, and then the one of the tenant that changes every time. Gives that one.
    pub(in super::super) async fn invalidate(
        &self,
        scope: &Id,
        scopes: &Scopes,
    ) -> Result<Token, Fault> {
        let marked = async {
            let fresh = || marks::fresh().ok_or(Fault::Away("no_randomness"));
            let (of_scope, of_any) = (fresh()?, fresh()?);
            let command = self.set(scope, of_scope, scopes);
            self.line.ask::<()>(&command).await?;
            let command = self.set(&scopes.any, of_any, scopes);
            self.line.ask::<()>(&command).await?;
            Ok(of_any)
        };
        self.told(self.guard.within(marked).await)
    }
}
