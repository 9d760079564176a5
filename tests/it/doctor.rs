//! `bosun doctor` against a real database and a simulated machine; and what the program tells of itself.

use serde_json::Value;

use crate::support::{
    app::fast,
    process::{Done, Scratch, command, run},
    server::Server,
};

async fn doctor(server: &Server, more: &[&str]) -> Done {
    doctor_with(server, more, |_| {}).await
}

async fn doctor_with(
    server: &Server,
    more: &[&str],
    adjust: impl FnOnce(&mut tokio::process::Command),
) -> Done {
    let url = server.machine.url();
    let mut line: Vec<String> = vec!["doctor".to_owned(), format!("--database-url={}", server.database.url)];
    for service in ["hsm", "pcs", "bss", "cfs", "ims", "tapms"] {
        line.push(format!("--{service}-url={url}"));
    }
    line.push(format!("--s3-endpoint={url}/s3"));
    line.extend(more.iter().map(|word| (*word).to_owned()));
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut command = command(&line);
    adjust(&mut command);
    run(&mut command).await
}

fn found<'a>(findings: &'a Value, check: &str) -> &'a Value {
    let all = findings.as_array().unwrap();
    all.iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("no {check} in {findings:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_house_has_warnings_at_most() {
    let server = Server::new(fast(2)).await;
    let findings = doctor(&server, &["-o", "json"]).await.expect(0).json();
    for check in
        ["database", "schema", "service hsm", "service pcs", "service bss", "service cfs", "service ims"]
    {
        assert_eq!(found(&findings, check)["result"], "ok", "{findings:#}");
    }
    // A Postgres of one server has no standby: that is worth a word.
    let durability = found(&findings, "durability");
    assert_ne!(durability["result"], "ok", "{findings:#}");
    assert!(durability["mend"].as_str().unwrap().contains("synchronous"), "{findings:#}");
    let text = doctor(&server, &[]).await.expect(0).out;
    assert!(text.starts_with("RESULT ") && text.contains("\nto be done:\ndurability: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_with_its_cure() {
    let server = Server::new(fast(2)).await;
    let broken = ["--pcs-url=http://127.0.0.1:1", "-o", "json"];
    let url = server.machine.url();
    let line: Vec<String> = ["hsm", "bss", "cfs", "ims", "tapms"]
        .iter()
        .map(|service| format!("--{service}-url={url}"))
        .chain([format!("--s3-endpoint={url}/s3"), "doctor".to_owned()])
        .collect();
    let mut words: Vec<&str> = vec!["doctor"];
    words.extend(line.iter().filter(|word| *word != "doctor").map(String::as_str));
    words.extend(broken);
    let empty = crate::support::postgres::database().await;
    sqlx::query("drop table _sqlx_migrations").execute(&empty.pool).await.unwrap();
    let with = |database: &str| {
        let mut line = words.clone();
        let database = format!("--database-url={database}");
        line.push(&database);
        command(&line)
    };
    let findings = run(&mut with(&empty.url)).await.expect(1).json();
    let pcs = found(&findings, "service pcs");
    assert_eq!(pcs["result"], "error");
    assert!(pcs["mend"].as_str().unwrap().contains("BOSUN_PCS_URL"), "{findings:#}");
    assert_eq!(found(&findings, "service hsm")["result"], "ok");
    assert_eq!(found(&findings, "schema")["mend"], "run 'bosun migrate'");
    let findings = run(&mut with("postgres://127.0.0.1:1/none")).await.expect(1).json();
    assert_eq!(found(&findings, "database")["result"], "error", "{findings:#}");
    assert_eq!(found(&findings, "service pcs")["result"], "error", "one trouble hides no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_launches_and_who_serves_is_looked_at() {
    let server = Server::new(fast(2)).await;
    let findings = doctor(&server, &["-o", "json", "--url", &server.url]).await.expect(0).json();
    let serves = found(&findings, "bosun that serves");
    assert!(
        serves["result"] == "ok" && serves["found"].as_str().unwrap().starts_with("version "),
        "{findings:#}"
    );
    for service in ["hsm", "pcs", "bss", "cfs", "ims", "tapms"] {
        let told = found(&findings, &format!("service {service}"))["found"].as_str().unwrap();
        assert!(told.contains("answers in") && told.contains(&server.machine.url()), "{told}");
    }
    // A cluster that does not answer, and a template that is none.
    let scratch = Scratch::new();
    let config = scratch.write(
        "kubeconfig",
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],\n\
         clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}],\n\
         contexts: [{name: c, context: {cluster: k, user: u, namespace: bosun}}]}\n",
    );
    let template = scratch.write("job.yaml", "kind: Pod\n");
    let words = ["--launcher=kubernetes", "--worker-template", template.to_str().unwrap(), "-o", "json"];
    let findings = doctor_with(&server, &words, |command| {
        command.env("KUBECONFIG", &config);
    });
    let findings = findings.await.expect(1).json();
    for check in ["kubernetes", "workers' Job"] {
        let finding = found(&findings, check);
        assert!(finding["result"] == "error" && finding["mend"].is_string(), "{findings:#}");
    }
    assert_eq!(found(&findings, "service hsm")["result"], "ok", "one trouble hides no other");
}

#[tokio::test]
async fn completions_and_manuals_are_written() {
    for (shell, words) in
        [("bash", "complete -F _bosun"), ("zsh", "#compdef bosun"), ("fish", "complete -c bosun")]
    {
        let done = run(&mut command(&["completions", shell])).await.expect(0);
        assert!(done.out.contains(words) && done.out.contains("session"), "{shell}");
    }
    let scratch = Scratch::new();
    let dir = scratch.path().join("man");
    run(&mut command(&["man", dir.to_str().unwrap()])).await.expect(0);
    let page = std::fs::read_to_string(dir.join("bosun-session-create.1")).unwrap();
    assert!(page.contains(".TH bosun-session-create 1") && page.contains("on\\-conflict"), "{page}");
    assert!(dir.join("bosun.1").exists() && dir.join("bosun-doctor.1").exists());
    assert!(!dir.join("bosun-help.1").exists());
    let nowhere = run(&mut command(&["man", "/proc/none"])).await.expect(1);
    assert!(nowhere.complaint().contains("/proc/none"), "{nowhere:?}");
}
