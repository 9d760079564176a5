//! Jobs of a site's own, for steps of a workflow: made under the name of the call, so that making one twice is once.
//!
//! The components' names are in ConfigMaps that the Job owns, mounted at `/bosun`: up to 50,000 in each, since a ConfigMap
//! holds 1 MiB. They are made after the Job, whose number they have to carry; its pod waits for them. A worker that died in
//! between left a Job whose pod waits: whoever looks for the call makes what is missing.
//!
//! A run is one pod, once: its exit code decides. What it said is read from its log, so it is asked for as soon as the Job
//! has ended, and a pod that is gone by then has said nothing that can be believed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::{
    batch::v1::Job as JobObject,
    core::v1::{ConfigMap as ConfigMapObject, Pod as PodObject},
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, LogParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    KubernetesError, answer, list,
    read::{self, Over},
};
use crate::{
    clients::{ClientError, command::Ended},
    model::{session::SessionId, site::Pod},
};

/// The service's name, in messages.
const SERVICE: &str = "kubernetes";
/// The label that names the session a site's Job runs for.
const SITE_JOB_LABEL: &str = "bosun/site-job";
/// Where the names are, in the container.
const MOUNT_PATH: &str = "/bosun";
/// Components in one ConfigMap: names of 16 bytes stay below the 1 MiB that it may hold.
const CONFIG_MAP_NAMES_MAX: usize = 50_000;
/// The container's name.
const CONTAINER: &str = "job";
/// How long a finished Job, its log and its names are kept: a day, as workers' Jobs.
const KEEP_FINISHED_SECONDS: u32 = 86_400;
/// Lines of a log that are read, from its end. A long line counts once for each 16 KiB of it, as the kubelet counts.
const LOG_LINES_MAX: i64 = 400;
/// Most bytes of that: a line may name 100,000 components.
const LOG_BYTES_MAX: i64 = 8 << 20;
/// Bytes from the end of a log that are kept as its last words.
const WORDS_BYTES_MAX: usize = 4 << 10;

/// What is to be run, for whom.
#[derive(Debug)]
pub struct SiteJob<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The program and its arguments.
    pub command: &'a [String],
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// The components' names.
    pub names: Vec<String>,
    /// How long it may take, from the moment at which Kubernetes takes it.
    pub within: Duration,
    /// Whose step it is.
    pub session_id: SessionId,
    /// The session's name.
    pub session: &'a str,
    /// The step's name.
    pub step: &'a str,
}

/// The site's Jobs, by name. Kubernetes is looked for when the first one is asked for: few workers ever need it.
#[derive(Clone)]
pub struct SiteJobs {
    found: Arc<OnceCell<(Client, String)>>,
    write_timeout: Duration,
    /// Why a pod had not begun, when it was last seen to wait.
    waits: Arc<Mutex<HashMap<String, String>>>,
}

impl std::fmt::Debug for SiteJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SiteJobs")
    }
}

impl SiteJobs {
    /// Asks nobody yet. `write_timeout`: the longest that starting one may take.
    pub fn new(write_timeout: Duration) -> Self {
        Self { found: Arc::default(), write_timeout, waits: Arc::default() }
    }

    /// Starts a Job; one of this name is not started again.
    ///
    /// # Errors
    /// `Refused`: Kubernetes does not take such a Job. `Lost`: it may be there. Else it is not.
    pub async fn start(&self, name: &str, job: &SiteJob<'_>) -> Result<(), ClientError> {
        let lost = |_| ClientError::Lost {
            service: SERVICE,
            text: format!("no answer within {}", humantime::format_duration(self.write_timeout)),
        };
        tokio::time::timeout(self.write_timeout, self.make(name, job)).await.map_err(lost)?
    }

    async fn make(&self, name: &str, job: &SiteJob<'_>) -> Result<(), ClientError> {
        let (client, namespace) = self.at(job.pod).await?;
        let kind = ApiResource::erase::<JobObject>(&());
        let jobs: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
        let what = "create a Job";
        let made = match answer(
            what,
            jobs.create(&PostParams::default(), &object(job_object(name, job)).map_err(written)?),
        )
        .await
        {
            Err(KubernetesError::Refused { code: 409, .. }) => answer("read a Job", jobs.get(name)).await,
            made => made,
        };
        let made = made.map_err(written)?;
        let uid = made.metadata.uid.unwrap_or_default();
        // The Job is there: whatever happens now, the call may have been taken.
        give_names(client, &namespace, name, &uid, &job.names).await.map_err(|error| {
            let text = format!("its Job is there, but not the names of the components: {error}");
            ClientError::Lost { service: SERVICE, text }
        })
    }

