//! Components are named by range, parent, group, NID, file and stdin, wherever they are named.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    dev::{Dev, count, ended},
    process::{command, until},
};

async fn planned(dev: &Dev, limit: &str) -> Value {
    let line = ["plan", "--template", "demo", "--operation", "shutdown", "--limit", limit, "-o", "json"];
    dev.bosun(&line).await.expect(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_named_as_operators_name_them() {
    let dev = Dev::start(&["--nodes=32", "--node-group=few=3", "--first-nid=1"], &[]).await;
    let names = dev.scratch.write("night.txt", "x1000c0s0b0n0 # it hangs\nx1000c0s0b0n1,nid000005\n");
    let names = names.to_str().unwrap();
    for (limit, wanted) in [
        ("x1000c0s[0-1]b[0-1]n0", 4),
        ("x1000c0s[0,2]b0n1,!x1000c0s2b0n1", 1),
        ("x1000c0s1", 4),
        ("@few", 3),
        ("few", 3),
        ("nid[1-4]", 4),
        (names, 3),
        (&format!("x1000c0s[0-1],!{names}"), 5),
    ] {
        assert_eq!(count(&planned(&dev, limit).await, "targeted"), wanted, "{limit}");
    }
    let shown = dev
        .bosun(&["plan", "--template", "demo", "--operation", "shutdown", "--limit", "x1000c0s1"])
        .await
        .expect(0);
    assert!(shown.out.contains("'x1000c0s1' stands for 4 nodes"), "{}", shown.out);
    assert!(shown.out.contains("x1000c0s1b[0-1]n[0-1]"), "{}", shown.out);

    // From a pipe.
    let mut piped =
        command(&["plan", "--template", "demo", "--operation", "boot", "--limit=-", "-o", "json"]);
    let mut piped =
        piped.env("BOSUN_URL", dev.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"x1000c0s0b0n0\nx1000c0s3b0n0\n").await.unwrap();
    let output = piped.wait_with_output().await.unwrap();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(count(&plan, "targeted"), 2);

    // Where components are listed, too.
    let listed = async |limit: &str, input: &str| {
        let mut line = command(&["component", "list", "--limit", limit, "-o", "name", "--no-headers"]);
        let line = line.env("BOSUN_URL", dev.url()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut listing = line.spawn().unwrap();
        listing.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = listing.wait_with_output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(listed("x1000c0s[0-1]b0n0", "").await, ["x1000c0s0b0n0", "x1000c0s1b0n0"]);
    assert_eq!(listed("@few", "").await.len(), 3);
    assert_eq!(listed(names, "").await, ["x1000c0s0b0n0", "x1000c0s0b0n1", "x1000c0s1b0n0"]);
    assert_eq!(listed("-", "nid[2-3]\n").await, ["x1000c0s0b0n1", "x1000c0s0b1n0"]);
    let nobody = dev.bosun(&["component", "list", "--limit", "x1000c0s0,&x1000c0s1"]).await;
    assert!(nobody.code != 0 && nobody.complaint().contains("names no component"), "{nobody:?}");

    for (limit, complaint) in [
        ("x2000c0", "there is no node in 'x2000c0'"),
        ("nid9999", "no node has the NID 9999"),
        ("@fe", "there is no HSM group 'fe' (did you mean 'few'?)"),
        ("x1000c0s[3-1]b0n0", "is no number, nor a range"),
        ("./nowhere.txt", "cannot read ./nowhere.txt"),
    ] {
        let line = ["plan", "--template", "demo", "--operation", "shutdown", "--limit", limit];
        let done = dev.bosun(&line).await;
        assert!(done.code != 0 && done.complaint().contains(complaint), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_name_components_alike() {
    let stubborn = "--fail-power-off=x1000c0s0b0n0,x1000c0s0b0n1,x1000c0s1b0n0";
    let dev = Dev::start(&["--nodes=8", stubborn, "--first-nid=1", "--boot=2s"], &[]).await;
    dev.begin("night", "reboot").await;
    let asked =
        dev.bosun(&["session", "skip", "night", "--components", "nid[7-8]", "--reason", "in use"]).await;
    let said = asked.expect(0).out;
    assert_eq!(said, "skip asked of session night for 2 components (x1000c0s1b1n[0-1])\n");
    let stranger = dev.bosun(&["session", "skip", "night", "--components", "x1000c0s9b0n0"]).await.expect(5);
    assert!(stranger.complaint().contains("does not take part in session 'night'"), "{stranger:?}");
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(3).json();
    let (succeeded, failed, skipped) = ended(&done);
    assert_eq!((failed, succeeded + skipped), (3, 5), "{done:#}");

    // Only one slot of those that failed, from the beginning.
    dev.machine.change("x1000c0s0b0n0", serde_json::json!({"faults": []})).await;
    dev.machine.change("x1000c0s0b0n1", serde_json::json!({"faults": []})).await;
    let line = ["session", "retry", "night", "--components", "x1000c0s0", "--from", "inspect"];
    let said = dev.bosun(&line).await.expect(0).out;
    assert_eq!(said, "session night goes on with 2 components (x1000c0s0b0n[0-1]) that had failed\n");
    let done = dev.bosun(&["session", "wait", "night", "-o", "json"]).await.expect(3).json();
    assert_eq!(ended(&done).1, 1, "{done:#}");
    until("both were powered on again", || async {
        let on = dev.machine.ordered_on(&["x1000c0s0b0n0", "x1000c0s0b0n1", "x1000c0s1b0n0"]).await;
        (on == [1, 1, 0]).then_some(())
    })
    .await;
}
