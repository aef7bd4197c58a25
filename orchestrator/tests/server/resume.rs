//! Streams over connections that break.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ossai::{CallOptions, Client, CompletionRequest, Config, ErrorKind, StreamEvent};
use ossai_orchestrator::GroupBy;
use ossai_proto::v1 as pb;
use pb::completion_service_client::CompletionServiceClient;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::sync::watch;
use tonic::Code;

use crate::support::{Test, within_a_second};
use crate::upstream::{Act, Seen, Upstream, chunk, good_stream};

/// A wire to the server that can be cut.
struct Wire {
    address: SocketAddr,
    cuts: watch::Sender<()>,
    /// How many new connections are closed at once instead of being passed on.
    refused: Arc<AtomicUsize>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, watched) = watch::channel(());
        let refused = Arc::<AtomicUsize>::default();
        let refusing = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let less = |left: usize| left.checked_sub(1);
                if refusing
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
                    .is_ok()
                {
                    continue;
                }
                let mut cut = watched.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            cuts,
            refused,
        }
    }

    /// Breaks every connection there is; the next ones are refused so often.
    fn cut(&self, refused: usize) {
        self.refused.store(refused, Ordering::Release);
        self.cuts.send_replace(());
    }

    fn client(&self) -> Client {
        Client::new(Config {
            endpoint: Some(self.address.to_string()),
            ..Config::default()
        })
        .unwrap()
    }
}

fn question() -> CompletionRequest {
    CompletionRequest::new("openai/gpt-4o-mini", "What is the sky?")
}

fn traced() -> CallOptions {
    CallOptions {
        trace: Some(true),
        ..CallOptions::default()
    }
}

/// Reads on until this piece of text has come; gives the texts so far.
async fn read_to(stream: &mut ossai::CompletionStream, piece: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(event) = stream.next().await {
        if let StreamEvent::TextDelta { text, .. } = event.unwrap() {
            texts.push(text.clone());
            if text == piece {
                return texts;
            }
        }
    }
    panic!("the stream ended before {piece:?}");
}

// proves: 2.9.resume
#[tokio::test]
async fn a_stream_whose_connection_breaks_goes_on_without_a_gap_or_a_double() {
    for refused in [0, 2] {
        let mut upstream = Upstream::start().await;
        let (tell, told) = oneshot::channel();
        let pieces = good_stream();
        upstream.then(Act::StreamThen(
            vec![pieces[0].clone()],
            told,
            pieces[1..].to_vec(),
        ));
        let test = Test::start(Some(&upstream)).await;
        let wire = Wire::to(test.server.address()).await;
        let client = wire.client();
        let mut stream = client.stream_with(question(), traced()).await.unwrap();
        let mut texts = read_to(&mut stream, "Hel").await;
        wire.cut(refused);
        tell.send(()).unwrap();
        texts.extend(read_to(&mut stream, "lo.").await);
        let answer = stream.finish().await.unwrap();
        assert_eq!(texts, ["Hel", "lo."]);
        assert_eq!(answer.text, "Hello.");
        let steps = answer.trace.clone().unwrap().steps;
        let resumed =
            |step: &&ossai::TraceStep| step.stage == "resume" && step.outcome == "resumed";
        assert_eq!(steps.iter().filter(resumed).count(), 1);
        upstream.request().await;
        assert!(upstream.seen.try_recv().is_err(), "it was asked for twice");
        let rows = test.recorded(&[GroupBy::Outcome]).await;
        assert_eq!((rows.len(), rows[0].calls), (1, 1));
        assert_eq!(rows[0].groups[0].1, "ok");
    }
}

// proves: 2.9.resume
#[tokio::test]
async fn an_end_that_was_lost_on_the_way_is_sent_again() {
    let upstream = Upstream::start().await;
    let (tell, told) = oneshot::channel();
    let pieces = good_stream();
    upstream.then(Act::StreamThen(
        vec![pieces[0].clone()],
        told,
        pieces[1..].to_vec(),
    ));
    let test = Test::start(Some(&upstream)).await;
    let wire = Wire::to(test.server.address()).await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", wire.address))
        .unwrap()
        .connect_lazy();
    let mut client = CompletionServiceClient::new(channel);
    let request = pb::StreamCompletionRequest {
        request: Some((&question()).into()),
        resumable: true,
        ..pb::StreamCompletionRequest::default()
    };
    let answer = client.stream_completion(request).await.unwrap();
    let token = answer.metadata().get("x-ossai-resume").unwrap();
    let token = token.to_str().unwrap().to_owned();
    let mut stream = answer.into_inner();
    let mut numbers = vec![stream.message().await.unwrap().unwrap().sequence];
    tell.send(()).unwrap();
    while let Ok(Some(message)) = stream.message().await {
        numbers.push(message.sequence);
    }
    // Everything has come; the caller says that only the first event has.
    let resume = |after| pb::StreamCompletionRequest {
        resume: Some(pb::ResumeStream {
            token: token.clone(),
            after,
        }),
        ..pb::StreamCompletionRequest::default()
    };
    let mut rest = client
        .stream_completion(resume(1))
        .await
        .unwrap()
        .into_inner();
    let mut again = vec![1];
    while let Some(message) = rest.message().await.unwrap() {
        again.push(message.sequence);
    }
    assert_eq!(numbers, again);
    let beyond = numbers.len() as u64 + 1;
    for (request, why) in [
        (resume(beyond), "a number that was not given out"),
        (
            pb::StreamCompletionRequest {
                resume: Some(pb::ResumeStream {
                    token: "0".repeat(32),
                    after: 0,
                }),
                ..pb::StreamCompletionRequest::default()
            },
            "a token that was not given out",
        ),
    ] {
        let status = client.stream_completion(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{why}");
    }
}

// proves: 2.9.resume
#[tokio::test]
async fn a_stream_that_cannot_be_resumed_is_interrupted_with_what_came_and_its_call_ends_soon() {
    for (resume_ms, refused) in [(0, 0), (200, usize::MAX)] {
        let mut upstream = Upstream::start().await;
        upstream.then(Act::StreamAndHang(vec![chunk("Hel")]));
        let test = Test::with(Some(&upstream), |config| {
            config.limits.resume_ms = resume_ms
        })
        .await;
        let wire = Wire::to(test.server.address()).await;
        let client = wire.client();
        let mut stream = client.stream(question()).await.unwrap();
        read_to(&mut stream, "Hel").await;
        upstream.request().await;
        wire.cut(refused);
        let error = stream.finish().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
        assert_eq!(error.fields().partial.as_ref().unwrap().text, "Hel");
        let gone = within_a_second(upstream.seen.recv()).await;
        assert!(matches!(gone, Some(Seen::Gone)), "{gone:?}");
    }
}

#[tokio::test]
async fn cancelling_a_stream_that_could_be_resumed_ends_it_at_once() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::StreamAndHang(vec![chunk("Hel")]));
    let test = Test::with(Some(&upstream), |config| config.limits.resume_ms = 60_000).await;
    let wire = Wire::to(test.server.address()).await;
    let client = wire.client();
    let mut stream = client.stream(question()).await.unwrap();
    read_to(&mut stream, "Hel").await;
    upstream.request().await;
    drop(stream);
    let gone = tokio::time::timeout(Duration::from_secs(1), upstream.seen.recv()).await;
    assert!(matches!(gone, Ok(Some(Seen::Gone))), "{gone:?}");
}
