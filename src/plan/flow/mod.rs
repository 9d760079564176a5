//! `flow`: the law of how a session moves. A sans-I/O state machine: inputs in, outputs out, the time given.
//!
//! All judgement is here: who enters which step, how components are grouped into calls, rungs, deadlines, attempts,
//! `again`, barriers, gates, lost calls. The engine only carries the outputs out, in their order: everything that
//! is to be durable is in one checkpoint, and no call leaves before the checkpoint that holds its intent.
//!
//! A first start, a resume and a retry are the same code: [`Flow::new`] with what is past, then inputs.
//!
//! How it is kept: a component is in exactly one slice, so its way is a row of [`state::Cell`]s, one per step of
//! that slice. A step keeps who is ready for a call and a bit set of who is under way. 100,000 components take
//! some 30 MB.
//!
//! Two things differ from the signatures this began with. There is no `Prepare`: no verb has to remember anything before
//! it acts, since configuration is staged only behind the gate. And a lost power call that is not found by its
//! `dead_at` is simply said again: the verbs are level-triggered, and a component in `power_off` has had no On yet (nor
//! one in `power_on` another Off), so repeating cannot make a second edge.

mod act;
mod barrier;
mod cancel;
mod change;
mod command;
mod count;
mod enter;
mod freeze;
mod gate;
mod halt;
mod lost;
mod observe;
mod once;
mod pace;
mod resume;
mod rung;
mod service;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;

use crate::model::{
    Timestamp,
    artifacts::BootToken,
    checkpoint::StepCounters,
    command::{Command, Settings, Standing},
    component::Report,
    effect::{Effect, EffectNo, EffectState, RemoteRef},
    event::{EventKind, NewEvent},
    plan::{Ordinal, Plan, StepNo},
    reason::Reason,
    result::{Fact, PastFact},
    session::{Outcome, SessionState},
    verb::{Answer, CallError, OpenEffect, Seen},
};
use state::{Cell, Component, Millis, OpenCall, StepState, Topology};

pub use count::Counts;
pub use gate::Approval;

/// What the flow is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// What came of a call.
    Answered(EffectNo, Result<Answer, CallError>),
    /// Whether a lost call was found to have been taken.
    Found(EffectNo, Result<Option<Answer>, CallError>),
    /// What an observation saw; `asked_at` is before the question was sent.
    Saw {
        /// The step that asked.
        step: StepNo,
        /// When.
        asked_at: Timestamp,
        /// The answer.
        seen: Result<Vec<(Ordinal, Seen)>, CallError>,
    },
    /// What came of a request to abort a call.
    Aborted(EffectNo, Result<(), CallError>),
    /// Nodes reported.
    Reported(Vec<(Ordinal, Report)>),
    /// An operator asks.
    Command {
        /// What.
        command: Command,
        /// Who.
        actor: String,
        /// Why, if they said.
        reason: Option<String>,
    },
    /// Another session wants these components, or has taken them while this one still waited for them (law 9).
    Wanted {
        /// Its name.
        by: String,
        /// Whom.
        members: Vec<Ordinal>,
    },
    /// Another session keeps these, for which this one waited.
    Kept {
        /// Its name.
        by: String,
        /// Whom.
        members: Vec<Ordinal>,
    },
    /// Components that this session waited for are its own now; the last power effect on each by whoever held it.
    Granted(Vec<(Ordinal, Option<Timestamp>)>),
    /// A freeze covers exactly these now.
    Frozen(Vec<Ordinal>),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make these facts durable.
    Record(Vec<Fact>),
    /// News of an effect to be kept.
    Effect {
        /// Which.
        effect: EffectNo,
        /// What is known of it now.
        state: EffectState,
        /// The service's name for it.
        reference: Option<RemoteRef>,
        /// The token it brought, and the step whose slice says what it stands for.
        token: Option<(BootToken, StepNo)>,
        /// What the service said, if it refused.
        error: Option<String>,
    },
    /// Components that are over in this session: their claims go.
    Release(Vec<(Ordinal, End)>),
    /// This edge of the plan (by index) opened.
    Open(usize),
    /// The session's state changed.
    State(SessionState, Option<String>),
    /// A line for the narrative.
    Event(NewEvent),
    /// Write the intent, then call.
    Call {
        /// Its number.
        effect: EffectNo,
        /// The step.
        step: StepNo,
        /// The rung.
        rung: u8,
        /// Whom, ascending.
        members: Vec<Ordinal>,
    },
    /// Look for a lost call.
    Find(EffectNo),
    /// Ask for the end of a call's transition.
    Abort(EffectNo),
    /// Ask what became of these.
    Observe {
        /// The step.
        step: StepNo,
        /// Whom, ascending.
        members: Vec<Ordinal>,
        /// The open effects that cover them.
        effects: Vec<OpenEffect>,
    },
    /// Nothing happens before then unless something comes in.
    Wake(Timestamp),
    /// The session is over.
    Over(Outcome),
}

