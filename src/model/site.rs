//! Steps of a site's own: what the verbs `http` and `job` are told in a workflow.
//!
//! Whoever writes a workflow may write to the server's own directory, so what it names (URLs, commands, images) is
//! trusted. Nobody else chooses any of it: neither a template nor a session can. What it names becomes part of the plan,
//! which is kept in the database and shown to everybody; a secret is therefore only ever named, and read where it is used.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// For whom one call, or one run of a job, is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// For up to so many components, as they come.
    Batch(NonZeroU32),
    /// For everybody of the slice who is under way, as soon as nobody is left in the steps before.
    Slice,
    /// The same over all slices of the session.
    Session,
}

/// What `http` is told: something to be called, something to be asked until it holds, or both in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpStep {
    /// What is called, once per group of components. Where there is none the step only waits.
    pub call: Option<Request>,
    /// What is asked again and again until it holds.
    pub wait: Option<Question>,
    /// For whom one call, and one question, is made.
    pub per: Per,
    /// The bearer token sent along.
    pub token: Option<Secret>,
    /// Whether the call changes a node that somebody may be using: its gate is behind it then.
    pub disturbs: bool,
}

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
}

/// A request that only asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// How: `GET`, or `POST` where the service is to know whom it is asked about.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// What its answer has to say; without it any answer with a status of 2xx will do.
    pub until: Option<Until>,
}

/// A condition on a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// A JSON pointer (RFC 6901), as in `/state`.
    pub at: String,
    /// A text, a number, true or false.
    pub equals: Value,
}

impl Until {
    /// What is wrong with a document; nothing if the condition holds.
    pub fn unmet(&self, document: &Value) -> Option<String> {
        match document.pointer(&self.at) {
            Some(value) if *value == self.equals => None,
            Some(value) => Some(format!("{} is {value}, not {}", self.at, self.equals)),
            None => Some(format!("the answer has no {}", self.at)),
        }
    }
}

/// How something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the methods of HTTP")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// An `http` or `https` URL that holds no password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url(String);

impl Url {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        match host {
            None | Some("") => Err("a URL begins with http:// or https:// and the name of a host".to_owned()),
            Some(host) if host.contains('@') => {
                Err("a URL holds no user and no password: plans are shown to everybody; use 'token'"
                    .to_owned())
            }
            Some(_) if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Err("a URL holds no blanks".to_owned())
            }
            Some(_) => Ok(Self(text)),
        }
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a secret is found: on the worker, whenever it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// In a file.
    File(String),
    /// In a variable of the worker's environment.
    Environment(String),
}

/// What `job` is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobStep {
    /// The program and its arguments, word by word; no shell reads them.
    pub command: Vec<String>,
    /// Variables it gets beside those of bosun's own.
    pub environment: BTreeMap<String, String>,
    /// How long one run may take.
    #[serde(with = "super::workflow::duration")]
    pub within: Duration,
    /// For whom one run is made.
    pub per: Per,
    /// Whether it changes a node that somebody may be using: its gate is behind it then.
    pub disturbs: bool,
    /// The pod it runs in; without one it runs as a process of the worker's own machine.
    pub kubernetes: Option<Pod>,
}

/// The pod of a Kubernetes Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// Its image.
    pub image: String,
    /// Its namespace; the worker's own where there is none.
    pub namespace: Option<String>,
    /// The ServiceAccount it runs as; the namespace's default where there is none.
    pub service_account: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_is_one_that_can_be_asked_and_shown() {
        let read = |text: &str| Url::try_from(text.to_owned());
        for good in ["http://wlm", "https://wlm.example.com:8443/drain?force=1", "http://[::1]:80/"] {
            assert_eq!(read(good).unwrap().as_str(), good);
        }
        for (bad, says) in [
            ("ftp://wlm", "begins with"),
            ("http:///drain", "the name of a host"),
            ("https://me:secret@wlm/", "use 'token'"),
            ("http://wlm/a b", "no blanks"),
        ] {
            assert!(read(bad).unwrap_err().contains(says), "{bad}");
        }
        assert!(read("http://wlm/?mail=a@b").is_ok(), "an '@' behind the host is none of ours");
    }

    #[test]
    fn a_condition_says_what_it_found() {
        let until = Until { at: "/state/name".to_owned(), equals: json!("idle") };
        assert_eq!(until.unmet(&json!({"state": {"name": "idle"}})), None);
        let busy = until.unmet(&json!({"state": {"name": "busy"}}));
        assert_eq!(busy.as_deref(), Some("/state/name is \"busy\", not \"idle\""));
        assert_eq!(until.unmet(&json!([])).as_deref(), Some("the answer has no /state/name"));
    }
}
