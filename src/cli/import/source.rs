//! The BOS that is read.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    BosArgs,
    summary::{Remark, Remarks},
};
use crate::cli::{CliError, client::Client};

/// Components of one page; BOS's own are larger.
const PAGE: usize = 1_000;
/// Most pages: a million components.
const PAGES_MAX: usize = 1_000;

/// A BOS v2.
pub(super) struct Source {
    client: Client,
    url: String,
    /// What it says it is.
    pub version: String,
}

/// All its components, as bosun takes them, and what is to be said of them.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub components: Vec<Value>,
    pub remarks: Remarks,
}

#[derive(Deserialize)]
struct Version {
    major: String,
    minor: String,
    patch: String,
}

/// What of a record means something elsewhere. Sessions, actions and attempts are of BOS's own doing, and stay there.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Component {
    id: String,
    enabled: Option<bool>,
    retry_policy: Option<i64>,
    actual_state: Option<State>,
    desired_state: Option<State>,
    staged_state: Option<State>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    bss_token: Option<String>,
    boot_artifacts: Option<Artifacts>,
    configuration: Option<String>,
    session: Option<String>,
    last_updated: Option<String>,
}

#[derive(Deserialize, Default, Clone, PartialEq, Eq)]
#[serde(default)]
struct Artifacts {
    kernel: Option<String>,
    initrd: Option<String>,
    kernel_parameters: Option<String>,
}

impl Source {
    /// Finds out whether it is one.
    pub async fn open(args: &BosArgs) -> Result<Self, CliError> {
        let client =
            Client::of_bos(&args.bos, args.bos_token_file.as_deref(), args.client.ca_file.as_deref())?;
        let url = args.bos.trim_end_matches('/').to_owned();
        let mut source = Self { client, url, version: String::new() };
        let version: Version = source.get(&[], &[]).await?;
        if version.major != "2" {
            return Err(source.is_none(&format!("it calls itself version {}", version.major)));
        }
        source.version = format!("{}.{}.{}", version.major, version.minor, version.patch);
        Ok(source)
    }

    pub async fn options(&self) -> Result<Value, CliError> {
        self.get::<Map<String, Value>>(&["options"], &[]).await.map(Value::Object)
    }

    /// Those of all tenants.
    pub async fn templates(&self) -> Result<Vec<Value>, CliError> {
        self.get(&["sessiontemplates"], &[]).await
    }

    pub async fn components(&self) -> Result<Machine, CliError> {
        let mut all: Vec<Component> = Vec::new();
        for _ in 0..PAGES_MAX {
            let size = PAGE.to_string();
            let last = all.last().map(|component| component.id.clone());
            let mut query = vec![("page_size", size.as_str())];
            query.extend(last.as_deref().map(|last| ("start_after_id", last)));
            let page: Vec<Component> = self.get(&["components"], &query).await?;
            let is_last = page.len() != PAGE;
            // A BOS that knows no pages answers with everything, again and again.
            let repeats = page.first().map(|first| Some(&first.id) <= last.as_ref()) == Some(true);
            if !repeats {
                all.extend(page);
            }
            if is_last || repeats {
                break;
            }
        }
        Ok(sort_out(all))
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.client.get(path, query).await.map_err(|error| match error {
            CliError::Unreachable { cause, .. } => CliError::Bos(format!(
                "nobody answers at {} ({cause}); give the root of BOS's API, through the gateway https://HOST/apis/bos",
                self.url
            )),
            CliError::Refused { status: status @ (401 | 403), .. } => CliError::Bos(format!(
                "BOS at {} answers {status}: give a token that may read it, with --bos-token-file or BOSUN_BOS_TOKEN_FILE",
                self.url
            )),
            CliError::Refused { status: 404, .. } => self.is_none("404"),
            CliError::Refused { status, title, detail, .. } => CliError::Bos(format!(
                "BOS at {} answers {status} ({title}{}{detail}); try again when it is well",
                self.url,
                if detail.is_empty() { "" } else { ": " }
            )),
            CliError::Unreadable { cause, .. } => self.is_none(&cause),
            other => other,
        })
    }

    fn is_none(&self, why: &str) -> CliError {
        CliError::Bos(format!(
            "what answers at {} is not BOS v2 ({why}); give the root of its API, without the /v2",
            self.url
        ))
    }
}

impl Artifacts {
    fn is_something(&self) -> bool {
        self.kernel.as_deref().is_some_and(|kernel| !kernel.is_empty())
    }