/// How a component's way in the session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Through every step that was meant for it.
    Succeeded,
    /// Failed.
    Failed(Reason),
    /// Left out.
    Skipped(Reason),
}

/// What happened before this worker: a session's memory. Empty at a first start.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// All facts, in the order they were written.
    pub facts: Vec<PastFact>,
    /// All effects, by number.
    pub effects: Vec<Effect>,
    /// Barriers (edges, by index) that opened.
    pub opened: Vec<usize>,
    /// Where the session was.
    pub state: Option<SessionState>,
    /// What nodes last reported.
    pub reports: Vec<(Ordinal, Report)>,
    /// Last power effect on components by other sessions.
    pub last_power: Vec<(Ordinal, Timestamp)>,
    /// Whom the session still holds.
    pub claimed: Vec<Ordinal>,
    /// How often components may be tried that say so themselves.
    pub retry_policies: Vec<(Ordinal, u16)>,
    /// Whom another session still holds for it: nothing is begun with them, not even a look, until they are granted.
    pub awaited: Vec<Ordinal>,
    /// What commands have left behind.
    pub standing: Standing,
    /// What operators approved, in the order of the narrative.
    pub approvals: Vec<Approval>,
    /// The session as its commands name it, for what is told to people.
    pub name: String,
}

/// Intervals the flow keeps to; everything else is in the plan.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Shortest interval between two observations of a step.
    pub poll_min: TimeDelta,
    /// Longest interval.
    pub poll_max: TimeDelta,
    /// Shortest interval between two questions to HSM for readiness: reports are pushed, HSM is the fallback.
    pub readiness_poll_min: TimeDelta,
    /// Shortest interval between two questions to CFS: a configuration takes minutes, and every question is many pages.
    pub configuration_poll_min: TimeDelta,
    /// Shortest interval between two questions to a site's own service, which was not made to be asked all the time.
    pub site_poll_min: TimeDelta,
    /// After so long a write call can no longer act (its timeout and a margin).
    pub call_alive_for: TimeDelta,
    /// How much faster than real minutes PCS' minutes pass (a simulated machine shrinks them): the time a rung has is
    /// shrunk alike.
    pub power_time_scale: f64,
    /// Ready in HSM counts as booted after so long, where the node never reported anything. A reporter speaks within
    /// seconds of Ready, and what it says outweighs HSM.
    pub ready_grace: TimeDelta,
    /// The same where the node is known to have a reporter.
    pub ready_grace_reporter: TimeDelta,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll_min: TimeDelta::milliseconds(250),
            poll_max: TimeDelta::seconds(10),
            readiness_poll_min: TimeDelta::seconds(2),
            configuration_poll_min: TimeDelta::seconds(1),
            site_poll_min: TimeDelta::seconds(1),
            call_alive_for: TimeDelta::seconds(15),
            power_time_scale: 1.0,
            ready_grace: TimeDelta::seconds(10),
            ready_grace_reporter: TimeDelta::seconds(60),
        }
    }
}

