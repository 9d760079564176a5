//! Power Control Service: transitions and power states.
//!
//! Every answer comes from a table that PCS refills every 30 s, so it may be that stale. A transition that is
//! `completed` says nothing about success: its tasks do.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{
    ClientError, Dated, fixed_path,
    http::{Http, Reply, in_chunks},
};
use crate::model::Timestamp;

/// Most xnames in one POST for power states: 8,000 were answered in 0.35 s with 1.3 MB.
const STATUS_XNAMES_MAX: usize = 8_000;
/// Most xnames in one GET for power states, for a PCS that has no POST: they go into the URL.
const STATUS_URL_XNAMES_MAX: usize = 200;

/// The client.
#[derive(Debug)]
pub struct Pcs {
    http: Http,
    /// PCS before 2.3 has no POST for power states; found out once.
    no_status_by_body: AtomicBool,
}

/// A transition; its tasks only where one is asked for by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its id.
    pub id: String,
    /// `On`, `Soft-Off`, `Force-Off`, …
    pub operation: String,
    /// How far it is.
    pub status: TransitionStatus,
    /// When it was made, by PCS' clock.
    pub created_at: Option<Timestamp>,
    /// One per component, in no order. PCS adds tasks for switches, and shows none or a part while it starts.
    pub tasks: Vec<Task>,
}

/// How far a transition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionStatus {
    /// Not over: new, in progress, or about to be aborted.
    Underway,
    /// PCS does no more for it. Its tasks say what came of it.
    Completed,
    /// Aborted; commands already sent are not undone.
    Aborted,
}

/// What PCS did with one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The component.
    pub xname: String,
    /// How far it is.
    pub status: TaskStatus,
    /// PCS' words.
    pub description: String,
    /// PCS' words about an error, or an empty string.
    pub error: String,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// New or in progress.
    Underway,
    /// It says so itself; read the words.
    Succeeded,
    /// Failed; read the words.
    Failed,
    /// Not for this kind of component.
    Unsupported,
}

/// The power state of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    /// On, or on its way off.
    On,
    /// Off, or on its way on.
    Off,
    /// Its BMC does not answer.
    Undefined,
}

/// What PCS' table says of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerStatus {
    /// The component.
    pub xname: String,
    /// Its state; none if PCS does not know the component (yet).
    pub state: Option<PowerState>,
}

#[derive(Deserialize)]
struct TransitionsWire<'a> {
    #[serde(default, borrow)]
    transitions: Option<Vec<TransitionWire<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransitionWire<'a> {
    #[serde(rename = "transitionID")]
    id: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    transition_status: String,
    #[serde(default)]
    create_time: String,
    #[serde(default, borrow)]
    tasks: Option<Vec<TaskWire<'a>>>,
}

/// Borrowed from the answer: thousands of tasks are read four times a second, and of most only the status counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskWire<'a> {
    #[serde(borrow)]
    xname: Cow<'a, str>,
    #[serde(default, borrow)]
    task_status: Cow<'a, str>,
    #[serde(default, borrow)]
    task_status_description: Cow<'a, str>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct CreatedWire {
    #[serde(rename = "transitionID")]
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateWire<'a> {
    operation: &'a str,
    task_deadline_minutes: u32,
    location: Vec<LocationWire<'a>>,
}

#[derive(Serialize)]
struct LocationWire<'a> {
    xname: &'a str,
}

#[derive(Serialize)]
struct StatusQueryWire<'a> {
    xname: &'a [String],
}

#[derive(Deserialize)]
struct StatusesWire {
    #[serde(default)]
    status: Option<Vec<StatusWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusWire {
    xname: String,
    #[serde(default)]
    power_state: String,
}

impl Pcs {
    pub(super) fn new(http: Http) -> Self {
        Self { http, no_status_by_body: AtomicBool::new(false) }
    }

    /// Begins a transition and gives its id. PCS checks no xname here; each call begins another transition. The
    /// deadline is per stage, and 0 is broken in PCS: at least 1 is sent.
    pub async fn create_transition(
        &self,
        operation: &str,
        deadline_minutes: u32,
        xnames: &[String],
    ) -> Result<String, ClientError> {
        let body = CreateWire {
            operation,
            task_deadline_minutes: deadline_minutes.max(1),
            location: xnames.iter().map(|xname| LocationWire { xname }).collect(),
        };
        let answer = self.http.write(Method::POST, &["transitions"], Some(&body)).await;
        Ok(fixed_path(answer)?.json::<CreatedWire>()?.id)
    }

