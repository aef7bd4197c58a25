//! A Redis that does what a script says: the commands of a cache over RESP2, or whatever befalls one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::log::{Entry, Outcome};
use super::wire::Wire;
use super::{Scripted, unix_ms};
use crate::script::Reply;

/// Largest value, and most words of a command.
const MAX_VALUE: usize = 64 << 20;
const MAX_WORDS: usize = 1024;

/// Answers commands in their order until either side ends the connection.
pub(super) async fn serve(wire: Wire, connection: u64, scripted: Arc<Scripted>) {
    let mut stream = BufReader::new(wire);
    let mut stopped = scripted.stopped.subscribe();
    let run = async {
        while let Some(words) = command(&mut stream).await {
            if !respond(&mut stream, connection, &scripted, &words).await {
                return;
            }
        }
    };
    tokio::select! {
        () = run => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// One command as its words; `None` when the connection ended or what came is none.
async fn command(stream: &mut BufReader<Wire>) -> Option<Vec<Vec<u8>>> {
    let count = number(stream, '*').await.filter(|n| *n <= MAX_WORDS)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(stream, '$').await.filter(|n| *n <= MAX_VALUE)?;
        let mut word = vec![0; length + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(length);
        words.push(word);
    }
    (!words.is_empty()).then_some(words)
}

async fn number(stream: &mut BufReader<Wire>, kind: char) -> Option<usize> {
    let mut line = String::new();
    stream.take(32).read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

/// Does what the script says to this command; `false` ends the connection.
async fn respond(
    stream: &mut BufReader<Wire>,
    connection: u64,
    scripted: &Scripted,
    words: &[Vec<u8>],
) -> bool {
    let text = |i: usize| {
        let word = words.get(i).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(word).into_owned()
    };
    let name = text(0).to_ascii_uppercase();
    let at_ms = scripted.now_ms();
    let (number, _) = scripted.take(Entry {
        connection,
        at_ms,
        at_unix_ms: unix_ms(),
        method: name.clone(),
        path: text(1),
        ..Entry::default()
    });
    let (mut reply, mut does) = (Vec::new(), Reply::default());
    scripted.change(|seen| {
        let nth = seen.commands.entry(name.clone()).or_default();
        if let Some(replies) = scripted.script.redis.get(&name) {
            does = replies
                .get(*nth)
                .or(replies.last())
                .cloned()
                .unwrap_or_default();
        }
        *nth += 1;
        reply = match (&does.error, &does.value) {
            (Some(error), _) => format!("-{error}\r\n").into_bytes(),
            (_, Some(value)) => bulk(value.as_bytes()),
            _ if does.hangs || does.closes => Vec::new(),
            _ => keep(&mut seen.kept, &name, words),
        };
    });
    if does.after_ms > 0.0 {
        let real = Duration::from_secs_f64(does.after_ms / 1000.0 / scripted.scale);
        tokio::time::sleep(real).await;
    }
    let outcome = if does.hangs {
        // Nothing is answered any more, as by a process that was stopped.
        let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
        Outcome::ClientClosed
    } else if does.closes {
        Outcome::Closed
    } else if stream.get_mut().write_all(&reply).await.is_err() {
        Outcome::ClientReset
    } else {
        Outcome::Sent
    };
    let done = scripted.now_ms();
    scripted.note(number, |entry| {
        entry.outcome = Some(outcome);
        entry.done_ms = Some(done);
        entry.sent_bytes = reply.len();
    });
    outcome == Outcome::Sent
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    let head = format!("${}\r\n", bytes.len());
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

/// What Redis itself does with the few commands of a cache.
fn keep(kept: &mut HashMap<Vec<u8>, Vec<u8>>, name: &str, words: &[Vec<u8>]) -> Vec<u8> {
    let word = |i: usize| words.get(i).cloned().unwrap_or_default();
    match name {
        "SET" => {
            let only_new = words.iter().skip(3).any(|word| word == b"NX");
            if only_new && kept.contains_key(&word(1)) {
                return b"$-1\r\n".to_vec();
            }
            kept.insert(word(1), word(2));
            b"+OK\r\n".to_vec()
        }
        "MGET" => {
            let names = words.get(1..).unwrap_or_default();
            let mut reply = format!("*{}\r\n", names.len()).into_bytes();
            for name in names {
                reply.extend(
                    kept.get(name)
                        .map_or_else(|| b"$-1\r\n".to_vec(), |value| bulk(value)),
                );
            }
            reply
        }
        "GETRANGE" => {
            let place = |i: usize| String::from_utf8_lossy(&word(i)).parse().unwrap_or(0_usize);
            let value = kept.get(&word(1)).map(Vec::as_slice).unwrap_or_default();
            let end = value.len().min(place(3).saturating_add(1));
            bulk(value.get(place(2)..end).unwrap_or_default())
        }
        "EXISTS" => format!(":{}\r\n", u8::from(kept.contains_key(&word(1)))).into_bytes(),
        // The script that gives a stream on; nothing here runs out.
        "EVAL" if word(1).starts_with(b"redis.call('append'") => {
            kept.entry(word(3)).or_default().extend(word(4));
            b":1\r\n".to_vec()
        }
        "GET" => kept
            .get(&word(1))
            .map_or_else(|| b"$-1\r\n".to_vec(), |value| bulk(value)),
        // Of a lease's two scripts the one that renews has two arguments; nothing here runs out.
        "EVAL" => {
            let ours = kept.get(&word(3)) == Some(&word(4));
            if ours && words.len() < 6 {
                kept.remove(&word(3));
            }
            format!(":{}\r\n", u8::from(ours)).into_bytes()
        }
        "PING" => b"+PONG\r\n".to_vec(),
        "AUTH" | "SELECT" | "CLIENT" => b"+OK\r\n".to_vec(),
        _ => format!("-ERR unknown command '{name}'\r\n").into_bytes(),
    }
}
