//! How components move between steps: entering, getting through, failing, being left out, being sent back.

use super::{
    End, Flow,
    state::{Cell, Place, millis},
};
use crate::model::{
    Timestamp,
    effect::EffectNo,
    plan::{Ordinal, StepNo, UnknownPolicy},
    reason::{Reason, ReasonCode},
    result::{Fact, FactKind},
    session::SessionState,
    verb::{Decision, Power, Verb},
};

impl Flow {
    pub(super) fn cell(&self, ordinal: Ordinal, step: StepNo) -> &Cell {
        &self.cells[self.topology.cell(ordinal, step)]
    }

    pub(super) fn cell_mut(&mut self, ordinal: Ordinal, step: StepNo) -> &mut Cell {
        let index = self.topology.cell(ordinal, step);
        &mut self.cells[index]
    }

    /// Steps of the component's slice, ascending.
    pub(super) fn way(&self, ordinal: Ordinal) -> Vec<StepNo> {
        self.topology.steps_of(self.plan.members[ordinal.0 as usize].slice).to_vec()
    }

    /// Moves a component within a step and keeps the step's counters.
    pub(super) fn put(&mut self, ordinal: Ordinal, step: StepNo, place: Place) {
        let index = self.topology.cell(ordinal, step);
        let old = self.cells[index].place;
        self.cells[index].place = place;
        let state = &mut self.steps[step.0 as usize];
        if let Some(counter) = state.counter(old) {
            *counter -= 1;
        }
        if let Some(counter) = state.counter(place) {
            *counter += 1;
        }
        if self.components[ordinal.0 as usize].excused {
            state.excused += i32::from(place.is_lost()) - i32::from(old.is_lost());
        }
        state.underway.set(ordinal.0 as usize, place == Place::Underway);
        if place != Place::NotReached {
            state.held.set(ordinal.0 as usize, false);
        }
    }

    /// Whether a step is meant for a component; none while that is undecided.
    pub(super) fn applies(&self, step: StepNo, decision: Option<Decision>) -> Option<bool> {
        let planned = &self.plan.steps[step.0 as usize];
        planned.applies(&self.plan.slices[planned.slice.0 as usize], decision)
    }

    /// Adds a component to a fact of this feed.
    pub(super) fn record(&mut self, ordinal: Ordinal, mut fact: Fact) {
        fact.run = self.components[ordinal.0 as usize].run;
        fact.attempts = self.cell(ordinal, fact.step).attempts;
        let same = |other: &&mut Fact| {
            other.step == fact.step
                && other.run == fact.run
                && other.kind == fact.kind
                && other.attempts == fact.attempts
                && other.decision == fact.decision
                && other.sent_to == fact.sent_to
                && other.reason == fact.reason
        };
        // The newest facts are the likeliest to match; a feed has a handful of distinct ones.
        match self.facts.iter_mut().rev().find(same) {
            Some(known) => known.members.push(ordinal),
            None => {
                fact.members = vec![ordinal];
                self.facts.push(fact);
            }
        }
    }

    pub(super) fn fact(step: StepNo, kind: FactKind, reason: Option<Reason>) -> Fact {
        Fact { step, run: 0, kind, attempts: 0, reason, decision: None, sent_to: None, members: Vec::new() }
    }

    /// The component is through the step.
    pub(super) fn succeed(
        &mut self,
        now: Timestamp,
        ordinal: Ordinal,
        step: StepNo,
        decision: Option<Decision>,
    ) {
        if let (Some(Decision::UnknownArtifacts), UnknownPolicy::Leave) = (decision, self.plan.unknown) {
            let reason = Reason::new(
                ReasonCode::UnknownArtifacts,
                "it is on and nobody knows what it runs; use --unknown reboot to power-cycle it",
            );
            self.skip(now, ordinal, step, reason);
            return;
        }
        let decision = match decision {
            Some(Decision::UnknownArtifacts) => Some(Decision::PowerCycle),
            other => other,
        };
        self.share(now, EffectNo(self.cell(ordinal, step).effect), None);
        self.record(ordinal, Fact { decision, ..Self::fact(step, FactKind::Succeeded, None) });
        self.settle(now, ordinal, step, Place::Succeeded);
        if let Some(decision) = decision {
            self.decide(ordinal, decision);
        }
        self.through(now, ordinal, step);
        self.check_end(now, ordinal);
    }

