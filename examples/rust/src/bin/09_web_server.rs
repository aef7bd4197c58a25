//! A web server that streams answers to browsers as server-sent events. A reader who leaves ends the call upstream, for the
//! stream of the answer is dropped then; a slow one holds it back.
//!
//! ```sh
//! cargo run --bin 09_web_server -- --listen 127.0.0.1:8080
//! curl -N 'http://127.0.0.1:8080/?q=What+bounds+a+cache%3F'
//! ```
//!
//! Without `--listen` it asks itself once and ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt};
use ossai::{Client, CompletionRequest, StreamEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An event of the answer as the browser gets it; most are none of its business.
fn told(event: ossai::Result<StreamEvent>) -> Option<Result<Event, Infallible>> {
    let (kind, data) = match event {
        Ok(StreamEvent::TextDelta { text, .. }) => ("text", serde_json::json!(text)),
        Ok(StreamEvent::End { completion }) => (
            "done",
            serde_json::json!({"output_tokens": completion.usage.output_tokens}),
        ),
        Ok(_) => return None,
        Err(error) => ("error", serde_json::json!(error.kind().name())),
    };
    Some(Ok(Event::default().event(kind).data(data.to_string())))
}

async fn answer(
    State(client): State<Client>,
    Query(query): Query<HashMap<String, String>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let model = std::env::var("OSSAI_MODEL").unwrap_or_else(|_| "local/extract".into());
    let question = query.get("q").map_or("", String::as_str);
    let request = CompletionRequest::new(
        model,
        format!(
            "Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\n{question}"
        ),
    );
    let events = match client.stream(request).await {
        Ok(stream) => stream.left_stream(),
        Err(error) => futures_util::stream::iter([Err(error)]).right_stream(),
    };
    Sse::new(events.filter_map(|event| std::future::ready(told(event))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => None,
        [flag, address] if flag == "--listen" => Some(address.clone()),
        _ => return Err("expected --listen ADDRESS or nothing".into()),
    };
    let client = Client::from_env()?;
    let listener = TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let address = listener.local_addr()?;
    println!("listening http://{address}");

    let app = Router::new()
        .route("/", get(answer))
        .with_state(client.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serving.into_future());
    if listen.is_none() {
        let mut connection = TcpStream::connect(address).await?;
        connection
            .write_all(b"GET /?q=What+bounds+a+cache%3F HTTP/1.0\r\n\r\n")
            .await?;
        let mut said = String::new();
        connection.read_to_string(&mut said).await?;
        println!("{said}");
    } else {
        tokio::signal::ctrl_c().await?;
    }
    // First no more requests, then no more calls.
    let _ = stop.send(());
    serving.await??;
    client.close(Duration::from_secs(10)).await;
    Ok(())
}
