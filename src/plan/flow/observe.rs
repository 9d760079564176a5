//! Observations and reports: what is seen, and what may be believed.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    Flow, Output,
    state::{Ask, Millis, Place, millis, timestamp},
};
use crate::model::{
    Timestamp,
    component::Report,
    effect::EffectState,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    result::FactKind,
    site::JobStep,
    verb::{CallError, OpenEffect, Seen, Verb},
};

/// The interval between two observations is this share of the time since somebody last entered the step, so that on
/// average half of it, 2 %, is lost by looking late.
const POLL_SHARE: i32 = 25;

impl Flow {
    /// Asks about everybody under way whose time has come.
    pub(super) fn look(&mut self, now: Timestamp) {
        for index in 0..self.steps.len() {
            let state = &self.steps[index];
            if state.underway_count == 0 || state.observing || state.look_at() > millis(now) {
                continue;
            }
            let step = StepNo(index as i16);
            let members: Vec<Ordinal> = state.underway.ones().map(|one| Ordinal(one as u32)).collect();
            let effects: Vec<OpenEffect> = if state.acts() {
                let open = |state| matches!(state, EffectState::Accepted | EffectState::Found);
                let of_step = self.effects.iter().filter(|(_, call)| call.step == step && open(call.state));
                of_step.map(|(effect, call)| call.open(*effect)).collect()
            } else {
                Vec::new()
            };
            self.steps[index].observing = true;
            self.out.push(Output::Observe { step, members, effects });
        }
    }

    /// Shortest interval between two observations of a step.
    pub(super) fn poll_min(&self, step: StepNo) -> TimeDelta {
        match self.plan.steps[step.0 as usize].verb {
            Verb::AwaitBoot {} => self.pace.readiness_poll_min,
            Verb::AwaitConfiguration {} => self.pace.configuration_poll_min,
            Verb::Http(_) | Verb::Job(JobStep { kubernetes: Some(_), .. }) => self.pace.site_poll_min,
            _ => self.pace.poll_min,
        }
    }

