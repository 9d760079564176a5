//! The simulated machine over HTTP: each trap of the real services that it must reproduce.

mod bss;
mod cfs;
mod fault;
mod hsm;
mod image;
mod node;
mod pcs;

use std::time::Duration;

use bosun::sim::{Handle, Settings, spawn};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings() -> Settings {
    Settings {
        nodes: 20,
        soft_off: ms(60),
        force_off: ms(40),
        power_on: ms(40),
        boot: ms(100),
        configure: ms(100),
        jitter: 0.0,
        hsm_lag: ms(20),
        boot_retry: ms(50),
        pcs_sample_interval: ms(100),
        pcs_confirm_interval: ms(50),
        pcs_minute: ms(1500),
        pcs_start: ms(40),
        pcs_bmc_patience: ms(60),
        ..Settings::default()
    }
}

fn settings_with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

struct Machine {
    handle: Handle,
    http: Client,
    xnames: Vec<String>,
}

async fn machine(settings: Settings) -> Machine {
    _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handle = spawn(settings, listener).unwrap();
    let xnames = handle.xnames();
    Machine { handle, http: Client::builder().no_proxy().build().unwrap(), xnames }
}

impl Machine {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.handle.url())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let response =
            self.http.request(method.parse().unwrap(), self.url(path)).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, &body).await
    }

    async fn transition(&self, operation: &str, xnames: &[&String]) -> String {
        let location: Vec<Value> = xnames.iter().map(|xname| json!({ "xname": xname })).collect();
        let body = json!({"operation": operation, "taskDeadlineMinutes": 1, "location": location});
        let (status, answer) = self.post("/transitions", body).await;
        assert_eq!(status, 200);
        answer["transitionID"].as_str().unwrap().to_owned()
    }

    async fn completed(&self, id: &str) -> Value {
        self.until(&format!("/transitions/{id}"), |t| t["transitionStatus"] == "completed").await
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..1000 {
            last = self.get(path).await.1;
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(ms(10)).await;
        }
        panic!("{path} stayed at {last}");
    }

    async fn boot_parameters(&self, hosts: &[&String]) -> String {
        let id = self.handle.images()[0].id;
        let body = json!({
            "hosts": hosts, "params": "console=ttyS0",
            "kernel": format!("s3://boot-images/{id}/kernel"), "initrd": format!("s3://boot-images/{id}/initrd"),
        });
        let response = self.http.put(self.url("/boot/v1/bootparameters")).json(&body).send().await.unwrap();
        response.headers()["bss-referral-token"].to_str().unwrap().to_owned()
    }
}
