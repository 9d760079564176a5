//! Rungs: what a verb tries in turn, and when the next one's turn comes.

use super::{
    Flow,
    state::{Millis, Place, millis},
};
use crate::model::{
    Timestamp,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    verb::Power,
};

/// First and longest pause before somebody who was held is tried again; between them a share of the time in the step. PCS
/// renews a reservation each minute and gives it back when its transition is over.
const BUSY_PAUSE: (Millis, Millis) = (1_000, 15_000);
const BUSY_SHARE: Millis = 4;

impl Flow {
    /// Somebody else holds it: the same rung again, later, within the step's time.
    pub(super) fn busy(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo, reason: Reason) {
        let cell = self.cell(ordinal, step);
        if millis(now) >= cell.entered + self.timeout_millis(step) {
            self.fail(now, ordinal, step, reason);
            return;
        }
        self.leave(ordinal, step);
        self.cell_mut(ordinal, step).since = millis(now);
        self.put(ordinal, step, Place::Ready);
        let waited = (millis(now) - self.cell(ordinal, step).entered) / BUSY_SHARE;
        let pause = waited.clamp(BUSY_PAUSE.0, BUSY_PAUSE.1);
        self.steps[step.0 as usize].delayed.entry(millis(now) + pause).or_default().push(ordinal);
        self.let_go(now, ordinal, step);
    }

    /// The service gave up on the component. Its own deadline is short, so that it does not keep the others of the call
    /// reserved; the component has the whole of its rung's time, in which its power state is watched.
    pub(super) fn ended(
        &mut self,
        now: Timestamp,
        asked_at: Timestamp,
        ordinal: Ordinal,
        step: StepNo,
        reason: Reason,
    ) {
        let timed_out = matches!(reason.code, ReasonCode::PowerOffTimeout | ReasonCode::PowerOnTimeout);
        if timed_out && millis(asked_at) < self.rung_ends(ordinal, step) {
            self.leave(ordinal, step);
        } else {
            self.spent(now, ordinal, step, reason);
        }
    }

    /// When the time of the component's rung is up.
    pub(super) fn rung_ends(&self, ordinal: Ordinal, step: StepNo) -> Millis {
        let cell = self.cell(ordinal, step);
        let rungs = &self.steps[step.0 as usize].shape.rungs;
        let within = rungs.get(cell.rung as usize).map_or(0.0, |rung| rung.within.as_secs_f64());
        cell.since + (within * self.pace.power_time_scale * 1000.0) as Millis
    }

    /// Those whose call is over and whose rung's time is up: the next rung.
    pub(super) fn end_watched_rungs(&mut self, now: Timestamp, asked: Millis, step: StepNo) {
        let Some(power) = self.steps[step.0 as usize].shape.power else { return };
        let code = match power {
            Power::Off => ReasonCode::PowerOffTimeout,
            Power::On => ReasonCode::PowerOnTimeout,
        };
        let over: Vec<Ordinal> = self.steps[step.0 as usize]
            .underway
            .ones()
            .map(|one| Ordinal(one as u32))
            .filter(|o| self.cell(*o, step).effect == 0 && self.rung_ends(*o, step) <= asked)
            .collect();
        for ordinal in over {
            let rung = self.cell(ordinal, step).rung as usize;
            let name = self.steps[step.0 as usize].shape.rungs.get(rung).map_or("", |rung| rung.name);
            let state = if power == Power::Off { "on" } else { "off" };
            self.spent(now, ordinal, step, Reason::new(code, format!("still {state} after {name}")));
        }
    }

    /// The rung ended without reaching the goal: once more, or the next rung, or that was it.
    pub(super) fn spent(&mut self, now: Timestamp, ordinal: Ordinal, step: StepNo, reason: Reason) {
        let state = &self.steps[step.0 as usize];
        let rungs = state.shape.rungs.len();
        let index = self.topology.cell(ordinal, step);
        let cell = &mut self.cells[index];
        let rung = state.shape.rungs.get(cell.rung as usize);
        cell.tries += 1;
        cell.since = millis(now);
        let before: u32 =
            state.shape.rungs[..cell.rung as usize].iter().map(|rung| u32::from(rung.tries)).sum();
        // A component's own policy is about its power. BOS's policy is per action, and each rung is one.
        let policy = self.components[ordinal.0 as usize].retry_policy.filter(|_| state.shape.power.is_some());
        let attempts_max = policy.map_or(self.plan.steps[step.0 as usize].attempts, |policy| {
            policy.max(1).saturating_mul(u16::try_from(rungs).unwrap_or(u16::MAX).max(1))
        });
        let used_up = before + u32::from(cell.tries) >= u32::from(attempts_max);
        let policy = policy.filter(|_| state.shape.power == Some(Power::On));
        let once_more =
            !used_up && rung.is_some_and(|rung| cell.tries < policy.map_or(rung.tries, |most| most.max(1)));
        if !once_more && !used_up && (cell.rung as usize) + 1 < rungs {
            cell.rung += 1;
            cell.tries = 0;
        } else if !once_more {
            self.fail(now, ordinal, step, reason);
            return;
        }
        let rung = cell.rung as usize;
        self.leave(ordinal, step);
        self.put(ordinal, step, Place::Ready);
        self.steps[step.0 as usize].ready[rung].push_back(ordinal);
        self.let_go(now, ordinal, step);
    }
}
