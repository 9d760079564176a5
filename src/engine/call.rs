//! Carrying out: calls, searches and observations, each a future of its own that owns what it needs.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::{
    clients::{
        Services,
        otlp::{self, Trace},
    },
    model::{
        Timestamp,
        component::Report,
        effect::EffectNo,
        plan::{Ordinal, Plan, StepNo},
        session::SessionId,
        verb::{Call, CallError, Member, OpenEffect, Shared, Sight},
        xname::Xname,
    },
    plan::flow::{Flow, Input},
    steps,
};

use super::{clock::Clock, heartbeat::Fence};

/// The longest an observation may take, whatever its client allows: one that hangs must not blind its step.
const OBSERVATION_MAX: Duration = Duration::from_secs(120);

/// A call must have begun within this part of its timeout after its intent was written.
const BEGIN_SHARE: u32 = 2;

/// How long after its intent a call may still act: the time in which it must have begun, and its own timeout.
pub fn alive_for(services: &Services) -> Duration {
    let timeout = services.settings.write_timeout;
    timeout + timeout / BEGIN_SHARE
}

/// What came of something that was carried out.
#[derive(Debug)]
pub enum Outcome {
    /// To be fed to the flow.
    Input(Input),
    /// The lease's safe time passed first: nothing may be concluded.
    Fenced,
}

/// Whatever is under way.
pub struct Hands {
    plan: Arc<Plan>,
    services: Arc<Services>,
    session: Arc<str>,
    session_id: SessionId,
    trace: Trace,
    clock: Clock,
    fence: Fence,
    /// Calls that change the world; their answers are worth waiting for when the worker stops.
    pub calls: JoinSet<Outcome>,
    /// Questions.
    pub questions: JoinSet<Outcome>,
}

/// A component as a call or observation owns it.
struct Held {
    ordinal: Ordinal,
    rung: u8,
    since: Timestamp,
    last_power: Option<Timestamp>,
    powered_on: Option<Timestamp>,
    noticed: bool,
    reported: Option<Report>,
}

/// A step and components, ready to be asked about.
struct Batch {
    plan: Arc<Plan>,
    session: Arc<str>,
    session_id: SessionId,
    step: StepNo,
    held: Vec<Held>,
    /// Those of other slices for whom the call speaks.
    others: Vec<Xname>,
    now: Timestamp,
}

impl Batch {
    fn members(&self) -> Vec<Member<'_>> {
        let member = |held: &'_ Held| -> (usize, u8) { (held.ordinal.0 as usize, held.rung) };
        self.held
            .iter()
            .map(|held| Member {
                ordinal: held.ordinal,
                xname: &self.plan.members[member(held).0].xname,
                rung: held.rung,
                since: held.since,
                last_power: held.last_power,
                powered_on: held.powered_on,
                noticed: held.noticed,
                reported: held.reported.as_ref(),
            })
            .collect()
    }

    fn shared(&self) -> Shared<'_> {
        let slice = &self.plan.slices[self.plan.steps[self.step.0 as usize].slice.0 as usize];
        let artifacts = slice.artifacts.as_ref();
        Shared {
            session: &self.session,
            session_id: self.session_id,
            step: &self.plan.steps[self.step.0 as usize].name,
            others: &self.others,
            artifacts: artifacts.map(|artifacts| &artifacts.artifacts),
            artifacts_id: artifacts.map(|artifacts| artifacts.id),
            image: artifacts.and_then(|artifacts| artifacts.image.as_deref()),
            configuration: slice.configuration.as_deref(),
            now: self.now,
        }
    }

    fn verb(&self) -> &crate::model::verb::Verb {
        &self.plan.steps[self.step.0 as usize].verb
    }
}

impl Hands {
    /// Idle hands.
    pub fn new(
        plan: Arc<Plan>,
        services: Arc<Services>,
        (session_id, session): (SessionId, &str),
        trace: Trace,
        clock: Clock,
        fence: Fence,
    ) -> Self {
        let (session, calls, questions) = (Arc::from(session), JoinSet::new(), JoinSet::new());
        Self { plan, services, session, session_id, trace, clock, fence, calls, questions }
    }

    /// Whom it asks.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// What the log says of what happens for a step, and for which of its effects.
    fn span(&self, step: StepNo, batch: Option<EffectNo>) -> tracing::Span {
        let step = self.plan.steps[step.0 as usize].name.as_str();
        tracing::info_span!("call", step, batch = batch.map(|effect| effect.0))
    }

    fn batch(&self, flow: &Flow, step: StepNo, ordinals: &[Ordinal]) -> Batch {
        let held = ordinals.iter().map(|ordinal| {
            let view = flow.member(step, *ordinal);
            Held {
                ordinal: *ordinal,
                rung: view.rung,
                since: view.since,
                last_power: view.last_power,
                powered_on: view.powered_on,
                noticed: view.noticed,
                reported: view.reported.cloned(),
            }
        });
        Batch {
            plan: self.plan.clone(),
            session: self.session.clone(),
            session_id: self.session_id,
            step,
            held: held.collect(),
            others: Vec::new(),
            now: self.clock.now(),
        }
    }

