//! Kubernetes: the Jobs that workers run in, and their pods; and Jobs of a site's own. Nobody else knows its API.
//!
//! Nothing here needs more than Kubernetes 1.20. What is created goes out as it was written, not through typed objects,
//! which would drop the fields of a newer Kubernetes without a word. Lists are paged; every call has a timeout; nothing
//! is repeated, since the launcher looks again anyway.

use std::{pin::pin, time::Duration};

use chrono::SecondsFormat;
use futures_util::TryStreamExt as _;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    batch::v1::Job as JobObject,
    core::v1::{Event as EventObject, Pod as PodObject},
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams, WatchParams},
};
use serde::de::DeserializeOwned;

use crate::model::{Timestamp, session::SessionId};

mod read;
pub mod site_job;

/// The label that names a worker's session by its number.
pub const SESSION_LABEL: &str = "bosun/session";
/// The label that numbers the Jobs of a session.
pub const LAUNCH_LABEL: &str = "bosun/launch";
/// The container that a worker runs in; a mesh or an operator may put others beside it.
pub const CONTAINER: &str = "worker";

/// Longest time for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects on one page of a list; what kubectl asks for.
const PAGE_SIZE: u32 = 500;
/// Most pages of a list: more Jobs than that are not ours.
const PAGES_MAX: usize = 40;
/// How long one watch lasts, in seconds; then it is begun anew.
const WATCH_SECONDS: u32 = 240;

/// What the launcher does: API group, resource, verb.
const RIGHTS: [(&str, &str, &str); 5] = [
    ("batch", "jobs", "create"),
    ("batch", "jobs", "delete"),
    ("batch", "jobs", "list"),
    ("", "pods", "list"),
    ("", "pods", "watch"),
];

/// The API server did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// There is no way to reach it.
    #[error("no way to reach the Kubernetes API is configured: {0}")]
    Config(String),
    /// It said no.
    #[error("cannot {what}: the Kubernetes API answers {code}: {message}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It was not reached, or its answer was no answer.
    #[error("cannot {what}: {reason}")]
    Failed {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// It did not answer in time.
    #[error("cannot {what}: the Kubernetes API did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Late {
        /// What was asked for.
        what: &'static str,
    },
}

/// A Job of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Whose.
    pub session: SessionId,
    /// Which of that session's.
    pub launch: u32,
    /// Where it is.
    pub state: JobState,
    /// Somebody deleted it.
    pub deleting: bool,
    /// Pods of it that failed, as the Job controller counts them.
    pub failed_pods: u32,
}

/// Where a Job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It has a pod, or will have one.
    Active,
    /// A pod ended with 0.
    Complete {
        /// When.
        at: Option<Timestamp>,
    },
    /// The Job controller gave it up.
    Failed {
        /// When.
        at: Option<Timestamp>,
    },
}

/// A pod of such a Job. It runs its container once: its name is the worker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whose.
    pub session: SessionId,
    /// Of which Job.
    pub launch: u32,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Where it is.
    pub state: PodState,
}

/// Where a pod's worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// Not begun yet; why, as Kubernetes puts it.
    Waiting(String),
    /// At work, as far as is known.
    Running,
    /// Its container was seen to end.
    Ended {
        /// The exit code; 128 and a signal's number where a signal ended it.
        code: i32,
        /// What it said last.
        words: String,
    },
    /// The pod counts as failed, but nobody saw its container end: its node is gone. It may still run.
    Lost,
}

/// What is there, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The Jobs.
    pub jobs: Vec<Job>,
    /// Their pods.
    pub pods: Vec<Pod>,
}

/// Something that people who look at the cluster should know.
#[derive(Debug, Clone)]
pub struct News<'a> {
    /// The Event's name: the same news has the same name, however often it is told.
    pub name: &'a str,
    /// The Job it is about.
    pub job: &'a str,
    /// In one word, as in `SessionHalted`.
    pub reason: &'a str,
    /// In a sentence.
    pub message: &'a str,
    /// Whether somebody has to do something.
    pub is_warning: bool,
    /// When it happened.
    pub at: Timestamp,
}

/// What came of creating a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// One of this name was there already.
    Exists,
}

/// The workers' Jobs of one installation.
#[derive(Clone)]
pub struct Kubernetes {
    jobs: Api<JobObject>,
    any_jobs: Api<DynamicObject>,
    pods: Api<PodObject>,
    events: Api<DynamicObject>,
    selector: String,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kubernetes({:?}, {})", self.jobs.namespace(), self.selector)
    }
}