    /// Whether there is a Job of this name; what a worker left undone about it is done.
    ///
    /// # Errors
    /// Kubernetes cannot be asked.
    pub async fn find(&self, name: &str, job: &SiteJob<'_>) -> Result<bool, ClientError> {
        let (client, namespace) = self.at(job.pod).await?;
        let jobs: Api<JobObject> = Api::namespaced(client.clone(), &namespace);
        let found = match answer("read a Job", jobs.get(name)).await {
            Err(KubernetesError::Refused { code: 404, .. }) => return Ok(false),
            found => found.map_err(asked)?,
        };
        let uid = found.metadata.uid.unwrap_or_default();
        give_names(client, &namespace, name, &uid, &job.names).await.map_err(asked)?;
        Ok(true)
    }

    /// How a session's Jobs stand, by name: running, or ended; or why its end cannot be read: a log is on a node that may be
    /// away. One that is not mentioned is not there.
    ///
    /// # Errors
    /// Kubernetes cannot be asked.
    pub async fn look(
        &self,
        session: SessionId,
        pod: &Pod,
        wanted: &[String],
        within: Duration,
    ) -> Result<HashMap<String, Result<Option<Ended>, ClientError>>, ClientError> {
        let (client, namespace) = self.at(pod).await?;
        let selector = format!("{SITE_JOB_LABEL}={session}");
        let jobs: Api<JobObject> = Api::namespaced(client.clone(), &namespace);
        let pods: Api<PodObject> = Api::namespaced(client.clone(), &namespace);
        // Jobs first: a pod that is gone when its Job has ended is then surely gone.
        let jobs = list(&jobs, &selector, "list Jobs").await.map_err(asked)?;
        let of_jobs = list(&pods, &selector, "list pods").await.map_err(asked)?;
        let mut standing = HashMap::new();
        for job in jobs {
            let Some(name) = job.metadata.name.clone().filter(|name| wanted.contains(name)) else { continue };
            let of_job = |pod: &&PodObject| read::owner(pod) == Some(name.as_str());
            let newest =
                of_jobs.iter().filter(of_job).max_by_key(|pod| pod.metadata.creation_timestamp.clone());
            let ended = match read::over(&job) {
                None => {
                    self.note_wait(&name, newest);
                    Ok(None)
                }
                Some(reason) => self.ended(&name, &reason, newest, &pods, within).await.map(Some),
            };
            standing.insert(name, ended);
        }
        Ok(standing)
    }

    async fn ended(
        &self,
        name: &str,
        reason: &Over,
        pod: Option<&PodObject>,
        pods: &Api<PodObject>,
        within: Duration,
    ) -> Result<Ended, ClientError> {
        let silent = |trouble: String| Ended {
            trouble: Some(trouble),
            last_line: String::new(),
            errors: String::new(),
        };
        let within = humantime::format_duration(within);
        if *reason == Over::TooLong {
            let waits = self.waits.lock().expect("nothing panics while it is held").remove(name);
            return Ok(silent(match waits {
                Some(why) => format!("it had not begun after {within}: {why}"),
                None => format!("it was still running after {within}, and was killed"),
            }));
        }
        let container = pod.and_then(|pod| read::terminated(pod, CONTAINER));
        let log = match pod.and_then(|pod| pod.metadata.name.as_deref()) {
            None => None,
            Some(pod) => match answer("read a log", pods.logs(pod, &log_params())).await {
                Err(KubernetesError::Refused { code: 404, .. }) => None,
                log => Some(log.map_err(asked)?),
            },
        };
        let trouble = match (reason, container) {
            (Over::Well, _) => None,
            (_, Some(ended)) => Some(read::exit(ended)),
            (_, None) => Some(format!("its pod is gone: 'kubectl describe job {name}' may say why")),
        };
        Ok(match log {
            // Who failed would have stood there.
            None => silent(trouble.unwrap_or_else(|| {
                "it ended well, but its log is gone, and with it whom it names as failed".to_owned()
            })),
            Some(log) if log.len() as i64 >= LOG_BYTES_MAX => {
                silent(trouble.unwrap_or_else(|| "its last lines are too long to be read".to_owned()))
            }
            Some(log) => heard(trouble, &log),
        })
    }

