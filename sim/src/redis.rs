//! A real Redis of a test's own, and just enough of its protocol to play its operator.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::roads::Failed;

/// A `redis-server` on a port of its own, without any file.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    /// Where it listens, on this machine.
    pub port: u16,
    child: Option<Child>,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no such program, or it does not come up within 10 s.
    pub async fn start(program: &Path) -> Result<Self, Failed> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut redis = Self {
            program: program.to_path_buf(),
            port,
            child: None,
        };
        redis.restart().await?;
        Ok(redis)
    }

    /// Starts it again on the same port, empty.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> Result<(), Failed> {
        self.stop().await;
        let child = Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir", "/tmp"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.child = Some(child);
        for _ in 0..200 {
            if self
                .ask(&["PING"])
                .await
                .is_ok_and(|answer| answer == b"PONG")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("redis-server does not answer".into())
    }

    /// Kills it.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill().await;
        }
    }

    /// Sends the process a signal.
    ///
    /// # Errors
    /// When there is no process.
    pub async fn signal(&self, name: &str) -> Result<(), Failed> {
        let id = self
            .child
            .as_ref()
            .and_then(Child::id)
            .ok_or("no redis-server")?;
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id.to_string()])
            .status()
            .await?;
        if sent.success() {
            Ok(())
        } else {
            Err(format!("kill -{name} failed").into())
        }
    }

    /// Sends one command over a connection of its own; the answer without its type, arrays joined by line ends.
    ///
    /// # Errors
    /// When the connection breaks, and for an error of the server.
    pub async fn ask<A: AsRef<[u8]>>(&self, command: &[A]) -> Result<Vec<u8>, Failed> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            let word = word.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        stream.get_mut().write_all(&bytes).await?;
        let mut left = 1_usize;
        let mut answer = Vec::new();
        while left > 0 {
            left -= 1;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
                return Err("the connection ended".into());
            };
            if !answer.is_empty() {
                answer.push(b'\n');
            }
            match kind {
                "-" => return Err(rest.to_owned().into()),
                "*" => left += rest.parse::<usize>().unwrap_or(0),
                "$" => {
                    if let Ok(length) = rest.parse::<usize>() {
                        let mut value = vec![0; length + 2];
                        stream.read_exact(&mut value).await?;
                        value.truncate(length);
                        answer.append(&mut value);
                    }
                }
                _ => answer.extend_from_slice(rest.as_bytes()),
            }
        }
        Ok(answer)
    }

    /// The names of all keys.
    ///
    /// # Errors
    /// As [`Redis::ask`].
    pub async fn keys(&self) -> Result<Vec<String>, Failed> {
        let names = String::from_utf8(self.ask(&["KEYS", "*"]).await?)?;
        Ok(names
            .lines()
            .map(str::to_owned)
            .filter(|name| !name.is_empty())
            .collect())
    }
}
