//! Story 8: limits and skips.

use serde_json::{Value, json};

use crate::support::{
    dev::{Dev, count, ended},
    process::until,
};

const LIMIT: &str = "group1,&Compute,!x1000c0s0b0n0";

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_skips() {
    let machine = [
        "--nodes=100",
        "--node-group=group1=100",
        "--disabled=x1000c0s1b0n0,x1000c0s1b0n1,x1000c0s1b1n0",
        "--empty=x1000c0s2b0n0",
        "--locked=x1000c0s3b0n0,x1000c0s3b0n1",
    ];
    let dev = Dev::start(&machine, &[]).await;

    let line = ["plan", "--template", "demo", "--operation", "reboot", "--limit", LIMIT];
    let shown = dev.bosun(&line).await.expect(0).out;
    for said in
        ["93 components", "disabled (3)", "empty (1)", "locked (2): x1000c0s3b0n[0-1]", "compute (93)"]
    {
        assert!(shown.contains(said), "{said} is not in: {shown}");
    }
    let json: Vec<&str> = line.iter().copied().chain(["-o", "json"]).collect();
    let plan = dev.bosun(&json).await.expect(0).json();
    assert_eq!(count(&plan, "targeted"), 93);

    let done = dev.session("night", "reboot", &["--limit", LIMIT, "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (93, 0, 6));
    assert_eq!(done["plan_hash"], plan["plan_hash"], "what was shown is what was done");
    assert_eq!(dev.machine.ordered_on(&["x1000c0s0b0n0", "x1000c0s3b0n0", "x1000c0s4b0n0"]).await, [0, 0, 1]);
    let skips: Vec<(String, i64)> = sqlx::query_as(
        "select reason, count(*) from component_history where session = 'night' and step = 'admission' and xname = any ($1)
         group by 1 order by 1",
    )
    .bind(dev.machine.nodes().await.iter().map(|node| node["xname"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    .fetch_all(&dev.pool)
    .await
    .unwrap();
    let expected =
        [("disabled", 3), ("empty", 1), ("locked", 2)].map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(skips, expected);

    // Each mistake has its own words, and leaves nothing.
    for (limit, column, complaint) in [
        ("!x1000c0s0b0n0", 1, "write 'all,!x1000c0s0b0n0'"),
        ("nosuchgroup", 1, "'nosuchgroup' is no HSM group, partition or role"),
        ("a,,b", 3, "an item is empty"),
        ("x1000c0s0b0n0,nid000001", 15, "no node has the NID 1"),
    ] {
        let done = dev.session("wrong", "reboot", &["--limit", limit]).await.expect(5);
        let said = done.complaint();
        assert!(said.contains(&format!("limit, column {column}:")) && said.contains(complaint), "{said}");
    }
    let done = dev.session("wrong", "reboot", &["--limit", "x1009c0s0b0n0"]).await.expect(5);
    assert!(done.complaint().contains("no component is selected"), "{done:?}");
    dev.bosun(&["session", "show", "wrong"]).await.expect(1);

    // BOS's contract: what selects nobody is found out later, and `*` is a limit.
    dev.options(&json!({"session_limit_required": true})).await;
    let v2 = crate::support::machine::client(dev.url(), &["v2"]);
    let body = |limit: &str, name: &str| json!({"template_name": "demo", "operation": "shutdown", "limit": limit, "name": name});
    let refused = v2.post::<Value>(&["sessions"], &body("", "v2-none")).await.unwrap_err();
    assert!(refused.to_string().contains("limit"), "{refused}");
    let session: Value = v2.post(&["sessions"], &body("!x1000c0s0b0n0", "v2-not")).await.unwrap();
    assert_eq!(session["status"]["status"], "pending");
    until("the session that selects nobody is over", || async {
        let session: Value = v2.get(&["sessions", "v2-not"], &[]).await.unwrap();
        (session["status"]["status"] == "complete").then_some(())
    })
    .await;
    assert_eq!(dev.show("v2-not").await["outcome"], "rejected");
    let _: Value = v2.post(&["sessions"], &body("*", "v2-all")).await.unwrap();
    let done = dev.bosun(&["session", "wait", "v2-all", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (94, 0, 6));
    dev.session("limited", "boot", &["--limit", "*"]).await.expect(0);
}