    /// Puts a component in a settled place and takes it out of its effect.
    pub(super) fn settle(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo, place: Place) {
        self.stirred = true;
        self.leave(ordinal, step);
        self.put(ordinal, step, place);
        self.cell_mut(ordinal, step).since = millis(now);
    }

    pub(super) fn decide(&mut self, ordinal: Ordinal, decision: Decision) {
        self.components[ordinal.0 as usize].decision = Some(decision);
        for step in self.way(ordinal) {
            if self.cell(ordinal, step).place == Place::NotReached
                && self.applies(step, Some(decision)) == Some(false)
            {
                self.put(ordinal, step, Place::Passed);
            }
        }
    }

    /// Lets the steps that need this one know.
    pub(super) fn through(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        self.cell_mut(ordinal, step).through = true;
        for next in self.topology.needed_by[step.0 as usize].clone() {
            self.try_enter(now, ordinal, next);
        }
    }

    /// Enters the step if everything it needs is there.
    pub(super) fn try_enter(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        let cell = *self.cell(ordinal, step);
        let waits = matches!(cell.place, Place::NotReached | Place::Passed) && !cell.through;
        let needs = &self.topology.needs[step.0 as usize];
        if !waits || !needs.iter().all(|need| self.cell(ordinal, *need).through) {
            return;
        }
        if cell.place == Place::Passed {
            self.through(now, ordinal, step);
            return;
        }
        let component = &self.components[ordinal.0 as usize];
        if component.is_out() {
            self.put(ordinal, step, Place::Dropped);
        } else if let Some(reason) = component.doomed.clone() {
            self.skip(now, ordinal, step, *reason);
        } else if self.is_held(ordinal, step) {
            self.steps[step.0 as usize].held.insert(ordinal.0 as usize);
        } else {
            self.enter(now, ordinal, step);
        }
    }

    /// Whether its holder, a barrier or the gate keeps the component out.
    pub(super) fn is_held(&self, ordinal: Ordinal, step: StepNo) -> bool {
        if self.components[ordinal.0 as usize].awaited || self.is_frozen(ordinal, step) {
            return true;
        }
        self.is_barred(step) || self.is_kept_out(ordinal, step)
    }

    fn enter(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        let at = millis(now);
        let cell = self.cell_mut(ordinal, step);
        cell.entered = at;
        cell.since = at;
        let acts = self.steps[step.0 as usize].acts();
        if !acts && self.mode == SessionState::Cancelling {
            self.skip(now, ordinal, step, Reason::bare(ReasonCode::Cancelled));
            return;
        }
        let powers = self.steps[step.0 as usize].shape.power.is_some();
        if powers && self.components[ordinal.0 as usize].retry_policy == Some(0) {
            let reason = Reason::new(ReasonCode::TooManyAttempts, "its retry_policy allows none");
            self.fail(now, ordinal, step, reason);
            return;
        }
        if acts {
            if self.deed(step).disturbs {
                self.take_place(ordinal);
            }
            self.put(ordinal, step, Place::Ready);
            self.steps[step.0 as usize].ready[0].push_back(ordinal);
            return;
        }
        self.watch(now, ordinal, step);
    }

    /// A component is now observed in this step.
    pub(super) fn watch(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo) {
        self.put(ordinal, step, Place::Underway);
        let first = match self.plan.steps[step.0 as usize].verb {
            Verb::Inspect { .. } => now,
            _ => now + self.poll_min(step),
        };
        let state = &mut self.steps[step.0 as usize];
        state.last_entered = millis(now);
        state.next_look =
            if state.underway_count == 1 { millis(first) } else { state.next_look.min(millis(first)) };
        if matches!(self.plan.steps[step.0 as usize].verb, Verb::AwaitBoot {})
            && self.believes_report(ordinal)
        {
            self.succeed(now, ordinal, step, None);
        }
    }