    /// Remembers why a pod has not begun, until it has.
    fn note_wait(&self, name: &str, pod: Option<&PodObject>) {
        let mut waits = self.waits.lock().expect("nothing panics while it is held");
        match pod.map_or_else(|| Some("it has no pod".to_owned()), |pod| read::waiting(pod, CONTAINER)) {
            Some(why) => drop(waits.insert(name.to_owned(), why)),
            None => drop(waits.remove(name)),
        }
    }

    async fn at(&self, pod: &Pod) -> Result<(&Client, String), ClientError> {
        let connect = || async {
            let unusable = |why: String| ClientError::Unavailable {
                service: SERVICE,
                text: KubernetesError::Config(why).to_string(),
                retry_after: None,
            };
            let config = Config::infer().await.map_err(|error| unusable(error.to_string()))?;
            let namespace = config.default_namespace.clone();
            let client = Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
            Ok((client, namespace))
        };
        let (client, own) = self.found.get_or_try_init(connect).await?;
        Ok((client, pod.namespace.as_ref().unwrap_or(own).clone()))
    }
}

fn job_object(name: &str, job: &SiteJob<'_>) -> Value {
    let labels = json!({
        "app.kubernetes.io/managed-by": "bosun", "app.kubernetes.io/component": "site-job",
        SITE_JOB_LABEL: job.session_id.to_string(),
    });
    let annotations = json!({"bosun/session-name": job.session, "bosun/step": job.step});
    let env: Vec<Value> =
        job.environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let maps = parts(name, &job.names).map(
        |(map, file, _)| json!({"configMap": {"name": map, "items": [{"key": "components", "path": file}]}}),
    );
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": job.pod.service_account.is_some(),
        "enableServiceLinks": false,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": CONTAINER, "image": job.pod.image, "imagePullPolicy": "IfNotPresent",
            "command": job.command, "env": env,
            "securityContext": {"allowPrivilegeEscalation": false},
            "volumeMounts": [{"name": "components", "mountPath": MOUNT_PATH, "readOnly": true}],
        }],
        "volumes": [{"name": "components", "projected": {"sources": maps.collect::<Vec<_>>()}}],
    });
    if let Some(account) = &job.pod.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {
            // One pod, once: what its exit code says is the step's to decide.
            "backoffLimit": 0,
            "activeDeadlineSeconds": job.within.as_secs().max(1),
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    })
}

/// The names in parts that a ConfigMap can hold: its name, the file's, and what is in it.
fn parts<'a>(job: &str, names: &'a [String]) -> impl Iterator<Item = (String, String, &'a [String])> {
    let job = job.to_owned();
    names.chunks(CONFIG_MAP_NAMES_MAX).enumerate().map(move |(number, part)| match number {
        0 => (job.clone(), "components".to_owned(), part),
        _ => (format!("{job}-{number}"), format!("components.{number}"), part),
    })
}

