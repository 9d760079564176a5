//! What a worker's Job looks like: the chart writes a whole Job, the launcher adds whose it is.
//!
//! Kept as the text says it: a field of a newer Kubernetes goes through, a wrong one is for the API server to refuse.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    clients::kubernetes::{CONTAINER, LAUNCH_LABEL, SESSION_LABEL},
    db::session::Needed,
};

/// The labels that tell our Jobs from others': they stay the same over upgrades.
const SELECTOR: [&str; 3] =
    ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"];
/// Health checks of a site count pods whose names contain this as BOS's services.
const NOT_IN_NAMES: &str = "cray-bos";
/// Longest prefix: with two numbers and the pod's own five characters a name has 63 at most.
const PREFIX_MAX: usize = 30;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no YAML.
    #[error("it is not YAML: {0}")]
    Text(String),
    /// Something that the launcher needs is missing or different.
    #[error("{0}")]
    Shape(String),
}

/// A Job that lacks only whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTemplate {
    job: Value,
    prefix: String,
    selector: String,
    container: usize,
}

impl JobTemplate {
    /// Reads a `batch/v1` Job in YAML. Its name is the prefix of the Jobs' names; its labels say which Jobs are ours.
    ///
    /// # Errors
    /// When the launcher could not find again what it makes of it, or workers would break law 10.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let job: Value =
            serde_saphyr::from_str(text).map_err(|error| TemplateError::Text(error.to_string()))?;
        let string = |pointer: &str| job.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let unless = |holds: bool, what: String| if holds { Ok(()) } else { Err(TemplateError::Shape(what)) };
        let is_job = string("/apiVersion") == "batch/v1" && string("/kind") == "Job";
        unless(is_job, "it must be a Job of batch/v1".to_owned())?;
        let prefix = string("/metadata/name").to_owned();
        let is_name = prefix.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        unless(
            is_name && prefix.starts_with(|c: char| c.is_ascii_lowercase()) && prefix.len() <= PREFIX_MAX,
            format!(
                "metadata.name, the prefix of the Jobs' names, is '{prefix}': it must begin with a letter and have at \
                 most {PREFIX_MAX} lower-case letters, digits and hyphens"
            ),
        )?;
        unless(
            !prefix.contains(NOT_IN_NAMES),
            format!("metadata.name is '{prefix}': workers' names must not contain '{NOT_IN_NAMES}'"),
        )?;
        let label = |key: &str| {
            let value = job["metadata"]["labels"][key].as_str();
            let missing = || TemplateError::Shape(format!("metadata.labels must have {key}"));
            value.map(|value| format!("{key}={value}")).ok_or_else(missing)
        };
        let selector = SELECTOR.into_iter().map(label).collect::<Result<Vec<_>, _>>()?.join(",");
        unless(
            string("/spec/template/spec/restartPolicy") == "Never",
            "spec.template.spec.restartPolicy must be Never: a pod's name is its worker's, and is used once"
                .to_owned(),
        )?;
        let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        let container = containers
            .and_then(|containers| containers.iter().position(|container| container["name"] == CONTAINER))
            .ok_or_else(|| TemplateError::Shape(format!("it must have a container named '{CONTAINER}'")))?;
        Ok(Self { prefix, selector, container, job })
    }

    /// What the names of our Jobs begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Which Jobs and pods are ours.
    pub fn selector(&self) -> String {
        self.selector.clone()
    }

    /// How long a finished Job is kept; `None`: for ever.
    pub fn keep_finished(&self) -> Option<Duration> {
        self.job.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_u64).map(Duration::from_secs)
    }

    /// What the Job of a session's launch is called.
    pub fn job_name(&self, session: i64, launch: i32) -> String {
        format!("{}-{session}-{launch}", self.prefix)
    }

    /// The Job of one launch. Its name makes creating it twice once.
    pub fn job(&self, needed: &Needed, launch: u32) -> Value {
        let mut job = self.job.clone();
        let session = needed.session;
        job["metadata"]["name"] = json!(format!("{}-{session}-{launch}", self.prefix));
        let labels = json!({SESSION_LABEL: session.to_string(), LAUNCH_LABEL: launch.to_string()});
        let mut annotations = json!({"bosun/session-name": needed.name, "bosun/operation": needed.operation});
        if !needed.tenant.is_empty() {
            annotations["bosun/tenant"] = json!(needed.tenant);
        }
        let selected = SELECTOR.map(|key| (key.to_owned(), self.job["metadata"]["labels"][key].clone()));
        for path in ["/metadata", "/spec/template/metadata"] {
            let metadata = object(&mut job, path);
            merge(metadata, "labels", selected.iter().cloned().collect());
            merge(metadata, "labels", labels.as_object().cloned().unwrap_or_default());
            merge(metadata, "annotations", annotations.as_object().cloned().unwrap_or_default());
        }
        let container = &mut job["spec"]["template"]["spec"]["containers"][self.container];
        let argument = json!(format!("--session={session}"));
        match container["args"].as_array_mut() {
            Some(arguments) => arguments.push(argument),
            None => container["args"] = json!(["worker", argument]),
        }
        job
    }
}

