//! The gate of a slice: what a component passes before its first disturbing effect.
//!
//! Whoever is *outside* passes while the session runs, within its time window, in its wave's turn, and if there is a place
//! inside. Whoever has had a disturbing effect is *inside*, and is brought to the end of its way whatever the gate does. A
//! component takes its place when it enters its first disturbing step, and gives it back when its way ends; one that failed
//! inside keeps it, for it is not in service, until it is sent back or an operator accepts the failure.
//!
//! A wave's turn comes when everybody of those before has ended, few enough of them failed, and, where that is asked for,
//! somebody approved. What stops the session until an operator speaks *halts* it (`halt`); it goes on by itself as soon
//! as the cause is gone. Nothing here is kept but approvals: the rest follows from facts and effects.

use super::{
    Flow,
    halt::Stop,
    state::{Room, Standing, millis},
};
use crate::model::{
    Timestamp,
    gate::Gates,
    plan::{Ordinal, StepNo},
    reason::{Reason, ReasonCode},
    session::SessionState,
};

/// An approval, as it is remembered: the line of the narrative that told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Approval {
    /// The line's number.
    pub seq: i64,
    /// The wave that may pass since then, counted from 0; none: it was about failures only.
    pub wave: Option<usize>,
    /// Whether the failures until then were accepted.
    pub accepts_failures: bool,
}

/// Where the clock is in the session's time window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    Early,
    Open,
    Late,
}

/// A wave's components.
#[derive(Debug, Clone, Default)]
pub(super) struct Wave {
    pub members: usize,
    pub outside: usize,
    pub inside: usize,
    /// Failed, and not accepted.
    pub failed: usize,
}

/// The gates of a session.
#[derive(Debug)]
pub(super) struct GateState {
    /// What they know beside what happens.
    pub rules: Gates,
    pub waves: Vec<Wave>,
    /// The first wave with somebody whose way has not ended.
    pub current: usize,
    /// Waves up to this one are approved.
    pub approved: usize,
    /// Places taken; of these, by components that failed inside.
    pub taken: usize,
    pub lost: usize,
    /// A place was given back.
    pub freed: bool,
    pub window: Window,
    /// Whoever was outside when the window closed is left out.
    closed_out: bool,
    /// Failures of this feed are accepted with those before.
    pub accepting: bool,
    /// For what the session is halted.
    pub stopped_for: Option<Stop>,
}

impl GateState {
    pub(super) fn new(rules: Gates, waves: usize) -> Self {
        Self {
            rules,
            waves: vec![Wave::default(); waves],
            current: 0,
            approved: 0,
            taken: 0,
            lost: 0,
            freed: false,
            window: Window::Open,
            closed_out: false,
            accepting: false,
            stopped_for: None,
        }
    }

    fn members(&self) -> usize {
        self.waves.iter().map(|wave| wave.members).sum()
    }

    /// How many may be inside at once.
    pub(super) fn most(&self) -> Option<usize> {
        self.rules.max_unavailable.map(|share| share.at_most(self.members()))
    }

    /// How many places are free.
    pub(super) fn room(&self) -> usize {
        self.most().map_or(usize::MAX, |most| most.saturating_sub(self.taken))
    }

    /// Whether more places are taken than there are by now.
    pub(super) fn is_overfull(&self) -> bool {
        self.most().is_some_and(|most| self.taken > most)
    }

    /// The wave before the current one of which too many failed.
    pub(super) fn failed_wave(&self) -> Option<usize> {
        let allowed = 100 - usize::from(self.rules.wave_threshold_percent.unwrap_or(0));
        (0..self.current.min(self.waves.len())).find(|wave| {
            let wave = &self.waves[*wave];
            wave.failed * 100 > wave.members * allowed
        })
    }

    pub(super) fn is_approved(&self) -> bool {
        !self.rules.approve_between_waves || self.approved >= self.current
    }

    /// Whether the wave's turn has come.
    fn is_turn_of(&self, wave: usize) -> bool {
        wave <= self.current && (wave == 0 || (self.failed_wave().is_none() && self.is_approved()))
    }
}

impl Flow {
    pub(super) fn wave_of(&self, ordinal: Ordinal) -> usize {
        let slice = self.plan.members[ordinal.0 as usize].slice;
        self.plan.slices[slice.0 as usize].wave.max(0) as usize
    }

