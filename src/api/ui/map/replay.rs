//! From the facts of a session to where every component is. Pure.

use std::collections::HashMap;

use crate::{
    db::{effect::Intended, result::StoredResult},
    model::{
        plan::{Ordinal, Plan, Step, StepNo},
        result::FactKind,
        verb::Decision,
    },
};

/// Where a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Through all that was meant for it.
    Done,
    /// It failed in this step.
    Failed(StepNo),
    /// It was left out in this step.
    Skipped(StepNo),
    /// It is in this step, or waits before it.
    At(StepNo),
}

/// How far a component has come.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// A bit per step of its slice: it is through.
    settled: u64,
    /// Likewise: a call was made for it.
    called: u64,
    decision: Option<Decision>,
    end: Option<Place>,
}

/// A plan and what is known of its members.
#[derive(Debug)]
pub struct Replay {
    plan: Plan,
    /// The steps of each slice, ascending.
    ways: Vec<Vec<StepNo>>,
    walks: Vec<Walk>,
    ordinals: HashMap<i32, u32>,
    /// Of each step, whether it makes no calls.
    watches: Vec<bool>,
    seq: i64,
}

impl Replay {
    /// Nothing has happened yet.
    pub fn new(plan: Plan) -> Self {
        let mut ways = vec![Vec::new(); plan.slices.len()];
        for (number, step) in (0..).map(StepNo).zip(&plan.steps) {
            if let Some(way) = ways.get_mut(index(step.slice.0)) {
                way.push(number);
            }
        }
        let ordinals = plan.members.iter().map(|member| member.component.0).zip(0..).collect();
        let walks = vec![Walk::default(); plan.members.len()];
        let watches = plan.steps.iter().map(|step| step.verb.shape().rungs.is_empty()).collect();
        Self { plan, ways, walks, ordinals, watches, seq: 0 }
    }

    /// The last event of what is known.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The steps of the plan.
    pub fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    /// Takes in what was written until event `last` since the last time. In one checkpoint facts come before calls.
    pub fn feed(&mut self, last: i64, facts: &[StoredResult], calls: &[Intended]) {
        let mut calls = calls.iter().filter(|call| call.seq <= last).peekable();
        for fact in facts.iter().filter(|fact| fact.seq <= last) {
            while let Some(call) = calls.next_if(|call| call.seq < fact.seq) {
                self.call(call);
            }
            self.fact(fact);
        }
        calls.for_each(|call| self.call(call));
        self.seq = last;
    }

    /// The bits of a step and of all behind it, in its slice.
    fn bits_from(&self, of: StepNo, step: StepNo) -> u64 {
        let way = self.plan.steps.get(index(of.0)).and_then(|step| self.ways.get(index(step.slice.0)));
        let place = way.map_or(64, |way| way.partition_point(|known| *known < step));
        u64::MAX.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    fn call(&mut self, call: &Intended) {
        let here = self.bits_from(call.step, call.step) & !self.bits_from(call.step, StepNo(call.step.0 + 1));
        for component in &call.components {
            if let Some(walk) = self.ordinals.get(component).and_then(|at| self.walks.get_mut(*at as usize)) {
                walk.called |= here;
            }
        }
    }

    fn fact(&mut self, fact: &StoredResult) {
        let here = self.bits_from(fact.step, fact.step) & !self.bits_from(fact.step, StepNo(fact.step.0 + 1));
        let sent = self.bits_from(fact.step, fact.sent_to.unwrap_or(fact.step));
        for component in &fact.components {
            let walk = self.ordinals.get(component).and_then(|at| self.walks.get_mut(*at as usize));
            let Some(walk) = walk else { continue };
            match fact.kind {
                FactKind::Succeeded | FactKind::Passed => {
                    walk.settled |= here;
                    walk.end = None;
                    walk.decision = fact.decision.or(walk.decision);
                }
                FactKind::Failed => walk.end = Some(Place::Failed(fact.step)),
                FactKind::Skipped => walk.end = Some(Place::Skipped(fact.step)),
                FactKind::SentBack => {
                    walk.settled &= !sent;
                    walk.called &= !sent;
                    walk.end = None;
                    if walk.settled == 0 {
                        walk.decision = None;
                    }
                }
                FactKind::Noticed => {}
            }
        }
    }

    /// Where a member is.
    pub fn place(&self, ordinal: Ordinal) -> Place {
        let at = ordinal.0 as usize;
        let (Some(walk), Some(member)) = (self.walks.get(at), self.plan.members.get(at)) else {
            return Place::Done;
        };
        if let Some(end) = walk.end {
            return end;
        }
        let slice = index(member.slice.0);
        let (Some(way), Some(shared)) = (self.ways.get(slice), self.plan.slices.get(slice)) else {
            return Place::Done;
        };
        let next = way.iter().enumerate().find(|(place, step)| {
            let applies = self.plan.steps[index(step.0)].applies(shared, walk.decision);
            walk.settled & 1_u64.checked_shl(*place as u32).unwrap_or(0) == 0 && applies != Some(false)
        });
        next.map_or(Place::Done, |(_, step)| Place::At(*step))
    }

    /// Whether the step that a member is at has begun with it: a call was made for it, or the step only watches.
    pub fn is_begun(&self, ordinal: Ordinal) -> bool {
        let Place::At(step) = self.place(ordinal) else { return false };
        let here = self.bits_from(step, step) & !self.bits_from(step, StepNo(step.0 + 1));
        let walk = self.walks.get(ordinal.0 as usize).copied().unwrap_or_default();
        walk.called & here != 0 || self.watches.get(index(step.0)).copied().unwrap_or_default()
    }
}

fn index(number: i16) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{
        component::ComponentNo,
        gate::Gates,
        plan::{PlanMember, Slice, SliceNo, UnknownPolicy},
        verb::{Goal, Verb},
        workflow::Condition,
    };

