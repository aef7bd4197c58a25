//! Standard input and output, and the interrupt key.

use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;

/// Most bytes read from standard input.
pub const MAX_INPUT: u64 = 1 << 30;
/// How long standard input may be read before it is said that it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes to standard output as it is and flushes, so that a reader sees it now.
///
/// # Errors
/// A closed or full standard output.
pub fn out(text: &str) -> Result<(), Failure> {
    out_bytes(text.as_bytes())
}

/// [`out`] for bytes.
///
/// # Errors
/// As [`out`].
pub fn out_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}

/// Writes what a model said: unchanged into a pipe; to a terminal without control characters, which could change the
/// screen and what the user believes to see.
///
/// # Errors
/// As [`out`].
pub fn out_model_text(text: &str) -> Result<(), Failure> {
    if !stdout_is_terminal() {
        return out(text);
    }
    out(&harmless(text))
}

fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Writes a table or list for people; colours in it follow `--color`, `NO_COLOR` and the terminal.
///
/// # Errors
/// As [`out`].
pub fn out_styled(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Whether somebody reads standard output on a screen.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// What is piped in, if anything is; at a terminal nothing is.
///
/// # Errors
/// Input that is not UTF-8, or more than 1 GiB of it.
pub fn piped() -> Result<Option<String>, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let text = read_stdin()?;
    Ok((!text.is_empty()).then_some(text))
}

/// All of standard input, a terminal's too.
///
/// # Errors
/// As [`piped`].
pub fn whole_stdin() -> Result<String, Failure> {
    read_stdin()
}

fn read_stdin() -> Result<String, Failure> {
    // A pipe that nobody writes to and nobody closes looks like a hang: say what is waited for.
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            anstream::eprintln!(
                "waiting for standard input to end (Ctrl-D ends a terminal's, `< /dev/null` gives none)"
            );
        }
    });
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)?;
    drop(done);
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::message("standard input is more than 1 GiB"));
    }
    String::from_utf8(bytes).map_err(|_| Failure::message("standard input is not UTF-8 text"))
}

/// A progress bar on standard error, where somebody looks at it.
#[must_use]
pub fn progress_bar() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(0);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}

/// The interrupt key (Ctrl-C): the first press is told to whoever waits, the second ends the process.
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Begins to listen; needs a Tokio runtime.
    #[must_use]
    pub fn listen() -> Self {
        let (pressed, seen) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                pressed.send_replace(true);
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(130);
                }
            }
        });
        Self(seen)
    }

    /// Completes once the key was pressed.
    pub async fn pressed(&mut self) {
        if self.0.wait_for(|pressed| *pressed).await.is_err() {
            // There is no such key here.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_drive_the_terminal() {
        assert_eq!(
            harmless("a\x1b[2Jb\r\tc\n\u{9b}31m"),
            "a\u{fffd}[2Jb\u{fffd}\tc\n\u{fffd}31m"
        );
        assert_eq!(harmless("日本語 é 🙂"), "日本語 é 🙂");
    }
}
