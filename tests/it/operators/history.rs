//! History lasts, answers what operators ask of it, and goes when a site says so.

use crate::support::{
    dev::{Dev, count, ended},
    process::{command, run, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_booted_a_node_is_known_though_the_session_was_deleted() {
    let dev = Dev::start(&["--nodes=4", "--boot=1s"], &[]).await;
    dev.session("night", "reboot", &[]).await.expect(0);
    let version =
        dev.bosun(&["template", "show", "demo", "-o", "json"]).await.expect(0).json()["version"].clone();
    // Two more versions: one that nobody uses, and back again to the first; all can be named.
    dev.apply("demo", &dev.template("image-b").await).await;
    let mut other = dev.template("image-a").await;
    other["boot_sets"]["compute"]["kernel_parameters"] = "quiet".into();
    dev.apply("demo", &other).await;
    let versions = dev.bosun(&["template", "versions", "demo", "-o", "json"]).await.expect(0).json();
    assert_eq!(versions.as_array().unwrap().len(), 3, "{versions}");
    let unused = versions[1]["version"].as_i64().unwrap();
    let shown =
        dev.bosun(&["template", "show", &format!("demo@{unused}"), "-o", "json"]).await.expect(0).json();
    assert_eq!((&versions[1]["sessions"], &shown["version"]), (&0.into(), &unused.into()));
    // The template boots something else since, and the session is gone from the API.
    dev.apply("demo", &dev.template("image-b").await).await;
    let url = format!("{}/bosun/v1/sessions/night", dev.url());
    assert_eq!(reqwest::Client::new().delete(url).send().await.unwrap().status(), 204);
    assert_eq!(dev.bosun(&["session", "show", "night"]).await.code, 1);
    let a_year_later = "update session set created_at = created_at - interval '1 year', ended_at = ended_at - interval '1 year'";
    sqlx::query(a_year_later).execute(&dev.pool).await.unwrap();

    let lines = dev.bosun(&["component", "history", "x1000c0s0b0n0", "-o", "json"]).await.expect(0).json();
    let booted = lines.as_array().unwrap().iter().find(|line| line["step"] == "compute/await_boot").unwrap();
    assert_eq!(
        (&booted["session"], &booted["template"], &booted["outcome"]),
        (&"night".into(), &"demo".into(), &"succeeded".into())
    );
    assert_eq!(booted["template_version"], version);
    let image = dev.machine.images().await["image-a"]["path"].as_str().unwrap().to_owned();
    assert!(image.contains(booted["image"].as_str().unwrap()), "{booted} {image}");
    let shown = dev.bosun(&["component", "history", "x1000c0s0b0n0"]).await.expect(0).out;
    assert!(shown.contains(&format!("demo@{version}")), "{shown}");

    // It goes when the site says so, and a session at work is not disturbed.
    dev.begin("day", "reboot").await;
    dev.bosun(&["option", "set", "history_ttl=300d"]).await.expect(0);
    let mut conn = dev.pool.acquire().await.unwrap();
    let ttl = std::time::Duration::from_secs(300 * 86_400);
    until("the year-old session to be settled and forgotten", || async {
        let mut conn = dev.pool.acquire().await.unwrap();
        bosun::db::session::forget_one(&mut conn, ttl).await.unwrap()
    })
    .await;
    assert_eq!(bosun::db::session::forget_one(&mut conn, ttl).await.unwrap(), None);
    let done = dev.bosun(&["session", "wait", "day", "-o", "json"]).await.expect(0).json();
    assert_eq!(ended(&done), (4, 0, 0));
    let lines = dev.bosun(&["component", "history", "x1000c0s0b0n0", "-o", "json"]).await.expect(0).json();
    assert!(lines.as_array().unwrap().iter().all(|line| line["session"] == "day"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_too_long_is_named_with_what_to_look_at() {
    let dev = Dev::start(&["--nodes=32", "--boot=1s"], &[]).await;
    dev.session("before", "reboot", &[]).await.expect(0);
    let timed = || async {
        let times: i64 = sqlx::query_scalar("select count(*) from verb_times where components >= 20")
            .fetch_one(&dev.pool)
            .await
            .unwrap();
        (times >= 4).then_some(())
    };
    until("the first session to be timed", timed).await;
    // What took a second is made to have taken a tenth of one: then whoever boots takes too long.
    for text in [
        "delete from verb_time where verb = 'await_boot'",
        "insert into verb_time (session_id, verb, bucket, components) values (1, 'await_boot', 53, 32)",
    ] {
        sqlx::query(text).execute(&dev.pool).await.unwrap();
    }
    dev.machine.change("x1000c0s0b0n0", serde_json::json!({"faults": ["never_boots"]})).await;
    dev.begin("night", "reboot").await;
    let stuck = until("the node to be overdue", || async {
        let listed = dev.bosun(&["session", "stuck", "-o", "json"]).await.expect(0).json();
        listed.as_array()?.iter().find(|one| one["overdue_step"] == "compute/await_boot").cloned()
    })
    .await;
    assert_eq!((&stuck["session"], &stuck["state"]), (&"night".into(), &"running".into()));
    assert!(count(&stuck, "overdue") >= 1);
    let next = stuck["next_command"].as_str().unwrap();
    assert!(next.starts_with("bosun component show x1000c0s"), "{next}");
    dev.bosun(&["session", "cancel", "night"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_is_opened_as_the_reader() {
    let dev = Dev::start(&["--nodes=4"], &[]).await;
    let sql = async |arguments: &[&str], path: &str| {
        let line = [&["sql", "--database-url", dev.database_url()], arguments].concat();
        run(command(&line).env("PATH", path)).await
    };
    let path = std::env::var("PATH").unwrap();
    let binaries = std::process::Command::new("sh").args([".ci/postgres"]).output().unwrap();
    let path = format!("{path}:{}", String::from_utf8(binaries.stdout).unwrap().trim());
    let asked = sql(&["--", "-Atc", "select current_user, count(*) from claims"], &path).await.expect(0);
    assert_eq!(asked.out.trim(), "bosun_reader|0");
    let refused = sql(&["--", "-Atc", "select * from component"], &path).await;
    assert!(refused.code != 0 && refused.err.contains("permission denied"), "{refused:?}");
    let missing = sql(&[], "/nowhere").await.expect(2);
    assert!(missing.complaint().contains("psql is not installed"), "{missing:?}");
    let nowhere = run(command(&["sql", "--data", "/nowhere"]).env_remove("DATABASE_URL")).await.expect(2);
    assert!(nowhere.complaint().contains("there is no private database in /nowhere"), "{nowhere:?}");
}
