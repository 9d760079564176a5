//! Calls that are made once for many: per image, per slice, per session.
//!
//! A call per slice, or per session, waits until nobody is in flight in the steps before it, and then speaks for
//! everybody who is there. Those whom a gate, a barrier or another session holds are not waited for: with waves or
//! `max_unavailable` they may only come when those before them are through, so they get a call of their own. Nobody
//! passes on a call that did not speak for it.
//!
//! An effect belongs to one step. In a call per session the step whose turn it is makes it, and those who wait in the
//! same step of other slices *share* its result. Who shares is not kept: after the death of a worker they are spoken
//! for once more.

use super::{
    Flow,
    state::{Millis, Place, millis},
};
use crate::model::{
    Timestamp,
    effect::EffectNo,
    plan::{Ordinal, StepNo},
    reason::Reason,
    verb::Group,
};

impl Flow {
    /// The image of the step's slice; an empty name where it has none.
    fn image(&self, step: StepNo) -> &str {
        let slice = &self.plan.slices[self.plan.steps[step.0 as usize].slice.0 as usize];
        slice.artifacts.as_ref().and_then(|artifacts| artifacts.image.as_deref()).unwrap_or_default()
    }

    /// Whether the step says something once per image that was said already, maybe by another step.
    pub(super) fn is_tagged(&self, step: StepNo) -> bool {
        self.is_once_per_image(step) && self.images_tagged.get(self.image(step)) == Some(&true)
    }

    pub(super) fn pump_image(&mut self, now: Timestamp, step: StepNo) -> bool {
        let index = step.0 as usize;
        if self.steps[index].ready[0].is_empty() {
            return false;
        }
        let image = self.image(step).to_owned();
        match self.images_tagged.get(&image) {
            Some(false) => return false,
            Some(true) => {
                let members: Vec<Ordinal> = self.steps[index].ready[0].drain(..).collect();
                for ordinal in self.still_ready(step, 0, members) {
                    self.succeed(now, ordinal, step, None);
                }
            }
            None => {
                let members: Vec<Ordinal> = self.steps[index].ready[0].drain(..).collect();
                let members = self.still_ready(step, 0, members);
                if !members.is_empty() {
                    self.images_tagged.insert(image, false);
                    self.call(now, step, 0, members);
                }
            }
        }
        true
    }

    pub(super) fn image_done(&mut self, step: StepNo, done: bool) {
        let image = self.image(step).to_owned();
        if done {
            self.images_tagged.insert(image, true)
        } else {
            self.images_tagged.remove(&image)
        };
    }

    fn is_once_per_image(&self, step: StepNo) -> bool {
        self.steps[step.0 as usize].shape.group == Group::OncePerImage
    }

    /// Whether what is said to its components is said to all of them, or to nobody.
    pub(super) fn is_indivisible(&self, step: StepNo) -> bool {
        !matches!(self.steps[step.0 as usize].shape.group, Group::UpTo(_))
    }

    /// Makes the call of a step that speaks for everybody, if nobody has to be waited for.
    pub(super) fn pump_whole(&mut self, now: Timestamp, step: StepNo) -> bool {
        let index = step.0 as usize;
        if self.steps[index].ready[0].is_empty() {
            return false;
        }
        let together = self.together(step);
        if self.rests_until(step) > millis(now) || !together.iter().all(|step| self.is_quiet_before(*step)) {
            return false;
        }
        let members: Vec<Ordinal> = self.steps[index].ready[0].drain(..).collect();
        let members = self.still_ready(step, 0, members);
        if members.is_empty() {
            return true;
        }
        let mut sharers = Vec::new();
        for other in together.into_iter().filter(|other| *other != step) {
            let waiting: Vec<Ordinal> = self.steps[other.0 as usize].ready[0].drain(..).collect();
            sharers.extend(self.still_ready(other, 0, waiting).into_iter().map(|ordinal| (other, ordinal)));
        }
        if !sharers.is_empty() {
            self.sharers.insert(self.next_effect, sharers);
        }
        self.call(now, step, 0, members);
        true
    }

    /// The steps for which a call of this one speaks: the same step of the workflow, in other boot sets and waves. Two workflows
    /// joined in one session may have different steps of one name.
    pub(super) fn together(&self, step: StepNo) -> Vec<StepNo> {
        if self.steps[step.0 as usize].shape.group != Group::Session {
            return vec![step];
        }
        let declared = |step: StepNo| self.step_name(step).rsplit('/').next();
        let every = (0..).map(StepNo).take(self.plan.steps.len());
        let verb = |step: StepNo| &self.plan.steps[step.0 as usize].verb;
        every.filter(|other| declared(*other) == declared(step) && verb(*other) == verb(step)).collect()
    }

    /// When the next call of the step may be made, as far as its service goes.
    pub(super) fn rests_until(&self, step: StepNo) -> Millis {
        let until = |step: &StepNo| self.steps[step.0 as usize].calling.retry_at;
        self.together(step).iter().map(until).max().unwrap_or(0)
    }

    /// Whether nobody is under way in the steps that this one needs, directly or not.
    fn is_quiet_before(&self, step: StepNo) -> bool {
        let mut before = self.topology.needs[step.0 as usize].clone();
        let mut next = 0;
        while let Some(step) = before.get(next).copied() {
            if self.steps[step.0 as usize].in_flight() > 0 {
                return false;
            }
            let needs = self.topology.needs[step.0 as usize].iter();
            let new: Vec<StepNo> = needs.filter(|need| !before.contains(need)).copied().collect();
            before.extend(new);
            next += 1;
        }
        true
    }

    /// For whom a call speaks beside those it covers.
    pub fn sharers(&self, effect: EffectNo) -> impl Iterator<Item = Ordinal> + '_ {
        self.sharers.get(&effect).into_iter().flatten().map(|(_, ordinal)| *ordinal)
    }

    /// The call did for its step what it was to do, or did not: the same holds for those who share it.
    pub(super) fn share(&mut self, now: Timestamp, effect: EffectNo, failed: Option<&Reason>) {
        for (step, ordinal) in self.sharers.remove(&effect).unwrap_or_default() {
            match failed {
                _ if self.cell(ordinal, step).place != Place::Ready => {}
                None => self.succeed(now, ordinal, step, None),
                Some(reason) => self.fail(now, ordinal, step, reason.clone()),
            }
        }
    }

    /// The call is over and said nothing: those who shared it wait for another one.
    pub(super) fn free_sharers(&mut self, effect: EffectNo) {
        for (step, ordinal) in self.sharers.remove(&effect).unwrap_or_default() {
            if self.cell(ordinal, step).place == Place::Ready {
                self.steps[step.0 as usize].ready[0].push_back(ordinal);
                self.stirred = true;
            }
        }
    }
}
