//! A worker as the engine is one, but for the waiting: it stores what the flow says, carries it out on the world, and may be
//! killed at any output.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    super::{Flow, Input, Output, Pace, Past, state::millis},
    BEGIN, SECOND, at, gates,
    ledger::Ledger,
    world::{Nature, World},
};
use crate::model::{
    command::Command,
    effect::{Effect, EffectNo, EffectState},
    plan::{Ordinal, Plan, StepNo},
    result::PastFact,
    session::{Outcome, SessionState},
};

/// What is asked from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    Command(Command),
    Wanted(Vec<Ordinal>),
    /// Their holder gives these to the session, if it still waits for them.
    Given(Vec<Ordinal>),
    /// Their holder does not.
    Kept(Vec<Ordinal>),
    /// A freeze covers exactly these from now on.
    Frozen(Vec<Ordinal>),
    /// The worker is gone, and the session is parked.
    Parked,
}

/// A session to be driven.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub natures: Vec<Nature>,
    /// Chance: each byte decides something, an empty tape is a good day.
    pub tape: Vec<u8>,
    /// Whom another session holds at the beginning.
    pub awaited: Vec<Ordinal>,
    /// What is asked, and when (seconds).
    pub orders: Vec<(u16, Order)>,
    /// Outputs between kills, and how much of the last ones is carried out: 0 for nothing, not even stored.
    pub kills: Vec<(u8, u8)>,
    /// Services that are down from a second on, for so many seconds.
    pub outages: Vec<(&'static str, u16, u16)>,
}

#[derive(Debug, Clone)]
pub enum Event {
    /// Comes in, unless the worker that asked is dead.
    Input(u32, Input),
    /// A call reaches its service; the worker that would see its answer, if one would.
    Land {
        effect: EffectNo,
        step: StepNo,
        rung: u8,
        members: Vec<Ordinal>,
        asker: Option<u32>,
    },
    Order(Order),
}

/// A worker, its memory, and the world.
pub struct Driver {
    pub plan: Arc<Plan>,
    pub pace: Pace,
    pub world: World,
    pub flow: Flow,
    pub ledger: Ledger,
    /// What is stored, but for the effects.
    pub past: Past,
    pub effects: BTreeMap<EffectNo, Effect>,
    /// Milliseconds since the beginning.
    pub now: i64,
    pub outcome: Option<Outcome>,
    /// What was called: (when, verb, rung, whom).
    pub calls: Vec<(i64, &'static str, u8, Vec<Ordinal>)>,
    pub script: Script,
    tape: VecDeque<u8>,
    /// Whom another session wants, and whom a freeze covers, as the flow was told.
    pub wanted: Vec<Ordinal>,
    pub frozen: Vec<Ordinal>,
    queue: BTreeMap<(i64, u32), Event>,
    queued: u32,
    wake: Option<i64>,
    pub epoch: u32,
    seq: i64,
    batches: usize,
    until_kill: Option<(u8, u8)>,
    rises: Vec<(u16, u32)>,
}

impl Driver {
    pub fn new(plan: Arc<Plan>, script: Script) -> Self {
        let pace = Pace::default();
        let members = (0..plan.members.len() as u32).map(Ordinal);
        let (awaited, claimed) = members.partition(|ordinal| script.awaited.contains(ordinal));
        let past = Past { claimed, awaited, ..Past::default() };
        let mut driver = Self {
            flow: Flow::new(plan.clone(), &past, pace),
            ledger: Ledger::new(plan.clone()),
            world: World::new(&script.natures),
            tape: script.tape.iter().copied().collect(),
            rises: vec![(1, 0); script.natures.len()],
            until_kill: None,
            past,
            pace,
            plan,
            script,
            effects: BTreeMap::new(),
            now: 0,
            outcome: None,
            calls: Vec::new(),
            wanted: Vec::new(),
            frozen: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            wake: None,
            epoch: 1,
            seq: 0,
            batches: 0,
        };
        for (seconds, order) in driver.script.orders.clone() {
            driver.queue(i64::from(seconds) * SECOND, Event::Order(order));
        }
        driver.script.kills.reverse();
        driver.until_kill = driver.script.kills.pop();
        let outputs = driver.flow.start(at(0));
        driver.carry_out(outputs, false, None);
        driver
    }