    /// All transitions PCS remembers (24 h, or 20,000), without their tasks.
    pub async fn transitions(&self) -> Result<Dated<Vec<Transition>>, ClientError> {
        let reply = self.http.get(&["transitions"], &[]).await?;
        let wire = reply.json::<TransitionsWire>()?.transitions.unwrap_or_default();
        Ok(Dated { value: wire.into_iter().map(Transition::from).collect(), date: reply.date() })
    }

    /// A transition with its tasks; none if PCS has forgotten it (an id it cannot have made counts as forgotten).
    pub async fn transition(&self, id: &str) -> Result<Option<Transition>, ClientError> {
        match self.http.get(&["transitions", id], &[]).await {
            Ok(reply) => reply.json::<TransitionWire>().map(|wire| Some(wire.into())),
            Err(ClientError::Refused { status: 400 | 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks PCS to abort a transition; one that is over or forgotten is as good as aborted.
    pub async fn abort_transition(&self, id: &str) -> Result<(), ClientError> {
        match self.http.write(Method::DELETE, &["transitions", id], None::<&()>).await {
            Ok(_) | Err(ClientError::Refused { status: 400 | 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What PCS' table says of these. No xnames: no question (PCS would tell of everything).
    pub async fn power_status(&self, xnames: &[String]) -> Result<Vec<PowerStatus>, ClientError> {
        if !self.no_status_by_body.load(Ordering::Relaxed) {
            match in_chunks(xnames, STATUS_XNAMES_MAX, |chunk| self.status_by_body(chunk)).await {
                Err(ClientError::Refused { status: 404 | 405, .. }) => {
                    self.no_status_by_body.store(true, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        in_chunks(xnames, STATUS_URL_XNAMES_MAX, |chunk| self.status_by_url(chunk)).await
    }

    async fn status_by_body(&self, xname: &[String]) -> Result<Vec<PowerStatus>, ClientError> {
        let reply = self.http.query(&["power-status"], &StatusQueryWire { xname }).await?;
        Ok(reply.json::<StatusesWire>()?.into())
    }

    async fn status_by_url(&self, xnames: &[String]) -> Result<Vec<PowerStatus>, ClientError> {
        let query: Vec<_> = xnames.iter().map(|xname| ("xname", xname.as_str())).collect();
        let reply = self.http.get(&["power-status"], &query).await?;
        Ok(reply.json::<StatusesWire>()?.into())
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        self.http.root().as_str()
    }

    /// Whether PCS, and the HSM it depends on, are well.
    pub(super) async fn ready(&self) -> Result<Reply, ClientError> {
        self.http.get(&["readiness"], &[]).await
    }
}

impl From<StatusesWire> for Vec<PowerStatus> {
    fn from(wire: StatusesWire) -> Self {
        wire.status.unwrap_or_default().into_iter().map(PowerStatus::from).collect()
    }
}

impl From<StatusWire> for PowerStatus {
    fn from(wire: StatusWire) -> Self {
        let state = match wire.power_state.to_ascii_lowercase().as_str() {
            "on" => Some(PowerState::On),
            "off" => Some(PowerState::Off),
            "undefined" => Some(PowerState::Undefined),
            _ => None,
        };
        Self { xname: wire.xname, state }
    }
}

impl From<TransitionWire<'_>> for Transition {
    fn from(wire: TransitionWire<'_>) -> Self {
        let status = match wire.transition_status.to_ascii_lowercase().as_str() {
            "completed" => TransitionStatus::Completed,
            "aborted" => TransitionStatus::Aborted,
            _ => TransitionStatus::Underway,
        };
        Self {
            id: wire.id,
            operation: wire.operation,
            status,
            created_at: wire.create_time.parse().ok(),
            tasks: wire.tasks.unwrap_or_default().into_iter().map(Task::from).collect(),
        }
    }
}

impl From<TaskWire<'_>> for Task {
    fn from(wire: TaskWire<'_>) -> Self {
        let is = |word: &str| wire.task_status.eq_ignore_ascii_case(word);
        let status = if is("succeeded") {
            TaskStatus::Succeeded
        } else if is("failed") {
            TaskStatus::Failed
        } else if is("unsupported") || is("un-supported") {
            TaskStatus::Unsupported
        } else {
            TaskStatus::Underway
        };
        Self {
            xname: wire.xname.into_owned(),
            status,
            description: wire.task_status_description.into_owned(),
            error: wire.error.unwrap_or_default(),
        }
    }
}
