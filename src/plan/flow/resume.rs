//! Beginning: a first start, a resume and a retry are the same fold of what is past.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Flow, Input, Output, Pace, Past,
    gate::GateState,
    pace::PaceState,
    state::{Cell, Component, Millis, OpenCall, Place, StepState, Topology, millis},
};
use crate::model::{
    Timestamp,
    effect::{Effect, EffectNo, EffectState},
    plan::{Ordinal, Plan, StepNo},
    reason::{Reason, ReasonCode},
    result::{FactKind, PastFact},
    session::SessionState,
    verb::{Group, Lost},
};

impl Flow {
    /// The session as its past left it. Nothing is done yet: [`Flow::start`] says what follows.
    pub fn new(frozen: Arc<Plan>, past: &Past, pace: Pace) -> Self {
        let settings = past.standing.settings.clone();
        let plan = if settings.is_empty() {
            frozen.clone()
        } else {
            let mut plan = Plan::clone(&frozen);
            plan.apply(&settings);
            Arc::new(plan)
        };
        let (topology, cells) = Topology::new(&plan);
        let members = plan.members.len();
        let waves = plan.slices.iter().map(|slice| slice.wave as usize + 1).max().unwrap_or(1);
        let mut gate = GateState::new(plan.gates.clone(), waves);
        for member in &plan.members {
            let wave = &mut gate.waves[plan.slices[member.slice.0 as usize].wave as usize];
            wave.members += 1;
            wave.outside += 1;
        }
        let mut opened = vec![false; plan.edges.len()];
        for edge in &past.opened {
            opened[*edge] = true;
        }
        let steps = plan.steps.iter().map(|step| StepState::new(step.verb.shape(), members)).collect();
        let mode = past.state.unwrap_or(SessionState::Running);
        let mut flow = Self {
            name: past.name.clone(),
            pace,
            topology,
            cells: vec![Cell::NEW; cells],
            components: vec![Component { run: 1, ..Component::default() }; members],
            steps,
            opened,
            effects: BTreeMap::new(),
            tokens: Vec::new(),
            next_effect: EffectNo(past.effects.iter().map(|effect| effect.no.0).max().unwrap_or(0) + 1),
            images_tagged: BTreeMap::new(),
            mode,
            cancelled: mode == SessionState::Cancelling,
            at_once: mode == SessionState::Cancelling && past.standing.at_once,
            alive: members,
            gate,
            paces: PaceState::new(&plan),
            recheck_held: false,
            in_freeze: fixedbitset::FixedBitSet::with_capacity(members),
            stirred: false,
            ever_acted: !past.effects.is_empty(),
            over: false,
            facts: Vec::new(),
            out: Vec::new(),
            released: Vec::new(),
            reserved: BTreeMap::new(),
            sharers: BTreeMap::new(),
            covered: BTreeMap::new(),
            plan,
            frozen,
            settings,
        };
        flow.count_members();
        let mut approvals = past.approvals.iter().peekable();
        for fact in &past.facts {
            while let Some(approval) = approvals.next_if(|approval| approval.seq < fact.seq) {
                flow.fold_approval(approval);
            }
            flow.fold(fact);
        }
        approvals.for_each(|approval| flow.fold_approval(approval));
        let sent_back = flow.last_sent_back(&past.facts);
        for (ordinal, policy) in &past.retry_policies {
            flow.components[ordinal.0 as usize].retry_policy = Some(*policy);
        }
        for (ordinal, at) in &past.last_power {
            flow.components[ordinal.0 as usize].last_power = Some(millis(*at));
        }
        for (ordinal, report) in &past.reports {
            flow.components[ordinal.0 as usize].reported = Some(Box::new(report.clone()));
        }
        for effect in &past.effects {
            flow.fold_effect(effect, &sent_back);
        }
        for ordinal in &past.claimed {
            flow.unend(*ordinal);
        }
        for ordinal in &past.awaited {
            let component = &mut flow.components[ordinal.0 as usize];
            component.awaited = !component.ended;
        }
        flow.count_places();
        // An ended session is held again by whoever wants somebody sent back.
        flow.over = flow.mode == SessionState::Ended && flow.alive == 0;
        flow
    }

