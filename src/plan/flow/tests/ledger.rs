//! What the facts say of every component, read a second time and in another way than the flow does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{
    plan::{EdgeKind, Ordinal, Plan, StepNo},
    reason::ReasonCode,
    result::{Fact, FactKind},
    verb::{Decision, Verb},
    workflow::Condition,
};

/// One component.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub run: u16,
    pub decision: Option<Decision>,
    /// What became of it in steps, in this run.
    pub became: BTreeMap<StepNo, FactKind>,
    /// The checkpoint that last sent it back, and the last one by an operator.
    pub sent_back: i64,
    pub retried: i64,
}

impl Entry {
    /// Failed or left out.
    pub fn is_out(&self) -> bool {
        self.became.values().any(|kind| matches!(kind, FactKind::Failed | FactKind::Skipped))
    }
}

/// All components.
pub struct Ledger {
    plan: Arc<Plan>,
    pub entries: Vec<Entry>,
    written: BTreeSet<(Ordinal, StepNo, u16)>,
}

impl Ledger {
    pub fn new(plan: Arc<Plan>) -> Self {
        let entry = Entry { run: 1, ..Entry::default() };
        Self { entries: vec![entry; plan.members.len()], plan, written: BTreeSet::new() }
    }

    pub fn entry(&self, ordinal: Ordinal) -> &Entry {
        &self.entries[ordinal.0 as usize]
    }

    /// Reads a fact, and asserts that it may follow what was read before.
    pub fn read(&mut self, seq: i64, fact: &Fact) {
        assert!(fact.members.is_sorted(), "members are ascending");
        for ordinal in &fact.members {
            let entry = &self.entries[ordinal.0 as usize];
            assert_eq!(fact.run, entry.run, "{ordinal:?}: the run of {fact:?}");
            match fact.kind {
                FactKind::Noticed => continue,
                FactKind::SentBack => {
                    self.send_back(*ordinal, seq, fact);
                    continue;
                }
                _ => {}
            }
            let first = self.written.insert((*ordinal, fact.step, fact.run));
            assert!(first, "{ordinal:?}: a second fact in the same step and run: {fact:?}");
            assert!(!entry.became.contains_key(&fact.step), "{ordinal:?}: {fact:?} was carried over");
            if fact.kind == FactKind::Succeeded {
                assert!(self.is_reached(*ordinal, fact.step), "{ordinal:?}: {fact:?} before its needs");
            }
            let entry = &mut self.entries[ordinal.0 as usize];
            entry.became.insert(fact.step, fact.kind);
            entry.decision = fact.decision.or(entry.decision);
        }
    }

    fn send_back(&mut self, ordinal: Ordinal, seq: i64, fact: &Fact) {
        let to = fact.sent_to.expect("it is sent somewhere");
        let mut behind = BTreeSet::from([to]);
        for edge in self.plan.edges.iter().filter(|edge| edge.kind == EdgeKind::PerComponent) {
            if behind.contains(&edge.from) {
                behind.insert(edge.to);
            }
        }
        let off = |step: &StepNo| matches!(self.plan.steps[step.0 as usize].verb, Verb::PowerOff { .. });
        let cycles = behind.iter().any(off);
        let inspects = matches!(self.plan.steps[to.0 as usize].verb, Verb::Inspect { .. });
        let slice = self.plan.members[ordinal.0 as usize].slice;
        let own = (0..self.plan.steps.len() as i16).map(StepNo);
        let own = own.filter(|step| self.plan.steps[step.0 as usize].slice == slice);
        let passed: Vec<StepNo> = own
            .filter(|step| !behind.contains(step) && self.is_meant(ordinal, *step) == Some(false))
            .collect();
        let entry = &mut self.entries[ordinal.0 as usize];
        let is_through = |kind: &FactKind| matches!(kind, FactKind::Succeeded | FactKind::Passed);
        entry.became.retain(|step, kind| is_through(kind) && !behind.contains(step));
        entry.run += 1;
        entry.sent_back = seq;
        if fact.reason.as_ref().is_some_and(|reason| reason.code == ReasonCode::RetriedByActor) {
            entry.retried = seq;
        }
        if inspects {
            entry.decision = None;
        } else if cycles && entry.decision == Some(Decision::PowerOn) {
            entry.decision = Some(Decision::PowerCycle);
            // What was not meant for it before is carried over like what it did.
            entry.became.extend(passed.into_iter().map(|step| (step, FactKind::Passed)));
        }
    }

    /// Whether the step is meant for the component, as far as that is decided.
    pub fn is_meant(&self, ordinal: Ordinal, step: StepNo) -> Option<bool> {
        if self.entry(ordinal).became.get(&step) == Some(&FactKind::Passed) {
            return Some(false);
        }
        let decision = self.entry(ordinal).decision;
        let any = |of: &[Decision]| decision.map(|decision| of.contains(&decision));
        let conditions = &self.plan.steps[step.0 as usize].when;
        let holds: Vec<Option<bool>> = conditions
            .iter()
            .map(|condition| match condition {
                Condition::Configured | Condition::Projected => Some(true),
                Condition::PowersOff => any(&[Decision::PowerOff, Decision::PowerCycle]),
                Condition::PowersOn => any(&[Decision::PowerOn, Decision::PowerCycle]),
                Condition::StaysUp => any(&[Decision::ConfigureOnly]),
                Condition::EndsUp => any(&[Decision::PowerOn, Decision::PowerCycle, Decision::ConfigureOnly]),
            })
            .collect();
        if holds.contains(&Some(false)) {
            Some(false)
        } else if holds.contains(&None) {
            None
        } else {
            Some(true)
        }
    }

    /// Succeeded, or passed with all it needs through.
    fn is_through(&self, ordinal: Ordinal, step: StepNo) -> bool {
        match self.entry(ordinal).became.get(&step) {
            Some(FactKind::Passed) => self.is_reached(ordinal, step),
            Some(kind) => *kind == FactKind::Succeeded,
            None => self.is_meant(ordinal, step) == Some(false) && self.is_reached(ordinal, step),
        }
    }

    /// Whether all that the step needs of the component is there.
    pub fn is_reached(&self, ordinal: Ordinal, step: StepNo) -> bool {
        let needs = self.plan.edges.iter().filter(|edge| edge.to == step);
        needs
            .filter(|edge| edge.kind == EdgeKind::PerComponent)
            .all(|edge| self.is_through(ordinal, edge.from))
    }

    /// Components of the step but for those that are excused: (for whom it is meant, through it, not settled in it).
    pub fn tally(&self, step: StepNo, excused: impl Fn(Ordinal) -> bool) -> (usize, usize, usize) {
        let slice = self.plan.steps[step.0 as usize].slice;
        let (mut meant, mut through, mut unsettled) = (0, 0, 0);
        for (index, member) in self.plan.members.iter().enumerate() {
            let ordinal = Ordinal(index as u32);
            if member.slice != slice || self.is_meant(ordinal, step) == Some(false) {
                continue;
            }
            let entry = self.entry(ordinal);
            if entry.became.get(&step) != Some(&FactKind::Succeeded) && excused(ordinal) {
                continue;
            }
            meant += 1;
            match entry.became.get(&step) {
                Some(FactKind::Succeeded) => through += 1,
                None if !entry.is_out() => unsettled += 1,
                _ => {}
            }
        }
        (meant, through, unsettled)
    }
}