    fn plan() -> Plan {
        let power = Duration::from_secs(1);
        let step = |name: &str, verb, when: &[Condition]| Step {
            name: format!("compute/{name}"),
            verb,
            slice: SliceNo(0),
            when: when.to_vec(),
            timeout: power,
            attempts: 1,
            again: None,
        };
        let member = |number| PlanMember {
            component: ComponentNo(number),
            xname: format!("x1000c0s0b0n{number}").parse().unwrap(),
            slice: SliceNo(0),
        };
        Plan {
            slices: vec![Slice {
                boot_set: "compute".to_owned(),
                wave: 0,
                artifacts: None,
                configuration: None,
            }],
            steps: vec![
                step("inspect", Verb::Inspect { goal: Goal::Boot }, &[]),
                step("power_on", Verb::PowerOn { within: power, tries: 1 }, &[Condition::PowersOn]),
                step("await_boot", Verb::AwaitBoot {}, &[Condition::PowersOn]),
                step("await_configuration", Verb::AwaitConfiguration {}, &[Condition::Configured]),
            ],
            edges: Vec::new(),
            members: vec![member(10), member(20)],
            unknown: UnknownPolicy::Leave,
            service_patience: power,
            gates: Gates::default(),
        }
    }

    fn fact(
        seq: i64,
        step: i16,
        kind: FactKind,
        decision: Option<Decision>,
        components: &[i32],
    ) -> StoredResult {
        StoredResult {
            seq,
            at: crate::model::Timestamp::UNIX_EPOCH,
            step: StepNo(step),
            run: 1,
            kind,
            attempts: 0,
            reason: None,
            decision,
            sent_to: None,
            components: components.to_vec(),
        }
    }

    fn call(seq: i64, step: i16, components: &[i32]) -> Intended {
        Intended { seq, step: StepNo(step), components: components.to_vec() }
    }

    const FIRST: Ordinal = Ordinal(0);
    const SECOND: Ordinal = Ordinal(1);

    #[test]
    fn a_component_is_at_the_first_step_that_is_meant_for_it() {
        let mut replay = Replay::new(plan());
        assert_eq!(replay.place(FIRST), Place::At(StepNo(0)));
        assert!(replay.is_begun(FIRST), "inspect makes no calls");
        let decided = [
            fact(2, 0, FactKind::Succeeded, Some(Decision::PowerOn), &[10]),
            fact(2, 0, FactKind::Succeeded, Some(Decision::Nothing), &[20]),
        ];
        replay.feed(3, &decided, &[]);
        // Nothing is configured here, so whoever is up is done.
        assert_eq!((replay.place(FIRST), replay.place(SECOND)), (Place::At(StepNo(1)), Place::Done));
        assert!(!replay.is_begun(FIRST));
        replay.feed(4, &[], &[call(4, 1, &[10])]);
        assert!(replay.is_begun(FIRST) && !replay.is_begun(SECOND));
        let through =
            [fact(5, 1, FactKind::Succeeded, None, &[10]), fact(7, 2, FactKind::Succeeded, None, &[10])];
        replay.feed(6, &through, &[]);
        assert_eq!((replay.place(FIRST), replay.seq()), (Place::At(StepNo(2)), 6), "what is newer waits");
        replay.feed(7, &through[1..], &[]);
        assert_eq!(replay.place(FIRST), Place::Done);
    }

    #[test]
    fn who_is_sent_back_starts_where_it_is_sent_to() {
        let mut replay = Replay::new(plan());
        let until_failure = [
            fact(2, 0, FactKind::Succeeded, Some(Decision::PowerOn), &[10, 20]),
            fact(4, 1, FactKind::Succeeded, None, &[10, 20]),
            fact(5, 2, FactKind::Failed, None, &[10]),
            fact(5, 2, FactKind::Skipped, None, &[20]),
        ];
        replay.feed(5, &until_failure, &[call(3, 1, &[10, 20])]);
        assert_eq!(replay.place(FIRST), Place::Failed(StepNo(2)));
        assert_eq!(replay.place(SECOND), Place::Skipped(StepNo(2)));
        let sent = fact(6, 2, FactKind::SentBack, None, &[10]);
        replay.feed(6, &[StoredResult { sent_to: Some(StepNo(1)), ..sent }], &[]);
        assert_eq!(replay.place(FIRST), Place::At(StepNo(1)));
        assert!(!replay.is_begun(FIRST), "the call of the first run is none of the second");
    }
}