/// The state machine of one session.
pub struct Flow {
    plan: Arc<Plan>,
    /// The plan as it was admitted, and what operators changed of it since.
    frozen: Arc<Plan>,
    settings: Settings,
    name: String,
    pace: Pace,
    topology: Topology,
    cells: Vec<Cell>,
    components: Vec<Component>,
    steps: Vec<StepState>,
    opened: Vec<bool>,
    effects: BTreeMap<EffectNo, OpenCall>,
    tokens: Vec<BootToken>,
    next_effect: EffectNo,
    images_tagged: BTreeMap<String, bool>,
    mode: SessionState,
    /// An operator cancelled it.
    cancelled: bool,
    /// And nothing is brought back.
    at_once: bool,
    /// Components whose way has not ended (or whose end is not released yet).
    alive: usize,
    gate: gate::GateState,
    paces: pace::PaceState,
    /// A barrier or gate opened: those it held try again.
    recheck_held: bool,
    /// Whom a freeze covers.
    in_freeze: fixedbitset::FixedBitSet,
    /// Somebody settled in a step: barriers and gates are judged again.
    stirred: bool,
    ever_acted: bool,
    over: bool,
    facts: Vec<Fact>,
    out: Vec<Output>,
    released: Vec<(Ordinal, End)>,
    /// Components that PCS keeps reserved for a transition that is not over, by its effect: another call would only be
    /// told that they are reserved.
    reserved: BTreeMap<EffectNo, Vec<(StepNo, Ordinal)>>,
    /// Components that wait in other slices for what a call once per session brings, by its effect.
    sharers: BTreeMap<EffectNo, Vec<(StepNo, Ordinal)>>,
    /// Components whose way has ended while a lost call may still act on them, by the moment it no longer can.
    covered: BTreeMap<Millis, Vec<Ordinal>>,
}

impl Flow {
    /// The session's plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Where the session is.
    pub fn mode(&self) -> SessionState {
        self.mode
    }

