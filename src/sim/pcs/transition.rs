//! A transition: one operation on many components, with one task for each.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use uuid::Uuid;

use super::Location;
use super::stage::Stage;
use crate::sim::clock::{Clock, Moment};
use crate::sim::world::{Event, NodeNo, World};

/// How long a record is kept.
const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What a transition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    On,
    Off,
    SoftOff,
    ForceOff,
    SoftRestart,
    HardRestart,
    Init,
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::On,
        Self::Off,
        Self::SoftOff,
        Self::ForceOff,
        Self::SoftRestart,
        Self::HardRestart,
        Self::Init,
    ];

    /// Its canonical name.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::Off => "Off",
            Self::SoftOff => "Soft-Off",
            Self::ForceOff => "Force-Off",
            Self::SoftRestart => "Soft-Restart",
            Self::HardRestart => "Hard-Restart",
            Self::Init => "Init",
        }
    }

    /// Reads a name in any case.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name().eq_ignore_ascii_case(name))
    }

    /// The stages it goes through, in order.
    pub fn stages(self) -> &'static [Stage] {
        match self {
            Self::On => &[Stage::On],
            Self::SoftOff => &[Stage::Graceful],
            Self::ForceOff => &[Stage::Force],
            Self::Off => &[Stage::Graceful, Stage::Force],
            Self::SoftRestart => &[Stage::Graceful, Stage::On],
            Self::HardRestart | Self::Init => &[Stage::Graceful, Stage::Force, Stage::On],
        }
    }
}

/// Where a transition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    New,
    InProgress,
    Completed,
    AbortSignaled,
    Aborted,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::AbortSignaled => "abort-signaled",
            Self::Aborted => "aborted",
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    New,
    InProgress,
    Succeeded,
    Failed,
    Unsupported,
}

/// What becomes of one component.
#[derive(Debug)]
pub struct Task {
    pub xname: String,
    pub deputy_key: Option<String>,
    /// The node, once it is known to be one that can be acted on.
    pub node: Option<NodeNo>,
    pub status: TaskStatus,
    pub description: Cow<'static, str>,
    pub error: Cow<'static, str>,
    /// Sent, and waiting for the table to show it.
    pub confirming: bool,
    /// The transition holds the component's reservation.
    pub reserved: bool,
}

impl Task {
    /// Ends the task.
    pub fn end(
        &mut self,
        status: TaskStatus,
        description: impl Into<Cow<'static, str>>,
        error: impl Into<Cow<'static, str>>,
    ) {
        self.status = status;
        self.description = description.into();
        self.error = error.into();
        self.confirming = false;
    }

    /// Whether it is still to be worked on.
    pub fn is_open(&self) -> bool {
        matches!(self.status, TaskStatus::New | TaskStatus::InProgress)
    }
}

/// What a transition does when its next event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Says that it is in progress, though it has no tasks yet.
    Announce,
    /// Makes its tasks, and begins its first stage.
    MakeTasks,
    /// Gives up on BMCs that did not answer.
    GiveUpOnBmcs,
    /// Looks at the table for confirmation.
    Confirm,
    /// Says that it is over.
    Complete,
    /// Nothing: it is over.
    Nothing,
}

/// A transition.
#[derive(Debug)]
pub struct Transition {
    pub id: Uuid,
    pub operation: Operation,
    pub deadline_minutes: i64,
    pub created: Moment,
    pub status: Status,
    pub(super) locations: Vec<Location>,
    pub tasks: Vec<Task>,
    /// Which of the operation's stages it is in.
    pub stage: usize,
    /// When that stage is over at the latest.
    pub stage_deadline: Moment,
    pub next: Next,
}

#[derive(Default, Serialize)]
struct Counts {
    total: usize,
    new: usize,
    #[serde(rename = "in-progress")]
    in_progress: usize,
    failed: usize,
    succeeded: usize,
    #[serde(rename = "un-supported")]
    unsupported: usize,
}

/// A transition as PCS shows it.
#[derive(Serialize)]
pub struct View<'a> {
    #[serde(rename = "transitionID")]
    id: Uuid,
    operation: &'static str,
    #[serde(rename = "createTime")]
    create_time: String,
    #[serde(rename = "automaticExpirationTime")]
    expires: String,
    #[serde(rename = "transitionStatus")]
    status: &'static str,
    #[serde(rename = "taskCounts")]
    counts: Counts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<TaskView<'a>>,
}

#[derive(Serialize)]
struct TaskView<'a> {
    xname: &'a str,
    #[serde(rename = "taskStatus")]
    status: TaskStatus,
    #[serde(rename = "taskStatusDescription")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

impl Transition {
    /// The transition as PCS shows it, with its tasks or without.
    pub fn view(&self, clock: &Clock, with_tasks: bool) -> View<'_> {
        let mut counts = Counts { total: self.tasks.len(), ..Counts::default() };
        for task in &self.tasks {
            *match task.status {
                TaskStatus::New => &mut counts.new,
                TaskStatus::InProgress => &mut counts.in_progress,
                TaskStatus::Succeeded => &mut counts.succeeded,
                TaskStatus::Failed => &mut counts.failed,
                TaskStatus::Unsupported => &mut counts.unsupported,
            } += 1;
        }
        let tasks = if with_tasks { self.tasks.as_slice() } else { &[] };
        View {
            id: self.id,
            operation: self.operation.name(),
            create_time: clock.millis(self.created),
            expires: clock.millis(self.created.after(KEPT)),
            status: self.status.name(),
            counts,
            tasks: tasks
                .iter()
                .map(|task| TaskView {
                    xname: &task.xname,
                    status: task.status,
                    description: &task.description,
                    error: &task.error,
                })
                .collect(),
        }
    }

    /// Asks for an abort; false if the transition is over already.
    pub fn signal_abort(&mut self) -> bool {
        match self.status {
            Status::Completed => false,
            Status::Aborted | Status::AbortSignaled => true,
            Status::New | Status::InProgress => {
                self.status = Status::AbortSignaled;
                true
            }
        }
    }
}

impl World {
    /// Takes a new transition. Nothing is checked yet, and it has no tasks for a moment.
    pub(super) fn create_transition(
        &mut self,
        operation: Operation,
        deadline_minutes: i64,
        locations: Vec<Location>,
    ) -> Uuid {
        let mut seen = HashSet::new();
        let locations =
            locations.into_iter().filter(|location| seen.insert(location.xname.clone())).collect();
        let id = Uuid::new_v4();
        let number = self.pcs.transitions.len();
        self.pcs.by_id.insert(id, number);
        self.pcs.transitions.push(Transition {
            id,
            operation,
            deadline_minutes,
            created: self.now,
            status: Status::New,
            locations,
            tasks: Vec::new(),
            stage: 0,
            stage_deadline: Moment::NEVER,
            next: Next::Announce,
        });
        self.schedule(self.settings.pcs_start / 2, Event::Transition { number });
        id
    }
}