/// The object at a path, made where it is missing.
fn object<'a>(value: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let mut at = value;
    for key in path.trim_start_matches('/').split('/') {
        at = &mut at[key];
    }
    if !at.is_object() {
        *at = json!({});
    }
    at.as_object_mut().expect("it was just made one")
}

fn merge(metadata: &mut Map<String, Value>, key: &str, more: Map<String, Value>) {
    match metadata.get_mut(key).and_then(Value::as_object_mut) {
        Some(there) => there.extend(more),
        None => {
            metadata.insert(key.to_owned(), Value::Object(more));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::session::SessionId;

    use super::*;

    const TEXT: &str = "
apiVersion: batch/v1
kind: Job
metadata:
  name: bosun-worker
  labels:
    app.kubernetes.io/name: bosun
    app.kubernetes.io/instance: prod
    app.kubernetes.io/component: worker
    helm.sh/chart: bosun-1.2.3
spec:
  ttlSecondsAfterFinished: 600
  somethingNew: kept
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: mesh
        - name: worker
          args: [worker, --lease-time=10s]
";

    fn needed() -> Needed {
        Needed {
            session: SessionId(7),
            name: "A_name".to_owned(),
            tenant: "vcluster".to_owned(),
            operation: "reboot".to_owned(),
            epoch: 0,
            last_failed_launch: 0,
            budget_spent: false,
            hands_over: false,
        }
    }

    #[test]
    fn a_job_says_whose_it_is() {
        let template = JobTemplate::parse(TEXT).expect("a template");
        assert_eq!(
            template.selector(),
            "app.kubernetes.io/name=bosun,app.kubernetes.io/instance=prod,app.kubernetes.io/component=worker"
        );
        assert_eq!(template.keep_finished(), Some(Duration::from_secs(600)));
        let job = template.job(&needed(), 2);
        assert_eq!(job["metadata"]["name"], "bosun-worker-7-2");
        assert_eq!(job["spec"]["somethingNew"], "kept");
        for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "prod");
            assert_eq!(metadata["labels"]["bosun/session"], "7");
            assert_eq!(metadata["labels"]["bosun/launch"], "2");
            assert_eq!(metadata["annotations"]["bosun/session-name"], "A_name");
            assert_eq!(metadata["annotations"]["bosun/tenant"], "vcluster");
        }
        let container = &job["spec"]["template"]["spec"]["containers"][1];
        assert_eq!(container["args"], json!(["worker", "--lease-time=10s", "--session=7"]));
    }

    #[test]
    fn what_could_not_work_is_refused() {
        let table = [
            (TEXT.replace("batch/v1", "v1"), "a Job of batch/v1"),
            (TEXT.replace("bosun-worker", "cray-bos-worker"), "must not contain 'cray-bos'"),
            (TEXT.replace("bosun-worker", "Bosun"), "lower-case"),
            (TEXT.replace("bosun-worker", &"x".repeat(31)), "at most 30"),
            (TEXT.replace("instance: prod", "instanz: prod"), "app.kubernetes.io/instance"),
            (TEXT.replace("Never", "OnFailure"), "restartPolicy must be Never"),
            (TEXT.replace("name: worker", "name: main"), "a container named 'worker'"),
            ("a: [".to_owned(), "not YAML"),
        ];
        for (text, says) in table {
            let error = JobTemplate::parse(&text).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
