//! Calls: who goes into one, and what its answer means.

use super::{
    Flow, Output,
    state::{Ask, Millis, OpenCall, Place, Room, millis},
};
use crate::model::{
    Timestamp,
    effect::{EffectNo, EffectState},
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    session::SessionState,
    verb::{Answer, CallError, Group, Power, Took, Verb},
};
/// Most calls of one step at once.
const CALLS_MAX: usize = 4;

impl Flow {
    /// Makes the calls that can be made; none in a stuck session, which an operator has to look at first.
    pub(super) fn pump(&mut self, now: Timestamp) {
        for index in 0..self.steps.len() {
            if self.steps[index].acts() {
                self.undelay(now, index);
                while self.mode != SessionState::Stuck
                    && self.steps[index].calls < CALLS_MAX
                    && (self.steps[index].calling.retry_at <= millis(now)
                        || self.is_tagged(StepNo(index as i16)))
                    && self.pump_one(now, StepNo(index as i16))
                {}
            }
        }
        self.find_lost(now);
    }

    fn undelay(&mut self, now: Timestamp, index: usize) {
        let state = &mut self.steps[index];
        while state.delayed.first_key_value().is_some_and(|(at, _)| *at <= millis(now)) {
            let Some((_, members)) = state.delayed.pop_first() else { return };
            for ordinal in members {
                let cell = &self.cells[self.topology.cell(ordinal, StepNo(index as i16))];
                if cell.place == Place::Ready {
                    state.ready[cell.rung as usize].push_back(ordinal);
                }
            }
        }
    }

    /// Makes one call of a step; false if there is none to make.
    fn pump_one(&mut self, now: Timestamp, step: StepNo) -> bool {
        let index = step.0 as usize;
        match self.steps[index].shape.group {
            Group::OncePerImage => return self.pump_image(now, step),
            Group::Slice | Group::Session => return self.pump_whole(now, step),
            Group::UpTo(_) => {}
        }
        let room = self.paced_room(now, step);
        if room == 0 {
            return false;
        }
        if let Some((rung, members)) = self.steps[index].forced.pop_front() {
            if members.len() > room {
                self.steps[index].forced.push_front((rung, members));
                return false;
            }
            let members = self.still_ready(step, rung, members);
            if !members.is_empty() {
                self.call(now, step, rung, members);
            }
            return true;
        }
        let Group::UpTo(limit) = self.steps[index].shape.group else { return false };
        let limit = (limit.get() as usize).min(self.steps[index].size_cap).min(room);
        for rung in 0..self.steps[index].ready.len() {
            let waiting = self.steps[index].ready[rung].len();
            if waiting == 0 {
                continue;
            }
            // Even calls rather than full ones and a rest.
            let size = waiting.div_ceil(waiting.div_ceil(limit));
            let members = self.draw(now, step, rung, size);
            let members = self.still_ready(step, rung as u8, members);
            if !members.is_empty() {
                self.call(now, step, rung as u8, members);
            }
            return true;
        }
        false
    }

    /// Those of a group that may still go: entries are checked when they are taken, not when things change.
    pub(super) fn still_ready(&mut self, step: StepNo, rung: u8, members: Vec<Ordinal>) -> Vec<Ordinal> {
        let mut going = Vec::with_capacity(members.len());
        for ordinal in members {
            let cell = self.cell(ordinal, step);
            if cell.place != Place::Ready || cell.rung != rung {
                continue;
            }
            if self.is_held(ordinal, step) {
                self.put(ordinal, step, Place::NotReached);
                self.steps[step.0 as usize].held.insert(ordinal.0 as usize);
                self.give_up_place(ordinal);
            } else if let Some(effect) = self.is_reserved(ordinal, step) {
                self.reserved.entry(effect).or_default().push((step, ordinal));
            } else {
                // Its place may have been given up, when it was set how many there are.
                if self.deed(step).disturbs {
                    self.take_place(ordinal);
                }
                going.push(ordinal);
            }
        }
        going.sort_unstable();
        going.dedup();
        going
    }

    /// The open power effect for which PCS still keeps the component reserved.
    fn is_reserved(&self, ordinal: Ordinal, step: StepNo) -> Option<EffectNo> {
        self.steps[step.0 as usize].shape.power?;
        self.components[ordinal.0 as usize].reserved_by.filter(|effect| self.effects.contains_key(effect))
    }