    /// How often a component may be sent back: BOS counts its power-ons, of which the first needs no sending back.
    fn times_again(&self, ordinal: Ordinal, planned: u16) -> u16 {
        let policy = self.components[ordinal.0 as usize].retry_policy;
        policy.map_or(planned, |policy| policy.saturating_sub(1))
    }

    /// Failed in the step: sent back if the step says so, else its way ends here.
    pub(super) fn fail(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo, reason: Reason) {
        self.share(now, EffectNo(self.cell(ordinal, step).effect), Some(&reason));
        let again = self.plan.steps[step.0 as usize].again.clone();
        if let Some(again) = again
            && again.on.contains(&reason.code)
            && self.components[ordinal.0 as usize].sent_back < self.times_again(ordinal, again.times)
            && self.components[ordinal.0 as usize].doomed.is_none()
            && !self.components[ordinal.0 as usize].is_out()
            && self.mode != SessionState::Cancelling
        {
            self.components[ordinal.0 as usize].sent_back += 1;
            self.send_back(now, ordinal, step, again.from, reason);
            return;
        }
        self.record(ordinal, Self::fact(step, FactKind::Failed, Some(reason.clone())));
        self.settle(now, ordinal, step, Place::Failed);
        self.count_failure(ordinal, Box::new(reason));
        self.drop_rest(ordinal);
        self.check_end(now, ordinal);
    }

    /// Left out in the step, with a reason: goes no further.
    pub(super) fn skip(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo, reason: Reason) {
        self.record(ordinal, Self::fact(step, FactKind::Skipped, Some(reason.clone())));
        self.settle(now, ordinal, step, Place::Skipped);
        self.count_skip(ordinal, Box::new(reason));
        self.drop_rest(ordinal);
        self.check_end(now, ordinal);
    }

    /// Whatever of its way no effect covers is left out; what an effect covers settles by itself.
    pub(super) fn drop_rest(&mut self, ordinal: Ordinal) {
        for step in self.way(ordinal) {
            let cell = *self.cell(ordinal, step);
            let watched = cell.place == Place::Underway && !self.steps[step.0 as usize].acts();
            if cell.place == Place::Ready && cell.attempts > 0 {
                self.drop_tried(ordinal, step);
            } else if matches!(cell.place, Place::NotReached | Place::Ready) || watched {
                self.put(ordinal, step, Place::Dropped);
            }
        }
    }

    /// It waits for another call of a step it was in: that is said, or a restart would read its effects again.
    fn drop_tried(&mut self, ordinal: Ordinal, step: StepNo) {
        let component = &mut self.components[ordinal.0 as usize];
        let reason = component.failed.clone().or_else(|| component.skipped.clone());
        component.skipped = component.skipped.take().or_else(|| reason.clone());
        self.record(ordinal, Self::fact(step, FactKind::Skipped, reason.map(|reason| *reason)));
        self.stirred = true;
        self.put(ordinal, step, Place::Skipped);
    }

    /// The component's way ends when nothing of it is left to settle.
    pub(super) fn check_end(&mut self, now: Timestamp, ordinal: Ordinal) {
        let slice = self.plan.members[ordinal.0 as usize].slice;
        let over =
            self.topology.steps_of(slice).iter().all(|step| self.cell(ordinal, *step).place.is_settled());
        if !over || self.components[ordinal.0 as usize].ended {
            return;
        }
        let covered_until = self.components[ordinal.0 as usize].covered_until;
        if covered_until > millis(now) {
            self.covered.entry(covered_until).or_default().push(ordinal);
            return;
        }
        self.end(ordinal);
    }

