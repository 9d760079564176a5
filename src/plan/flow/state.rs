//! What the flow keeps: cells (component × step), components, steps, open calls.

use std::collections::{BTreeMap, VecDeque};

use fixedbitset::FixedBitSet;

use crate::model::{
    Timestamp,
    checkpoint::StepCounters,
    component::Report,
    effect::{EffectNo, EffectState, RemoteRef},
    plan::{EdgeKind, Ordinal, Plan, SliceNo, StepNo},
    reason::{Reason, ReasonCode},
    verb::{Decision, OpenEffect, Shape},
};

/// Milliseconds since the epoch: half the size of a `Timestamp`, and there are many.
pub(super) type Millis = i64;

pub(super) fn millis(at: Timestamp) -> Millis {
    at.timestamp_millis()
}

pub(super) fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_timestamp_millis(at).expect("a moment that was a Timestamp before")
}

/// Where a component is in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its needs are not met, or a barrier or gate holds it.
    NotReached,
    /// In the step, waiting for a call to be made.
    Ready,
    /// Covered by a call that has not been answered.
    Calling,
    /// Observed until it is at the goal.
    Underway,
    /// Through.
    Succeeded,
    /// Failed here.
    Failed,
    /// Left out here.
    Skipped,
    /// Left out because of what happened elsewhere; derived, never written.
    Dropped,
    /// The step is not meant for it.
    Passed,
}

impl Place {
    pub(super) fn is_in_flight(self) -> bool {
        matches!(self, Self::Ready | Self::Calling | Self::Underway)
    }

    pub(super) fn is_settled(self) -> bool {
        !self.is_in_flight() && self != Self::NotReached
    }

    /// Settled, and not through.
    pub(super) fn is_lost(self) -> bool {
        matches!(self, Self::Failed | Self::Skipped | Self::Dropped)
    }
}

/// A component in a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub place: Place,
    /// Succeeded, or passed with everything it needs through.
    pub through: bool,
    pub rung: u8,
    /// Effects on this rung that ended without reaching the goal.
    pub tries: u16,
    /// Effects in this run.
    pub attempts: u16,
    /// When it entered the step.
    pub entered: Millis,
    /// When it entered this rung; once settled, when it settled.
    pub since: Millis,
    /// The effect that covers it, 0 for none: an answer of another one is stale.
    pub effect: i32,
}

impl Cell {
    pub(super) const NEW: Self = Self {
        place: Place::NotReached,
        through: false,
        rung: 0,
        tries: 0,
        attempts: 0,
        entered: 0,
        since: 0,
        effect: 0,
    };
}

/// A component in the session.
#[derive(Debug, Clone, Default)]
pub(super) struct Component {
    pub run: u16,
    pub decision: Option<Decision>,
    /// Disturbing effects since an operator last sent it back, without those that were surely not taken.
    pub disturbances: u16,
    pub failed: Option<Box<Reason>>,
    pub skipped: Option<Box<Reason>>,
    /// To be left out as soon as no call covers it.
    pub doomed: Option<Box<Reason>>,
    /// Another session still holds it for this one.
    pub awaited: bool,
    /// Another session waits for its end here.
    pub wanted: bool,
    /// Its end was released.
    pub ended: bool,
    pub noticed: bool,
    /// Times sent back without an operator, in total.
    pub sent_back: u16,
    /// The last power effect by anybody before the present one.
    pub last_power: Option<Millis>,
    /// The present or last power effect of this session.
    pub this_power: Option<Millis>,
    /// This session's last power-on of it in this run, unless it was switched off since.
    pub powered_on: Option<Millis>,
    /// Its boot token now, and at its last power-on (index into the flow's tokens).
    pub token: Option<u32>,
    pub booted_with: Option<u32>,
    /// `powered_on` and `booted_with` before the present power effect, should it not have been taken.
    pub before: (Option<Millis>, Option<u32>, bool),
    /// The checkpoint that last said so; kept while what is past is read.
    pub noticed_seq: i64,
    /// The checkpoint that last sent it to be powered on once more; kept while what is past is read.
    pub repowered_seq: i64,
    pub reported: Option<Box<Report>>,
    /// HSM says Ready since.
    pub ready_since: Option<Millis>,
    /// The power effect that covered it last, while that is open for others.
    pub reserved_by: Option<EffectNo>,
    /// A lost call may act until then.
    pub covered_until: Millis,
    /// How often it may be tried in place of what the plan says.
    pub retry_policy: Option<u16>,
    /// Its place inside, of those that there are.
    pub room: Room,
    /// Disturbing effects since it was last given up for good, without those that were surely not taken: while there are
    /// any its place is kept.
    pub kept: u16,
    /// An operator has accepted that it failed.
    pub accepted: bool,
    /// The line that said so last; kept while what is past is read.
    pub accepted_seq: i64,
    /// That it is out counts against no barrier: an operator has accepted it, or another session took it over.
    pub excused: bool,
    /// Where it is counted.
    pub standing: Standing,
}