    fn json(&self) -> Value {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        json!({
            "kernel": text(&self.kernel), "initrd": text(&self.initrd),
            "kernel_parameters": text(&self.kernel_parameters),
        })
    }
}

fn some(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl Component {
    /// Its token and what BOS recorded for it.
    fn runs(&self) -> Option<(&str, &Artifacts)> {
        let actual = self.actual_state.as_ref()?;
        let artifacts = actual.boot_artifacts.as_ref().filter(|artifacts| artifacts.is_something())?;
        Some((some(actual.bss_token.as_ref())?, artifacts))
    }

    fn body(&self, is_certain: bool) -> Value {
        let mut body = json!({"id": self.id});
        if let Some((token, artifacts)) = self.runs().filter(|_| is_certain) {
            let at = self.actual_state.as_ref().and_then(|actual| actual.last_updated.clone());
            body["actual_state"] =
                json!({"bss_token": token, "boot_artifacts": artifacts.json(), "last_updated": at});
        }
        if let Some(desired) = &self.desired_state {
            let mut shown = json!({"configuration": desired.configuration.clone().unwrap_or_default()});
            if let Some(artifacts) = &desired.boot_artifacts {
                shown["boot_artifacts"] = artifacts.json();
            }
            body["desired_state"] = shown;
        }
        if let Some(policy) = self.retry_policy {
            body["retry_policy"] = json!(policy);
        }
        body
    }
}

/// What is taken of each, and whose turn it is to act on the rest. BOS leaves what it recorded before where a node reports
/// a token that it does not know; so a token that is said to be two things is believed to be neither.
fn sort_out(components: Vec<Component>) -> Machine {
    let mut meanings: HashMap<&str, Option<&Artifacts>> = HashMap::new();
    for (token, artifacts) in components.iter().filter_map(Component::runs) {
        let meaning = meanings.entry(token).or_insert(Some(artifacts));
        if *meaning != Some(artifacts) {
            *meaning = None;
        }
    }
    let mut remarks = Remarks::new();
    let mut bodies = Vec::with_capacity(components.len());
    for component in &components {
        let is_certain = component.runs().is_none_or(|(token, _)| meanings[token].is_some());
        bodies.push(component.body(is_certain));
        let actual = component.actual_state.as_ref();
        let tells = actual.is_some_and(|actual| {
            some(actual.bss_token.as_ref()).is_some()
                || actual.boot_artifacts.as_ref().is_some_and(Artifacts::is_something)
        });
        let staged = component.staged_state.as_ref().and_then(|staged| some(staged.session.as_ref()));
        for (remark, applies) in [
            (Remark::Enabled, component.enabled == Some(true)),
            (Remark::Staged, staged.is_some()),
            (Remark::Uncertain, !is_certain),
            (Remark::Unknown, tells && component.runs().is_none()),
            (Remark::Silent, !tells),
        ] {
            if applies {
                remarks.entry(remark).or_default().push(component.id.clone());
            }
        }
    }
    Machine { components: bodies, remarks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(id: &str, token: &str, kernel: &str) -> Component {
        serde_json::from_value(json!({
            "id": id, "enabled": false, "actual_state": {
                "bss_token": token, "boot_artifacts": {"kernel": kernel, "initrd": "i", "kernel_parameters": "p"},
                "last_updated": "2026-01-02T03:04:05"},
        }))
        .unwrap()
    }

    #[test]
    fn a_token_that_is_said_to_be_two_things_is_neither() {
        let machine =
            sort_out(vec![component("a", "t", "k"), component("b", "u", "k"), component("c", "t", "l")]);
        let taken: Vec<bool> =
            machine.components.iter().map(|body| body["actual_state"].is_object()).collect();
        assert_eq!(taken, [false, true, false]);
        assert_eq!(
            machine.remarks,
            Remarks::from([(Remark::Uncertain, vec!["a".to_owned(), "c".to_owned()])])
        );
    }

    #[test]
    fn what_is_bos_own_business_is_told() {
        let mut busy = component("a", "t", "k");
        busy.enabled = Some(true);
        busy.staged_state = Some(State { session: Some("s".to_owned()), ..State::default() });
        let machine =
            sort_out(vec![busy, component("b", "t", ""), component("c", "", ""), component("d", "", "k")]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let wanted = [
            (Remark::Enabled, names(&["a"])),
            (Remark::Staged, names(&["a"])),
            (Remark::Unknown, names(&["b", "d"])),
            (Remark::Silent, names(&["c"])),
        ];
        assert_eq!(machine.remarks, wanted.into());
    }
}
