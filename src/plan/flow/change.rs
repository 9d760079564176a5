//! What operators decide in the plan's place: who counts as through a step, which share is enough, how long is too long, how
//! many may be inside at once, how many failures are too many, and until when anybody is begun with.

use std::sync::Arc;

use super::{Flow, because, state::Place};
use crate::model::{
    Timestamp,
    command::Settings,
    gate::{Gates, Share},
    plan::{EdgeKind, Ordinal, Plan, StepNo},
    reason::{Reason, ReasonCode},
    result::FactKind,
    session::SessionState,
    verb::Verb,
};

/// What became of a wish to let somebody pass.
enum Passing {
    Passed,
    /// Through the step already, or not meant for it.
    Through,
    /// A call covers it, and may still act.
    Covered,
    /// It goes no further in this session, or is not the session's own.
    Out,
}

impl Flow {
    /// Counts components as through a step, without a call. Those that failed in it were claimed again before.
    pub(super) fn pass(
        &mut self,
        now: Timestamp,
        steps: &[StepNo],
        members: Vec<Ordinal>,
        actor: &str,
        why: &Option<String>,
    ) -> String {
        let refusal = if self.mode == SessionState::Cancelling {
            Some("it is being cancelled: nobody passes")
        } else if steps.iter().any(|step| self.inspects(*step)) {
            Some("what is to be done is decided there: nobody passes it; leave them out with skip")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            members.into_iter().for_each(|ordinal| self.give_back(now, ordinal));
            return refusal.to_owned();
        }
        let reason = Reason::new(ReasonCode::PassedByActor, format!("by {actor}{}", because(why)));
        let (mut passed, mut through, mut covered, mut out) = (0, 0, 0, 0);
        for ordinal in members {
            let became = match self.own(steps, ordinal) {
                Some(step) => self.pass_one(now, ordinal, step, &reason, actor),
                None => Passing::Out,
            };
            let counter = match became {
                Passing::Passed => &mut passed,
                Passing::Through => &mut through,
                Passing::Covered => &mut covered,
                Passing::Out => &mut out,
            };
            *counter += 1;
            if !matches!(became, Passing::Passed) {
                self.give_back(now, ordinal);
            }
        }
        if passed > 0 {
            self.go_on(actor);
        }
        let mut answer = format!("{passed} components pass");
        for (count, what) in [
            (through, "are through already, or it is not meant for them"),
            (covered, "are covered by a call: ask again when it is over"),
            (out, "go no further, or are not this session's"),
        ] {
            if count > 0 {
                answer.push_str(&format!("; {count} {what}"));
            }
        }
        answer
    }

    fn pass_one(
        &mut self,
        now: Timestamp,
        ordinal: Ordinal,
        step: StepNo,
        reason: &Reason,
        actor: &str,
    ) -> Passing {
        if self.failed_at(ordinal).is_some_and(|(at, _)| at == step) {
            self.retry_one(now, ordinal, step, step, actor);
        }
        let cell = *self.cell(ordinal, step);
        let component = &self.components[ordinal.0 as usize];
        if component.is_out() || component.doomed.is_some() || component.awaited {
            return Passing::Out;
        }
        match cell.place {
            Place::NotReached | Place::Ready => {}
            Place::Underway if cell.effect == 0 => {}
            Place::Calling | Place::Underway => return Passing::Covered,
            Place::Succeeded | Place::Passed => return Passing::Through,
            Place::Failed | Place::Skipped | Place::Dropped => return Passing::Out,
        }
        self.record(ordinal, Self::fact(step, FactKind::Passed, Some(reason.clone())));
        self.settle(now, ordinal, step, Place::Passed);
        self.try_enter(now, ordinal, step);
        self.check_end(now, ordinal);
        Passing::Passed
    }

    fn inspects(&self, step: StepNo) -> bool {
        matches!(self.plan.steps[step.0 as usize].verb, Verb::Inspect { .. })
    }

    /// Thresholds, timeouts and what the gates know are others from now on. What follows is judged with everything else that
    /// was fed. Whoever is inside stays there, however few may be inside now; whoever was left out stays out.
    pub(super) fn set(&mut self, now: Timestamp, settings: &Settings) -> String {
        self.settings.merge(settings);
        let mut plan = Plan::clone(&self.frozen);
        plan.apply(&self.settings);
        let before = std::mem::replace(&mut self.plan, Arc::new(plan));
        let mut changes = Vec::new();
        for (old, new) in before.edges.iter().zip(&self.plan.edges) {
            let (EdgeKind::Barrier { threshold_percent: old }, EdgeKind::Barrier { threshold_percent }) =
                (old.kind, new.kind)
            else {
                continue;
            };
            if old != threshold_percent {
                let (after, next) = (self.step_name(new.from), self.step_name(new.to));
                changes.push(format!("{next} needs {threshold_percent} % of {after} (was {old} %)"));
            }
        }
        for (old, new) in before.steps.iter().zip(&self.plan.steps) {
            if old.timeout != new.timeout {
                let words = humantime::format_duration;
                changes.push(format!(
                    "{} may take {} (was {})",
                    new.name,
                    words(new.timeout),
                    words(old.timeout)
                ));
            }
        }
        changes.extend(self.set_gates(now, &before.gates));
        if changes.is_empty() { "it is so already".to_owned() } else { changes.join("; ") }
    }

    /// The gates know what the plan says now; in what that is another thing than before, in words.
    fn set_gates(&mut self, now: Timestamp, before: &Gates) -> Vec<String> {
        let gates = self.plan.gates.clone();
        let mut changes = Vec::new();
        if before.max_unavailable != gates.max_unavailable {
            let words = |share: Option<Share>| {
                share.map_or_else(|| "any number".to_owned(), |share| share.to_string())
            };
            let (new, old) = (words(gates.max_unavailable), words(before.max_unavailable));
            changes.push(format!("{new} may be inside at once (was {old})"));
            // Places that nobody has used are dealt anew.
            (0..self.components.len() as u32).for_each(|index| self.give_up_place(Ordinal(index)));
        }
        if before.halt_on_failures != gates.halt_on_failures {
            let words = |share: Option<Share>| share.map_or_else(|| "never".to_owned(), |s| s.to_string());
            let (new, old) = (words(gates.halt_on_failures), words(before.halt_on_failures));
            changes.push(format!("too many failures are {new} (was {old})"));
        }
        if before.wave_threshold_percent != gates.wave_threshold_percent {
            let words = |percent: Option<u8>| percent.unwrap_or(0);
            let (new, old) = (words(gates.wave_threshold_percent), words(before.wave_threshold_percent));
            changes.push(format!("a wave needs {new} % of the one before (was {old} %)"));
        }
        if before.not_after != gates.not_after {
            let words =
                |at: Option<Timestamp>| at.map_or_else(|| "no moment".to_owned(), |at| at.to_rfc3339());
            let (new, old) = (words(gates.not_after), words(before.not_after));
            changes.push(format!("nobody more is begun after {new} (was {old})"));
        }
        self.gate.rules = gates;
        self.recheck_held |= !changes.is_empty();
        self.look_at_clock(now);
        changes
    }
}
