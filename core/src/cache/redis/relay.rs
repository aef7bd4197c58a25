//! The events of a stream that one process has, for those of others that want them as they come.
//!
//! `ossai:relays:`, the turn and its holder's token: a string that grows by frames, each a length (4 bytes, little-endian)
//! and an envelope with the number of its first event and the events. Who follows says so under the same name with
//! `:wanted`, and reads on from where it was; until somebody says so nothing is written. A frame that comes twice, because
//! the connection broke while it was sent, is known by its number; one that is missing ends the following.

use std::time::Duration;

use redis::{Cmd, cmd};

use super::super::envelope::{Kind, OVERHEAD, Sealer, Times};
use super::super::marks::Token;
use super::super::tier::Fault;
use super::Redis;
use crate::call::key::Key;
use crate::types::StreamEvent;

/// How long events stay after the last of them. After a longer pause the following has ended.
const LIFE: Duration = Duration::from_secs(60);
/// How long a wish to follow holds, and how soon it is said again.
const WANTED: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(3);
/// Most bytes of one read.
const READ: usize = 256 << 10;

const APPEND: &str =
    "redis.call('append',KEYS[1],ARGV[1]) return redis.call('pexpire',KEYS[1],ARGV[2])";

/// The name of a turn's relay, and the key its envelopes are sealed under.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    key: Key,
}

impl Place {
    pub(super) fn new(prefix: &str, of: &Token, holder: &[u8]) -> Self {
        use std::fmt::Write as _;
        let mut name = format!("{prefix}relays:{:032x}:", u128::from_be_bytes(*of));
        for byte in holder {
            let _ = write!(name, "{byte:02x}");
        }
        let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 stream relay v1");
        hasher.update(of).update(holder);
        Self {
            name,
            key: Key(*hasher.finalize().as_bytes()),
        }
    }

    /// Asks whether anybody follows.
    pub(super) fn is_wanted(&self) -> Cmd {
        let mut command = cmd("EXISTS");
        command.arg(self.wanted());
        command
    }

    fn wanted(&self) -> String {
        format!("{}:wanted", self.name)
    }

    /// Writes events down, the first with this number; `None` where they are too large.
    pub(super) fn append(
        &self,
        sealer: &Sealer,
        first: usize,
        events: &[StreamEvent],
    ) -> Option<Cmd> {
        let body = serde_json::to_vec(&(first, events)).ok()?;
        let sealed = sealer.seal(Kind::Completion, &self.key, &Times::default(), &body)?;
        let mut frame = u32::try_from(sealed.len()).ok()?.to_le_bytes().to_vec();
        frame.extend_from_slice(&sealed);
        let mut command = cmd("EVAL");
        command
            .arg(APPEND)
            .arg(1)
            .arg(&self.name)
            .arg(frame)
            .arg(LIFE.as_millis());
        Some(command)
    }
}

/// Where in another process's stream somebody is.
#[derive(Debug)]
pub(crate) struct Follow {
    place: Place,
    /// Bytes read.
    at: usize,
    /// What of them is no whole frame yet.
    rest: Vec<u8>,
    /// Events read.
    events: usize,
    /// When the wish to follow was last said.
    said: Option<Duration>,
}

impl Follow {
    /// Takes whole frames out of what was read.
    fn take(&mut self, sealer: &Sealer) -> Option<Vec<StreamEvent>> {
        let mut new = Vec::new();
        let mut bytes = self.rest.as_slice();
        let all = bytes.len();
        while let Some((length, after)) = bytes.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            if !(OVERHEAD..=sealer.max_bytes()).contains(&length) {
                return None;
            }
            let Some((sealed, after)) = after.split_at_checked(length) else {
                break;
            };
            bytes = after;
            let opened = sealer.open(Kind::Completion, &self.place.key, sealed.to_vec());
            let (_, body) = opened.ok()?;
            let (first, events): (usize, Vec<StreamEvent>) = serde_json::from_slice(&body).ok()?;
            // What is known came twice; what begins later than the next one has a gap before it.
            let known = self.events.checked_sub(first)?;
            let end = first.checked_add(events.len())?;
            new.extend(events.into_iter().skip(known));
            self.events = self.events.max(end);
        }
        let read = all - bytes.len();
        self.rest.drain(..read);
        Some(new)
    }
}

impl Redis {
    /// Begins to follow the stream of a turn's holder.
    pub(in super::super) fn follow(&self, of: &Token, holder: &[u8]) -> Follow {
        Follow {
            place: Place::new(&self.prefix, of, holder),
            at: 0,
            rest: Vec::new(),
            events: 0,
            said: None,
        }
    }