    /// Whether the gate of a slice lets nobody pass now.
    pub(super) fn is_closed(&self, wave: usize) -> bool {
        self.mode != SessionState::Running || self.gate.window != Window::Open || !self.gate.is_turn_of(wave)
    }

    /// Whether the gate keeps the component out of the step.
    pub(super) fn is_kept_out(&self, ordinal: Ordinal, step: StepNo) -> bool {
        let component = &self.components[ordinal.0 as usize];
        if component.is_inside() {
            return false;
        }
        if !self.steps[step.0 as usize].acts() {
            return self.gate.window == Window::Early;
        }
        let disturbs = self.deed(step).disturbs;
        self.is_closed(self.wave_of(ordinal))
            || (disturbs && component.room == Room::None && self.gate.room() == 0)
    }

    /// It enters a disturbing step: it takes a place, if it has none.
    pub(super) fn take_place(&mut self, ordinal: Ordinal) {
        let room = &mut self.components[ordinal.0 as usize].room;
        if *room == Room::None {
            *room = Room::Reserved;
            self.gate.taken += 1;
        }
    }

    pub(super) fn free_place(&mut self, ordinal: Ordinal) {
        let room = &mut self.components[ordinal.0 as usize].room;
        if std::mem::replace(room, Room::None) != Room::None {
            self.gate.taken -= 1;
            self.gate.freed = true;
        }
    }

    /// Its gate closed before it passed: somebody else may have the place meanwhile.
    pub(super) fn give_up_place(&mut self, ordinal: Ordinal) {
        if self.components[ordinal.0 as usize].room == Room::Reserved {
            self.free_place(ordinal);
            self.stirred = true;
        }
    }

    /// Its way has ended: its place is free, unless it failed inside.
    pub(super) fn leave_place(&mut self, ordinal: Ordinal) {
        let component = &self.components[ordinal.0 as usize];
        if component.room == Room::Kept && component.failed.is_some() && !component.accepted {
            self.gate.lost += 1;
        } else {
            self.free_place(ordinal);
        }
    }

    /// It goes on after its way had ended, with the place it kept.
    pub(super) fn resume_place(&mut self, ordinal: Ordinal) {
        if self.components[ordinal.0 as usize].room == Room::Kept {
            self.gate.lost -= 1;
        }
    }

    /// Counts a component where it stands now.
    pub(super) fn tally(&mut self, ordinal: Ordinal) {
        let wave = self.wave_of(ordinal);
        let component = &mut self.components[ordinal.0 as usize];
        let now = match (component.ended, component.is_inside()) {
            (true, _) => Standing::Ended,
            (false, true) => Standing::Inside,
            (false, false) => Standing::Outside,
        };
        let before = std::mem::replace(&mut component.standing, now);
        if before == now {
            return;
        }
        let counts = &mut self.gate.waves[wave];
        match before {
            Standing::Outside => counts.outside -= 1,
            Standing::Inside => counts.inside -= 1,
            Standing::Ended => {}
        }
        match now {
            Standing::Outside => counts.outside += 1,
            Standing::Inside => counts.inside += 1,
            Standing::Ended => {}
        }
        if (before == Standing::Ended) != (now == Standing::Ended) {
            let alive = |wave: &Wave| wave.outside + wave.inside > 0;
            let current = self.gate.waves.iter().position(alive).unwrap_or(self.gate.waves.len());
            self.recheck_held |= std::mem::replace(&mut self.gate.current, current) != current;
        }
    }

    /// It has failed for good, as far as this run goes.
    pub(super) fn count_failure(&mut self, ordinal: Ordinal, reason: Box<Reason>) {
        let wave = self.wave_of(ordinal);
        let component = &mut self.components[ordinal.0 as usize];
        if component.failed.is_some() {
            return;
        }
        component.failed = Some(reason);
        component.accepted = self.gate.accepting || component.is_taken();
        if component.accepted {
            self.excuse(ordinal, true);
        } else {
            self.gate.waves[wave].failed += 1;
        }
    }