async fn give_names(
    client: &Client,
    namespace: &str,
    job: &str,
    uid: &str,
    names: &[String],
) -> Result<(), KubernetesError> {
    let kind = ApiResource::erase::<ConfigMapObject>(&());
    let maps: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    for (map, _, part) in parts(job, names) {
        let lines: String = part.iter().map(|name| format!("{name}\n")).collect();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": map, "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid},
            ]},
            "data": {"components": lines},
        });
        match answer("create a ConfigMap", maps.create(&PostParams::default(), &object(map)?)).await {
            Ok(_) | Err(KubernetesError::Refused { code: 409, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn object(value: Value) -> Result<DynamicObject, KubernetesError> {
    serde_json::from_value(value)
        .map_err(|error| KubernetesError::Failed { what: "write an object", reason: error.to_string() })
}

fn log_params() -> LogParams {
    LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: Some(LOG_LINES_MAX),
        limit_bytes: Some(LOG_BYTES_MAX),
        ..LogParams::default()
    }
}

fn heard(trouble: Option<String>, log: &str) -> Ended {
    let last_line = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let from = log.len().saturating_sub(WORDS_BYTES_MAX);
    let from = (from..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
    Ended { trouble, last_line: last_line.to_owned(), errors: log[from..].to_owned() }
}

/// What became of a write.
fn written(error: KubernetesError) -> ClientError {
    let text = error.to_string();
    match error {
        KubernetesError::Config(_) => ClientError::Unavailable { service: SERVICE, text, retry_after: None },
        KubernetesError::Refused { code: 401 | 403, .. } => ClientError::Unavailable {
            service: SERVICE,
            text: format!("{text}; the worker's ServiceAccount needs the Role for a site's Jobs"),
            retry_after: None,
        },
        KubernetesError::Refused { code: 429 | 503, .. } => {
            ClientError::Unavailable { service: SERVICE, text, retry_after: None }
        }
        KubernetesError::Refused { code, .. } if code < 500 => {
            ClientError::Refused { service: SERVICE, status: code, text }
        }
        KubernetesError::Refused { .. } | KubernetesError::Failed { .. } | KubernetesError::Late { .. } => {
            ClientError::Lost { service: SERVICE, text }
        }
    }
}

/// What became of a question.
fn asked(error: KubernetesError) -> ClientError {
    match written(error) {
        ClientError::Lost { service, text } | ClientError::Refused { service, text, .. } => {
            ClientError::Unavailable { service, text, retry_after: None }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(pod: &'a Pod, command: &'a [String], names: Vec<String>) -> SiteJob<'a> {
        SiteJob {
            pod,
            command,
            environment: BTreeMap::from([("SITE".to_owned(), "7".to_owned())]),
            names,
            within: Duration::from_secs(90),
            session_id: SessionId(7),
            session: "night",
            step: "compute/check",
        }
    }

    #[test]
    fn a_job_runs_once_and_has_no_token_unless_it_has_an_account() {
        let mut pod = Pod { image: "tools:1".to_owned(), namespace: None, service_account: None };
        let command = ["check".to_owned()];
        let object = job_object("bosun-7-1-aa", &job(&pod, &command, vec!["x1c0s0b0n0".to_owned()]));
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(
            (
                &object["spec"]["backoffLimit"],
                &spec["restartPolicy"],
                &object["spec"]["activeDeadlineSeconds"]
            ),
            (&json!(0), &json!("Never"), &json!(90))
        );
        assert_eq!(spec["automountServiceAccountToken"], json!(false));
        assert_eq!(spec["containers"][0]["env"], json!([{"name": "SITE", "value": "7"}]));
        assert_eq!(object["metadata"]["labels"][SITE_JOB_LABEL], json!("7"));
        pod.service_account = Some("drainer".to_owned());
        let object = job_object("bosun-7-1-aa", &job(&pod, &command, Vec::new()));
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(
            (&spec["serviceAccountName"], &spec["automountServiceAccountToken"]),
            (&json!("drainer"), &json!(true))
        );
    }

    #[test]
    fn more_names_than_a_config_map_holds_are_in_several() {
        let names = vec!["x1000c0s0b0n0".to_owned(); CONFIG_MAP_NAMES_MAX + 1];
        let found: Vec<_> = parts("job", &names).map(|(map, file, part)| (map, file, part.len())).collect();
        assert_eq!(
            found,
            [
                ("job".to_owned(), "components".to_owned(), CONFIG_MAP_NAMES_MAX),
                ("job-1".to_owned(), "components.1".to_owned(), 1)
            ]
        );
        let long = "x99999c7s63b15n15\n".len();
        assert!(CONFIG_MAP_NAMES_MAX * long < 1 << 20, "a ConfigMap holds 1 MiB");
    }

    #[test]
    fn the_last_line_of_a_log_that_says_anything_is_its_answer() {
        let ended = heard(None, "one\n{\"failed\": {}}\n\n");
        assert_eq!((ended.last_line.as_str(), ended.trouble), ("{\"failed\": {}}", None));
        let long = "ü".repeat(WORDS_BYTES_MAX);
        assert!(heard(None, &long).errors.len() <= WORDS_BYTES_MAX);
    }

    #[test]
    fn an_error_says_whether_the_job_may_be_there() {
        let refused =
            |code| written(KubernetesError::Refused { what: "create a Job", code, message: "no".to_owned() });
        for code in [401, 403, 429, 503] {
            assert!(matches!(refused(code), ClientError::Unavailable { .. }), "{code}");
        }
        assert!(matches!(refused(422), ClientError::Refused { .. }));
        assert!(matches!(refused(500), ClientError::Lost { .. }));
        assert!(matches!(written(KubernetesError::Late { what: "create a Job" }), ClientError::Lost { .. }));
        assert!(matches!(asked(KubernetesError::Late { what: "read" }), ClientError::Unavailable { .. }));
    }
}
