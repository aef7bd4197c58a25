//! Beginning and end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ossai_orchestrator::{Ended, GroupBy, ServeError, Server, UsageFilter};
use tempfile::TempDir;

use crate::support::{Test, config, question, within_a_second};
use crate::upstream::{Act, Seen, Upstream, chunk};

#[tokio::test]
async fn shutting_down_lets_calls_under_way_end_and_records_them() {
    let mut upstream = Upstream::start().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    upstream.then(Act::Wait(told));
    let test = Test::start(Some(&upstream)).await;
    let call = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(question("openai/gpt-4o-mini").to_string());
    let call = tokio::spawn(call.send());
    upstream.request().await;
    let (address, store) = (test.server.address(), test.server.store().clone());
    let ending = tokio::spawn(test.server.shutdown(std::future::pending()));
    // New connections are refused while the old call goes on.
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .expect("it still accepts");
    assert!(!ending.is_finished());
    tell.send(()).unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(ending.await.unwrap(), Ended::default());
    let rows = store
        .query_usage(&UsageFilter::default(), &[GroupBy::Outcome])
        .unwrap();
    assert_eq!((rows[0].calls, rows[0].groups[0].1.as_str()), (1, "ok"));
}

#[tokio::test]
async fn it_says_not_ready_before_it_refuses_connections() {
    let test = Test::with(None, |config| config.shutdown.notice_seconds = 3600).await;
    assert_eq!(test.get("/readyz").await.status, 200);
    let (ready, live, chat) = (
        test.url("/readyz"),
        test.url("/livez"),
        test.url("/v1/chat/completions"),
    );
    let http = test.http.clone();
    let (now, hurry) = tokio::sync::oneshot::channel::<()>();
    let ending = tokio::spawn(test.server.shutdown(async { drop(hurry.await) }));
    let not_ready = async {
        while http.get(&ready).send().await.unwrap().status() != 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), not_ready)
        .await
        .expect("it still says it is ready");
    assert_eq!(http.get(&live).send().await.unwrap().status(), 200);
    let call = http
        .post(&chat)
        .body(question("local/extract").to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(call.status(), 200);
    drop(call);
    now.send(()).unwrap();
    assert_eq!(ending.await.unwrap(), Ended::default());
}

#[tokio::test]
async fn a_second_signal_cuts_what_is_left_and_still_records_it() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::StreamAndHang(vec![chunk("Hel")]));
    let test = Test::start(Some(&upstream)).await;
    let mut body = question("openai/gpt-4o-mini");
    body["stream"] = true.into();
    let mut response = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    upstream.request().await;
    let store = test.server.store().clone();
    let ended = within_a_second(test.server.shutdown(std::future::ready(()))).await;
    assert_eq!(
        ended,
        Ended {
            cut: true,
            lost_rows: 0
        }
    );
    assert!(
        response.chunk().await.is_err(),
        "the stream ended as if it were whole"
    );
    assert!(matches!(
        within_a_second(upstream.seen.recv()).await,
        Some(Seen::Gone)
    ));
    let rows = store
        .query_usage(&UsageFilter::default(), &[GroupBy::Outcome])
        .unwrap();
    assert_eq!(
        (rows[0].calls, rows[0].groups[0].1.as_str()),
        (1, "cancelled")
    );
}

#[tokio::test]
async fn draining_has_an_end() {
    let mut upstream = Upstream::start().await;
    upstream.then(Act::Hang);
    let test = Test::with(Some(&upstream), |config| config.shutdown.drain_seconds = 0).await;
    let call = test
        .http
        .post(test.url("/v1/chat/completions"))
        .body(question("openai/gpt-4o-mini").to_string());
    let call = tokio::spawn(call.send());
    upstream.request().await;
    let ended = within_a_second(test.server.shutdown(std::future::pending())).await;
    assert!(ended.cut);
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn a_thousand_calls_leave_a_thousand_rows() {
    let test = Test::start(None).await;
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..1000 {
        let mut body = question("local/extract");
        body["user"] = format!("u{i}").into();
        calls.spawn(
            test.http
                .post(test.url("/v1/chat/completions"))
                .body(body.to_string())
                .send(),
        );
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap().status(), 200);
    }
    let rows = test.recorded(&[GroupBy::User]).await;
    assert_eq!(rows.iter().map(|row| row.calls).sum::<u64>(), 1000);
    assert_eq!(rows.len(), 1000);
}

#[tokio::test]
async fn what_it_needs_and_cannot_have_is_said_before_it_serves() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut occupied = config(&folder, None);
    occupied.bind = taken.local_addr().unwrap();
    let Err(ServeError::Failed(error)) = Server::start(occupied).await else {
        panic!()
    };
    assert!(
        error.fields().message.starts_with("bind: cannot listen on"),
        "{error}"
    );

    let mut unusable = config(&folder, None);
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    unusable.data_dir = Some(file);
    let Err(ServeError::Failed(error)) = Server::start(unusable).await else {
        panic!()
    };
    assert!(
        error
            .fields()
            .message
            .starts_with("cannot use the data folder"),
        "{error}"
    );

    let mut public = config(&folder, None);
    public.bind = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    assert!(matches!(
        Server::start(public).await,
        Err(ServeError::Config(_))
    ));
}
