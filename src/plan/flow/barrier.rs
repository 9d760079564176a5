//! Barriers: boot sets that begin one after the other.
//!
//! A barrier opens once, when everybody of the earlier step has settled and enough of them are through, and stays open. One
//! that somebody waits at, and that cannot open any more, halts the session. What an operator says then is what they would say
//! to a wave of which too many failed (`halt`): *retry* sends back those that failed; a lower threshold (*set*) asks for fewer;
//! *resume*, or *approve*, goes on without those that are out by then. These are *excused*: they are taken out of the count, and
//! the threshold is one of the rest. So is whoever a newer session took over, without being asked: it is not lost, it is
//! another session's now.

use serde_json::json;

use super::{Flow, Output};
use crate::model::{
    Timestamp,
    event::EventKind,
    plan::{EdgeKind, Ordinal, StepNo},
    session::SessionState,
};

/// How a barrier stands that has not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Closed,
    Opens,
    /// It cannot open any more, and somebody waits at it.
    Hopeless,
}

impl Flow {
    /// Opens barriers whose steps have settled well enough, halts on one that no longer can.
    pub(super) fn judge_barriers(&mut self, now: Timestamp) {
        for index in 0..self.plan.edges.len() {
            if self.stand(index) != Stand::Opens {
                continue;
            }
            self.opened[index] = true;
            self.recheck_held = true;
            self.out.push(Output::Open(index));
            let edge = &self.plan.edges[index];
            let (after, before) = (self.step_name(edge.from), self.step_name(edge.to));
            self.note(EventKind::BarrierOpened, None, json!({ "after": after, "before": before }));
        }
        self.judge_gates();
        let freed = std::mem::take(&mut self.gate.freed);
        if std::mem::take(&mut self.recheck_held) {
            self.enter_held(now);
        } else if freed {
            self.enter_freed(now);
        }
    }

    fn stand(&self, index: usize) -> Stand {
        let edge = &self.plan.edges[index];
        let EdgeKind::Barrier { threshold_percent } = edge.kind else { return Stand::Closed };
        if self.opened[index] {
            return Stand::Closed;
        }
        // Only those past the gate are left in a cancelled session, and they must not stay dark.
        let threshold_percent = if self.mode == SessionState::Cancelling { 0 } else { threshold_percent };
        let state = &self.steps[edge.from.0 as usize];
        let wanted = i64::from(state.targeted() - state.excused) * i64::from(threshold_percent);
        let settled = state.not_reached == 0 && state.in_flight() == 0;
        let best = i64::from(state.targeted() - state.failed - state.skipped) * 100;
        if settled && i64::from(state.succeeded) * 100 >= wanted {
            Stand::Opens
        } else if best < wanted && self.steps[edge.to.0 as usize].not_reached > 0 {
            Stand::Hopeless
        } else {
            Stand::Closed
        }
    }

    /// Why a barrier halts the session; none if none does.
    pub(super) fn hopeless(&self) -> Option<String> {
        let index = (0..self.plan.edges.len()).find(|index| self.stand(*index) == Stand::Hopeless)?;
        let edge = &self.plan.edges[index];
        let EdgeKind::Barrier { threshold_percent } = edge.kind else { return None };
        let state = &self.steps[edge.from.0 as usize];
        let boot_set = &self.plan.slices[self.plan.steps[edge.from.0 as usize].slice.0 as usize].boot_set;
        let excused = match state.excused {
            0 => String::new(),
            excused => format!(", {excused} of them not counted"),
        };
        Some(format!(
            "{} cannot reach {threshold_percent} % any more ({} failed, {} skipped of {}{excused}), so {} does not begin: \
             'bosun session set {name} --threshold {boot_set}=N%' asks for fewer, {}",
            self.step_name(edge.from),
            state.failed,
            state.skipped,
            state.targeted(),
            self.step_name(edge.to),
            self.ways_on(),
            name = self.name,
        ))
    }

    /// That it is out counts against no barrier any more; or it does again, when it is sent back.
    pub(super) fn excuse(&mut self, ordinal: Ordinal, excused: bool) {
        if std::mem::replace(&mut self.components[ordinal.0 as usize].excused, excused) == excused {
            return;
        }
        for step in self.way(ordinal) {
            if self.cell(ordinal, step).place.is_lost() {
                self.steps[step.0 as usize].excused += if excused { 1 } else { -1 };
            }
        }
        self.stirred = true;
    }

    /// Whether a barrier keeps everybody out of the step.
    pub(super) fn is_barred(&self, step: StepNo) -> bool {
        self.topology.barriers_into[step.0 as usize].iter().any(|edge| !self.opened[*edge])
    }

    /// Those held by barriers and gates try again.
    fn enter_held(&mut self, now: Timestamp) {
        for index in 0..self.steps.len() {
            let step = StepNo(index as i16);
            if self.is_barred(step) {
                continue;
            }
            let held: Vec<Ordinal> = self.steps[index].held.ones().map(|one| Ordinal(one as u32)).collect();
            for ordinal in held {
                self.try_enter(now, ordinal, step);
            }
        }
    }

    /// As many of those before a gate as there are places again.
    fn enter_freed(&mut self, now: Timestamp) {
        for index in 0..self.steps.len() {
            let step = StepNo(index as i16);
            let slice = self.plan.steps[index].slice;
            let closed = self.is_closed(self.plan.slices[slice.0 as usize].wave as usize);
            if closed || self.is_barred(step) || !self.deed(step).disturbs {
                continue;
            }
            let held = self.steps[index].held.ones().map(|one| Ordinal(one as u32));
            let free = held.filter(|ordinal| {
                !self.components[ordinal.0 as usize].awaited && !self.is_frozen(*ordinal, step)
            });
            let going: Vec<Ordinal> = free.take(self.gate.room()).collect();
            for ordinal in going {
                self.try_enter(now, ordinal, step);
            }
        }
    }
}