    pub(super) fn call(&mut self, now: Timestamp, step: StepNo, rung: u8, members: Vec<Ordinal>) {
        let effect = self.next_effect;
        self.next_effect = EffectNo(effect.0 + 1);
        self.ever_acted = true;
        let at = millis(now);
        let dead = millis(now + self.pace.call_alive_for);
        let deed = self.deed(step);
        for ordinal in &members {
            self.put(*ordinal, step, Place::Calling);
            let cell = self.cell_mut(*ordinal, step);
            if cell.attempts == 0 {
                // What it waited for its call, at the pace of the session, does not count.
                cell.entered = at;
            }
            cell.effect = effect.0;
            cell.attempts += 1;
            cell.since = at;
            self.components[ordinal.0 as usize].act(deed, at);
            self.tally(*ordinal);
        }
        self.steps[step.0 as usize].attempts += members.len() as i32;
        self.steps[step.0 as usize].calls += 1;
        let open = OpenCall {
            step,
            rung,
            members: members.clone(),
            left: members.len(),
            state: EffectState::Intended,
            reference: None,
            intended: at,
            dead,
            find_at: None,
            find_asked: 0,
            abort_at: Some(0),
        };
        self.effects.insert(effect, open);
        self.count_power(step, effect, at, &members);
        self.out.push(Output::Call { effect, step, rung, members });
    }

    /// Who is still covered by this effect.
    pub(super) fn covered_by(&self, effect: EffectNo, call: &OpenCall) -> Vec<Ordinal> {
        let covers = |ordinal: &&Ordinal| self.cell(**ordinal, call.step).effect == effect.0;
        call.members.iter().filter(covers).copied().collect()
    }

    pub(super) fn answered(&mut self, now: Timestamp, effect: EffectNo, answer: Result<Answer, CallError>) {
        let Some(call) = self.effects.get(&effect).cloned() else { return };
        self.steps[call.step.0 as usize].calls -= 1;
        match answer {
            Ok(answer) => {
                self.service_up(call.step, Ask::Call);
                self.accepted(now, effect, &call, answer, EffectState::Accepted);
            }
            Err(error @ CallError::Transient { .. }) => {
                self.service_down(now, call.step, Ask::Call, &error);
                self.not_taken(now, effect, &call, error.to_string());
            }
            Err(CallError::TooLarge) if call.members.len() > 1 && !self.is_indivisible(call.step) => {
                self.steps[call.step.0 as usize].size_cap = call.members.len() / 2;
                self.not_taken(now, effect, &call, "too many components in one call".to_owned());
            }
            Err(CallError::TooLarge) => self.refused(now, effect, &call, "too large".to_owned(), Vec::new()),
            Err(CallError::Rejected { text, named }) => self.refused(now, effect, &call, text, named),
            Err(error @ CallError::Lost { .. }) => {
                self.service_down(now, call.step, Ask::Call, &error);
                self.lost(now, effect, &call, &error.to_string(), false);
            }
        }
        // Everybody it covered may have been settled by later evidence before its answer came.
        if self.effects.get(&effect).is_some_and(|call| call.left == 0) {
            self.forget(effect, EffectState::Settled, None);
        }
    }

    /// The service took the call.
    pub(super) fn accepted(
        &mut self,
        now: Timestamp,
        effect: EffectNo,
        call: &OpenCall,
        answer: Answer,
        state: EffectState,
    ) {
        let token = answer.token;
        self.tokens.extend(token.clone());
        let token_index = token.as_ref().map(|_| self.tokens.len() as u32 - 1);
        if let Some(open) = self.effects.get_mut(&effect) {
            open.state = state;
            open.reference.clone_from(&answer.reference);
            open.find_at = None;
        }
        let token = token.map(|token| (token, call.step));
        self.out.push(Output::Effect { effect, state, reference: answer.reference, token, error: None });
        if self.steps[call.step.0 as usize].shape.group == Group::OncePerImage {
            self.image_done(call.step, answer.rest == Took::Done);
        }
        let mut named = answer.named;
        named.sort_by_key(|(ordinal, _)| *ordinal);
        for ordinal in self.covered_by(effect, call) {
            if token_index.is_some() {
                self.components[ordinal.0 as usize].token = token_index;
            }
            let took = match named.binary_search_by_key(&ordinal, |(named, _)| *named) {
                Ok(found) => named[found].1.clone(),
                Err(_) => answer.rest.clone(),
            };
            match took {
                Took::Done => self.succeed(now, ordinal, call.step, None),
                Took::Underway => self.watch(now, ordinal, call.step),
                Took::Busy(reason) => self.busy(now, ordinal, call.step, reason),
                Took::Refused(reason) => self.fail(now, ordinal, call.step, reason),
            }
        }
    }

