//! What must hold of everything the flow says, checked against what is stored.

use super::{
    super::{
        Flow, Input, Output,
        state::{Cell, Place, Room, millis},
    },
    BEGIN,
    driver::Driver,
};
use crate::model::{
    command::Command,
    effect::{Effect, EffectState},
    plan::{EdgeKind, Ordinal, Plan, StepNo},
    reason::ReasonCode,
    result::{FactKind, PastFact},
    session::SessionState,
    verb::{Lost, Power, Verb},
};

/// Says that another session took over whoever it names.
pub fn is_taken(past: &PastFact) -> bool {
    let code = past.fact.reason.as_ref().map(|reason| reason.code);
    past.fact.kind == FactKind::Skipped && code == Some(ReasonCode::TakenOver)
}

impl Driver {
    fn verb(&self, step: StepNo) -> &Verb {
        &self.plan.steps[step.0 as usize].verb
    }

    pub fn effects_on(&self, ordinal: Ordinal) -> impl Iterator<Item = &Effect> {
        self.effects.values().filter(move |effect| effect.members.contains(&ordinal))
    }

    /// Past its gate: disturbed since an operator last sent it back.
    pub fn is_inside(&self, ordinal: Ordinal) -> bool {
        let disturbs = |effect: &&Effect| self.verb(effect.step).disturbs();
        let since = self.ledger.entry(ordinal).retried;
        self.effects_on(ordinal)
            .filter(disturbs)
            .any(|effect| effect.seq >= since && effect.state != EffectState::NotTaken)
    }

    /// Before anything of it is stored: what the outputs may not do.
    pub fn judge_before(&self, outputs: &[Output], judges: bool) {
        for output in outputs {
            match output {
                Output::Record(facts) => {
                    for fact in facts.iter().filter(|fact| fact.kind == FactKind::Failed) {
                        let code = fact.reason.as_ref().map(|reason| reason.code);
                        let timeouts = [ReasonCode::PowerOffTimeout, ReasonCode::PowerOnTimeout];
                        let more = [ReasonCode::BootTimeout, ReasonCode::ConfigurationTimeout];
                        let timed_out =
                            code.is_some_and(|code| timeouts.contains(&code) || more.contains(&code));
                        assert!(!timed_out || judges, "a deadline fell without an observation: {fact:?}");
                    }
                }
                Output::Open(edge) => {
                    assert!(!self.past.opened.contains(edge), "barrier {edge} opened twice")
                }
                _ => {}
            }
        }
    }

    /// Before what an operator asked for is stored: only those meant are touched, and of what they are through only what
    /// lies behind the step that they are sent to.
    pub fn judge_command(&self, outputs: &[Output], command: &Command) {
        let (members, steps, passes) = match command {
            Command::Retry { members, .. } => (members, None, false),
            Command::Restart { members, steps } => (members, Some(steps), false),
            Command::Pass { members, steps } => (members, Some(steps), true),
            _ => return,
        };
        let facts = outputs.iter().filter_map(|output| match output {
            Output::Record(facts) => Some(facts),
            _ => None,
        });
        for fact in facts.flatten() {
            let code = fact.reason.as_ref().map(|reason| reason.code);
            let by_operator = matches!(code, Some(ReasonCode::RetriedByActor | ReasonCode::PassedByActor));
            for ordinal in fact.members.iter().filter(|_| by_operator) {
                assert!(
                    passes || members.is_empty() || members.contains(ordinal),
                    "{ordinal:?} was not meant"
                );
                assert!(!passes || members.contains(ordinal), "{ordinal:?} was not meant to pass");
                assert!(steps.is_none_or(|steps| steps.contains(&fact.step)), "not of this step: {fact:?}");
                let became = self.ledger.entry(*ordinal).became.get(&fact.step);
                if fact.kind == FactKind::SentBack {
                    assert_eq!(became, Some(&FactKind::Failed), "{ordinal:?} had not failed: {fact:?}");
                    assert!(fact.sent_to.is_some_and(|to| to <= fact.step), "sent ahead: {fact:?}");
                } else {
                    assert_ne!(became, Some(&FactKind::Succeeded), "{ordinal:?} was through: {fact:?}");
                }
            }
        }
    }