/// A component's place among those that may be inside at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Room {
    #[default]
    None,
    /// It is about to pass its gate.
    Reserved,
    /// It has passed it.
    Kept,
}

/// Where a component stands towards its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    #[default]
    Outside,
    Inside,
    Ended,
}

impl Component {
    /// Past its slice's gate: it has had a disturbing effect.
    pub(super) fn is_inside(&self) -> bool {
        self.disturbances > 0
    }

    /// It is to be powered on once more: what it reported since the power-on of an older run proves nothing of this one.
    pub(super) fn forget_power_on(&mut self) {
        (self.powered_on, self.booted_with) = (None, None);
    }

    /// A newer session took it over.
    pub(super) fn is_taken(&self) -> bool {
        self.skipped.as_ref().is_some_and(|reason| reason.code == ReasonCode::TakenOver)
    }

    /// It goes no further in this run.
    pub(super) fn is_out(&self) -> bool {
        self.failed.is_some() || self.skipped.is_some()
    }
}

/// How a service treats one kind of request of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    pub failures: u32,
    pub down_since: Option<Millis>,
    pub text: String,
    /// Not again before then.
    pub retry_at: Millis,
}

/// The two kinds of request of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A call that changes the world.
    Call,
    /// An observation, or the search for a lost call.
    Look,
}

/// A step in the session.
#[derive(Debug)]
pub(super) struct StepState {
    pub shape: Shape,
    pub not_reached: i32,
    pub ready_count: i32,
    pub succeeded: i32,
    pub failed: i32,
    pub skipped: i32,
    /// Of those that failed or were left out, how many are excused.
    pub excused: i32,
    pub attempts: i32,
    /// Needs met, held by a barrier or a gate.
    pub held: FixedBitSet,
    /// Waiting for a call, by rung. Entries are checked when taken.
    pub ready: Vec<VecDeque<Ordinal>>,
    /// Groups that must go by themselves: halves of a call that was refused as a whole.
    pub forced: VecDeque<(u8, Vec<Ordinal>)>,
    /// Ready again only then (somebody held them).
    pub delayed: BTreeMap<Millis, Vec<Ordinal>>,
    pub underway: FixedBitSet,
    pub calling_count: i32,
    pub underway_count: i32,
    pub calls: usize,
    /// The service takes no more than so many at once.
    pub size_cap: usize,
    /// How the service takes calls.
    pub calling: Health,
    /// How it answers questions: the two may differ, and one must not hide the other.
    pub looking: Health,
    pub observing: bool,
    pub next_look: Millis,
    pub last_entered: Millis,
}

impl StepState {
    pub(super) fn new(shape: Shape, members: usize) -> Self {
        let rungs = shape.rungs.len().max(1);
        Self {
            shape,
            not_reached: 0,
            ready_count: 0,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            excused: 0,
            attempts: 0,
            held: FixedBitSet::with_capacity(members),
            ready: vec![VecDeque::new(); rungs],
            forced: VecDeque::new(),
            delayed: BTreeMap::new(),
            underway: FixedBitSet::with_capacity(members),
            calling_count: 0,
            underway_count: 0,
            calls: 0,
            size_cap: usize::MAX,
            calling: Health::default(),
            looking: Health::default(),
            observing: false,
            next_look: 0,
            last_entered: 0,
        }
    }

    pub(super) fn health(&mut self, ask: Ask) -> &mut Health {
        match ask {
            Ask::Call => &mut self.calling,
            Ask::Look => &mut self.looking,
        }
    }

    /// When it may be observed again: not before the service wants to be asked.
    pub(super) fn look_at(&self) -> Millis {
        self.next_look.max(self.looking.retry_at)
    }

    pub(super) fn acts(&self) -> bool {
        !self.shape.rungs.is_empty()
    }

    pub(super) fn in_flight(&self) -> i32 {
        self.ready_count + self.calling_count + self.underway_count
    }