    /// What follows from where the session stands: the same first input for a start, a resume and a retry.
    pub fn start(&mut self, now: Timestamp) -> Vec<Output> {
        self.start_with(now, [])
    }

    /// The same where inputs wait already. A retry of a session whose components have all ended must be given here: their
    /// claims are released otherwise.
    pub fn start_with(&mut self, now: Timestamp, inputs: impl IntoIterator<Item = Input>) -> Vec<Output> {
        self.look_at_clock(now);
        self.lose_open_intents(now);
        for index in 0..self.components.len() as u32 {
            let ordinal = Ordinal(index);
            if self.components[ordinal.0 as usize].ended {
                continue;
            }
            for step in self.way(ordinal) {
                self.re_enter(now, ordinal, step);
            }
            self.heed_report(now, ordinal);
        }
        if self.mode == SessionState::Cancelling {
            self.cancel_rest(now, &Reason::bare(ReasonCode::Cancelled));
        }
        for input in inputs {
            self.take(now, input);
        }
        for index in 0..self.components.len() as u32 {
            if !self.components[index as usize].ended {
                self.check_end(now, Ordinal(index));
            }
        }
        self.feed(now, Input::Tick)
    }

    fn count_members(&mut self) {
        for index in 0..self.plan.members.len() as u32 {
            for step in self.way(Ordinal(index)) {
                self.steps[step.0 as usize].not_reached += 1;
                if self.applies(step, None) == Some(false) {
                    self.put(Ordinal(index), step, Place::Passed);
                }
            }
        }
    }

    fn fold(&mut self, past: &PastFact) {
        let fact = &past.fact;
        for ordinal in &fact.members {
            let place = match fact.kind {
                FactKind::Succeeded => Place::Succeeded,
                FactKind::Failed => Place::Failed,
                FactKind::Skipped => Place::Skipped,
                FactKind::Passed => Place::Passed,
                FactKind::Noticed => {
                    self.components[ordinal.0 as usize].noticed = true;
                    self.components[ordinal.0 as usize].noticed_seq = past.seq;
                    continue;
                }
                FactKind::SentBack => {
                    self.fold_sent_back(*ordinal, past);
                    continue;
                }
            };
            self.put(*ordinal, fact.step, place);
            let cell = self.cell_mut(*ordinal, fact.step);
            cell.attempts = fact.attempts;
            cell.since = millis(past.at);
            let reason = || Box::new(fact.reason.clone().unwrap_or(Reason::bare(ReasonCode::Rejected)));
            match place {
                Place::Failed => {
                    self.count_failure(*ordinal, reason());
                    self.drop_rest(*ordinal);
                }
                Place::Skipped => {
                    self.count_skip(*ordinal, reason());
                    self.drop_rest(*ordinal);
                }
                _ => {
                    if let Some(decision) = fact.decision {
                        self.decide(*ordinal, decision);
                    }
                    self.fold_through(*ordinal);
                }
            }
            self.fold_end(*ordinal);
        }
    }

    fn fold_sent_back(&mut self, ordinal: Ordinal, past: &PastFact) {
        let fact = &past.fact;
        let by_operator = is_by_operator(fact.reason.as_ref());
        let repowers = self.reset(ordinal, fact.sent_to.unwrap_or(fact.step));
        let component = &mut self.components[ordinal.0 as usize];
        if repowers {
            component.repowered_seq = past.seq;
        }
        component.sent_back = if by_operator { 0 } else { component.sent_back + 1 };
    }

    /// Marks what the component is through, in the order of its way.
    fn fold_through(&mut self, ordinal: Ordinal) {
        for step in self.way(ordinal) {
            let place = self.cell(ordinal, step).place;
            let needs = &self.topology.needs[step.0 as usize];
            let through = match place {
                Place::Succeeded => true,
                Place::Passed => needs.iter().all(|need| self.cell(ordinal, *need).through),
                _ => false,
            };
            self.cell_mut(ordinal, step).through = through;
        }
    }