    /// The events that have come since the last look.
    ///
    /// # Errors
    /// What stands there is not the holder's, or Redis could not be asked: nothing more can be had of it.
    pub(in super::super) async fn followed(
        &self,
        follow: &mut Follow,
    ) -> Result<Vec<StreamEvent>, Fault> {
        let now = self.guard.clock().now();
        let again = AGAIN.saturating_mul(self.scale);
        let asked = async {
            if follow
                .said
                .is_none_or(|said| now.saturating_sub(said) >= again)
            {
                let mut want = cmd("SET");
                want.arg(follow.place.wanted())
                    .arg(1)
                    .arg("PX")
                    .arg(WANTED.as_millis());
                self.line.ask::<()>(&want).await?;
                follow.said = Some(now);
            }
            let mut read = cmd("GETRANGE");
            read.arg(&follow.place.name)
                .arg(follow.at)
                .arg(follow.at + READ - 1);
            self.line.ask::<Vec<u8>>(&read).await
        };
        let bytes = self.told(self.guard.within(asked).await)?;
        follow.at += bytes.len();
        follow.rest.extend_from_slice(&bytes);
        let events = follow.take(&self.sealer);
        events.ok_or(Fault::Foreign("foreign"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(secret: Option<[u8; 32]>) -> Sealer {
        Sealer::new(secret, 64, 1 << 20)
    }

    fn text(n: usize) -> StreamEvent {
        StreamEvent::TextDelta {
            index: 0,
            text: format!("piece {n} "),
        }
    }

    fn events(range: std::ops::Range<usize>) -> Vec<StreamEvent> {
        range.map(text).collect()
    }

    fn follow(place: &Place) -> Follow {
        Follow {
            place: place.clone(),
            at: 0,
            rest: Vec::new(),
            events: 0,
            said: None,
        }
    }

    /// The bytes that a frame adds.
    fn frame(place: &Place, sealer: &Sealer, range: std::ops::Range<usize>) -> Vec<u8> {
        let command = place.append(sealer, range.start, &events(range)).unwrap();
        let mut arguments = command.args_iter().filter_map(|argument| match argument {
            redis::Arg::Simple(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        arguments.nth(4).unwrap()
    }

    #[test]
    fn events_come_whole_and_once_wherever_the_reads_are_cut() {
        let place = Place::new("ossai:", &[1; 16], &[2; 16]);
        for secret in [None, Some([7; 32])] {
            let sealer = sealer(secret);
            // The second frame was sent twice, and the third has some of it.
            let frames = [0..3, 3..20, 3..20, 10..25, 25..26];
            let bytes: Vec<u8> = frames
                .into_iter()
                .flat_map(|range| frame(&place, &sealer, range))
                .collect();
            for step in [1, 3, 64, 1_000, bytes.len()] {
                let mut follow = follow(&place);
                let mut got = Vec::new();
                for piece in bytes.chunks(step) {
                    follow.rest.extend_from_slice(piece);
                    got.extend(follow.take(&sealer).unwrap());
                }
                assert_eq!(got, events(0..26), "{step}");
            }
        }
    }

    #[test]
    fn a_gap_another_turn_a_wrong_secret_and_damage_end_the_following() {
        let place = Place::new("ossai:", &[1; 16], &[2; 16]);
        let sealed = sealer(Some([7; 32]));
        let whole = frame(&place, &sealed, 0..3);
        let read = |place: &Place, sealer: &Sealer, bytes: &[u8]| {
            let mut follow = follow(place);
            follow.rest.extend_from_slice(bytes);
            follow.take(sealer)
        };
        assert!(read(&place, &sealed, &whole).is_some());
        assert!(read(&place, &sealed, &frame(&place, &sealed, 1..3)).is_none());
        assert!(read(&place, &sealer(None), &whole).is_none());
        assert!(read(&place, &sealer(Some([8; 32])), &whole).is_none());
        for other in [
            Place::new("ossai:", &[1; 16], &[3; 16]),
            Place::new("ossai:", &[3; 16], &[2; 16]),
        ] {
            assert!(read(&other, &sealed, &whole).is_none());
        }
        for at in 4..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(read(&place, &sealed, &damaged).is_none(), "byte {at}");
        }
        // A length that nothing has is not waited for.
        assert!(read(&place, &sealed, &[0xff; 8]).is_none());
        assert!(read(&place, &sealed, &[0; 8]).is_none());
    }
}
