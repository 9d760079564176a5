//! From what the flow says to one checkpoint: ordinals become component numbers, reasons become error texts, equal
//! things become one row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use crate::{
    model::{
        checkpoint::{
            Checkpoint, EffectUpdate, ErrorText, Intent, ProgressChange, ProgressUpdate, ResultBatch,
            SessionUpdate, StepCounters,
        },
        event::{EventKind, NewEvent},
        plan::{Ordinal, Plan, StepNo},
        reason::Reason,
        result::{Fact, FactKind},
        session::{Outcome, SessionState},
        verb::{Power, Verb},
        xname::{self, Xname},
    },
    plan::flow::{Counts, End, Flow, Output},
};

/// Most distinct error texts of a session; beyond that a reason is kept without the service's words.
const ERROR_TEXTS_MAX: usize = 1_000;
/// Longest retry command; beyond it the components are named by the session (Linux takes 128 KiB per argument).
const RETRY_COMMAND_BYTES_MAX: usize = 100_000;

/// What a session is called, for its retry command.
#[derive(Debug, Clone)]
pub struct Titles {
    /// Its name.
    pub session: String,
    /// Its template's; empty for a session without one.
    pub template: String,
    /// Its operation.
    pub operation: String,
    /// Whose; empty: nobody's.
    pub tenant: String,
}

/// Turns outputs into checkpoints.
pub struct Recorder {
    plan: Arc<Plan>,
    titles: Titles,
    next_seq: i64,
    errors: HashMap<Reason, i32>,
    counters: Vec<StepCounters>,
    call_alive_for: Duration,
}

impl Recorder {
    /// A recorder that goes on after `last_seq`, knowing the error texts that are kept already.
    pub fn new(
        plan: Arc<Plan>,
        titles: Titles,
        last_seq: i64,
        errors: HashMap<Reason, i32>,
        call_alive_for: Duration,
    ) -> Self {
        Self { plan, titles, next_seq: last_seq + 1, errors, counters: Vec::new(), call_alive_for }
    }

    /// The number of the last event that was put into a checkpoint.
    pub fn last_seq(&self) -> i64 {
        self.next_seq - 1
    }

    /// What of these outputs has to be durable; none if nothing has. `issue` is false when the worker is stopping: then
    /// no intent is written, and no call may be made.
    pub fn checkpoint(
        &mut self,
        flow: &Flow,
        outputs: &[Output],
        commands: Vec<(i64, String)>,
        issue: bool,
    ) -> Option<Checkpoint> {
        let mut draft = Draft::default();
        for output in outputs {
            match output {
                Output::Record(facts) => facts.iter().for_each(|fact| self.fact(&mut draft, fact)),
                Output::Effect { effect, state, reference, token, error } => {
                    let known = draft.effects.entry(effect.0).or_insert_with(|| EffectUpdate {
                        effect: *effect,
                        state: *state,
                        reference: None,
                        token: None,
                        error: None,
                    });
                    known.state = *state;
                    known.reference = reference.clone().or(known.reference.take());
                    known.error = error.clone().or(known.error.take());
                    let artifacts = |step: StepNo| self.slice_artifacts(step);
                    if let Some((token, step)) = token
                        && let Some(artifacts) = artifacts(*step)
                    {
                        known.token = Some((token.clone(), artifacts));
                    }
                }
                Output::Release(ends) => {
                    ends.iter().for_each(|(ordinal, end)| self.end(&mut draft, *ordinal, end))
                }
                Output::Open(edge) => {
                    let edge = &self.plan.edges[*edge];
                    draft.barriers.push((edge.from, edge.to));
                }
                Output::State(state, reason) => {
                    draft.session =
                        Some(self.session_update(*state, reason.clone(), None, flow.counts(), &[]));
                }
                Output::Event(event) => draft.events.push(event.clone()),
                Output::Call { effect, step, rung, members } if issue => {
                    self.intent(&mut draft, *effect, *step, *rung, members);
                }
                Output::Over(outcome) => self.over(&mut draft, flow, *outcome),
                Output::Call { .. }
                | Output::Find(_)
                | Output::Abort(_)
                | Output::Observe { .. }
                | Output::Wake(_) => {}
            }
        }
        self.finish(draft, flow, commands)
    }

    fn slice_artifacts(&self, step: StepNo) -> Option<crate::model::artifacts::BootArtifactsId> {
        let slice = self.plan.steps[step.0 as usize].slice;
        self.plan.slices[slice.0 as usize].artifacts.as_ref().map(|artifacts| artifacts.id)
    }

    fn component(&self, ordinal: Ordinal) -> i32 {
        self.plan.members[ordinal.0 as usize].component.0
    }

    fn components(&self, ordinals: &[Ordinal]) -> Vec<i32> {
        ordinals.iter().map(|ordinal| self.component(*ordinal)).collect()
    }

