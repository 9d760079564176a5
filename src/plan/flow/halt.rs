//! Halting: what stops a session until an operator speaks, and what they may say. It goes on by itself as soon as the cause
//! is gone: what failed was sent back, a threshold was changed.

use serde_json::json;

use super::{Flow, gate::Wave, state::Room};
use crate::model::{event::EventKind, gate::Share, plan::Ordinal, session::SessionState};

/// Why a session halts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A barrier's threshold can no longer be met.
    Barrier,
    /// Too many failed.
    Failures,
    /// Too many of the wave before failed.
    Threshold,
    /// Those that failed inside leave no place.
    Full,
    /// The next wave has to be approved.
    Approval,
}

impl Flow {
    /// What failed or was left out so far does not count against the session any more.
    pub(super) fn accept_failures(&mut self) {
        self.gate.accepting = true;
        for index in 0..self.components.len() {
            if self.components[index].is_out() {
                self.excuse(Ordinal(index as u32), true);
            }
            let component = &mut self.components[index];
            if component.failed.is_none() || component.accepted {
                continue;
            }
            component.accepted = true;
            component.kept = 0;
            let lost = component.ended && component.room == Room::Kept;
            let ordinal = Ordinal(index as u32);
            let wave = self.wave_of(ordinal);
            self.gate.waves[wave].failed -= 1;
            self.gate.lost -= usize::from(lost);
            self.free_place(ordinal);
        }
        self.recheck_held = true;
    }

    /// Halts a session that must not go on, and lets one go on whose cause to halt is gone.
    pub(super) fn judge_gates(&mut self) {
        let stop = self.stop();
        let kind = stop.as_ref().map(|(kind, _)| *kind);
        let known = std::mem::replace(&mut self.gate.stopped_for, kind);
        match (self.mode, stop) {
            (SessionState::Running, Some((_, text))) => {
                self.set_mode(SessionState::Halted, Some(text), None);
            }
            // The cause before a restart is taken to be the one that there is now.
            (SessionState::Halted, Some((kind, text))) if known.is_some_and(|known| known != kind) => {
                self.set_mode(SessionState::Halted, Some(text), None);
            }
            (SessionState::Halted, None) => self.set_mode(SessionState::Running, None, None),
            _ => {}
        }
    }

    /// Why nobody more may pass before an operator speaks.
    pub(super) fn stop(&self) -> Option<(Stop, String)> {
        if let Some(text) = self.hopeless() {
            return Some((Stop::Barrier, text));
        }
        let gate = &self.gate;
        if gate.waves.iter().all(|wave| wave.outside == 0) {
            return None;
        }
        let go_on = self.ways_on();
        let failed: usize = gate.waves.iter().map(|wave| wave.failed).sum();
        match gate.rules.halt_on_failures {
            Some(Share::Count(most)) if failed >= most as usize => {
                let text = format!("{failed} failed, and {most} are too many to go on: {go_on}");
                return Some((Stop::Failures, text));
            }
            Some(share @ Share::Percent(_)) => {
                let reached = |(_, wave): &(usize, &Wave)| wave.failed >= share.at_least(wave.members);
                if let Some((number, wave)) = gate.waves.iter().enumerate().find(reached) {
                    let of = self.title(number);
                    let text = format!(
                        "{} of {} {of} failed, and {share} are too many to go on: {go_on}",
                        wave.failed, wave.members
                    );
                    return Some((Stop::Failures, text));
                }
            }
            _ => {}
        }
        if let Some(number) = gate.failed_wave() {
            let wave = &gate.waves[number];
            let text = format!(
                "{} of {} {} failed, below the threshold of {} %, so wave {} does not begin: {go_on}",
                wave.failed,
                wave.members,
                self.title(number),
                gate.rules.wave_threshold_percent.unwrap_or(0),
                gate.current + 1,
            );
            return Some((Stop::Threshold, text));
        }
        if gate.current > 0 && !gate.is_approved() {
            let text = format!(
                "wave {} of {} waits for approval: 'bosun session approve {}' lets its {} components pass",
                gate.current + 1,
                gate.waves.len(),
                self.name,
                gate.waves[gate.current].outside
            );
            return Some((Stop::Approval, text));
        }
        let most = gate.most()?;
        (gate.lost >= most).then(|| {
            let text = format!("{} failed inside, and {most} may be unavailable at once: {go_on}", gate.lost);
            (Stop::Full, text)
        })
    }

    fn title(&self, wave: usize) -> String {
        if self.gate.waves.len() > 1 { format!("of wave {}", wave + 1) } else { "components".to_owned() }
    }

    /// What an operator may do about failures.
    pub(super) fn ways_on(&self) -> String {
        format!(
            "'bosun session retry {0}' sends those that failed back, 'bosun session resume {0}' goes on without them, \
             'bosun session cancel {0}' ends it",
            self.name
        )
    }

    /// An operator resumes a halted session: what failed so far is accepted. Its answer; none where something else keeps it.
    pub(super) fn resume_halted(&mut self, actor: &str, why: &Option<String>) -> Option<String> {
        match self.stop()? {
            (Stop::Approval, text) => Some(text),
            _ => {
                self.accept_failures();
                self.note_approval(None, true, actor, why);
                Some("it goes on; what failed so far does not count any more".to_owned())
            }
        }
    }

    /// An operator lets the next wave pass, whatever failed before.
    pub(super) fn approve(&mut self, actor: &str, why: &Option<String>) -> String {
        let accepts = self.stop().is_some_and(|(stop, _)| stop != Stop::Approval);
        if accepts {
            self.accept_failures();
        }
        let current = self.gate.current;
        let wave = self.stop().is_some_and(|(stop, _)| stop == Stop::Approval).then_some(current);
        if let Some(wave) = wave {
            self.gate.approved = wave;
            self.recheck_held = true;
        }
        if wave.is_none() && !accepts {
            return "nothing waits for approval; nothing was changed".to_owned();
        }
        self.note_approval(wave, accepts, actor, why);
        match wave {
            Some(wave) => format!("wave {} may pass", wave + 1),
            None => "it goes on; what failed so far does not count any more".to_owned(),
        }
    }

    fn note_approval(&mut self, wave: Option<usize>, accepts: bool, actor: &str, why: &Option<String>) {
        let wave = wave.map(|wave| wave + 1);
        let data = json!({ "wave": wave, "accepts_failures": accepts, "reason": why });
        self.note(EventKind::Approved, Some(actor), data);
    }
}
