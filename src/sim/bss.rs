//! BSS, the boot script service: what each node is to boot.
//!
//! Every PUT makes a new referral token for all its hosts, even if it changes nothing. The token is told once, in the
//! answer's header, and comes back only on the command line of a node that booted with it.

mod parameters;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use serde_json::Value;
use uuid::Uuid;

use super::Shared;
use super::clock::Moment;
use super::machine::Running;
use super::s3::S3;
use super::world::NodeNo;

/// What a host boots.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub params: String,
    pub kernel: Arc<str>,
    pub initrd: Arc<str>,
    pub cloud_init: Option<Value>,
}

impl Parameters {
    /// The parameters as they come into a script. With an initrd BSS cuts out what begins with the letters `initrd`,
    /// wherever they are; if nothing follows it panics, and nobody gets a script.
    fn command_line(&self) -> Option<String> {
        let Some(at) = self.params.find("initrd").filter(|_| !self.initrd.is_empty()) else {
            return Some(self.params.clone());
        };
        let (before, after) = self.params.split_at(at);
        after.split_once(' ').map(|(_, after)| format!("{before}{after}"))
    }
}

/// A host's record.
#[derive(Clone, Debug)]
pub struct Host {
    pub parameters: Arc<Parameters>,
    pub token: Option<Arc<str>>,
}

/// BSS's database.
#[derive(Debug, Default)]
pub struct Bss {
    hosts: BTreeMap<String, Host>,
    /// Parameters of images themselves, by path.
    images: BTreeMap<String, (ImageKind, String)>,
    /// When a node last fetched its script.
    history: BTreeMap<NodeNo, Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImageKind {
    Kernel,
    Initrd,
}

impl Bss {
    /// Boot parameters for every node: the good image A.
    pub fn seed_default(&mut self, s3: &S3) {
        let Some(image) = s3.images().find(|image| image.name == "image-a") else { return };
        let parameters = Parameters {
            params: "console=ttyS0,115200 root=craycps-s3".into(),
            kernel: format!("s3://boot-images/{}/kernel", image.id).into(),
            initrd: format!("s3://boot-images/{}/initrd", image.id).into(),
            cloud_init: None,
        };
        self.put(&["Default".to_owned()], &Arc::new(parameters));
    }

    /// Replaces the records of `hosts` and makes their token.
    fn put(&mut self, hosts: &[String], parameters: &Arc<Parameters>) -> Arc<str> {
        let token: Arc<str> = Uuid::new_v4().to_string().into();
        for host in hosts {
            let record = Host { parameters: parameters.clone(), token: Some(token.clone()) };
            self.hosts.insert(host.clone(), record);
        }
        token
    }

    /// The record that counts for a node: its own, its role's, or the default.
    fn record(&self, xname: &str, role: &str) -> Option<&Host> {
        self.hosts.get(xname).or_else(|| self.hosts.get(role)).or_else(|| self.hosts.get("Default"))
    }

    /// What a node boots that asks now; `None` if it is not configured for booting.
    pub fn lookup(&self, xname: &str, role: &str) -> Option<Running> {
        let host = self.record(xname, role)?;
        let parameters = &host.parameters;
        if parameters.kernel.is_empty() {
            return None;
        }
        let line = parameters.command_line()?;
        let given = line.split(' ').find_map(|word| word.strip_prefix("bss_referral_token="));
        let token = given.map(Arc::from).or_else(|| host.token.clone()).unwrap_or_default();
        let (kernel, initrd) = (parameters.kernel.clone(), parameters.initrd.clone());
        Some(Running { bss_token: token, kernel, initrd })
    }

    /// Remembers that a node fetched its script.
    pub fn fetched(&mut self, no: NodeNo, now: Moment) {
        self.history.insert(no, now);
    }
}

/// The routes below `/boot/v1`.
pub fn routes() -> Router<Shared> {
    Router::new()
        .merge(parameters::routes())
        .merge(script::routes())
        .route("/service/status", get(async || "{\"bss-status\":\"running\"}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(kernel: &str) -> Arc<Parameters> {
        Arc::new(Parameters { kernel: kernel.into(), initrd: "i".into(), ..Parameters::default() })
    }

    #[test]
    fn a_node_boots_its_own_record_then_its_role_then_the_default() {
        let mut bss = Bss::default();
        assert!(bss.lookup("x1", "Compute").is_none());
        for (host, kernel) in [("Default", "d"), ("Compute", "c"), ("x1", "x")] {
            bss.put(&[host.to_owned()], &parameters(kernel));
            assert_eq!(&*bss.lookup("x1", "Compute").unwrap().kernel, kernel);
        }
        assert_eq!(&*bss.lookup("x2", "Application").unwrap().kernel, "d");
    }

    #[test]
    fn a_word_with_initrd_is_cut_out_and_fatal_at_the_end() {
        let line = |params: &str| {
            let parameters =
                Parameters { params: params.into(), initrd: "i".into(), ..Parameters::default() };
            parameters.command_line()
        };
        assert_eq!(line("console=ttyS0 quiet"), Some("console=ttyS0 quiet".into()));
        assert_eq!(line("a initrd=b c"), Some("a c".into()));
        assert_eq!(line("root=live:noinitrd7 c"), Some("root=live:noc".into()));
        assert_eq!(line("a initrd=b"), None);
    }

    #[test]
    fn every_put_makes_a_new_token() {
        let mut bss = Bss::default();
        let first = bss.put(&["x1".to_owned()], &parameters("k"));
        let second = bss.put(&["x1".to_owned()], &parameters("k"));
        assert_ne!(first, second);
        assert_eq!(bss.lookup("x1", "").unwrap().bss_token, second);
    }
}