    /// After facts and news are stored, before the intents are.
    pub fn judge(&self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Record(facts) => {
                    for fact in facts.iter().filter(|fact| fact.kind == FactKind::Succeeded) {
                        let held = |ordinal: &Ordinal| !self.past.awaited.contains(ordinal);
                        assert!(fact.members.iter().all(held), "somebody else's: {fact:?}");
                        fact.members.iter().for_each(|ordinal| self.judge_truth(*ordinal, fact.step));
                    }
                }
                Output::Release(ends) => ends.iter().for_each(|(ordinal, _)| self.judge_release(*ordinal)),
                Output::Open(edge) => self.judge_open(*edge),
                Output::Call { step, members, .. } => {
                    assert!(!members.is_empty() && members.is_sorted());
                    self.judge_pace(*step, members);
                    members.iter().for_each(|ordinal| self.judge_call(*ordinal, *step));
                }
                _ => {}
            }
        }
    }

    /// What is recorded is what is.
    fn judge_truth(&self, ordinal: Ordinal, step: StepNo) {
        let node = &self.world.nodes[ordinal.0 as usize];
        match self.verb(step) {
            Verb::PowerOff { .. } => assert!(!node.on, "{ordinal:?} is said to be off"),
            Verb::PowerOn { .. } => assert!(node.on, "{ordinal:?} is said to be on"),
            Verb::AwaitBoot {} => {
                assert!(node.on && node.ready.is_some(), "{ordinal:?} is said to have booted");
                assert!(!node.nature.strange || node.nature.mute, "{ordinal:?} booted something else");
            }
            _ => {}
        }
    }

    fn judge_release(&self, ordinal: Ordinal) {
        for effect in self.effects_on(ordinal) {
            let judged = self.past.facts.iter().any(|past| {
                let settles = past.fact.step == effect.step || past.fact.kind == FactKind::SentBack;
                past.seq >= effect.seq && settles && past.fact.members.contains(&ordinal)
            });
            let harmless = match effect.state {
                EffectState::Intended | EffectState::Lost => millis(effect.dead_at) <= BEGIN + self.now,
                EffectState::Accepted | EffectState::Found => judged,
                EffectState::NotTaken | EffectState::Settled => true,
            };
            assert!(harmless, "{ordinal:?} was released under {effect:?}");
        }
    }

    fn judge_open(&self, edge: usize) {
        let mut plan = Plan::clone(&self.plan);
        plan.apply(&self.past.standing.settings);
        let edge = &plan.edges[edge];
        let EdgeKind::Barrier { threshold_percent } = edge.kind else { panic!("{edge:?} is no barrier") };
        let (meant, through, unsettled) = self.ledger.tally(edge.from, |ordinal| self.is_excused(ordinal));
        assert_eq!(unsettled, 0, "the barrier of {edge:?} opened too early");
        let met = through * 100 >= meant * usize::from(threshold_percent);
        assert!(
            met || self.past.state == Some(SessionState::Cancelling),
            "{edge:?} opened below its threshold"
        );
    }

    /// That it is out does not count: it was taken over, or an operator accepted it.
    fn is_excused(&self, ordinal: Ordinal) -> bool {
        let (mut out, mut taken) = (None, false);
        for past in self.past.facts.iter().filter(|past| past.fact.members.contains(&ordinal)) {
            match past.fact.kind {
                FactKind::SentBack => (out, taken) = (None, false),
                FactKind::Failed | FactKind::Skipped => {
                    out.get_or_insert(past.seq);
                    taken |= is_taken(past);
                }
                _ => {}
            }
        }
        let accepted = |out: i64| self.past.approvals.iter().any(|a| a.accepts_failures && a.seq >= out);
        taken || out.is_some_and(accepted)
    }

    fn judge_call(&self, ordinal: Ordinal, step: StepNo) {
        let entry = self.ledger.entry(ordinal);
        let name = &self.plan.steps[step.0 as usize].name;
        assert!(self.ledger.is_reached(ordinal, step), "{ordinal:?} is not at {name} yet");
        assert_eq!(entry.became.get(&step), None, "{ordinal:?} is through with {name}");
        assert!(!entry.is_out(), "{ordinal:?} is out, but {name} is called");
        assert!(self.past.claimed.contains(&ordinal), "{ordinal:?} is not held, but {name} is called");
        assert!(
            !self.wanted.contains(&ordinal),
            "{ordinal:?} is wanted by another session, but {name} is called"
        );
        assert_ne!(self.past.state, Some(SessionState::Stuck), "{name} is called by a stuck session");
        let at_once = self.past.state == Some(SessionState::Cancelling) && self.past.standing.at_once;
        assert!(!at_once, "{name} is called by a session that was cancelled at once");
        for (index, edge) in self.plan.edges.iter().enumerate() {
            if edge.to == step && matches!(edge.kind, EdgeKind::Barrier { .. }) {
                assert!(self.past.opened.contains(&index), "{ordinal:?} went through the barrier of {name}");
            }
        }
        if !self.is_inside(ordinal) {
            let state = self.past.state.unwrap_or(SessionState::Running);
            assert_eq!(state, SessionState::Running, "{ordinal:?} passed a closed gate at {name}");
            assert!(!self.frozen.contains(&ordinal), "{ordinal:?} is frozen, but {name} is called");
            self.judge_gate(ordinal);
        }
        let shape = self.verb(step).shape();
        if shape.power == Some(Power::On) {
            let way = self.plan.steps.iter().enumerate().filter(|(_, planned)| {
                planned.slice == self.plan.steps[step.0 as usize].slice
                    && matches!(planned.verb, Verb::PowerOff { .. })
            });
            for (index, _) in way {
                let off = StepNo(index as i16);
                let was_off = entry.became.get(&off) == Some(&FactKind::Succeeded)
                    || self.ledger.is_meant(ordinal, off) == Some(false);
                assert!(was_off, "{ordinal:?}: On without a recorded Off");
            }
        }
        for effect in self.effects_on(ordinal).filter(|effect| effect.step == step) {
            let unknown = matches!(effect.state, EffectState::Intended | EffectState::Lost)
                && shape.lost == Lost::Find
                && effect.seq >= entry.sent_back;
            assert!(!unknown, "{ordinal:?}: said again while {effect:?} is not accounted for");
        }
    }

    /// The sums, and that a resume here and now would be the same session.
    pub fn judge_state(&self, flow: &Flow) {
        for counters in flow.counters() {
            let parts = [
                counters.not_reached,
                counters.in_flight,
                counters.succeeded,
                counters.failed,
                counters.skipped,
                counters.attempts,
            ];
            assert!(parts.iter().all(|part| *part >= 0), "a negative count: {counters:?}");
            let step = StepNo(counters.step);
            let slice = self.plan.steps[counters.step as usize].slice;
            let members = self.plan.members.iter().zip(0..).filter(|(member, _)| member.slice == slice);
            let meant =
                members.filter(|(_, n)| self.ledger.is_meant(Ordinal(*n), step) != Some(false)).count();
            assert_eq!(parts[..5].iter().sum::<i32>(), meant as i32, "targeted of {counters:?}");
        }
        let mut again = Flow::new(self.plan.clone(), &self.past(), self.pace);
        let attempts = |flow: &Flow| flow.counters().iter().map(|c| c.attempts).collect::<Vec<_>>();
        assert_eq!(attempts(flow), attempts(&again), "attempts, as counted and as read again");
        for index in 0..self.plan.members.len() {
            let (live, read) = (&flow.components[index], &again.components[index]);
            assert_eq!(live.run, read.run, "run of {index}");
            assert_eq!(live.decision, read.decision, "decision of {index}");
            assert_eq!(live.is_inside(), read.is_inside(), "inside of {index}");
            assert_eq!(live.accepted, read.accepted, "failure of {index} accepted");
            assert_eq!(live.excused, read.excused, "excuse of {index}");
            assert_eq!(live.room == Room::Kept, read.room == Room::Kept, "place of {index}");
            assert_eq!(live.is_out(), read.is_out(), "out of {index}");
            assert_eq!(live.sent_back, read.sent_back, "sent back of {index}");
            assert_eq!(live.noticed, read.noticed, "noticed of {index}");
            assert_eq!(live.powered_on, read.powered_on, "powered on of {index}");
            let token =
                |flow: &Flow, index: Option<u32>| index.map(|index| flow.tokens[index as usize].clone());
            assert_eq!(token(flow, live.booted_with), token(&again, read.booted_with), "token of {index}");
        }
        self.judge_tallies(flow, &again);
        again.start_with(super::at(self.now), [Input::Frozen(self.frozen.clone())]);
        for index in 0..self.plan.members.len() {
            let ordinal = Ordinal(index as u32);
            for step in flow.way(ordinal) {
                let (live, read) = (flow.cell(ordinal, step), again.cell(ordinal, step));
                // The worker that made a call is gone: one who is out is not called again.
                let let_go = flow.components[index].is_out() && live.place.is_in_flight();
                // Nothing was done for it: waiting in the step or before its gate is the same.
                let unbegun = |cell: &Cell| {
                    cell.place == Place::NotReached || (cell.place == Place::Ready && cell.attempts == 0)
                };
                let same = live.place == read.place
                    || (live.place.is_in_flight() && read.place.is_in_flight())
                    || (unbegun(live) && unbegun(read))
                    // Undisturbed, and its call is to be made again: it goes back before a closed gate.
                    || (live.place.is_in_flight() && read.place == Place::NotReached
                        && !flow.components[index].is_inside())
                    // Places that nobody has used are dealt anew.
                    || (unbegun(live) && read.place.is_in_flight() && flow.plan().gates.max_unavailable.is_some())
                    || (let_go && matches!(read.place, Place::Skipped | Place::Dropped));
                assert!(
                    same,
                    "{ordinal:?} in {}: live {live:?}, read {read:?}",
                    self.plan.steps[step.0 as usize].name
                );
            }
        }
    }
}
