//! Streams of events: everything once and in order, whatever breaks.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{app::fast, server::Server};

const EVENTS: &str = "/bosun/v1/sessions/s/events";
const LONG: Duration = Duration::from_secs(60);

/// A stream, and what of it has been read.
struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    async fn open(server: &Server, after: Option<i64>) -> Self {
        Self::open_with(&reqwest::Client::new(), server, after).await
    }

    async fn open_with(http: &reqwest::Client, server: &Server, after: Option<i64>) -> Self {
        let mut request = http.get(format!("{}{EVENTS}", server.url));
        request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let Some(data) = field("data:") else { continue };
                let event: Value = serde_json::from_str(data).unwrap();
                assert_eq!(field("id:").unwrap().parse::<i64>().unwrap(), event["seq"].as_i64().unwrap());
                return Some(event);
            }
            let chunk = tokio::time::timeout(LONG, self.answer.chunk()).await.expect("something comes");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn all(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn numbers(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

async fn begin(server: &Server) {
    let body = json!({"name": "s", "template": "demo", "operation": "reboot"});
    let (status, answer) = server.ask(Method::POST, "/bosun/v1/sessions", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

/// A session that nobody drives, so that nothing but the test writes its events.
async fn still(server: &Server) -> i64 {
    sqlx::query_scalar(
        "with s as (insert into session (name, operation, template_name, api, state)
                    values ('s', 'boot', 'demo', 'bosun', 'paused') returning session_id),
              e as (insert into event (session_id, seq, at, epoch, kind) select session_id, 1, now(), 0, 'admitted' from s)
         select session_id from s",
    )
    .fetch_one(&server.database.pool)
    .await
    .unwrap()
}

async fn tell(server: &Server, session: i64, seq: i64) {
    sqlx::query("insert into event (session_id, seq, at, epoch, kind) values ($1, $2, now(), 0, 'note')")
        .bind(session)
        .bind(seq)
        .execute(&server.database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_and_in_order_until_the_session_ends() {
    let server = Server::new(fast(8)).await;
    begin(&server).await;
    let told = Stream::open(&server, None).await.all().await;
    assert_eq!(numbers(&told), (1..=i64::try_from(told.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(told.last().unwrap()["kind"], "ended");
    let page = server.ok(Method::GET, EVENTS, None).await;
    assert_eq!(page, json!(told));
    // Whoever lost the connection goes on where it was; whoever has all is told to stop.
    let last = i64::try_from(told.len()).unwrap();
    let rest = Stream::open(&server, Some(last - 2)).await.all().await;
    assert_eq!(numbers(&rest), [last - 1, last]);
    let http = reqwest::Client::new();
    let ask = |id: &str| {
        let request = http.get(format!("{}{EVENTS}", server.url)).header("accept", "text/event-stream");
        request.header("last-event-id", id.to_owned()).send()
    };
    assert_eq!(ask(&last.to_string()).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(ask("x").await.unwrap().status(), StatusCode::BAD_REQUEST);
    let output = server.run(&["session", "events", "s", "--follow", "-o", "json"]).await;
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_woken_and_outlives_its_connections() {
    let server = Server::new(fast(2)).await;
    let session = still(&server).await;
    let mut stream = Stream::open(&server, None).await;
    assert_eq!(stream.next().await.unwrap()["seq"], 1);
    // The first hint may come before anybody listens; the second finds the listener at work.
    tell(&server, session, 2).await;
    assert_eq!(stream.next().await.unwrap()["seq"], 2);
    let begun = Instant::now();
    tell(&server, session, 3).await;
    assert_eq!(stream.next().await.unwrap()["seq"], 3);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "by polling alone it takes ten seconds: {:?}",
        begun.elapsed()
    );
    // Every connection to the database is cut, the listener's too; what happens meanwhile is not lost.
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    let mut conn = bosun::db::acquire(&server.database.pool).await.unwrap();
    sqlx::query(cut).execute(&mut *conn).await.unwrap();
    for seq in 4..=20_i64 {
        sqlx::query("insert into event (session_id, seq, at, epoch, kind) values ($1, $2, now(), 0, 'note')")
            .bind(session)
            .bind(seq)
            .execute(&mut *conn)
            .await
            .unwrap();
    }
    for seq in 4..=20 {
        assert_eq!(stream.next().await.unwrap()["seq"], seq);
    }
    let end =
        "update session set state = 'ended', outcome = 'cancelled', ended_at = now() where session_id = $1";
    sqlx::query(end).bind(session).execute(&mut *conn).await.unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_streams_and_no_more() {
    let server = Server::new(fast(2)).await;
    still(&server).await;
    let http = reqwest::Client::new();
    let streams = join_all((0..256).map(|_| Stream::open_with(&http, &server, None))).await;
    let ask = || {
        let request = http.get(format!("{}{EVENTS}", server.url));
        async { request.header("accept", "text/event-stream").send().await.unwrap() }
    };
    let refused = ask().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem: Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("256 streams"), "{problem}");
    // Pages are still to be had, and a place comes free with its stream.
    assert_eq!(numbers(server.ok(Method::GET, EVENTS, None).await.as_array().unwrap()), [1]);
    drop(streams);
    let begun = Instant::now();
    while ask().await.status() != StatusCode::OK {
        assert!(begun.elapsed() < LONG, "no place comes free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