    fn error(&mut self, draft: &mut Draft, reason: &Reason) -> i32 {
        let full = self.errors.len() >= ERROR_TEXTS_MAX;
        let reason = if full && !self.errors.contains_key(reason) {
            Reason::bare(reason.code)
        } else {
            reason.clone()
        };
        if let Some(id) = self.errors.get(&reason) {
            return *id;
        }
        let id = self.errors.len() as i32 + 1;
        draft.errors.push(ErrorText { id, code: reason.code, text: reason.text.clone() });
        self.errors.insert(reason, id);
        id
    }

    fn fact(&mut self, draft: &mut Draft, fact: &Fact) {
        let error = fact.reason.as_ref().map(|reason| self.error(draft, reason));
        let step = &self.plan.steps[fact.step.0 as usize];
        let line = draft.lines.entry((step.name.clone(), fact.kind.label())).or_default();
        *line += fact.members.len();
        let configured = self.plan.slices[step.slice.0 as usize].configuration.is_some();
        if fact.kind == FactKind::Succeeded && matches!(step.verb, Verb::AwaitBoot {}) && configured {
            for ordinal in &fact.members {
                draft.progress.insert(self.component(*ordinal), ProgressChange::Configuring);
            }
        }
        draft.results.push(ResultBatch {
            step: fact.step,
            run: fact.run,
            kind: fact.kind,
            attempts: fact.attempts,
            error,
            decision: fact.decision,
            sent_to: fact.sent_to,
            components: self.components(&fact.members),
        });
    }

    fn end(&mut self, draft: &mut Draft, ordinal: Ordinal, end: &End) {
        let change = match end {
            End::Succeeded => ProgressChange::Succeeded,
            End::Failed(reason) => ProgressChange::Failed { error: self.error(draft, reason) },
            End::Skipped(reason) => ProgressChange::Skipped { error: self.error(draft, reason) },
        };
        draft.progress.insert(self.component(ordinal), change);
    }

    fn intent(
        &self,
        draft: &mut Draft,
        effect: crate::model::effect::EffectNo,
        step: StepNo,
        rung: u8,
        members: &[Ordinal],
    ) {
        let planned = &self.plan.steps[step.0 as usize];
        let shape = planned.verb.shape();
        let rung_name = shape.rungs.get(rung as usize).map_or("", |rung| rung.name);
        let change = match (shape.power, rung_name) {
            (Some(Power::Off), "Force-Off") => Some(ProgressChange::PoweringOffForcefully),
            (Some(Power::Off), _) => Some(ProgressChange::PoweringOffGracefully),
            (Some(Power::On), _) => Some(ProgressChange::PoweringOn),
            (None, _) => None,
        };
        if let Some(change) = change {
            for ordinal in members {
                draft.progress.insert(self.component(*ordinal), change);
            }
        }
        draft.calls.push(json!({
            "effect": effect.0, "step": planned.name, "rung": rung_name, "components": members.len(),
        }));
        draft.intents.push(Intent {
            effect,
            step,
            verb: planned.verb.name(),
            rung_name,
            rung,
            alive_for: self.call_alive_for,
            components: self.components(members),
        });
    }

    fn over(&self, draft: &mut Draft, flow: &Flow, outcome: Outcome) {
        let failed = flow.unfinished();
        let counts = flow.counts();
        // Those that failed are listed with their errors; who was left out on the way would go without a word.
        let reason = flow.skip_reason().filter(|_| outcome != Outcome::Cancelled);
        let reason = reason.map(|reason| format!("{} left out on the way, as {reason}", counts.skipped));
        let left_off = self.xnames(&flow.left_off());
        let reason = reason.or_else(|| self.left_off(&left_off));
        let update = self.session_update(SessionState::Ended, reason, Some(outcome), counts, &failed);
        draft.events.push(NewEvent {
            kind: EventKind::Ended,
            actor: None,
            data: json!({
                "outcome": outcome.label(), "succeeded": counts.succeeded, "failed": counts.failed,
                "skipped": counts.skipped, "left_off": xname::fold(&left_off),
            }),
        });
        draft.session = Some(update);
    }

    /// Whom a cancel at once leaves dark, and how they are booted.
    fn left_off(&self, xnames: &[Xname]) -> Option<String> {
        if xnames.is_empty() {
            return None;
        }
        let Titles { template, tenant, .. } = &self.titles;
        let names = xname::fold(xnames);
        let boot = if template.is_empty() {
            "boot them with a session of their template".to_owned()
        } else {
            format!(
                "boot them with bosun session create{} --template {template} --operation boot --limit '{names}'",
                self.whose(tenant)
            )
        };
        Some(format!("cancelled at once: {} are off, or still going off ({names}); {boot}", xnames.len()))
    }

    fn xnames(&self, ordinals: &[Ordinal]) -> Vec<Xname> {
        let mut names: Vec<Xname> =
            ordinals.iter().map(|ordinal| self.plan.members[ordinal.0 as usize].xname).collect();
        names.sort_unstable();
        names
    }

