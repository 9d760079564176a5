//! What the driver carries out on the world: calls that land or are lost, questions that are answered or not.

use super::{
    super::{Input, state::millis},
    SECOND, at,
    driver::{Driver, Event},
    world::service,
};
use crate::model::{
    effect::EffectNo,
    plan::{Ordinal, StepNo},
    verb::{CallError, OpenEffect},
};

impl Driver {
    fn is_down(&self, step: StepNo) -> bool {
        let asked = service(&self.plan, step.0 as usize);
        let down = |from: u16, length: u16| {
            (i64::from(from) * SECOND..(i64::from(from) + i64::from(length)) * SECOND).contains(&self.now)
        };
        self.script.outages.iter().any(|(service, from, length)| *service == asked && down(*from, *length))
    }

    pub fn call(&mut self, effect: EffectNo, step: StepNo, rung: u8, members: Vec<Ordinal>) {
        let verb = self.plan.steps[step.0 as usize].verb.clone();
        self.calls.push((self.now, verb.name(), rung, members.clone()));
        let (fate, delay) = (self.chance(), i64::from(self.chance()));
        let transient = CallError::Transient { service: "it", text: "503".to_owned(), retry_after: None };
        let lost = CallError::Lost { service: "it", text: "504".to_owned() };
        let poisons = |ordinal: &&Ordinal| self.world.nodes[ordinal.0 as usize].nature.poisons;
        let poisoned = members.iter().find(poisons).filter(|_| verb.name() == "set_boot_parameters");
        let named = members.iter().take(usize::from(delay > 128)).copied().collect();
        let text = "no".to_owned();
        let error = match fate {
            _ if self.is_down(step) => transient,
            _ if poisoned.is_some() => CallError::Rejected { text, named: Vec::new() },
            0..=199 => {
                let land = Event::Land { effect, step, rung, members, asker: Some(self.epoch) };
                return self.queue(self.now + 20 + delay * 5, land);
            }
            200..=219 => transient,
            220..=229 => CallError::TooLarge,
            230..=241 => {
                let land = Event::Land { effect, step, rung, members, asker: None };
                self.queue(self.now + delay * 55, land);
                lost
            }
            242..=250 => lost,
            251.. => CallError::Rejected { text, named },
        };
        let answer = Input::Answered(effect, Err(error));
        self.queue(self.now + 50 + (delay % 16) * 600, Event::Input(self.epoch, answer));
    }

    pub fn land(
        &mut self,
        effect: EffectNo,
        step: StepNo,
        rung: u8,
        members: &[Ordinal],
        asker: Option<u32>,
    ) {
        let pace = self.chance();
        let verb = self.plan.steps[step.0 as usize].verb.clone();
        let answer = self.world.act(self.now, &verb, effect.0, rung, members, pace);
        if let Some(asker) = asker {
            let delay = i64::from(self.chance()) * 10;
            let input = Input::Answered(effect, Ok(answer));
            self.queue(self.now + 10 + delay, Event::Input(asker, input));
        }
    }

    fn ask<T>(&mut self, step: StepNo, answer: T) -> (i64, Result<T, CallError>) {
        let (fate, delay) = (self.chance(), i64::from(self.chance()) * 10);
        let fails = self.is_down(step) || fate >= 230;
        let error = CallError::Transient { service: "it", text: "503".to_owned(), retry_after: None };
        (self.now + 10 + delay, if fails { Err(error) } else { Ok(answer) })
    }

    pub fn find(&mut self, effect: EffectNo) {
        let step = self.effects[&effect].step;
        let verb = &self.plan.steps[step.0 as usize].verb;
        let (when, answer) = self.ask(step, self.world.find(verb, effect.0));
        self.queue(when, Event::Input(self.epoch, Input::Found(effect, answer)));
    }

    pub fn abort(&mut self, effect: EffectNo) {
        let step = self.effects[&effect].step;
        let (when, answer) = self.ask(step, ());
        if answer.is_ok() {
            self.world.abort(self.now, effect.0);
        }
        self.queue(when, Event::Input(self.epoch, Input::Aborted(effect, answer)));
    }

    pub fn observe(&mut self, step: StepNo, members: &[Ordinal], open: &[OpenEffect]) {
        let verb = self.plan.steps[step.0 as usize].verb.clone();
        let unseen = self.chance();
        let seen = members.iter().filter(|ordinal| unseen < 200 || ordinal.0 as u8 % 4 != unseen % 4);
        let seen = seen.map(|ordinal| {
            let view = self.flow.member(step, *ordinal);
            let since = millis(view.since);
            (*ordinal, self.world.look(self.now, &verb, ordinal.0 as usize, open, since, view.noticed))
        });
        let seen: Vec<_> = seen.collect();
        let asked_at = at(self.now);
        let (when, seen) = self.ask(step, seen);
        self.queue(when, Event::Input(self.epoch, Input::Saw { step, asked_at, seen }));
    }
}