    /// What is stored, as a new worker reads it.
    pub fn past(&self) -> Past {
        Past { effects: self.effects.values().cloned().collect(), ..self.past.clone() }
    }

    pub fn chance(&mut self) -> u8 {
        self.tape.pop_front().unwrap_or(0)
    }

    pub fn queue(&mut self, at: i64, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    /// Drives until nothing more happens by itself.
    pub fn drive(&mut self) {
        while self.outcome.is_none() && self.step() {
            assert!(self.batches < 30_000, "it does not come to rest");
        }
    }

    /// Drives to the end, as a patient operator would have it.
    pub fn drive_to_end(&mut self) -> Outcome {
        let mut patience = 0;
        loop {
            self.drive();
            if let Some(outcome) = self.outcome {
                self.judge_end();
                return outcome;
            }
            if !self.past.awaited.is_empty() && self.flow.mode() == SessionState::Running {
                self.order(Order::Given(self.past.awaited.clone()));
                continue;
            }
            if !self.frozen.is_empty() && self.flow.mode() == SessionState::Running {
                self.order(Order::Frozen(Vec::new()));
                continue;
            }
            assert!(self.flow.rests(), "it rests with something under way: {:?}", self.flow.counters());
            patience += 1;
            let command = match self.flow.mode() {
                SessionState::Halted if self.awaits_approval() => {
                    patience -= 1;
                    Command::Approve
                }
                SessionState::Paused | SessionState::Stuck => Command::Resume,
                SessionState::Halted if patience < 4 => {
                    Command::Retry { members: Vec::new(), from: Vec::new() }
                }
                SessionState::Halted if patience < 8 => Command::Resume,
                SessionState::Halted => Command::Cancel { at_once: false },
                mode => panic!("it stands still, {mode:?}: {:?}", self.flow.counters()),
            };
            assert!(patience < 10, "nothing helps");
            self.order(Order::Command(command));
        }
    }

    fn judge_end(&self) {
        for counters in self.flow.counters() {
            assert_eq!((counters.not_reached, counters.in_flight), (0, 0), "at the end: {counters:?}");
        }
        assert_eq!(self.past.claimed, [], "somebody is still held");
        assert_eq!(self.past.awaited, [], "somebody is still waited for");
        let counts = self.flow.counts();
        assert_eq!(counts.succeeded + counts.failed + counts.skipped, self.plan.members.len() as i32);
    }

    /// Lets the next thing happen; false if there is none.
    pub fn step(&mut self) -> bool {
        let next = [self.queue.keys().next().map(|(at, _)| *at), self.wake, self.world.next()];
        let Some(next) = next.into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        let reports = self.world.run(self.now);
        self.judge_rises();
        if !reports.is_empty() {
            for (ordinal, report) in &reports {
                self.past.reports.retain(|(known, _)| known != ordinal);
                self.past.reports.push((*ordinal, report.clone()));
            }
            self.feed(Input::Reported(reports), None);
        } else if let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Input(epoch, input) if epoch == self.epoch => self.feed(input, None),
                Event::Input(..) => {}
                Event::Order(order) => self.order(order),
                Event::Land { effect, step, rung, members, asker } => {
                    self.land(effect, step, rung, &members, asker)
                }
            }
        } else if self.wake.is_some_and(|wake| wake <= self.now) {
            self.feed(Input::Tick, None);
        }
        true
    }

    /// At most one edge from off to on per component and run.
    fn judge_rises(&mut self) {
        for (index, node) in self.world.nodes.iter().enumerate() {
            let (run, before) = &mut self.rises[index];
            if *run != self.ledger.entries[index].run {
                (*run, *before) = (self.ledger.entries[index].run, node.rises);
            }
            assert!(node.rises - *before <= 1, "{index} was powered on twice in run {run}");
        }
    }