impl Kubernetes {
    /// Finds the API as a pod does, or else as kubectl does. `selector` says which labels our Jobs and pods carry.
    /// Nothing is asked yet.
    pub async fn new(selector: String) -> Result<Self, KubernetesError> {
        let config = Config::infer().await.map_err(|error| KubernetesError::Config(error.to_string()))?;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| KubernetesError::Config(error.to_string()))?;
        let any_job = ApiResource::erase::<JobObject>(&());
        Ok(Self {
            jobs: Api::namespaced(client.clone(), &namespace),
            any_jobs: Api::namespaced_with(client.clone(), &namespace, &any_job),
            pods: Api::namespaced(client.clone(), &namespace),
            events: Api::namespaced_with(client, &namespace, &ApiResource::erase::<EventObject>(&())),
            selector,
        })
    }

    /// The version of the API server.
    pub async fn version(&self) -> Result<String, KubernetesError> {
        let client = self.jobs.clone().into_client();
        let version = answer("ask for the version", client.apiserver_version()).await?;
        Ok(version.git_version)
    }

    /// What the launcher does and we may not do, in words.
    pub async fn rights_missing(&self) -> Result<Vec<String>, KubernetesError> {
        let namespace = self.jobs.namespace().unwrap_or_default().to_owned();
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.jobs.clone().into_client());
        let mut missing = Vec::new();
        for (group, resource, verb) in RIGHTS {
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(namespace.clone()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let review =
                answer("ask for our rights", reviews.create(&PostParams::default(), &review)).await?;
            if !review.status.is_some_and(|status| status.allowed) {
                missing.push(format!("{verb} {resource} in {namespace}"));
            }
        }
        Ok(missing)
    }

    /// Every Job and pod of ours, as the API server has them now.
    pub async fn look(&self) -> Result<Seen, KubernetesError> {
        // Pods first: of a Job that is made in between no pod is missed, and none is taken for an orphan.
        let pods = self.list(&self.pods, "list pods").await?;
        let jobs = self.list(&self.jobs, "list Jobs").await?;
        Ok(Seen {
            jobs: jobs.iter().filter_map(read::job).collect(),
            pods: pods.iter().filter_map(read::pod).collect(),
        })
    }

    async fn list<K>(&self, api: &Api<K>, what: &'static str) -> Result<Vec<K>, KubernetesError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        list(api, &self.selector, what).await
    }

    /// Creates a Job as it is written.
    pub async fn create(&self, job: serde_json::Value) -> Result<Created, KubernetesError> {
        let what = "create a Job";
        let job: DynamicObject = serde_json::from_value(job)
            .map_err(|error| KubernetesError::Failed { what, reason: error.to_string() })?;
        match answer(what, self.any_jobs.create(&PostParams::default(), &job)).await {
            Ok(_) => Ok(Created::New),
            Err(KubernetesError::Refused { code: 409, .. }) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    /// Deletes a Job, and its pods with it. Harmless where it is gone.
    pub async fn delete(&self, name: &str) -> Result<(), KubernetesError> {
        match answer("delete a Job", self.jobs.delete(name, &DeleteParams::background())).await {
            Ok(_) | Err(KubernetesError::Refused { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes an Event about the Job whose name this is, or about none that exists any more. Harmless where the Event is
    /// there already.
    pub async fn tell(&self, news: &News<'_>) -> Result<(), KubernetesError> {
        let what = "write an Event";
        let at = news.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let event = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": news.name},
            "involvedObject": {
                "apiVersion": "batch/v1", "kind": "Job", "name": news.job,
                "namespace": self.jobs.namespace().unwrap_or("default"),
            },
            "reason": news.reason,
            "message": news.message,
            "type": if news.is_warning { "Warning" } else { "Normal" },
            "count": 1,
            "source": {"component": "bosun"},
            "firstTimestamp": at,
            "lastTimestamp": at,
        });
        let event: DynamicObject = serde_json::from_value(event)
            .map_err(|error| KubernetesError::Failed { what, reason: error.to_string() })?;
        match answer(what, self.events.create(&PostParams::default(), &event)).await {
            Ok(_) | Err(KubernetesError::Refused { code: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Calls `changed` whenever something happens to a pod of ours, until the watch ends. Only a hint.
    pub async fn watch(&self, changed: impl Fn()) -> Result<(), KubernetesError> {
        let what = "watch pods";
        let params = WatchParams::default().labels(&self.selector).timeout(WATCH_SECONDS);
        let mut events = pin!(answer(what, self.pods.watch(&params, "0")).await?);
        let watch = async {
            while events.try_next().await.map_err(|error| refused(what, error))?.is_some() {
                changed();
            }
            Ok(())
        };
        let patience = Duration::from_secs(WATCH_SECONDS.into()) + ANSWER_TIMEOUT;
        tokio::time::timeout(patience, watch).await.unwrap_or(Ok(()))
    }
}

/// Everything that carries these labels, page by page.
async fn list<K>(api: &Api<K>, selector: &str, what: &'static str) -> Result<Vec<K>, KubernetesError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = ListParams::default().labels(selector).limit(PAGE_SIZE);
    let mut all = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = answer(what, api.list(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
    let reason = format!("there are more than {}", PAGES_MAX * PAGE_SIZE as usize);
    Err(KubernetesError::Failed { what, reason })
}

async fn answer<T>(
    what: &'static str,
    asked: impl Future<Output = kube::Result<T>>,
) -> Result<T, KubernetesError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| refused(what, error)),
        Err(_) => Err(KubernetesError::Late { what }),
    }
}

fn refused(what: &'static str, error: kube::Error) -> KubernetesError {
    match error {
        kube::Error::Api(status) => {
            KubernetesError::Refused { what, code: status.code, message: status.message }
        }
        error => KubernetesError::Failed { what, reason: error.to_string() },
    }
}