    pub(super) fn saw(
        &mut self,
        now: Timestamp,
        step: StepNo,
        asked_at: Timestamp,
        seen: Result<Vec<(Ordinal, Seen)>, CallError>,
    ) {
        self.steps[step.0 as usize].observing = false;
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                self.service_down(now, step, Ask::Look, &error);
                return;
            }
        };
        self.service_up(step, Ask::Look);
        let since = timestamp(self.steps[step.0 as usize].last_entered);
        let least = self.poll_min(step);
        let share = ((now - since) / POLL_SHARE).clamp(least, self.pace.poll_max.max(least));
        // A question that takes long is asked no more than half of the time.
        let interval: TimeDelta = share.max(now - asked_at);
        self.steps[step.0 as usize].next_look = millis(now + interval);
        let mut waits = BTreeMap::new();
        for (ordinal, seen) in seen {
            if let Seen::Waits(why) = &seen {
                waits.insert(ordinal, why.clone());
            }
            let cell = self.cell(ordinal, step);
            // What was asked before it entered this rung says nothing about it.
            if cell.place == Place::Underway && cell.since <= millis(asked_at) {
                self.seen(now, asked_at, ordinal, step, seen);
            }
        }
        self.judge_deadlines(now, asked_at, step, &waits);
    }

    fn seen(&mut self, now: Timestamp, asked_at: Timestamp, ordinal: Ordinal, step: StepNo, seen: Seen) {
        match seen {
            Seen::Pending | Seen::Waits(_) => {}
            Seen::Reached(_) if self.is_await_boot(step) && !self.believes_ready(ordinal, asked_at) => {}
            Seen::Reached(decision) => self.succeed(now, ordinal, step, decision),
            Seen::Noticed => {
                self.components[ordinal.0 as usize].ready_since = None;
                if !std::mem::replace(&mut self.components[ordinal.0 as usize].noticed, true) {
                    self.record(ordinal, Self::fact(step, FactKind::Noticed, None));
                }
            }
            Seen::Spent(reason) => self.ended(now, asked_at, ordinal, step, reason),
            Seen::Busy(reason) => self.busy(now, ordinal, step, reason),
            Seen::Failed(reason) => self.fail(now, ordinal, step, reason),
            Seen::Skipped(reason) => self.skip(now, ordinal, step, reason),
        }
    }

    /// A deadline is judged only on an answer that was asked for after it. `waits` says why some are not there.
    fn judge_deadlines(
        &mut self,
        now: Timestamp,
        asked_at: Timestamp,
        step: StepNo,
        waits: &BTreeMap<Ordinal, String>,
    ) {
        let timeout = self.timeout_millis(step);
        let asked: Millis = millis(asked_at);
        let late: Vec<Ordinal> = self.steps[step.0 as usize]
            .underway
            .ones()
            .map(|one| Ordinal(one as u32))
            .filter(|ordinal| self.cell(*ordinal, step).entered + timeout <= asked)
            .filter(|ordinal| !(self.is_await_boot(step) && self.awaits_reporter(*ordinal, asked_at)))
            .collect();
        self.end_watched_rungs(now, asked, step);
        let planned = &self.plan.steps[step.0 as usize];
        let code = match planned.verb {
            Verb::PowerOff { .. } => ReasonCode::PowerOffTimeout,
            Verb::PowerOn { .. } => ReasonCode::PowerOnTimeout,
            Verb::AwaitBoot {} => ReasonCode::BootTimeout,
            Verb::AwaitConfiguration {} => ReasonCode::ConfigurationTimeout,
            _ => ReasonCode::StepTimeout,
        };
        let text = format!("not there within {}", humantime::format_duration(planned.timeout));
        for ordinal in late {
            if self.cell(ordinal, step).place == Place::Underway {
                let why = waits.get(&ordinal).map_or_else(|| text.clone(), |why| format!("{text}: {why}"));
                self.fail(now, ordinal, step, Reason::new(code, why));
            }
        }
    }

    fn is_await_boot(&self, step: StepNo) -> bool {
        matches!(self.plan.steps[step.0 as usize].verb, Verb::AwaitBoot {})
    }

    /// HSM's Ready is believed for want of a reporter only: not against a report made since the power-on, and not before
    /// a reporter, if there is one, had time to speak.
    fn believes_ready(&mut self, ordinal: Ordinal, asked_at: Timestamp) -> bool {
        let component = &mut self.components[ordinal.0 as usize];
        let reported = component.reported.as_ref();
        let since_power_on = |report: &Report| component.powered_on.is_some_and(|on| millis(report.at) > on);
        if reported.is_some_and(|report| since_power_on(report)) {
            return false;
        }
        component.ready_since.get_or_insert(millis(asked_at));
        !self.awaits_reporter(ordinal, asked_at)
    }

    /// Ready in HSM, while a reporter, if there is one, may still speak. No deadline falls meanwhile: HSM may have been
    /// away until after it, and a node that is up must not be power-cycled for that.
    fn awaits_reporter(&self, ordinal: Ordinal, asked_at: Timestamp) -> bool {
        let component = &self.components[ordinal.0 as usize];
        let has_reporter = component.reported.is_some();
        let grace = if has_reporter { self.pace.ready_grace_reporter } else { self.pace.ready_grace };
        component.ready_since.is_some_and(|since| asked_at < timestamp(since) + grace)
    }

    /// Its report names the token that was in force at this session's last power-on of it.
    pub(super) fn believes_report(&self, ordinal: Ordinal) -> bool {
        let component = &self.components[ordinal.0 as usize];
        let (Some(report), Some(powered_on)) = (&component.reported, component.powered_on) else {
            return false;
        };
        let expected = component.booted_with.map(|token| &self.tokens[token as usize]);
        // No node boots within the millisecond in which it is told to.
        millis(report.at) > powered_on && expected == Some(&report.token)
    }

    pub(super) fn reported(&mut self, now: Timestamp, reports: Vec<(Ordinal, Report)>) {
        for (ordinal, report) in reports {
            let known = &mut self.components[ordinal.0 as usize].reported;
            if known.as_ref().is_none_or(|known| known.at <= report.at) {
                *known = Some(Box::new(report));
            }
            self.heed_report(now, ordinal);
        }
    }

    /// Later evidence settles earlier steps: a node that booted with our token is on.
    pub(super) fn heed_report(&mut self, now: Timestamp, ordinal: Ordinal) {
        if !self.believes_report(ordinal) {
            return;
        }
        for step in self.way(ordinal) {
            let verb = &self.plan.steps[step.0 as usize].verb;
            let proven = matches!(verb, Verb::PowerOn { .. } | Verb::AwaitBoot {});
            // Also one that waits for another On: it would move the power-on behind the report.
            if proven && self.cell(ordinal, step).place.is_in_flight() {
                self.succeed(now, ordinal, step, None);
            }
        }
    }

    /// The moment of the next thing that time alone brings about.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let mut wake: Option<Millis> = None;
        let mut consider = |at: Millis| wake = Some(wake.map_or(at, |known: Millis| known.min(at)));
        let patience = self.plan.service_patience.as_millis() as Millis;
        for (index, state) in self.steps.iter().enumerate() {
            if state.in_flight() == 0 {
                continue;
            }
            if state.underway_count > 0 && !state.observing {
                consider(state.look_at());
            }
            if state.ready_count > 0 {
                self.paced_until(StepNo(index as i16))
                    .filter(|at| *at > millis(now))
                    .into_iter()
                    .for_each(&mut consider);
                if let Some((at, _)) = state.delayed.first_key_value() {
                    consider(*at);
                }
                // Those of a call per session may wait for another step's service.
                let rests_until = self.rests_until(StepNo(index as i16));
                if rests_until > millis(now) {
                    consider(rests_until);
                }
            }
            for since in [state.calling.down_since, state.looking.down_since].into_iter().flatten() {
                consider(since + patience);
            }
        }
        for call in self.effects.values() {
            if let Some(at) = call.find_at {
                consider(at);
            }
        }
        self.gates_wake_at().into_iter().for_each(&mut consider);
        if let Some((until, _)) = self.covered.first_key_value() {
            consider(*until);
        }
        self.abort_at().into_iter().for_each(&mut consider);
        wake.map(|at| timestamp(at.max(millis(now))))
    }
}
