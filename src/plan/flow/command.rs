//! What operators and other sessions ask.

use serde_json::json;

use super::{
    Flow, Output, because,
    state::{Place, millis},
};
use crate::model::{
    Timestamp,
    command::Command,
    event::EventKind,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    session::SessionState,
};

impl Flow {
    pub(super) fn command(&mut self, now: Timestamp, command: Command, actor: &str, why: Option<String>) {
        let (name, answer) = match command {
            Command::Pause => ("pause", self.pause(actor, &why)),
            Command::Resume => ("resume", self.resume(actor, &why)),
            Command::Approve => ("approve", self.approve(actor, &why)),
            Command::Cancel { at_once } => ("cancel", self.cancel(now, at_once, actor, &why)),
            Command::Retry { members, from } => ("retry", self.retry(now, members, &[], &from, actor)),
            Command::Restart { steps, members } => {
                ("restart", self.retry(now, members, &steps, &steps, actor))
            }
            Command::Skip { members, steps } => ("skip", self.leave_out(now, members, &steps, actor, &why)),
            Command::Pass { steps, members } => ("pass", self.pass(now, &steps, members, actor, &why)),
            Command::Set(settings) => ("set", self.set(now, &settings)),
            Command::Disable { members } => ("disable", self.disable(now, members, actor, &why)),
            Command::RetryPolicy { members } => ("retry_policy", self.limit_attempts(&members)),
        };
        self.note(
            EventKind::Command,
            Some(actor),
            json!({ "command": name, "reason": why, "answer": answer }),
        );
    }

    pub(super) fn set_mode(&mut self, mode: SessionState, reason: Option<String>, actor: Option<&str>) {
        let before = std::mem::replace(&mut self.mode, mode);
        self.recheck_held |= mode == SessionState::Running;
        self.out.push(Output::State(mode, reason.clone()));
        self.note(
            EventKind::StateChanged,
            actor,
            json!({ "from": before.label(), "to": mode.label(), "reason": reason }),
        );
    }

    fn pause(&mut self, actor: &str, why: &Option<String>) -> String {
        if self.mode != SessionState::Running {
            return format!("it is {} already", self.mode.label());
        }
        let reason = format!("paused by {actor}{}", because(why));
        self.set_mode(SessionState::Paused, Some(reason), Some(actor));
        "nothing new passes its gate; what is inside goes on to its end".to_owned()
    }

    fn resume(&mut self, actor: &str, why: &Option<String>) -> String {
        if !self.mode.waits_for_operator() {
            return format!("it is {}; there is nothing to resume", self.mode.label());
        }
        if self.mode == SessionState::Halted
            && let Some(answer) = self.resume_halted(actor, why)
        {
            return answer;
        }
        self.set_mode(
            SessionState::Running,
            Some(format!("resumed by {actor}{}", because(why))),
            Some(actor),
        );
        "its gates are open".to_owned()
    }

    /// Left out as soon as no effect covers it.
    pub(super) fn doom(&mut self, now: Timestamp, ordinal: Ordinal, reason: Reason) {
        if self.components[ordinal.0 as usize].ended || self.components[ordinal.0 as usize].is_out() {
            return;
        }
        let way = self.way(ordinal);
        let covered = way.iter().any(|step| {
            let place = self.cell(ordinal, *step).place;
            place == Place::Calling || (place == Place::Underway && self.steps[step.0 as usize].acts())
        });
        self.components[ordinal.0 as usize].doomed = Some(Box::new(reason.clone()));
        // Said now, of a step it has not begun, so that a restart knows it; what covers it settles by itself. One that is
        // in its last step goes on to the end of the rung.
        let free = |step: &&StepNo| {
            let place = self.cell(ordinal, **step).place;
            if covered { matches!(place, Place::NotReached | Place::Ready) } else { !place.is_settled() }
        };
        if let Some(step) = way.iter().find(free).copied() {
            self.skip(now, ordinal, step, reason);
        }
    }

    /// The one of these steps that is of the component's slice.
    pub(super) fn own(&self, steps: &[StepNo], ordinal: Ordinal) -> Option<StepNo> {
        let slice = self.plan.members[ordinal.0 as usize].slice;
        steps.iter().copied().find(|step| self.plan.steps[step.0 as usize].slice == slice)
    }

    /// Sends failed components back. The claims were taken again before the command was written.
    fn retry(
        &mut self,
        now: Timestamp,
        members: Vec<Ordinal>,
        failed_in: &[StepNo],
        from: &[StepNo],
        actor: &str,
    ) -> String {
        let chosen: Vec<Ordinal> = if members.is_empty() {
            (0..self.components.len() as u32).map(Ordinal).collect()
        } else {
            members
        };
        if self.mode == SessionState::Cancelling {
            chosen.into_iter().for_each(|ordinal| self.give_back(now, ordinal));
            return "it is being cancelled: nobody is sent back".to_owned();
        }
        let mut sent = 0;
        for ordinal in chosen {
            let Some((at, code)) = self.failed_at(ordinal) else { continue };
            let own = self.own(from, ordinal);
            if !failed_in.is_empty() && !failed_in.contains(&at) || !from.is_empty() && own.is_none() {
                self.give_back(now, ordinal);
                continue;
            }
            let again = self.plan.steps[at.0 as usize].again.as_ref().map(|again| again.from);
            let to = match own {
                Some(from) => from,
                None if code.is_the_services() => at,
                None => again.unwrap_or(at),
            };
            // A retry never starts behind the step that failed.
            self.retry_one(now, ordinal, at, to.min(at), actor);
            sent += 1;
        }
        if sent > 0 {
            self.go_on(actor);
        }
        format!("{sent} components sent back")
    }

