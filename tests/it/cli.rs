//! The command line: what it says of itself, what it prints, how it ends.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{app::fast, server::Server};

const COMMANDS: [&str; 54] = [
    "",
    "demo",
    "dev",
    "serve",
    "worker",
    "migrate",
    "doctor",
    "completions",
    "man",
    "simulate",
    "plan",
    "session",
    "session create",
    "session list",
    "session show",
    "session watch",
    "session wait",
    "session steps",
    "session events",
    "session results",
    "session skips",
    "session effects",
    "session retry",
    "session skip",
    "session cancel",
    "session pause",
    "session resume",
    "template",
    "template apply",
    "template list",
    "template show",
    "template validate",
    "template versions",
    "template delete",
    "component list",
    "component show",
    "component claims",
    "component history",
    "component quarantine",
    "component release",
    "component quarantined",
    "freeze",
    "freeze set",
    "freeze show",
    "freeze lift",
    "import",
    "import bos",
    "session stuck",
    "sql",
    "option",
    "option show",
    "option set",
    "step restart",
    "step skip",
];

fn bosun(arguments: &[&str]) -> Output {
    let environment =
        std::env::vars().filter(|(name, _)| !name.starts_with("BOSUN_") && name != "DATABASE_URL");
    Command::new(env!("CARGO_BIN_EXE_bosun")).args(arguments).env_clear().envs(environment).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_command_says_what_it_does() {
    let help = |command: &&str| {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("-h");
        let output = bosun(&arguments);
        assert!(output.status.success(), "{command}");
        format!("# bosun {command}\n{}\n", text(&output.stdout))
    };
    insta::assert_snapshot!("help", COMMANDS.iter().map(help).collect::<String>());
}

#[test]
fn mistakes_are_one_line_with_the_right_exit_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["session", "list", "--url", "http://127.0.0.1:1"], 1, "no bosun answers at http://127.0.0.1:1"),
        (&["session", "list", "--url", "nonsense"], 2, "is not a server's URL"),
        (&["migrate", "--database-url", "postgres://127.0.0.1:1/x"], 1, "check the database URL"),
        (&["dev", "--listen", &taken], 1, "choose another address"),
        (&["template", "apply", "-f", "/nowhere"], 1, "cannot read /nowhere"),
        (&["--log", "a=b=c", "session", "list"], 2, "--log"),
    ];
    for (arguments, code, words) in cases {
        let output = bosun(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(bosun(&["session", "create"]).status.code(), Some(2));
    let nowhere = Command::new(env!("CARGO_BIN_EXE_bosun"))
        .args(["dev", "--listen", "127.0.0.1:0", "--data", "/tmp/bosun-it-nowhere"])
        .env("BOSUN_PG_BIN", "/nowhere")
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("install the package 'postgresql'"), "{}", text(&nowhere.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_the_command_line_ends_with_its_retry_command() {
    let mut settings = fast(6);
    settings.fail_configuration = bosun::sim::Pick::Count(1);
    let server = Server::new(settings).await;
    let line = "session create --template-name demo --operation reboot --name s --wait --timeout 60s";
    let output = server.run(&line.split(' ').collect::<Vec<_>>()).await;
    let (said, printed) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(3), "{said}{printed}");
    let last = printed.lines().last().unwrap();
    assert!(
        last.starts_with("bosun session create --template demo --operation reboot --limit x"),
        "{printed}"
    );
    assert!(printed.contains("6 targeted, 5 succeeded, 1 failed"), "{printed}");
    let shown = server.run(&["session", "show", "s", "-o", "json"]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["outcome"], &shown["failed"]), (&"partial".into(), &1.into()));
    assert_eq!(shown["retry_command"], last);
    assert_eq!(server.run(&["session", "wait", "s"]).await.status.code(), Some(3));
    let again = server.run(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(again.status.code(), Some(5), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("exists already"));
    for command in ["session list", "session steps s", "session events s", "template list", "component list"]
    {
        let output = server.run(&command.split(' ').collect::<Vec<_>>()).await;
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        assert!(text(&output.stdout).lines().count() > 1, "{command}");
    }
    let xname = shown["errors"][0]["components"].as_str().unwrap().to_owned();
    let history = server.run(&["component", "history", &xname, "-o", "json"]).await;
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    assert!(history.as_array().unwrap().iter().any(|line| line["outcome"] == "failed"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_ends_with_five() {
    let server = Server::new(fast(4)).await;
    let create = async |limit: &str| {
        let line = ["session", "create", "--template", "demo", "--operation", "reboot", "--limit", limit];
        let output = server.run(&line).await;
        (output.status.code(), text(&output.stderr))
    };
    for limit in ["a,,b", "nosuchgroup", "nid000001"] {
        let (code, said) = create(limit).await;
        assert_eq!(code, Some(5), "{limit}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
    let plan = server.run(&["plan", "--template", "demo", "--operation", "reboot"]).await;
    assert!(text(&plan.stdout).starts_with("reboot demo: 4 components, of which 4 would be power-cycled"));
    assert!(
        server
            .run(&["plan", "--template", "demo", "--operation", "reboot", "-o", "dot"])
            .await
            .stdout
            .starts_with(b"digraph")
    );
}

/// Every list there is, in every form; what differs from run to run is left out of the snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn lists_have_the_same_forms() {
    let server = Server::new(fast(4)).await;
    let run = async |line: &str| {
        let output = server.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run("freeze set --reason pump --components x1000c0s0b0n0 --except-actor ann").await;
    run("freeze set --reason all").await;
    run("component quarantine x1000c0s0b0n1 --reason board").await;
    for (line, headings, wide, names) in [
        ("freeze show", "ID  COMPONENTS     EXCEPT  ACTOR", "EXCEPT ACTORS", "2\n1\n"),
        ("component quarantined", "COMPONENT      SINCE", "BY ITSELF", "x1000c0s0b0n1\n"),
        ("session stuck", "SESSION  STATE", "OPERATION", ""),
        (
            "option show",
            "OPTION            VALUE\nconfirm_over      0",
            "OPTION",
            "confirm_over\nhistory_ttl\nquarantine_after\n",
        ),
    ] {
        let shown = run(line).await;
        assert!(shown.starts_with(headings), "{line}: {shown}");
        let rows: String = shown.lines().skip(1).map(|row| format!("{row}\n")).collect();
        assert_eq!(run(&format!("{line} --no-headers")).await, rows, "{line}");
        assert!(run(&format!("{line} -o wide")).await.lines().next().unwrap().contains(wide), "{line}");
        assert_eq!(run(&format!("{line} -o name")).await, names, "{line}");
        assert!(serde_json::from_str::<Value>(&run(&format!("{line} -o json")).await).is_ok(), "{line}");
    }
    let shown = run("freeze show -o wide --no-headers").await;
    assert!(shown.contains("everything") && shown.contains("ann"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_next_command() {
    let server = Server::new(fast(2)).await;
    for (line, next) in [
        ("session show nobody", "'bosun session list' shows what there is"),
        ("session pause nobody", "'bosun session list' shows what there is"),
        ("step skip nobody power_off", "'bosun session list' shows what there is"),
        ("template show nobody", "'bosun template list' shows what there is"),
        ("component history nobody", "'bosun component list' shows what there is"),
        ("freeze lift 7", "see 'bosun freeze show'"),
    ] {
        let output = server.run(&line.split(' ').collect::<Vec<_>>()).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.trim_end().ends_with(next) && said.lines().count() == 1, "{line}: {said}");
    }
}