    /// Whether nothing can happen before an operator or another input speaks: no call, no observation, nobody under way.
    pub fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| step.in_flight() == 0)
            && self.effects.is_empty()
            && self.covered.is_empty()
    }

    /// Whether it needs no worker until an operator or another input speaks. A stuck session makes no call; what it has to
    /// give away is still brought to where it can be given.
    pub fn rests(&self) -> bool {
        match self.mode {
            SessionState::Stuck => !self.is_giving(),
            mode => mode.waits_for_operator() && self.is_idle(),
        }
    }

    /// Whether another session waits for the end of components here.
    pub fn is_giving(&self) -> bool {
        self.components.iter().any(|component| component.wanted && !component.ended)
    }

    /// Whether the component is one that another session still holds for this one.
    pub fn awaits(&self, ordinal: Ordinal) -> bool {
        let component = &self.components[ordinal.0 as usize];
        component.awaited && !component.ended
    }

    /// Whether there is any such component.
    pub fn awaits_any(&self) -> bool {
        self.components.iter().any(|component| component.awaited && !component.ended)
    }

    /// Feeds one input and returns what is to be done about it.
    pub fn feed(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        self.feed_all(now, [input])
    }

    /// Feeds inputs that arrived together.
    pub fn feed_all(&mut self, now: Timestamp, inputs: impl IntoIterator<Item = Input>) -> Vec<Output> {
        self.look_at_clock(now);
        for input in inputs {
            self.take(now, input);
        }
        self.advance(now)
    }

    fn take(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Tick => {}
            Input::Answered(effect, answer) => self.answered(now, effect, answer),
            Input::Found(effect, answer) => self.found(now, effect, answer),
            Input::Saw { step, asked_at, seen } => self.saw(now, step, asked_at, seen),
            Input::Aborted(effect, answer) => self.aborted(now, effect, answer),
            Input::Reported(reports) => self.reported(now, reports),
            Input::Command { command, actor, reason } => self.command(now, command, &actor, reason),
            Input::Wanted { by, members } => self.wanted(now, &by, &members),
            Input::Kept { by, members } => self.kept(now, &by, &members),
            Input::Granted(members) => self.granted(&members),
            Input::Frozen(members) => self.freeze(&members),
        }
    }

    /// What follows from everything that was fed: barriers, calls, observations, the end.
    fn advance(&mut self, now: Timestamp) -> Vec<Output> {
        self.give_up_on_services(now);
        self.release_covered(now);
        self.close_out(now);
        loop {
            self.stirred = false;
            self.judge_barriers(now);
            self.pump(now);
            // Pumping may settle somebody (an image that is tagged already, somebody left out): what waited for that
            // would otherwise wait for the next input.
            if !self.stirred {
                break;
            }
        }
        self.abort_transitions(now);
        self.look(now);
        self.finish(now)
    }

    /// Collects outputs in the order of the law: facts and news first, then calls, finds, observations, the end.
    fn finish(&mut self, now: Timestamp) -> Vec<Output> {
        self.end_feed();
        let mut acts = std::mem::take(&mut self.out);
        let mut outputs = Vec::with_capacity(acts.len() + 4);
        let facts = std::mem::take(&mut self.facts);
        if !facts.is_empty() {
            outputs.push(Output::Record(facts.into_iter().map(sorted).collect()));
        }
        let released = std::mem::take(&mut self.released);
        if !released.is_empty() {
            outputs.push(Output::Release(released));
        }
        let is_act = |output: &Output| {
            matches!(
                output,
                Output::Call { .. } | Output::Find(_) | Output::Abort(_) | Output::Observe { .. }
            )
        };
        let mut later: Vec<Output> = Vec::new();
        for output in acts.drain(..) {
            if is_act(&output) { later.push(output) } else { outputs.push(output) }
        }
        outputs.append(&mut later);
        if self.alive == 0 && !self.over {
            self.over = true;
            self.mode = SessionState::Ended;
            outputs.push(Output::Over(self.outcome()));
        } else if !self.over
            && let Some(at) = self.wake_at(now)
        {
            outputs.push(Output::Wake(at));
        }
        outputs
    }

    fn note(&mut self, kind: EventKind, actor: Option<&str>, data: serde_json::Value) {
        self.out.push(Output::Event(NewEvent { kind, actor: actor.map(str::to_owned), data }));
    }

    /// The counters of every step as they are now.
    pub fn counters(&self) -> Vec<StepCounters> {
        self.steps.iter().enumerate().map(|(index, step)| step.counters(index)).collect()
    }

    /// What a verb is told of a component.
    pub fn member(&self, step: StepNo, ordinal: Ordinal) -> MemberView<'_> {
        let cell = &self.cells[self.topology.cell(ordinal, step)];
        let component = &self.components[ordinal.0 as usize];
        MemberView {
            rung: cell.rung,
            since: state::timestamp(cell.since),
            last_power: component.last_power.map(state::timestamp),
            powered_on: component.powered_on.map(state::timestamp),
            noticed: component.noticed,
            reported: component.reported.as_deref(),
        }
    }

    /// The step of an open effect, whom it covers, and since when.
    pub fn effect(&self, effect: EffectNo) -> Option<(StepNo, OpenEffect)> {
        self.effects.get(&effect).map(|call| (call.step, call.open(effect)))
    }

    /// Everybody who waits for their node's report: power-on or boot.
    pub fn awaits_report(&self) -> Vec<Ordinal> {
        let mut waiting: Vec<Ordinal> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if matches!(self.plan.steps[index].verb.name(), "power_on" | "await_boot") {
                waiting.extend(step.underway.ones().map(|one| Ordinal(one as u32)));
            }
        }
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }
}

/// What a verb is told of a component, without its name (the plan knows it).
#[derive(Debug, Clone, Copy)]
pub struct MemberView<'a> {
    /// The rung it is on.
    pub rung: u8,
    /// When it entered the rung (or step).
    pub since: Timestamp,
    /// The last power effect before the open one.
    pub last_power: Option<Timestamp>,
    /// This session's last power-on.
    pub powered_on: Option<Timestamp>,
    /// Whether it was seen to leave Ready.
    pub noticed: bool,
    /// Its last report.
    pub reported: Option<&'a Report>,
}

fn because(why: &Option<String>) -> String {
    why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
}

fn sorted(mut fact: Fact) -> Fact {
    fact.members.sort_unstable();
    fact
}
