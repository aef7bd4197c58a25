//! Another process of the same program, which answers line by line: what several processes share is shown with two.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::roads::Failed;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The other process; it ends with this value.
#[derive(Debug)]
pub struct Other {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts this program again, with `--serve WHAT`.
    ///
    /// # Errors
    /// When the system gives no process.
    pub fn start(what: &str) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let to = child.stdin.take().ok_or("no standard input")?;
        let from = child.stdout.take().ok_or("no standard output")?;
        let from = BufReader::new(from).lines();
        Ok(Self { child, to, from })
    }

    /// Tells it what to do.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn begin(&mut self, line: &str) -> Result<(), Failed> {
        Ok(self.to.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// What it answers.
    ///
    /// # Errors
    /// When it has ended, or says nothing for 20 s.
    pub async fn end(&mut self) -> Result<String, Failed> {
        let line = tokio::time::timeout(PATIENCE, self.from.next_line()).await??;
        Ok(line.ok_or("the other process ended")?)
    }

    /// What it answers when it is told that.
    ///
    /// # Errors
    /// As [`Other::begin`] and [`Other::end`].
    pub async fn ask(&mut self, line: &str) -> Result<String, Failed> {
        self.begin(line).await?;
        self.end().await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn signal(&self, name: &str) -> Result<(), Failed> {
        let id = self.child.id().ok_or("no other process")?.to_string();
        let how = format!("-{name}");
        Command::new("kill").args([&how, &id]).status().await?;
        Ok(())
    }
}