    fn end(&mut self, ordinal: Ordinal) {
        let component = &mut self.components[ordinal.0 as usize];
        component.ended = true;
        let end = match (&component.failed, &component.skipped) {
            (Some(reason), _) => End::Failed(Reason::clone(reason)),
            (None, Some(reason)) => End::Skipped(Reason::clone(reason)),
            (None, None) => End::Succeeded,
        };
        self.released.push((ordinal, end));
        self.leave_place(ordinal);
        self.count_end(ordinal);
    }

    /// One fewer is alive; the next wave's gate may open.
    pub(super) fn count_end(&mut self, ordinal: Ordinal) {
        self.alive -= 1;
        self.tally(ordinal);
    }

    /// Ends of components that a lost call no longer covers.
    pub(super) fn release_covered(&mut self, now: Timestamp) {
        while let Some(first) = self.covered.first_entry()
            && *first.key() <= millis(now)
        {
            for ordinal in first.remove() {
                self.check_end(now, ordinal);
            }
        }
    }

    /// Sends a component back: its run rises, and what it did before that step is carried over.
    pub(super) fn send_back(
        &mut self,
        now: Timestamp,
        ordinal: Ordinal,
        at: StepNo,
        to: StepNo,
        reason: Reason,
    ) {
        self.record(ordinal, Fact { sent_to: Some(to), ..Self::fact(at, FactKind::SentBack, Some(reason)) });
        self.reset(ordinal, to);
        for step in self.way(ordinal) {
            self.try_enter(now, ordinal, step);
        }
    }

    /// The pure half of sending back, shared with the fold of what is past. Whether it is to be powered on once more.
    pub(super) fn reset(&mut self, ordinal: Ordinal, to: StepNo) -> bool {
        let way = self.way(ordinal);
        let mut fresh = vec![false; self.plan.steps.len()];
        for step in &way {
            let place = self.cell(ordinal, *step).place;
            let unfinished = !matches!(place, Place::Succeeded | Place::Passed);
            let behind = self.topology.needs[step.0 as usize].iter().any(|need| fresh[need.0 as usize]);
            fresh[step.0 as usize] = *step == to || unfinished || behind;
        }
        let is_fresh = |step: &StepNo| fresh[step.0 as usize];
        let inspects = |step: &StepNo| matches!(self.plan.steps[step.0 as usize].verb, Verb::Inspect { .. });
        let reinspects = way.iter().any(|step| is_fresh(step) && inspects(step));
        let powers =
            |step: &StepNo, to: Power| is_fresh(step) && self.steps[step.0 as usize].shape.power == Some(to);
        let cycles = way.iter().any(|step| powers(step, Power::Off));
        let repowers = way.iter().any(|step| powers(step, Power::On));
        let component = &mut self.components[ordinal.0 as usize];
        if reinspects {
            component.decision = None;
        } else if cycles && component.decision == Some(Decision::PowerOn) {
            // It was off when the session began; it is not any more.
            component.decision = Some(Decision::PowerCycle);
        }
        component.run += 1;
        component.skipped = None;
        component.doomed = None;
        component.wanted = false;
        // Where its power is left alone HSM's Ready is still that of this session's boot.
        component.noticed &= !cycles;
        component.ready_since = None;
        if repowers {
            component.forget_power_on();
        }
        self.forget_failure(ordinal);
        self.unend(ordinal);
        self.tally(ordinal);
        let decision = self.components[ordinal.0 as usize].decision;
        for step in way.iter().filter(|step| is_fresh(step)) {
            self.leave(ordinal, *step);
            let place =
                if self.applies(*step, decision) == Some(false) { Place::Passed } else { Place::NotReached };
            self.put(ordinal, *step, place);
            *self.cell_mut(ordinal, *step) = Cell { place, ..Cell::NEW };
        }
        repowers
    }

    pub(super) fn step_name(&self, step: StepNo) -> &str {
        &self.plan.steps[step.0 as usize].name
    }
}
