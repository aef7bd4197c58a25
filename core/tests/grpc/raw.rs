//! A server of raw HTTP/2 frames (RFC 9113), for answers no library gives.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const SETTINGS: u8 = 4;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Answers with these headers (`:status 200` first), ended.
pub(crate) fn answer(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x88];
    for (name, value) in headers {
        // A literal without indexing, without Huffman coding (RFC 7541 6.2.2).
        block.extend([0, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    frame(HEADERS, 0x5, 1, &block)
}

/// Serves one connection: once the first request's headers are in, writes `bytes`; then closes, or keeps it open.
pub(crate) async fn serve(bytes: Vec<u8>, close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        socket.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        while read_frame(&mut socket).await != HEADERS {}
        socket.write_all(&bytes).await.unwrap();
        if !close {
            while socket.read(&mut preface).await.is_ok_and(|n| n > 0) {}
        }
    });
    address
}

async fn read_frame(socket: &mut TcpStream) -> u8 {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    socket.read_exact(&mut vec![0; length]).await.unwrap();
    head[3]
}
