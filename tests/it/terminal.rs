//! What people see in a real terminal, which `script` lends us, and what a pipe gets instead.

use std::{process::Stdio, time::Duration};

use bosun::sim;
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::support::{
    app::fast,
    process::{Done, command, run},
    server::Server,
};

/// Runs bosun in a pseudo-terminal of 120 columns; both of its streams come out of it as one.
async fn in_terminal(line: &str, environment: &[(&str, &str)]) -> Done {
    let line = format!("stty cols 120 rows 40; exec {} {line}", env!("CARGO_BIN_EXE_bosun"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).kill_on_drop(true);
    script.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(environment.iter().copied());
    run(&mut script).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_watched_with_bars_on_a_terminal_and_in_lines_elsewhere() {
    let settings = sim::Settings { boot: Duration::from_secs(2), ..fast(8) };
    let server = Server::new(settings).await;
    for name in ["seen", "piped"] {
        let request = json!({"name": name, "operation": "reboot", "template": "demo"});
        server.ok(Method::POST, "/bosun/v1/sessions", Some(request)).await;
        if name == "seen" {
            let line = format!("session watch seen --url {}", server.url);
            let done = in_terminal(&line, &[]).await.expect(0);
            assert!(done.out.contains('█') && done.out.contains("\u{1b}["), "bars that move: {:?}", done.out);
            assert!(done.out.contains("compute/await_boot") && done.out.contains("8/8"), "{:?}", done.out);
            assert!(done.out.contains("session seen (reboot"), "how it ended comes below: {:?}", done.out);
        } else {
            let mut watch = command(&["session", "watch", name, "--url", &server.url]);
            let done = run(&mut watch).await.expect(0);
            assert!(done.err.contains("piped: compute/await_boot: running\n"), "{:?}", done.err);
            assert!(!done.err.contains('\u{1b}') && !done.out.contains('\u{1b}'), "{done:?}");
        }
    }
    // Lists: headings may go, names alone feed the next command.
    let list = async |more: &[&str]| {
        let line = [&["session", "list", "--url", &server.url], more].concat();
        run(&mut command(&line)).await.expect(0).out
    };
    assert_eq!(list(&["-o", "name"]).await, "piped\nseen\n");
    let (narrow, wide) = (list(&[]).await, list(&["-o", "wide"]).await);
    assert!(narrow.starts_with("NAME ") && !narrow.contains("ACTOR"), "{narrow}");
    assert!(wide.starts_with("NAME ") && wide.lines().next().unwrap().contains("ACTOR"), "{wide}");
    let bare = list(&["--no-headers"]).await;
    assert!(bare.starts_with("piped ") && bare.lines().count() == 2, "{bare}");
    let steps = run(&mut command(&["session", "steps", "seen", "-o", "name", "--url", &server.url])).await;
    assert!(steps.out.contains("compute/power_on\n"), "{steps:?}");
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_who_wants_them() {
    let coloured = in_terminal("--help", &[]).await.expect(0);
    assert!(coloured.out.contains("\u{1b}["), "{:?}", coloured.out);
    let plain = in_terminal("--help", &[("NO_COLOR", "1")]).await.expect(0);
    assert!(!plain.out.contains('\u{1b}'), "{:?}", plain.out);
    let piped = run(&mut command(&["--help"])).await.expect(0);
    assert!(!piped.out.contains('\u{1b}'), "{:?}", piped.out);
}
