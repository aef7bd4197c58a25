//! A runner's view of the upstream: started as a process or inside this one, spoken to over the control protocol.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::upstream::{Log, Server};

/// A running upstream.
#[derive(Debug)]
pub struct Upstream {
    control: SocketAddr,
    _running: Running,
}

#[derive(Debug)]
enum Running {
    Process(#[allow(dead_code)] Box<Child>),
    Here(#[allow(dead_code)] Server),
}

/// A registered script.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// Where clients find it, without a slash at the end.
    pub base_url: String,
    /// The authority that signed its certificate, in PEM, where it is under TLS.
    pub authority: Option<String>,
}

impl Upstream {
    /// Starts the `scripted-upstream` binary; it ends with this value.
    ///
    /// # Errors
    /// When it does not start or does not say where it is.
    pub async fn spawn(binary: &Path) -> Result<Self, String> {
        let mut child = Command::new(binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", binary.display()))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .await
            .map_err(|e| e.to_string())?;
        let line: Value =
            serde_json::from_str(&line).map_err(|e| format!("first line of the upstream: {e}"))?;
        let control = line
            .get("control")
            .and_then(Value::as_str)
            .and_then(|url| url.strip_prefix("http://"));
        let control = control
            .and_then(|address| address.parse().ok())
            .ok_or("the upstream named no control address")?;
        Ok(Self {
            control,
            _running: Running::Process(Box::new(child)),
        })
    }

    /// Starts the upstream inside this process.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn here() -> Result<Self, String> {
        let server = Server::start().await.map_err(|e| e.to_string())?;
        Ok(Self {
            control: server.control(),
            _running: Running::Here(server),
        })
    }

    /// Registers a script.
    ///
    /// # Errors
    /// What the upstream says is wrong with it.
    pub async fn register(&self, script: &Value) -> Result<Registered, String> {
        let answer = self
            .call("POST", "/scripts", script.to_string().as_bytes())
            .await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("id"), text("base_url")) {
            (Some(id), Some(base_url)) => Ok(Registered {
                id,
                base_url,
                authority: text("authority"),
            }),
            _ => Err("the upstream answered without id and base_url".into()),
        }
    }

    /// What a script saw so far.
    ///
    /// # Errors
    /// When the upstream does not know it.
    pub async fn log(&self, id: &str) -> Result<Log, String> {
        let answer = self.call("GET", &format!("/scripts/{id}/log"), b"").await?;
        serde_json::from_value(answer).map_err(|e| e.to_string())
    }

    /// Waits for the `requests`-th request, at most `timeout_ms` real milliseconds; whether it came.
    ///
    /// # Errors
    /// When the upstream does not know the script.
    pub async fn wait_requests(
        &self,
        id: &str,
        requests: u64,
        timeout_ms: u64,
    ) -> Result<bool, String> {
        let path = format!("/scripts/{id}/wait?requests={requests}&timeout_ms={timeout_ms}");
        let answer = self.call("GET", &path, b"").await?;
        Ok(answer
            .get("reached")
            .and_then(Value::as_bool)
            .unwrap_or(false))
    }

    /// Waits until every response has ended, at most `timeout_ms` real milliseconds, and returns the log.
    ///
    /// # Errors
    /// When the upstream does not know the script.
    pub async fn settled_log(&self, id: &str, timeout_ms: u64) -> Result<Log, String> {
        let path = format!("/scripts/{id}/wait?settled=1&timeout_ms={timeout_ms}");
        let mut answer = self.call("GET", &path, b"").await?;
        serde_json::from_value(answer.get_mut("log").map(Value::take).unwrap_or_default())
            .map_err(|e| e.to_string())
    }

    /// Forgets a script and ends what it still has under way.
    ///
    /// # Errors
    /// When the upstream does not know it.
    pub async fn delete(&self, id: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/scripts/{id}"), b"")
            .await
            .map(|_| ())
    }

    async fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Value, String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.control).await?;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: control\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body].concat()).await?;
            read_answer(&mut stream).await
        };
        let (status, body) = exchange
            .await
            .map_err(|e| format!("control {method} {path}: {e}"))?;
        let answer: Value =
            serde_json::from_slice(&body).map_err(|e| format!("control {method} {path}: {e}"))?;
        match status {
            200 => Ok(answer),
            _ => Err(answer
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or("unknown control error")
                .to_owned()),
        }
    }
}

async fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<u8>)> {
    let malformed = || std::io::Error::other("malformed control answer");
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(malformed());
        }
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head
            .get(9..12)
            .and_then(|s| s.parse().ok())
            .ok_or_else(malformed)?;
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|s| s.lines().next()?.parse::<usize>().ok());
        let length = length.ok_or_else(malformed)?;
        let mut body = answer.split_off(end + 4);
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(malformed());
            }
        }
        return Ok((status, body));
    }
}