    /// Surely not taken: whoever it covered waits for another call.
    pub(super) fn not_taken(&mut self, now: Timestamp, effect: EffectNo, call: &OpenCall, error: String) {
        self.undo(effect, call);
        for ordinal in self.covered_by(effect, call) {
            self.requeue(now, ordinal, call.step);
            // The power-on before it is the last one again, and its report may have come meanwhile.
            self.heed_report(now, ordinal);
        }
        self.forget(effect, EffectState::NotTaken, Some(error));
    }

    /// A call that was not taken does not count.
    fn undo(&mut self, effect: EffectNo, call: &OpenCall) {
        self.steps[call.step.0 as usize].attempts -= call.members.len() as i32;
        self.forget_power(call.step, effect);
        let deed = self.deed(call.step);
        for ordinal in self.covered_by(effect, call) {
            let cell = self.cell_mut(ordinal, call.step);
            cell.attempts = cell.attempts.saturating_sub(1);
            self.components[ordinal.0 as usize].unact(deed);
            self.tally(ordinal);
            self.reopen(ordinal);
            if self.gate.is_overfull() {
                self.give_up_place(ordinal);
            }
        }
    }

    pub(super) fn forget(&mut self, effect: EffectNo, state: EffectState, error: Option<String>) {
        if let Some(call) = self.effects.remove(&effect)
            && self.steps[call.step.0 as usize].shape.group == Group::OncePerImage
            && state != EffectState::Settled
        {
            self.image_done(call.step, false);
        }
        self.out.push(Output::Effect { effect, state, reference: None, token: None, error });
        self.free_sharers(effect);
        for (step, ordinal) in self.reserved.remove(&effect).unwrap_or_default() {
            let cell = self.cell(ordinal, step);
            if cell.place == Place::Ready {
                let rung = cell.rung as usize;
                self.steps[step.0 as usize].ready[rung].push_back(ordinal);
                self.stirred = true;
            }
        }
    }

    /// Back among those that wait for a call, on the same rung.
    pub(super) fn requeue(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        let cell = self.cell_mut(ordinal, step);
        cell.effect = 0;
        let rung = cell.rung;
        self.put(ordinal, step, Place::Ready);
        self.steps[step.0 as usize].ready[rung as usize].push_back(ordinal);
        self.let_go(now, ordinal, step);
    }

    /// One that has to be called again goes no further if it was left out meanwhile: it does not wait for the call's turn.
    pub(super) fn let_go(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        let component = &self.components[ordinal.0 as usize];
        if component.is_out() {
            self.drop_rest(ordinal);
            self.check_end(now, ordinal);
        } else if let Some(reason) = component.doomed.clone() {
            self.skip(now, ordinal, step, *reason);
        } else if self.mode == SessionState::Cancelling && !component.is_inside() {
            // It was cancelled while a call was on its way that turned out not to have been taken.
            self.skip(now, ordinal, step, Reason::bare(ReasonCode::Cancelled));
        }
    }

    /// Refused as it stands: those named fail; if nobody is named the call is halved until the culprit stands alone.
    fn refused(
        &mut self,
        now: Timestamp,
        effect: EffectNo,
        call: &OpenCall,
        text: String,
        named: Vec<Ordinal>,
    ) {
        self.service_up(call.step, Ask::Call);
        let reason = Reason::new(self.refusal(call.step), text.clone());
        let covered = self.covered_by(effect, call);
        // What is said once for everybody is refused to everybody.
        let alone = covered.len() <= 1 || self.is_indivisible(call.step);
        let (culprits, rest): (Vec<Ordinal>, Vec<Ordinal>) =
            covered.into_iter().partition(|ordinal| alone || named.contains(ordinal));
        self.undo(effect, call);
        for ordinal in &rest {
            self.requeue(now, *ordinal, call.step);
        }
        if culprits.is_empty() {
            let (left, right) = rest.split_at(rest.len() / 2);
            let state = &mut self.steps[call.step.0 as usize];
            // They were just put at the end of the queue; they go by themselves instead.
            let queue = &mut state.ready[call.rung as usize];
            queue.truncate(queue.len().saturating_sub(rest.len()));
            state.forced.push_back((call.rung, left.to_vec()));
            state.forced.push_back((call.rung, right.to_vec()));
        }
        if rest.is_empty() {
            self.share(now, effect, Some(&reason));
        }
        for ordinal in culprits {
            self.cell_mut(ordinal, call.step).effect = 0;
            self.fail(now, ordinal, call.step, reason.clone());
        }
        self.forget(effect, EffectState::NotTaken, Some(text));
    }

