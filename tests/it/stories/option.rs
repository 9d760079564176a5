//! BOS's options that mean something to the server itself.

use serde_json::json;

use crate::support::{dev::Dev, process::until};

#[tokio::test(flavor = "multi_thread")]
async fn more_or_less_is_logged_as_the_option_says() {
    let dev = Dev::start(&["--nodes=1"], &[]).await;
    let http = reqwest::Client::new();
    let set = async |level: &str| {
        let request = http.patch(format!("{}/v2/options", dev.url()));
        request.json(&json!({"logging_level": level})).send().await.unwrap().error_for_status().unwrap();
    };
    // Reading is told of in detail only.
    let reads = || dev.log().lines().filter(|line| line.contains("method=GET")).count();
    assert_eq!(reads(), 0, "{}", dev.log());
    set("debug").await;
    until("a request that reads is logged", || async {
        http.get(format!("{}/v2/version", dev.url())).send().await.unwrap();
        (reads() > 0).then_some(())
    })
    .await;
    set("ERROR").await;
    until("it is not any more", || async {
        let before = reads();
        http.get(format!("{}/v2/version", dev.url())).send().await.unwrap();
        (reads() == before).then_some(())
    })
    .await;
}