    /// It is left out. Whoever was taken over counts against nothing, also where what still covered it then failed: the two may
    /// have been written together, in either order.
    pub(super) fn count_skip(&mut self, ordinal: Ordinal, reason: Box<Reason>) {
        let wave = self.wave_of(ordinal);
        let component = &mut self.components[ordinal.0 as usize];
        component.skipped.get_or_insert(reason);
        if component.is_taken() && component.failed.is_some() && !component.accepted {
            component.accepted = true;
            self.gate.waves[wave].failed -= 1;
        }
        if self.gate.accepting || self.components[ordinal.0 as usize].is_taken() {
            self.excuse(ordinal, true);
        }
    }

    /// It is sent back: its failure counts no more.
    pub(super) fn forget_failure(&mut self, ordinal: Ordinal) {
        let wave = self.wave_of(ordinal);
        self.excuse(ordinal, false);
        let component = &mut self.components[ordinal.0 as usize];
        let accepted = std::mem::take(&mut component.accepted);
        if component.failed.take().is_some() && !accepted {
            self.gate.waves[wave].failed -= 1;
        }
    }

    /// The feed is over.
    pub(super) fn end_feed(&mut self) {
        self.gate.accepting = false;
    }

    /// An approval of the past, between the facts before and after it.
    pub(super) fn fold_approval(&mut self, approval: &Approval) {
        self.gate.approved = self.gate.approved.max(approval.wave.unwrap_or(0));
        if !approval.accepts_failures {
            return;
        }
        for component in &mut self.components {
            if component.failed.is_some() && !component.accepted {
                component.accepted_seq = approval.seq;
            }
        }
        self.accept_failures();
        self.end_feed();
    }

    /// After everything that is past is read: who has a place, and who stands where.
    pub(super) fn count_places(&mut self) {
        for index in 0..self.components.len() {
            self.tally(Ordinal(index as u32));
            let component = &mut self.components[index];
            let gone = component.ended && (component.failed.is_none() || component.accepted);
            if component.kept > 0 && !gone {
                component.room = Room::Kept;
                self.gate.taken += 1;
                self.gate.lost += usize::from(component.ended);
            }
        }
    }

    /// Looks at the clock: the window may have opened or closed.
    pub(super) fn look_at_clock(&mut self, now: Timestamp) {
        let Gates { not_before, not_after, .. } = self.gate.rules;
        let window = match (not_before, not_after) {
            (_, Some(until)) if now >= until => Window::Late,
            (Some(from), _) if now < from => Window::Early,
            _ => Window::Open,
        };
        self.recheck_held |= std::mem::replace(&mut self.gate.window, window) != window;
        self.gate.closed_out &= window == Window::Late;
    }

    /// After its window nobody is begun with: whoever is outside is left as it is.
    pub(super) fn close_out(&mut self, now: Timestamp) {
        if self.gate.window != Window::Late || std::mem::replace(&mut self.gate.closed_out, true) {
            return;
        }
        let until = self.gate.rules.not_after.unwrap_or(now).to_rfc3339();
        let reason = Reason::new(ReasonCode::WindowClosed, format!("it was not begun before {until}"));
        for index in 0..self.components.len() {
            let component = &self.components[index];
            if !component.ended && !component.is_inside() {
                self.doom(now, Ordinal(index as u32), reason.clone());
            }
        }
    }

    /// An operator sends it back: it is outside again, without a place, and passes the same gates. It may have to wait for
    /// those of an earlier wave, and they must not wait for its place.
    pub(super) fn step_outside(&mut self, ordinal: Ordinal) {
        let component = &mut self.components[ordinal.0 as usize];
        component.disturbances = 0;
        component.kept = 0;
        let lost = component.ended && component.room == Room::Kept;
        self.gate.lost -= usize::from(lost);
        self.free_place(ordinal);
        self.reopen(ordinal);
    }

    /// Whoever is outside again is left out by a window that has closed meanwhile.
    pub(super) fn reopen(&mut self, ordinal: Ordinal) {
        self.gate.closed_out &= self.components[ordinal.0 as usize].is_inside();
    }

    /// When the clock opens or closes the gates next.
    pub(super) fn window_ends(&self) -> Option<Timestamp> {
        match self.gate.window {
            Window::Early => self.gate.rules.not_before,
            Window::Open => self.gate.rules.not_after,
            Window::Late => None,
        }
    }

    /// When the gates are looked at again without an input.
    pub(super) fn gates_wake_at(&self) -> Option<i64> {
        let anybody = self.gate.waves.iter().any(|wave| wave.outside > 0);
        self.window_ends().filter(|_| anybody).map(millis)
    }
}