    pub(super) fn targeted(&self) -> i32 {
        self.not_reached + self.in_flight() + self.succeeded + self.failed + self.skipped
    }

    pub(super) fn counters(&self, index: usize) -> StepCounters {
        StepCounters {
            step: index as i16,
            not_reached: self.not_reached,
            in_flight: self.in_flight(),
            succeeded: self.succeeded,
            failed: self.failed,
            skipped: self.skipped,
            attempts: self.attempts,
        }
    }

    /// The counter that a place belongs to; passed belongs to none.
    pub(super) fn counter(&mut self, place: Place) -> Option<&mut i32> {
        match place {
            Place::NotReached => Some(&mut self.not_reached),
            Place::Ready => Some(&mut self.ready_count),
            Place::Calling => Some(&mut self.calling_count),
            Place::Underway => Some(&mut self.underway_count),
            Place::Succeeded => Some(&mut self.succeeded),
            Place::Failed => Some(&mut self.failed),
            Place::Skipped | Place::Dropped => Some(&mut self.skipped),
            Place::Passed => None,
        }
    }
}

/// An effect that is not settled.
#[derive(Debug, Clone)]
pub(super) struct OpenCall {
    pub step: StepNo,
    pub rung: u8,
    pub members: Vec<Ordinal>,
    /// How many of them have not been judged.
    pub left: usize,
    pub state: EffectState,
    pub reference: Option<RemoteRef>,
    pub intended: Millis,
    pub dead: Millis,
    /// When to look for it (again), while it is lost.
    pub find_at: Option<Millis>,
    /// When it was last looked for: only a question asked after its death says that it was never taken.
    pub find_asked: Millis,
    /// When its end may be asked for (again), should the session be cancelled at once.
    pub abort_at: Option<Millis>,
}

impl OpenCall {
    pub(super) fn open(&self, effect: EffectNo) -> OpenEffect {
        OpenEffect {
            effect,
            rung: self.rung,
            members: self.members.clone(),
            reference: self.reference.clone(),
            intended_at: timestamp(self.intended),
        }
    }
}

/// Where things are: steps of a slice, cells of a component, edges of a step.
#[derive(Debug)]
pub(super) struct Topology {
    /// Steps of each slice, ascending.
    pub slice_steps: Vec<Vec<StepNo>>,
    /// A step's index within its slice.
    local: Vec<u32>,
    /// A component's first cell.
    base: Vec<u32>,
    /// Per-component needs of a step.
    pub needs: Vec<Vec<StepNo>>,
    /// Steps that need it, per component.
    pub needed_by: Vec<Vec<StepNo>>,
    /// Barrier edges (by index in the plan) into a step.
    pub barriers_into: Vec<Vec<usize>>,
}

impl Topology {
    pub(super) fn new(plan: &Plan) -> (Self, usize) {
        let mut slice_steps = vec![Vec::new(); plan.slices.len()];
        let mut local = Vec::with_capacity(plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate() {
            let steps: &mut Vec<StepNo> = &mut slice_steps[step.slice.0 as usize];
            local.push(steps.len() as u32);
            steps.push(StepNo(index as i16));
        }
        let mut base = Vec::with_capacity(plan.members.len());
        let mut cells = 0;
        for member in &plan.members {
            base.push(cells as u32);
            cells += slice_steps[member.slice.0 as usize].len();
        }
        let mut needs = vec![Vec::new(); plan.steps.len()];
        let mut needed_by = vec![Vec::new(); plan.steps.len()];
        let mut barriers_into = vec![Vec::new(); plan.steps.len()];
        for (index, edge) in plan.edges.iter().enumerate() {
            match edge.kind {
                EdgeKind::PerComponent => {
                    needs[edge.to.0 as usize].push(edge.from);
                    needed_by[edge.from.0 as usize].push(edge.to);
                }
                EdgeKind::Barrier { .. } => barriers_into[edge.to.0 as usize].push(index),
            }
        }
        (Self { slice_steps, local, base, needs, needed_by, barriers_into }, cells)
    }

    /// The cell of a component in a step of its own slice.
    pub(super) fn cell(&self, ordinal: Ordinal, step: StepNo) -> usize {
        (self.base[ordinal.0 as usize] + self.local[step.0 as usize]) as usize
    }

    pub(super) fn steps_of(&self, slice: SliceNo) -> &[StepNo] {
        &self.slice_steps[slice.0 as usize]
    }
}
