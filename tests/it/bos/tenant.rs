//! Tenants: what is one's is nobody else's, and nothing is everybody's while TAPMS is down.

mod component;
mod session;
mod tapms;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::until;
use crate::support::{app::fast, server::Server};

const COMPONENTS: &str = "/v2/components";

/// Four nodes: two are blue's, one is red's, one is nobody's.
struct World {
    server: Server,
    xnames: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let server = Server::new(fast(4)).await;
        until(&server, COMPONENTS, |list| list.as_array().is_some_and(|list| list.len() == 4)).await;
        let xnames = server.machine.xnames();
        server.machine.set_tenant("blue", &xnames[..2]);
        server.machine.set_tenant("red", &xnames[2..3]);
        Self { server, xnames }
    }

    /// Asks as a tenant, and gets what it wants.
    async fn ok(&self, tenant: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.server.ask_for(tenant, method.clone(), path, body).await;
        assert!(status.is_success(), "{tenant}: {method} {path}: {status} {answer}");
        answer
    }

    /// Asks as a tenant, and is refused with this status; the title and what is said.
    async fn refused(
        &self,
        tenant: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        status: u16,
    ) -> (String, String) {
        let (answered, problem) = self.server.ask_for(tenant, method.clone(), path, body.clone()).await;
        assert_eq!(answered.as_u16(), status, "{tenant}: {method} {path} {body:?}: {problem}");
        let text = |key: &str| problem[key].as_str().unwrap().to_owned();
        (text("title"), text("detail"))
    }

    fn path(&self, node: usize) -> String {
        format!("{COMPONENTS}/{}", self.xnames[node])
    }

    /// All records, as nobody sees them.
    async fn records(&self) -> Value {
        self.ok("", Method::GET, COMPONENTS, None).await
    }

    /// The nodes that a list names, by number.
    fn nodes(&self, list: &Value) -> Vec<usize> {
        let number = |item: &Value| self.xnames.iter().position(|xname| item["id"] == **xname).unwrap();
        list.as_array().unwrap().iter().map(number).collect()
    }

    /// The nodes that were ever powered.
    fn powered(&self) -> Vec<usize> {
        let edges = self.server.machine.edges();
        (0..self.xnames.len())
            .filter(|&node| edges.get(&self.xnames[node]).is_some_and(|edges| !edges.is_empty()))
            .collect()
    }

    /// How often TAPMS was asked.
    fn questions(&self) -> u64 {
        self.server.machine.counters().get("tapms").map_or(0, |routes| routes.values().sum())
    }

    /// Asks as a tenant until the answer is as wanted.
    async fn until(&self, tenant: &str, path: &str, wanted: impl Fn(StatusCode, &Value) -> bool) -> Value {
        let start = std::time::Instant::now();
        loop {
            let (status, answer) = self.server.ask_for(tenant, Method::GET, path, None).await;
            if wanted(status, &answer) {
                return answer;
            }
            assert!(start.elapsed().as_secs() < 60, "{tenant}: {path} stays {status} {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn ended(&self, tenant: &str, session: &str) -> Value {
        let path = format!("/v2/sessions/{session}");
        self.until(tenant, &path, |_, session| session["status"]["status"] == "complete").await
    }

    /// A request for a session with the template `t`.
    fn session(name: &str, operation: &str) -> Option<Value> {
        Some(json!({"name": name, "operation": operation, "template_name": "t"}))
    }
}
