//! What Kubernetes says of our Jobs and pods, read.

use chrono::DateTime;
use k8s_openapi::{
    api::{
        batch::v1::Job as JobObject,
        core::v1::{ContainerState, ContainerStateTerminated, Pod as PodObject},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use super::{CONTAINER, Job, JobState, LAUNCH_LABEL, Pod, PodState, SESSION_LABEL};
use crate::model::{Timestamp, session::SessionId};

/// Bytes of a container's last words that are kept.
const WORDS_BYTES_MAX: usize = 4096;

/// None: it lacks our labels, so it is not ours.
pub(super) fn job(object: &JobObject) -> Option<Job> {
    let (session, launch) = labels(&object.metadata)?;
    let status = object.status.as_ref();
    let condition = |kind: &str| {
        let conditions = status?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let state = if let Some(complete) = condition("Complete") {
        JobState::Complete { at: complete.last_transition_time.as_ref().and_then(timestamp) }
    } else if let Some(failed) = condition("Failed") {
        JobState::Failed { at: failed.last_transition_time.as_ref().and_then(timestamp) }
    } else {
        JobState::Active
    };
    Some(Job {
        name: object.metadata.name.clone()?,
        session,
        launch,
        state,
        deleting: object.metadata.deletion_timestamp.is_some(),
        failed_pods: status.and_then(|status| status.failed).and_then(|n| n.try_into().ok()).unwrap_or(0),
    })
}

pub(super) fn pod(object: &PodObject) -> Option<Pod> {
    let (session, launch) = labels(&object.metadata)?;
    let created_at = object.metadata.creation_timestamp.as_ref().and_then(timestamp);
    Some(Pod { name: object.metadata.name.clone()?, session, launch, created_at, state: pod_state(object) })
}

fn pod_state(object: &PodObject) -> PodState {
    let Some(status) = &object.status else { return PodState::Waiting(String::new()) };
    let containers = status.container_statuses.iter().flatten();
    let state = containers.filter(|container| container.name == CONTAINER).find_map(|one| one.state.as_ref());
    match state {
        Some(ContainerState { terminated: Some(ended), .. }) => {
            let mut words = ended.message.clone().unwrap_or_default();
            let from = words.len().saturating_sub(WORDS_BYTES_MAX);
            let from = (from..=words.len()).find(|at| words.is_char_boundary(*at)).unwrap_or(0);
            PodState::Ended { code: ended.exit_code, words: words.split_off(from) }
        }
        _ if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) => PodState::Lost,
        Some(ContainerState { running: Some(_), .. }) => PodState::Running,
        Some(ContainerState { waiting: Some(waiting), .. }) => {
            let texts = [waiting.reason.as_deref(), waiting.message.as_deref()];
            PodState::Waiting(texts.into_iter().flatten().collect::<Vec<_>>().join(": "))
        }
        _ => {
            let unmet = status.conditions.iter().flatten().find(|condition| condition.status == "False");
            let texts = unmet.map(|unmet| [unmet.reason.as_deref(), unmet.message.as_deref()]);
            PodState::Waiting(texts.into_iter().flatten().flatten().collect::<Vec<_>>().join(": "))
        }
    }
}

fn labels(metadata: &ObjectMeta) -> Option<(SessionId, u32)> {
    let labels = metadata.labels.as_ref()?;
    let session = labels.get(SESSION_LABEL)?.parse().ok()?;
    Some((SessionId(session), labels.get(LAUNCH_LABEL)?.parse().ok()?))
}

fn timestamp(time: &Time) -> Option<Timestamp> {
    DateTime::from_timestamp_millis(time.0.as_millisecond())
}

/// How a Job ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Its pod ended with 0.
    Well,
    /// Its pod did not.
    Badly,
    /// It was not through in its time.
    TooLong,
}

/// How a Job of a site's own ended; none while it runs.
pub(super) fn over(job: &JobObject) -> Option<Over> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |kind: &str| conditions.iter().find(|one| one.type_ == kind && one.status == "True");
    if holds("Complete").is_some() {
        return Some(Over::Well);
    }
    let failed = holds("Failed")?;
    Some(if failed.reason.as_deref() == Some("DeadlineExceeded") { Over::TooLong } else { Over::Badly })
}

/// The Job a pod belongs to.
pub(super) fn owner(pod: &PodObject) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.kind == "Job").map(|owner| owner.name.as_str())
}

/// How a container ended; none if nobody saw that.
pub(super) fn terminated<'a>(pod: &'a PodObject, container: &str) -> Option<&'a ContainerStateTerminated> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let container = containers.iter().find(|one| one.name == container)?;
    container.state.as_ref()?.terminated.as_ref()
}