    pub fn order(&mut self, order: Order) {
        match &order {
            Order::Command(Command::Retry { members, .. } | Command::Restart { members, .. }) => {
                self.claim_failed(members);
            }
            // Nobody passes without being named.
            Order::Command(Command::Pass { members, .. }) if !members.is_empty() => {
                self.claim_failed(members)
            }
            _ => {}
        }
        let input = match order.clone() {
            Order::Command(command) => Input::Command { command, actor: "somebody".to_owned(), reason: None },
            Order::Wanted(members) => {
                // Also those it only waits for: a third session may take them.
                let of_ours = |ordinal: &Ordinal| {
                    self.past.claimed.contains(ordinal) || self.past.awaited.contains(ordinal)
                };
                let members: Vec<Ordinal> = members.into_iter().filter(of_ours).collect();
                self.wanted.extend(&members);
                Input::Wanted { by: "another".to_owned(), members }
            }
            Order::Given(members) => {
                let (given, awaited) = std::mem::take(&mut self.past.awaited)
                    .into_iter()
                    .partition::<Vec<_>, _>(|ordinal| members.contains(ordinal));
                self.past.awaited = awaited;
                self.past.claimed.extend(&given);
                Input::Granted(given.into_iter().map(|ordinal| (ordinal, None)).collect())
            }
            Order::Kept(mut members) => {
                members.retain(|ordinal| self.past.awaited.contains(ordinal));
                Input::Kept { by: "another".to_owned(), members }
            }
            Order::Frozen(members) => {
                self.frozen.clone_from(&members);
                Input::Frozen(members)
            }
            Order::Parked => {
                if self.outcome.is_none() {
                    self.past.state = Some(SessionState::Stuck);
                    self.restart();
                }
                return;
            }
        };
        self.feed(input, Some(order));
    }

    fn feed(&mut self, input: Input, order: Option<Order>) {
        let judges = matches!(&input, Input::Saw { seen: Ok(_), .. } | Input::Answered(_, Ok(_)));
        let outputs = self.flow.feed(at(self.now), input);
        self.carry_out(outputs, judges, order);
    }