    /// The same for a call, which may speak for more than it covers.
    fn batch_of(&self, flow: &Flow, effect: EffectNo, step: StepNo, ordinals: &[Ordinal]) -> Batch {
        let name = |ordinal: Ordinal| self.plan.members[ordinal.0 as usize].xname;
        Batch { others: flow.sharers(effect).map(name).collect(), ..self.batch(flow, step, ordinals) }
    }

    /// Makes a call whose intent is durable.
    pub fn call(&mut self, flow: &Flow, effect: EffectNo, step: StepNo, rung: u8, members: &[Ordinal]) {
        let batch = self.batch_of(flow, effect, step, members);
        let (services, fence, clock) = (self.services.clone(), self.fence.clone(), self.clock.clone());
        let margin = services.settings.write_timeout / BEGIN_SHARE;
        let begin_by = flow.effect(effect).map(|(_, open)| open.intended_at + margin);
        let (place, span) = (self.trace.effect(effect), self.span(step, Some(effect)));
        let calling = async move {
            // Begun later it might act after the moment at which everybody takes it for dead.
            if begin_by.is_none_or(|begin_by| clock.now() > begin_by) {
                let error = CallError::Transient {
                    service: batch.verb().shape().service,
                    text: "not asked: the database took too long to keep the intent".to_owned(),
                    retry_after: None,
                };
                return Outcome::Input(Input::Answered(effect, Err(error)));
            }
            let members = batch.members();
            let call = Call { effect, rung, members: &members, shared: batch.shared() };
            tokio::select! {
                biased;
                () = fence.passed() => Outcome::Fenced,
                answer = steps::act(batch.verb(), &services, &call) => Outcome::Input(Input::Answered(effect, answer)),
            }
        };
        self.calls.spawn(otlp::at(Some(place), calling).instrument(span));
    }

    /// Looks for a lost call.
    pub fn find(&mut self, flow: &Flow, effect: EffectNo) {
        let Some((step, open)) = flow.effect(effect) else { return };
        let batch = self.batch_of(flow, effect, step, &open.members);
        let (services, fence, clock) = (self.services.clone(), self.fence.clone(), self.clock.clone());
        let (place, span) = (self.trace.effect(effect), self.span(step, Some(effect)));
        let finding = async move {
            // What is found is held against the service's clock, so ours must not be older than the question.
            let batch = Batch { now: clock.now(), ..batch };
            let members = batch.members();
            let call = Call { effect, rung: open.rung, members: &members, shared: batch.shared() };
            tokio::select! {
                biased;
                () = fence.passed() => Outcome::Fenced,
                found = bounded(steps::find(batch.verb(), &services, &call, open.intended_at)) => {
                    Outcome::Input(Input::Found(effect, found))
                }
            }
        };
        self.questions.spawn(otlp::at(Some(place), finding).instrument(span));
    }

    /// Asks for the end of a call's transition: a write, so under the same fence as calls; said twice it changes nothing.
    pub fn abort(&mut self, flow: &Flow, effect: EffectNo) {
        let Some((_, OpenEffect { reference: Some(reference), .. })) = flow.effect(effect) else { return };
        let (services, fence) = (self.services.clone(), self.fence.clone());
        self.questions.spawn(async move {
            tokio::select! {
                biased;
                () = fence.passed() => Outcome::Fenced,
                answer = steps::abort(&services, &reference) => Outcome::Input(Input::Aborted(effect, answer)),
            }
        });
    }

    /// Asks what became of components.
    pub fn observe(&mut self, flow: &Flow, step: StepNo, members: &[Ordinal], open: Vec<OpenEffect>) {
        let sharers = open.iter().flat_map(|open| flow.sharers(open.effect));
        let others = sharers.map(|ordinal| self.plan.members[ordinal.0 as usize].xname).collect();
        let batch = Batch { others, ..self.batch(flow, step, members) };
        let (services, fence) = (self.services.clone(), self.fence.clone());
        let (place, span) = (self.trace.step(step), self.span(step, None));
        let observing = async move {
            let members = batch.members();
            let sight = Sight { members: &members, open: &open, shared: batch.shared() };
            tokio::select! {
                biased;
                () = fence.passed() => Outcome::Fenced,
                seen = bounded(steps::observe(batch.verb(), &services, &sight)) => {
                    Outcome::Input(Input::Saw { step, asked_at: batch.now, seen })
                }
            }
        };
        self.questions.spawn(otlp::at(Some(place), observing).instrument(span));
    }
}

async fn bounded<T>(question: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    tokio::time::timeout(OBSERVATION_MAX, question).await.unwrap_or_else(|_| {
        Err(CallError::Transient {
            service: "the service",
            text: format!("no answer within {} s", OBSERVATION_MAX.as_secs()),
            retry_after: None,
        })
    })
}
