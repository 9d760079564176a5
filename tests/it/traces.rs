//! One trace per session, at a collector that stands in: whoever worked on it, and whoever died.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use bosun::sim;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{
    app::fast,
    process::{kill, until, workers},
    server::Server,
};

/// What arrived: spans with the process that sent them; and `traceparent` of requests to the service that it stands in for.
#[derive(Default)]
struct Heard {
    spans: Mutex<Vec<(String, Span)>>,
    parents: Mutex<Vec<String>>,
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

async fn traces(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-key"], "secret");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let process = text(&resource.resource.unwrap().attributes, "process.pid");
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        heard.spans.lock().unwrap().extend(spans.map(|span| (process.clone(), span)));
    }
    StatusCode::OK
}

/// An IMS that manages no image, and remembers who called it.
async fn ims(State(heard): State<Arc<Heard>>, headers: HeaderMap) -> StatusCode {
    if let Some(parent) = headers.get("traceparent") {
        heard.parents.lock().unwrap().push(parent.to_str().unwrap().to_owned());
    }
    StatusCode::NOT_FOUND
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_one_trace_though_its_worker_is_killed() {
    let heard = Arc::new(Heard::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(traces)).fallback(ims).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let settings = sim::Settings { boot: Duration::from_secs(2), ..fast(8) };
    let server = Server::with(settings, |settings| {
        settings.services.ims_url = Some(collector.clone());
        settings.worker_environment.extend([
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.clone()),
            ("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), "x-key=secret".to_owned()),
        ]);
    })
    .await;
    server.ok(Method::PUT, "/v2/sessiontemplates/demo", Some(server.template())).await;
    let request = json!({"name": "first", "operation": "reboot", "template": "demo"});
    server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
    let session = async || server.ok(Method::GET, "/bosun/v1/sessions/first", None).await;
    let id = session().await["id"].to_string();
    let told = |name: &str| {
        let spans = heard.spans.lock().unwrap();
        spans.iter().any(|(_, span)| span.name == name)
    };
    // It has told of a call before it dies.
    until("a call of the first worker", || async { told("pcs POST").then_some(()) }).await;
    for worker in workers(&server.database.url, &id) {
        kill(worker);
    }
    until("the session's end", || async { (session().await["state"] == "ended").then_some(()) }).await;
    until("the whole session", || async { told("session reboot").then_some(()) }).await;

    let spans = heard.spans.lock().unwrap().clone();
    let traces: BTreeSet<_> = spans.iter().map(|(_, span)| span.trace_id.clone()).collect();
    assert_eq!(traces.len(), 1, "one trace");
    let workers: BTreeSet<_> = spans.iter().map(|(process, _)| process.clone()).collect();
    assert_eq!(workers.len(), 2, "of two workers");
    let by_id: BTreeMap<_, _> = spans.iter().map(|(_, span)| (span.span_id.clone(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "nothing is told twice");
    let roots: Vec<_> = by_id.values().filter(|span| span.parent_span_id.is_empty()).collect();
    assert!(matches!(roots.as_slice(), [root] if root.name == "session reboot"), "{roots:#?}");
    for span in by_id.values().filter(|span| !span.parent_span_id.is_empty()) {
        assert!(by_id.contains_key(&span.parent_span_id), "{} hangs in the air", span.name);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
    }
    let parent = |span: &Span| by_id[&span.parent_span_id].name.clone();
    let named = |name: &str| by_id.values().find(|span| span.name == name).copied().unwrap();
    assert_eq!(parent(named("admission")), "session reboot");
    assert_eq!(parent(named("compute/power_off")), "session reboot");
    let power_on = *by_id.values().find(|span| span.name.starts_with("power_on ")).unwrap();
    assert_eq!(parent(power_on), "compute/power_on");
    assert_eq!(text(&power_on.attributes, "bosun.components"), "8");
    let below =
        |above: &str| by_id.values().any(|span| span.name.starts_with("pcs ") && parent(span) == above);
    assert!(below(&power_on.name) && below("compute/power_on"), "{by_id:#?}");
    // The service was told which call of ours it answers.
    let parents = heard.parents.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let call = named("ims PATCH");
    assert!(
        parents.contains(&format!("00-{}-{}-01", hex(&call.trace_id), hex(&call.span_id))),
        "{parents:?}"
    );
}
