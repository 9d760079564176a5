//! The log as machines read it: each line says which session, step and batch it is about.

use serde_json::Value;

use crate::support::{dev::Dev, process::until};

/// The fields of all spans that a line is in.
fn places(line: &Value) -> Vec<(String, String)> {
    let spans = line["spans"].as_array().into_iter().flatten();
    let fields = spans.flat_map(|span| span.as_object().into_iter().flatten());
    fields.map(|(name, value)| (name.clone(), value.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_json_and_names_its_session_step_and_batch() {
    let mut dev = Dev::start(&["--nodes=4"], &["--log-format=json", "--log=info,bosun=debug"]).await;
    dev.session("first", "reboot", &[]).await.expect(0);
    let id = dev.show("first").await["id"].to_string();
    // The worker's last lines come a moment after the end.
    let lines = until("the worker's lines", || async {
        let lines: Vec<Value> = dev
            .log()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let of_a_batch = |line: &Value| places(line).iter().any(|(name, _)| name == "batch");
        lines.iter().any(of_a_batch).then_some(lines)
    })
    .await;
    for line in &lines {
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
    }
    let calls: Vec<_> =
        lines.iter().map(places).filter(|places| places.iter().any(|(name, _)| name == "batch")).collect();
    for call in &calls {
        let of = |wanted: &str| call.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(of("session"), Some(format!("\"{id}\"").as_str()), "{call:?}");
        assert!(of("step").is_some_and(|step| step.starts_with("\"compute/")), "{call:?}");
    }
    let powers = |step: &str| {
        calls.iter().any(|call| call.iter().any(|(name, value)| name == "step" && value.contains(step)))
    };
    assert!(powers("compute/power_off") && powers("compute/power_on"), "{calls:?}");
    dev.stop().await;
}