    fn fold_end(&mut self, ordinal: Ordinal) {
        let slice = self.plan.members[ordinal.0 as usize].slice;
        let over =
            self.topology.steps_of(slice).iter().all(|step| self.cell(ordinal, *step).place.is_settled());
        if over && !std::mem::replace(&mut self.components[ordinal.0 as usize].ended, true) {
            self.count_end(ordinal);
        }
    }

    /// Its way has ended, but it is still held: its end is released once more.
    pub(super) fn unend(&mut self, ordinal: Ordinal) {
        if std::mem::take(&mut self.components[ordinal.0 as usize].ended) {
            self.alive += 1;
            self.resume_place(ordinal);
            self.tally(ordinal);
        }
    }

    /// The checkpoints that last sent a component back: what came before belongs to older runs.
    fn last_sent_back(&self, facts: &[PastFact]) -> BTreeMap<Ordinal, SentBack> {
        let mut last: BTreeMap<Ordinal, SentBack> = BTreeMap::new();
        for past in facts.iter().filter(|past| past.fact.kind == FactKind::SentBack) {
            for ordinal in &past.fact.members {
                let known = last.entry(*ordinal).or_default();
                known.seq = past.seq;
                if is_by_operator(past.fact.reason.as_ref()) {
                    known.by_operator = past.seq;
                }
            }
        }
        last
    }

    fn fold_effect(&mut self, effect: &Effect, sent_back: &BTreeMap<Ordinal, SentBack>) {
        if effect.state == EffectState::NotTaken {
            return;
        }
        let step = effect.step;
        let shape = self.steps[step.0 as usize].shape.clone();
        let deed = self.deed(step);
        self.steps[step.0 as usize].attempts += effect.members.len() as i32;
        let token = effect.token.clone().map(|token| {
            self.tokens.push(token);
            self.tokens.len() as u32 - 1
        });
        let at = millis(effect.intended_at);
        self.count_power(step, effect.no, at, &effect.members);
        let unanswered = matches!(effect.state, EffectState::Intended | EffectState::Lost);
        let mut left = 0;
        for ordinal in &effect.members {
            let sent_back = sent_back.get(ordinal).copied().unwrap_or_default();
            let component = &mut self.components[ordinal.0 as usize];
            let (noticed, disturbances, kept) = (component.noticed, component.disturbances, component.kept);
            component.act(deed, at);
            // Facts and sends-back were folded before; they know better.
            component.noticed = noticed && (deed.power.is_none() || effect.seq < component.noticed_seq);
            component.token = token.or(component.token);
            if effect.seq < component.repowered_seq {
                component.forget_power_on();
            }
            if effect.seq < sent_back.by_operator {
                component.disturbances = disturbances;
            }
            if effect.seq < sent_back.by_operator || effect.seq <= component.accepted_seq {
                component.kept = kept;
            }
            let place = self.cell(*ordinal, step).place;
            // Left out elsewhere while this covered it: it settles by itself.
            let settled = place.is_settled() && place != Place::Dropped;
            if shape.group == Group::OncePerImage && place == Place::Succeeded {
                self.image_done(step, true);
            }
            let over = place == Place::Dropped && effect.state == EffectState::Settled;
            let covers = self.is_still_open(effect) && !settled && !over && effect.seq >= sent_back.seq;
            if unanswered && !covers {
                let component = &mut self.components[ordinal.0 as usize];
                component.covered_until = component.covered_until.max(millis(effect.dead_at));
            }
            if settled || effect.seq < sent_back.seq || (place == Place::Dropped && !covers) {
                continue;
            }
            left += usize::from(covers);
            self.fold_attempt(*ordinal, effect, at, covers);
        }
        if left > 0 && shape.power.is_some() {
            for ordinal in &effect.members {
                if self.cell(*ordinal, effect.step).effect != effect.no.0 {
                    self.components[ordinal.0 as usize].reserved_by = Some(effect.no);
                }
            }
        }
        if left > 0 {
            let open = OpenCall {
                step,
                rung: effect.rung,
                members: effect.members.clone(),
                left,
                state: if effect.state == EffectState::Settled {
                    EffectState::Accepted
                } else {
                    effect.state
                },
                reference: effect.reference.clone(),
                intended: at,
                dead: millis(effect.dead_at),
                find_at: None,
                find_asked: 0,
                abort_at: Some(0),
            };
            self.effects.insert(effect.no, open);
        } else if effect.state.is_open() && !(effect.state == EffectState::Lost && shape.lost == Lost::Repeat)
        {
            self.forget(effect.no, EffectState::Settled, None);
        }
    }

