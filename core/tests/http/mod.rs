//! As much of HTTP/1.1 as the vendors in these tests need.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Reads the next request of a connection: its head in lower case, and its body. `None` when the connection is over.
pub(crate) async fn request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
    let length = header(&head, "content-length").map_or(0, |n| n.parse().unwrap());
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some((head, body))
}

/// A field of a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(": ")?.1.to_owned())
}
