//! Pacing: how many power-ons a call may hold now, by the session and by cabinet, and when a component may have another
//! power action. All of it follows from when intents were written, so that a restart begins no new span. Waiting here is
//! waiting for a call: a component's time in the step begins with its first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{
    Flow,
    state::{Millis, millis},
};
use crate::model::{
    Timestamp,
    effect::EffectNo,
    gate::Gates,
    pace::{PowerInterval, Rate},
    plan::{Ordinal, Plan, StepNo},
    verb::Power,
    xname::{
        Xname,
        pattern::{Pattern, split_list},
    },
};

/// Power-ons of the last span, oldest first.
#[derive(Debug, Clone, Default)]
struct Spent(VecDeque<(Millis, EffectNo, usize)>);

impl Spent {
    /// How many may follow now.
    fn free(&mut self, now: Millis, rate: Rate) -> usize {
        let per = rate.per.as_millis() as Millis;
        while self.0.front().is_some_and(|(at, ..)| at + per <= now) {
            self.0.pop_front();
        }
        (rate.count as usize).saturating_sub(self.0.iter().map(|(.., count)| count).sum())
    }

    /// When the next may follow, if none may now.
    fn next(&self, rate: Rate) -> Millis {
        self.0.front().map_or(0, |(at, ..)| at + rate.per.as_millis() as Millis)
    }

    fn add(&mut self, at: Millis, effect: EffectNo, count: usize) {
        self.0.push_back((at, effect, count));
    }

    fn forget(&mut self, effect: EffectNo) {
        self.0.retain(|(_, known, _)| *known != effect);
    }
}

/// What the pace of a session is kept by.
#[derive(Debug, Default)]
pub(super) struct PaceState {
    rate: Option<Rate>,
    cabinet_rate: Option<Rate>,
    on: Spent,
    cabinets: BTreeMap<u32, Spent>,
    /// By ordinal; empty where nobody has one.
    intervals: Vec<Millis>,
}

impl PaceState {
    pub(super) fn new(plan: &Plan) -> Self {
        let Gates { power_on_rate, cabinet_power_on_rate, power_intervals, .. } = &plan.gates;
        Self {
            rate: *power_on_rate,
            cabinet_rate: *cabinet_power_on_rate,
            intervals: intervals(plan, power_intervals),
            ..Self::default()
        }
    }

    fn interval(&self, ordinal: Ordinal) -> Millis {
        self.intervals.get(ordinal.0 as usize).copied().unwrap_or(0)
    }
}

fn intervals(plan: &Plan, listed: &[PowerInterval]) -> Vec<Millis> {
    if listed.is_empty() {
        return Vec::new();
    }
    let mut rest = 0;
    let mut single: HashMap<Xname, Millis> = HashMap::new();
    let mut patterns: Vec<(Pattern, Millis)> = Vec::new();
    for PowerInterval { at_least, of } in listed {
        let at_least = at_least.as_millis() as Millis;
        if of.is_empty() {
            rest = at_least;
            continue;
        }
        for pattern in split_list(of).filter_map(Pattern::parse).filter_map(Result::ok) {
            match pattern.only() {
                Some(xname) => drop(single.insert(xname, at_least)),
                None => patterns.push((pattern, at_least)),
            }
        }
    }
    let interval = |xname: &Xname| {
        let several =
            || patterns.iter().find(|(pattern, _)| pattern.matches(xname)).map(|(_, interval)| *interval);
        single.get(xname).copied().or_else(several).unwrap_or(rest)
    };
    plan.members.iter().map(|member| interval(&member.xname)).collect()
}

impl Flow {
    fn switches_on(&self, step: StepNo) -> bool {
        self.steps[step.0 as usize].shape.power == Some(Power::On)
    }

    /// How many components the next call of the step may hold.
    pub(super) fn paced_room(&mut self, now: Timestamp, step: StepNo) -> usize {
        match self.paces.rate {
            Some(rate) if self.switches_on(step) => self.paces.on.free(millis(now), rate),
            _ => usize::MAX,
        }
    }

    /// When a call of the step may be made, where the pace allows none now.
    pub(super) fn paced_until(&self, step: StepNo) -> Option<Millis> {
        let rate = self.paces.rate.filter(|_| self.switches_on(step))?;
        Some(self.paces.on.next(rate))
    }

    /// Takes up to `size` components from those that wait, and lets those wait whose cabinet or whose own interval says so.
    pub(super) fn draw(&mut self, now: Timestamp, step: StepNo, rung: usize, size: usize) -> Vec<Ordinal> {
        let mut drawn: Vec<Ordinal> = Vec::with_capacity(size);
        let mut of_cabinets: BTreeMap<u32, usize> = BTreeMap::new();
        while drawn.len() < size {
            let Some(ordinal) = self.steps[step.0 as usize].ready[rung].pop_front() else { break };
            let cabinet = self.plan.members[ordinal.0 as usize].xname.cabinet;
            let before = of_cabinets.get(&cabinet).copied().unwrap_or(0);
            match self.waits_until(now, step, ordinal, before) {
                Some(at) => self.steps[step.0 as usize].delayed.entry(at).or_default().push(ordinal),
                None => {
                    *of_cabinets.entry(cabinet).or_default() += 1;
                    drawn.push(ordinal);
                }
            }
        }
        drawn
    }

    /// Until when the component waits, with so many of its cabinet before it in the same call.
    fn waits_until(
        &mut self,
        now: Timestamp,
        step: StepNo,
        ordinal: Ordinal,
        before: usize,
    ) -> Option<Millis> {
        self.steps[step.0 as usize].shape.power?;
        let component = &self.components[ordinal.0 as usize];
        let interval = self.paces.interval(ordinal);
        let last = component.this_power.max(component.last_power).filter(|_| interval > 0);
        if let Some(at) = last.map(|last| last + interval).filter(|at| *at > millis(now)) {
            return Some(at);
        }
        let rate = self.paces.cabinet_rate.filter(|_| self.switches_on(step))?;
        let cabinet = self.plan.members[ordinal.0 as usize].xname.cabinet;
        let spent = self.paces.cabinets.entry(cabinet).or_default();
        if spent.free(millis(now), rate) > before {
            return None;
        }
        // Where those of this very call use it up, there is nothing older to wait for.
        Some(
            spent
                .next(rate)
                .max(millis(now) + rate.per.as_millis() as Millis * i64::from(spent.0.is_empty())),
        )
    }

    /// A call is about to be made, or was made before a restart.
    pub(super) fn count_power(&mut self, step: StepNo, effect: EffectNo, at: Millis, members: &[Ordinal]) {
        if !self.switches_on(step) {
            return;
        }
        if self.paces.rate.is_some() {
            self.paces.on.add(at, effect, members.len());
        }
        if self.paces.cabinet_rate.is_some() {
            let mut cabinets: BTreeMap<u32, usize> = BTreeMap::new();
            for ordinal in members {
                *cabinets.entry(self.plan.members[ordinal.0 as usize].xname.cabinet).or_default() += 1;
            }
            for (cabinet, count) in cabinets {
                self.paces.cabinets.entry(cabinet).or_default().add(at, effect, count);
            }
        }
    }

    /// It was surely not taken: nobody drew power for it.
    pub(super) fn forget_power(&mut self, step: StepNo, effect: EffectNo) {
        if self.switches_on(step) {
            self.paces.on.forget(effect);
            self.paces.cabinets.values_mut().for_each(|spent| spent.forget(effect));
        }
    }
}