/// Why a container has not begun; none if it has.
pub(super) fn waiting(pod: &PodObject, container: &str) -> Option<String> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let state =
        containers.and_then(|containers| containers.iter().find(|one| one.name == container)?.state.clone());
    match state {
        Some(state) if state.running.is_some() || state.terminated.is_some() => None,
        Some(state) => {
            let waiting = state.waiting.unwrap_or_default();
            let texts = [waiting.reason, waiting.message];
            Some(texts.into_iter().flatten().collect::<Vec<_>>().join(": "))
        }
        None => {
            let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
            let unmet = conditions.into_iter().find(|condition| condition.status == "False");
            let texts = unmet.map(|unmet| [unmet.reason.clone(), unmet.message.clone()]);
            Some(texts.into_iter().flatten().flatten().collect::<Vec<_>>().join(": "))
        }
    }
}

/// In words.
pub(super) fn exit(ended: &ContainerStateTerminated) -> String {
    match ended.reason.as_deref() {
        None | Some("Error" | "Completed" | "") => format!("exit code {}", ended.exit_code),
        Some(reason) => format!("exit code {} ({reason})", ended.exit_code),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata() -> Value {
        json!({"name": "bosun-worker-7-2", "labels": {SESSION_LABEL: "7", LAUNCH_LABEL: "2"}})
    }

    fn read_pod(status: Value) -> PodState {
        let object = json!({"metadata": metadata(), "status": status});
        pod(&serde_json::from_value(object).expect("a pod")).expect("one of ours").state
    }

    #[test]
    fn a_job_is_read() {
        let read = |status: Value| {
            let object = json!({"metadata": metadata(), "status": status});
            job(&serde_json::from_value(object).expect("a Job")).expect("one of ours")
        };
        let fresh = read(json!({}));
        assert_eq!((fresh.session, fresh.launch, fresh.state), (SessionId(7), 2, JobState::Active));
        let ended = |kind: &str, status: &str| {
            json!({"failed": 3, "conditions": [
                {"type": kind, "status": status, "lastTransitionTime": "2026-11-22T14:00:00Z"}]})
        };
        let failed = read(ended("Failed", "True"));
        let at = "2026-11-22T14:00:00Z".parse().ok();
        assert_eq!((failed.state, failed.failed_pods), (JobState::Failed { at }, 3));
        assert_eq!(read(ended("Complete", "True")).state, JobState::Complete { at });
        assert_eq!(read(ended("Failed", "False")).state, JobState::Active);
    }

    #[test]
    fn what_lacks_our_labels_is_not_ours() {
        let object = json!({"metadata": {"name": "a", "labels": {SESSION_LABEL: "7", LAUNCH_LABEL: "x"}}});
        assert_eq!(pod(&serde_json::from_value(object).expect("a pod")), None);
    }

    #[test]
    fn only_a_container_that_was_seen_to_end_has_ended() {
        let container = |state: Value| {
            json!([{"name": "mesh", "state": {"terminated": {"exitCode": 1}}},
                                             {"name": "worker", "state": state}])
        };
        let dead = container(json!({"terminated": {"exitCode": 137, "message": "bye"}}));
        let ended = PodState::Ended { code: 137, words: "bye".to_owned() };
        assert_eq!(read_pod(json!({"phase": "Failed", "containerStatuses": dead})), ended);
        let running = container(json!({"running": {}}));
        assert_eq!(read_pod(json!({"phase": "Running", "containerStatuses": running})), PodState::Running);
        // A node that went away: the pod is written off, the container was running when last heard of.
        assert_eq!(read_pod(json!({"phase": "Failed", "containerStatuses": running})), PodState::Lost);
        assert_eq!(read_pod(json!({"phase": "Failed", "reason": "Evicted"})), PodState::Lost);
    }

    #[test]
    fn a_pod_that_waits_says_why() {
        let waiting =
            json!([{"name": "worker", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]);
        let state = read_pod(json!({"phase": "Pending", "containerStatuses": waiting}));
        assert_eq!(state, PodState::Waiting("ErrImagePull: no".to_owned()));
        let unmet =
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]);
        let state = read_pod(json!({"phase": "Pending", "conditions": unmet}));
        assert_eq!(state, PodState::Waiting("Unschedulable: 0/1".to_owned()));
    }

    #[test]
    fn a_job_is_over_when_its_controller_says_so() {
        let read = |conditions: Value| {
            let object = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
            over(&serde_json::from_value(object).expect("a Job"))
        };
        let failed =
            |reason: &str, status: &str| json!([{"type": "Failed", "status": status, "reason": reason}]);
        assert_eq!(read(json!([])), None);
        assert_eq!(read(json!([{"type": "Complete", "status": "True"}])), Some(Over::Well));
        assert_eq!(read(failed("BackoffLimitExceeded", "True")), Some(Over::Badly));
        assert_eq!(read(failed("DeadlineExceeded", "True")), Some(Over::TooLong));
        assert_eq!(read(failed("DeadlineExceeded", "False")), None);
    }
}