    fn fold_attempt(&mut self, ordinal: Ordinal, effect: &Effect, at: Millis, covers: bool) {
        // A newer call covers it: the older one, if it was answered, ended without reaching the goal.
        self.leave(ordinal, effect.step);
        if covers {
            self.unend(ordinal);
        }
        let cell = self.cell_mut(ordinal, effect.step);
        if cell.attempts == 0 {
            cell.entered = at;
        }
        if effect.rung != cell.rung {
            cell.rung = effect.rung;
            cell.tries = 0;
        } else if cell.attempts > 0 && effect.state != EffectState::Lost {
            cell.tries += 1;
        }
        cell.attempts += 1;
        cell.since = at;
        if covers {
            cell.effect = effect.no.0;
        }
    }

    /// Whether it is taken up again. A power call that settled for everybody may have ended without a result for some: its
    /// tasks are read once more, and say so again.
    fn is_still_open(&self, effect: &Effect) -> bool {
        match self.steps[effect.step.0 as usize].shape.lost {
            Lost::Repeat => effect.state.is_open() && effect.state != EffectState::Lost,
            Lost::Find => effect.state != EffectState::NotTaken,
        }
    }

    /// A dead worker's calls are lost calls: one case, one rule.
    fn lose_open_intents(&mut self, now: Timestamp) {
        let open: Vec<(EffectNo, OpenCall)> =
            self.effects.iter().map(|(effect, call)| (*effect, call.clone())).collect();
        for (effect, call) in open {
            let place = match call.state {
                EffectState::Intended | EffectState::Lost => Place::Calling,
                _ => Place::Underway,
            };
            for ordinal in &call.members {
                if self.cell(*ordinal, call.step).effect != effect.0 {
                    continue;
                }
                self.put(*ordinal, call.step, place);
            }
            match call.state {
                EffectState::Intended => {
                    self.lost(now, effect, &call, "the worker that made it is gone", true)
                }
                EffectState::Lost => {
                    if let Some(open) = self.effects.get_mut(&effect) {
                        open.find_at = Some(millis(now));
                    }
                }
                _ => {
                    let state = &mut self.steps[call.step.0 as usize];
                    state.last_entered = state.last_entered.max(call.intended);
                    state.next_look = millis(now);
                }
            }
        }
    }

    /// Brings a component back into a step it was in, or lets it enter what it had reached.
    fn re_enter(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        let cell = *self.cell(ordinal, step);
        let had_effects = cell.attempts > 0 && cell.place == Place::NotReached;
        if !had_effects {
            let through_at = self.topology.needs[step.0 as usize]
                .iter()
                .filter(|need| self.cell(ordinal, **need).place == Place::Succeeded)
                .map(|need| self.cell(ordinal, *need).since)
                .max();
            self.try_enter(now, ordinal, step);
            // A window that was open goes on; it never starts again.
            if let Some(through_at) = through_at
                && self.cell(ordinal, step).place == Place::Underway
            {
                self.cell_mut(ordinal, step).entered = through_at;
            }
            return;
        }
        // Its calls were lost, or somebody held it: the same once more.
        let rung = cell.rung as usize;
        if self.deed(step).disturbs {
            self.take_place(ordinal);
        }
        self.put(ordinal, step, Place::Ready);
        self.steps[step.0 as usize].ready[rung].push_back(ordinal);
    }
}

/// When a component was last sent back: the checkpoint's number, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
struct SentBack {
    seq: i64,
    by_operator: i64,
}

fn is_by_operator(reason: Option<&Reason>) -> bool {
    reason.is_some_and(|reason| reason.code == ReasonCode::RetriedByActor)
}