    /// One checkpoint, then what follows; or death on the way.
    fn carry_out(&mut self, outputs: Vec<Output>, judges: bool, order: Option<Order>) {
        self.batches += 1;
        let dies = match &mut self.until_kill {
            Some((0, how)) => Some(*how),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if dies == Some(0) {
            // A command that was not answered is read again.
            if let Some(order) = order {
                self.queue(self.now + 3 * SECOND, Event::Order(order));
            }
            return self.restart();
        }
        self.judge_before(&outputs, judges);
        if let Some(Order::Command(command)) = &order {
            self.judge_command(&outputs, command);
        }
        match order {
            Some(Order::Command(Command::Set(settings))) => self.past.standing.settings.merge(&settings),
            Some(Order::Command(Command::Cancel { at_once })) => self.past.standing.at_once |= at_once,
            _ => {}
        }
        self.store(&outputs);
        let changes = |output: &Output| {
            !matches!(
                output,
                Output::Observe { .. }
                    | Output::Find(_)
                    | Output::Abort(_)
                    | Output::Wake(_)
                    | Output::Event(_)
            )
        };
        if self.outcome.is_none() && outputs.iter().any(changes) {
            self.judge_state(&self.flow);
        }
        self.wake = None;
        let mut left = dies.map_or(usize::MAX, |how| usize::from(how) - 1);
        for output in outputs {
            let is_act = matches!(
                output,
                Output::Call { .. } | Output::Find(_) | Output::Abort(_) | Output::Observe { .. }
            );
            if is_act && left == 0 {
                break;
            }
            left -= usize::from(is_act);
            match output {
                Output::Call { effect, step, rung, members } => self.call(effect, step, rung, members),
                Output::Find(effect) => self.find(effect),
                Output::Abort(effect) => self.abort(effect),
                Output::Observe { step, members, effects } => self.observe(step, &members, &effects),
                Output::Wake(wake) => self.wake = Some(millis(wake) - BEGIN),
                _ => {}
            }
        }
        if dies.is_some() && self.outcome.is_none() {
            self.restart();
        }
    }

    fn store(&mut self, outputs: &[Output]) {
        self.seq += 1;
        for output in outputs {
            match output {
                Output::Record(facts) => {
                    for fact in facts {
                        self.ledger.read(self.seq, fact);
                        self.past.facts.push(PastFact {
                            seq: self.seq,
                            at: at(self.now),
                            fact: fact.clone(),
                        });
                    }
                }
                Output::Effect { effect, state, reference, token, .. } => {
                    let known = self.effects.get_mut(effect).expect("an effect has an intent");
                    known.state = *state;
                    known.reference = reference.clone().or(known.reference.take());
                    known.token = token.clone().map(|(token, _)| token).or(known.token.take());
                }
                Output::Release(ends) => {
                    let gone = |held: &Ordinal| !ends.iter().any(|(ordinal, _)| ordinal == held);
                    self.past.claimed.retain(gone);
                    self.past.awaited.retain(gone);
                    self.wanted.retain(gone);
                }
                Output::State(state, _) => self.past.state = Some(*state),
                Output::Event(event) => self.past.approvals.extend(gates::approval(self.seq, event)),
                Output::Over(outcome) => self.outcome = Some(*outcome),
                _ => {}
            }
        }
        self.judge(
            &[outputs.iter().filter(|o| matches!(o, Output::Open(_))).cloned().collect::<Vec<_>>()].concat(),
        );
        for output in outputs {
            if let Output::Open(edge) = output {
                self.past.opened.push(*edge);
            }
        }
        let rest: Vec<Output> = outputs.iter().filter(|o| !matches!(o, Output::Open(_))).cloned().collect();
        self.judge(&rest);
        let mut enters = false;
        for output in outputs {
            if let Output::Call { effect, step, rung, members } = output {
                enters |= members.iter().any(|ordinal| !self.is_inside(*ordinal));
                let intent = Effect {
                    no: *effect,
                    step: *step,
                    rung: *rung,
                    members: members.clone(),
                    state: EffectState::Intended,
                    reference: None,
                    token: None,
                    seq: self.seq,
                    intended_at: at(self.now),
                    dead_at: at(self.now) + self.pace.call_alive_for,
                };
                assert!(self.effects.insert(*effect, intent).is_none(), "{effect:?} was used before");
            }
        }
        if enters {
            self.judge_inside();
        }
    }

    /// The worker is gone between two inputs.
    pub fn die(&mut self) {
        self.restart();
    }

    /// Asks something at a second.
    pub fn order_at(&mut self, second: u16, order: Order) {
        self.queue(i64::from(second) * SECOND, Event::Order(order));
    }

    /// The worker is gone; another one reads what is stored.
    fn restart(&mut self) {
        self.until_kill = self.script.kills.pop();
        self.epoch += 1;
        self.now += 2 * SECOND;
        if self.epoch.is_multiple_of(2) {
            self.world.forget_jobs();
        }
        self.flow = Flow::new(self.plan.clone(), &self.past(), self.pace);
        let outputs = self.flow.start_with(at(self.now), self.told());
        self.carry_out(outputs, false, None);
    }

    /// What a worker that begins is told beside its memory.
    pub fn told(&self) -> Vec<Input> {
        let held =
            |ordinal: &&Ordinal| self.past.claimed.contains(ordinal) || self.past.awaited.contains(ordinal);
        let wanted: Vec<Ordinal> = self.wanted.iter().filter(held).copied().collect();
        let frozen = Input::Frozen(self.frozen.clone());
        match wanted.is_empty() {
            true => vec![frozen],
            false => vec![Input::Wanted { by: "another".to_owned(), members: wanted }, frozen],
        }
    }

    /// Admission takes the claims of those who failed before it keeps the command.
    fn claim_failed(&mut self, of: &[Ordinal]) {
        let all = (0..self.plan.members.len() as u32).map(Ordinal);
        let failed = all.filter(|o| self.flow.components[o.0 as usize].failed.is_some());
        let chosen = failed.filter(|o| of.is_empty() || of.contains(o));
        let free: Vec<Ordinal> = chosen.filter(|o| !self.past.claimed.contains(o)).collect();
        self.past.claimed.extend(free);
    }

    /// An ended session is tried again: admission sets it running.
    pub fn retry_ended(&mut self) {
        self.reopen(Command::Retry { members: Vec::new(), from: Vec::new() });
    }

    /// The same with what is asked of those who failed.
    pub fn reopen(&mut self, command: Command) {
        self.claim_failed(&[]);
        self.past.standing.at_once = false;
        self.past.state = Some(SessionState::Running);
        self.outcome = None;
        self.epoch += 1;
        self.flow = Flow::new(self.plan.clone(), &self.past(), self.pace);
        let retry = Input::Command { command, actor: "somebody".to_owned(), reason: None };
        let inputs = self.told().into_iter().chain([retry]);
        let outputs = self.flow.start_with(at(self.now), inputs);
        self.carry_out(outputs, false, None);
    }
}