    /// What a call of this step does to its components.
    pub(super) fn deed(&self, step: StepNo) -> Deed {
        let power = self.steps[step.0 as usize].shape.power;
        let disturbs = self.plan.steps[step.0 as usize].verb.disturbs();
        Deed { power, disturbs }
    }

    fn refusal(&self, step: StepNo) -> ReasonCode {
        match self.plan.steps[step.0 as usize].verb {
            Verb::SetBootParameters {} => ReasonCode::BootParametersRejected,
            Verb::TagImage {} => ReasonCode::ImageTagFailed,
            Verb::PowerOff { .. } => ReasonCode::PowerOffFailed,
            Verb::PowerOn { .. } => ReasonCode::PowerOnFailed,
            Verb::Http(_) => ReasonCode::WebhookFailed,
            Verb::Job(_) => ReasonCode::JobFailed,
            _ => ReasonCode::Rejected,
        }
    }

    /// Takes a component out of the effect that covers it; an effect that covers nobody is settled.
    pub(super) fn leave(&mut self, ordinal: Ordinal, step: StepNo) {
        let effect = EffectNo(std::mem::take(&mut self.cell_mut(ordinal, step).effect));
        let Some(call) = self.effects.get_mut(&effect) else { return };
        call.left = call.left.saturating_sub(1);
        if call.left > 0 && self.steps[step.0 as usize].shape.power.is_some() {
            self.components[ordinal.0 as usize].reserved_by = Some(effect);
        }
        if matches!(call.state, EffectState::Intended | EffectState::Lost) {
            // It was judged by other evidence; the call may act all the same.
            let component = &mut self.components[ordinal.0 as usize];
            component.covered_until = component.covered_until.max(call.dead);
        }
        if call.left == 0 && call.state != EffectState::Intended {
            self.forget(effect, EffectState::Settled, None);
        }
    }

    /// Everybody of a step's slice.
    pub(super) fn in_step(&self, step: StepNo) -> impl Iterator<Item = Ordinal> + '_ {
        let slice = self.plan.steps[step.0 as usize].slice;
        let members = self.plan.members.iter().enumerate();
        members.filter(move |(_, member)| member.slice == slice).map(|(index, _)| Ordinal(index as u32))
    }

    pub(super) fn timeout_millis(&self, step: StepNo) -> Millis {
        self.plan.steps[step.0 as usize].timeout.as_millis() as Millis
    }
}

/// What a call does to its components.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    pub power: Option<Power>,
    /// It changes a node that somebody may be using: its gate is behind it then.
    pub disturbs: bool,
}

impl super::state::Component {
    /// A call is about to be made.
    pub(super) fn act(&mut self, deed: Deed, at: Millis) {
        self.disturbances += u16::from(deed.disturbs);
        self.kept += u16::from(deed.disturbs);
        if deed.disturbs && self.room == Room::Reserved {
            self.room = Room::Kept;
        }
        if deed.power.is_none() {
            return;
        }
        self.last_power = self.this_power.max(self.last_power);
        self.this_power = Some(at);
        self.before = (self.powered_on, self.booted_with, self.noticed);
        // What a node reports after it was switched off is about the boot before.
        (self.powered_on, self.booted_with) = match deed.power {
            Some(Power::On) => (Some(at), self.token),
            _ => (None, None),
        };
        self.noticed = false;
        self.ready_since = None;
    }

    /// The call was not taken.
    fn unact(&mut self, deed: Deed) {
        self.disturbances = self.disturbances.saturating_sub(u16::from(deed.disturbs));
        self.kept = self.kept.saturating_sub(u16::from(deed.disturbs));
        if self.kept == 0 && self.room == Room::Kept {
            self.room = Room::Reserved;
        }
        if deed.power.is_some() {
            self.this_power = self.last_power;
            (self.powered_on, self.booted_with, self.noticed) = self.before;
        }
    }
}