    pub(super) fn retry_one(
        &mut self,
        now: Timestamp,
        ordinal: Ordinal,
        at: StepNo,
        to: StepNo,
        actor: &str,
    ) {
        self.step_outside(ordinal);
        self.components[ordinal.0 as usize].sent_back = 0;
        let reason = Reason::new(ReasonCode::RetriedByActor, format!("by {actor}"));
        self.send_back(now, ordinal, at, to, reason);
    }

    /// Somebody is on the way again: a session that was stuck or over is neither.
    pub(super) fn go_on(&mut self, actor: &str) {
        if matches!(self.mode, SessionState::Stuck | SessionState::Ended) {
            self.over = false;
            self.set_mode(SessionState::Running, None, Some(actor));
        }
    }

    /// It was claimed again to be sent back, and is not: its end is released once more.
    pub(super) fn give_back(&mut self, now: Timestamp, ordinal: Ordinal) {
        if self.components[ordinal.0 as usize].failed.is_some() {
            self.unend(ordinal);
            self.check_end(now, ordinal);
        }
    }

    /// Where and why a component failed; none if it did not.
    pub(super) fn failed_at(&self, ordinal: Ordinal) -> Option<(StepNo, ReasonCode)> {
        let reason = self.components[ordinal.0 as usize].failed.as_ref()?;
        let way = self.topology.steps_of(self.plan.members[ordinal.0 as usize].slice);
        let at = way.iter().find(|step| self.cell(ordinal, **step).place == Place::Failed)?;
        Some((*at, reason.code))
    }

    fn leave_out(
        &mut self,
        now: Timestamp,
        members: Vec<Ordinal>,
        steps: &[StepNo],
        actor: &str,
        why: &Option<String>,
    ) -> String {
        let reason = Reason::new(ReasonCode::SkippedByActor, format!("by {actor}{}", because(why)));
        let mut chosen = match (members.is_empty(), steps.is_empty()) {
            (false, _) => members,
            (true, false) => (0..self.components.len() as u32).map(Ordinal).collect(),
            (true, true) => return "nobody was named: nothing was skipped".to_owned(),
        };
        let is_before = |ordinal: &Ordinal| {
            self.own(steps, *ordinal).is_some_and(|step| !self.cell(*ordinal, step).place.is_settled())
        };
        chosen.retain(|ordinal| steps.is_empty() || is_before(ordinal));
        let mut skipped = 0;
        for ordinal in chosen {
            if !self.components[ordinal.0 as usize].ended {
                self.doom(now, ordinal, reason.clone());
                skipped += 1;
            }
        }
        format!("{skipped} components go no further")
    }

    fn disable(
        &mut self,
        now: Timestamp,
        members: Vec<Ordinal>,
        actor: &str,
        why: &Option<String>,
    ) -> String {
        let reason = Reason::new(ReasonCode::DisabledByActor, format!("by {actor}{}", because(why)));
        let mut disabled = 0;
        for ordinal in members {
            if !self.components[ordinal.0 as usize].ended {
                self.doom(now, ordinal, reason.clone());
                disabled += 1;
            }
        }
        format!("{disabled} components go no further")
    }

    fn limit_attempts(&mut self, members: &[(Ordinal, Option<u16>)]) -> String {
        for (ordinal, policy) in members {
            self.components[ordinal.0 as usize].retry_policy = *policy;
        }
        format!("heeded for {} components", members.len())
    }

    /// Another session is to have them: nothing new is begun with them. Said again, it changes nothing.
    pub(super) fn wanted(&mut self, now: Timestamp, by: &str, members: &[Ordinal]) {
        let mut going = Vec::new();
        for ordinal in members {
            let component = &mut self.components[ordinal.0 as usize];
            component.wanted = !component.ended;
            if !component.ended && !component.is_out() && component.doomed.is_none() {
                going.push(*ordinal);
            }
        }
        for ordinal in &going {
            self.doom(now, *ordinal, Reason::new(ReasonCode::TakenOver, format!("by {by}")));
        }
        if !going.is_empty() {
            self.note(EventKind::TakenOver, None, json!({ "by": by, "components": going.len() }));
        }
    }

    /// Another session does not give what this one waited for: these are left as they are.
    pub(super) fn kept(&mut self, now: Timestamp, by: &str, members: &[Ordinal]) {
        let reason =
            Reason::new(ReasonCode::Claimed, format!("{by} keeps it: nobody is there to give it away"));
        let mut left = 0;
        for ordinal in members {
            if self.awaits(*ordinal) && !self.components[ordinal.0 as usize].is_out() {
                self.doom(now, *ordinal, reason.clone());
                left += 1;
            }
        }
        if left > 0 {
            self.note(EventKind::Note, None, json!({ "note": format!("{by} keeps {left} components") }));
        }
    }

    /// What another session held is ours. What it did to the power of a node is the last that was done before us.
    pub(super) fn granted(&mut self, members: &[(Ordinal, Option<Timestamp>)]) {
        let mut received = 0;
        for (ordinal, last_power) in members {
            let component = &mut self.components[ordinal.0 as usize];
            if std::mem::take(&mut component.awaited) {
                component.last_power = component.last_power.max(last_power.map(millis));
                received += 1;
            }
        }
        if received > 0 {
            self.recheck_held = true;
            self.note(EventKind::Note, None, json!({ "received": received }));
        }
    }
}