    /// What stands in a command line for a tenant.
    fn whose(&self, tenant: &str) -> String {
        if tenant.is_empty() { String::new() } else { format!(" --tenant {tenant}") }
    }

    fn session_update(
        &self,
        state: SessionState,
        reason: Option<String>,
        outcome: Option<Outcome>,
        counts: Counts,
        failed: &[Ordinal],
    ) -> SessionUpdate {
        SessionUpdate {
            state,
            reason,
            outcome,
            succeeded: counts.succeeded,
            failed: counts.failed,
            skipped: counts.skipped,
            retry_command: self.retry_command(failed),
        }
    }

    /// The command that does the operation again for those that failed or were not begun with, in natural order of their names.
    fn retry_command(&self, failed: &[Ordinal]) -> Option<String> {
        if failed.is_empty() {
            return None;
        }
        let names = self.xnames(failed);
        let Titles { session, template, operation, tenant } = &self.titles;
        let whose = self.whose(tenant);
        if template.is_empty() {
            return Some(format!("bosun session retry {session}{whose}"));
        }
        let command = |limit: &str| {
            format!(
                "bosun session create{whose} --template {template} --operation {operation} --limit {limit}"
            )
        };
        let names: Vec<String> = names.iter().map(Xname::to_string).collect();
        let whole = command(&names.join(","));
        Some(if whole.len() > RETRY_COMMAND_BYTES_MAX {
            command(&format!("@failed:{session}"))
        } else {
            whole
        })
    }

    fn finish(&mut self, draft: Draft, flow: &Flow, commands: Vec<(i64, String)>) -> Option<Checkpoint> {
        if draft.is_empty() && commands.is_empty() {
            return None;
        }
        let mut events = Vec::with_capacity(draft.events.len() + 2);
        if !draft.lines.is_empty() {
            let mut steps: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
            for ((step, kind), count) in draft.lines {
                steps.entry(step).or_default().insert(kind, count);
            }
            events.push(NewEvent { kind: EventKind::Results, actor: None, data: json!({ "steps": steps }) });
        }
        if !draft.calls.is_empty() {
            events.push(NewEvent {
                kind: EventKind::Intents,
                actor: None,
                data: json!({ "calls": draft.calls }),
            });
        }
        events.extend(draft.events);
        if events.is_empty() {
            events.push(NewEvent {
                kind: EventKind::Note,
                actor: None,
                data: json!({ "calls": states_of(&draft.effects) }),
            });
        }
        let seq = self.next_seq;
        self.next_seq += events.len() as i64;
        let now = flow.counters();
        let known = &self.counters;
        let steps = now
            .iter()
            .enumerate()
            .filter(|(index, step)| known.get(*index) != Some(step))
            .map(|(_, s)| *s)
            .collect();
        self.counters = now;
        Some(Checkpoint {
            seq,
            events,
            results: draft.results,
            errors: draft.errors,
            steps,
            intents: draft.intents,
            effects: draft.effects.into_values().collect(),
            barriers: draft.barriers,
            progress: grouped(draft.progress),
            session: draft.session,
            commands,
        })
    }

    /// A checkpoint that only says something.
    pub fn line(&mut self, event: NewEvent) -> Checkpoint {
        let seq = self.next_seq;
        self.next_seq += 1;
        Checkpoint { seq, events: vec![event], ..Checkpoint::default() }
    }
}

/// A checkpoint in the making.
#[derive(Default)]
struct Draft {
    results: Vec<ResultBatch>,
    errors: Vec<ErrorText>,
    intents: Vec<Intent>,
    effects: BTreeMap<i32, EffectUpdate>,
    barriers: Vec<(StepNo, StepNo)>,
    /// The last change of each component: one row is written once per statement.
    progress: BTreeMap<i32, ProgressChange>,
    session: Option<SessionUpdate>,
    events: Vec<NewEvent>,
    lines: BTreeMap<(String, &'static str), usize>,
    calls: Vec<serde_json::Value>,
}

impl Draft {
    fn is_empty(&self) -> bool {
        self.results.is_empty()
            && self.intents.is_empty()
            && self.effects.is_empty()
            && self.barriers.is_empty()
            && self.progress.is_empty()
            && self.session.is_none()
            && self.events.is_empty()
    }
}

/// How many calls are now accepted, settled …
fn states_of(effects: &BTreeMap<i32, EffectUpdate>) -> BTreeMap<&'static str, usize> {
    let mut states = BTreeMap::new();
    for update in effects.values() {
        *states.entry(update.state.label()).or_default() += 1;
    }
    states
}

fn grouped(progress: BTreeMap<i32, ProgressChange>) -> Vec<ProgressUpdate> {
    let mut groups: Vec<ProgressUpdate> = Vec::new();
    for (component, change) in progress {
        match groups.iter_mut().find(|group| group.change == change) {
            Some(group) => group.components.push(component),
            None => groups.push(ProgressUpdate { change, components: vec![component] }),
        }
    }
    groups
}
