//! The machine and its services, as far as the flow can tell: power control that takes its time and shows a stale table,
//! boot parameters with tokens, nodes that boot, hang, and report.

use std::collections::BTreeMap;

use super::{BEGIN, MINUTE, SECOND, at};
use crate::model::{
    artifacts::BootToken,
    component::Report,
    effect::RemoteRef,
    plan::{Ordinal, Plan},
    reason::{Reason, ReasonCode},
    verb::{Answer, Decision, Goal, OpenEffect, Power, Seen, Took, Verb},
};

/// How often power control looks at its nodes.
const SAMPLE_INTERVAL: i64 = 30 * SECOND;
/// How long a node boots, and how long it configures itself afterwards.
const BOOT: i64 = 3 * MINUTE;
const CONFIGURE: i64 = MINUTE;

/// What is particular about a node.
#[derive(Debug, Clone, Default)]
pub struct Nature {
    /// On at the beginning.
    pub on: bool,
    /// Runs the wanted artifacts at the beginning.
    pub current: bool,
    /// Power control names it as impossible.
    pub refused: bool,
    /// Every call that contains it is rejected by BSS as a whole.
    pub poisons: bool,
    /// Ignores Soft-Off.
    pub deaf: bool,
    /// So many times somebody else has reserved it.
    pub reserved: u8,
    /// So many power tasks end as failed.
    pub flaky: u8,
    /// So many boots hang.
    pub hangs: u8,
    /// Reports the token of somebody else's parameters.
    pub strange: bool,
    /// Has no reporter: HSM's Ready is all there is.
    pub mute: bool,
    /// CFS fails on it.
    pub misconfigured: bool,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    pub nature: Nature,
    pub on: bool,
    /// What power control's table shows, and when it was looked at.
    shown: bool,
    token: Option<String>,
    /// Up since (HSM shows Ready).
    pub ready: Option<i64>,
    pub staged: bool,
    pub configured: Option<i64>,
    /// Moments at which it went from off to on.
    pub rises: u32,
    /// Counts power changes: what was planned before one does not happen after it.
    era: u32,
}

/// What a power task of one node is to end as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Failed,
    Reserved,
    /// It says no more; power control's table does.
    Aborted,
}

#[derive(Debug, Clone)]
struct Task {
    ends: i64,
    fate: Fate,
}

/// What happens to a node later.
#[derive(Debug, Clone, PartialEq)]
pub enum Later {
    Power { node: usize, on: bool },
    Ready { node: usize, era: u32 },
    Report { node: usize, era: u32 },
    Configured { node: usize, era: u32 },
}

/// The machine.
pub struct World {
    pub nodes: Vec<Node>,
    transitions: BTreeMap<String, BTreeMap<usize, Task>>,
    /// Calls by effect number, as power control remembers them.
    taken: BTreeMap<i32, String>,
    tokens: u32,
    sampled: i64,
    later: Vec<(i64, Later)>,
}

impl World {
    pub fn new(natures: &[Nature]) -> Self {
        let node = |nature: &Nature| Node {
            on: nature.on,
            shown: nature.on,
            token: None,
            ready: nature.on.then_some(0),
            staged: false,
            configured: None,
            rises: 0,
            era: 0,
            nature: nature.clone(),
        };
        Self {
            nodes: natures.iter().map(node).collect(),
            transitions: BTreeMap::new(),
            taken: BTreeMap::new(),
            tokens: 0,
            sampled: 0,
            later: Vec::new(),
        }
    }

    /// When something happens next.
    pub fn next(&self) -> Option<i64> {
        self.later.iter().map(|(at, _)| *at).min()
    }

    /// Lets everything happen that is due; reports that nodes send.
    pub fn run(&mut self, now: i64) -> Vec<(Ordinal, Report)> {
        if now - self.sampled >= SAMPLE_INTERVAL {
            self.sampled = now - now % SAMPLE_INTERVAL;
            self.nodes.iter_mut().for_each(|node| node.shown = node.on);
        }
        let mut reports = Vec::new();
        while let Some(index) = (0..self.later.len())
            .filter(|index| self.later[*index].0 <= now)
            .min_by_key(|index| self.later[*index].0)
        {
            let (at, later) = self.later.remove(index);
            reports.extend(self.happen(at, later));
        }
        reports
    }

    fn happen(&mut self, now: i64, later: Later) -> Option<(Ordinal, Report)> {
        match later {
            Later::Power { node, on } => self.power(now, node, on),
            Later::Ready { node, era } if self.nodes[node].era == era => self.nodes[node].ready = Some(now),
            Later::Report { node, era } if self.nodes[node].era == era => {
                let strange = self.nodes[node].nature.strange;
                let token = self.nodes[node].token.clone().filter(|_| !strange);
                let token = BootToken(token.unwrap_or_else(|| "somebody else's".to_owned()));
                return Some((Ordinal(node as u32), Report { token, artifacts: None, at: at(now) }));
            }
            Later::Configured { node, era } if self.nodes[node].era == era => {
                self.nodes[node].configured = Some(now);
            }
            _ => {}
        }
        None
    }

    fn power(&mut self, now: i64, index: usize, on: bool) {
        let node = &mut self.nodes[index];
        if node.on == on {
            return;
        }
        node.on = on;
        node.era += 1;
        node.ready = None;
        node.configured = None;
        if !on {
            return;
        }
        node.rises += 1;
        let era = node.era;
        if node.nature.hangs > 0 {
            node.nature.hangs -= 1;
            return;
        }
        self.later.push((now + BOOT, Later::Ready { node: index, era }));
        if !node.nature.mute {
            self.later.push((now + BOOT + 2 * SECOND, Later::Report { node: index, era }));
        }
        if node.staged {
            self.later.push((now + BOOT + CONFIGURE, Later::Configured { node: index, era }));
        }
    }

    /// A call that the service takes. `pace` stretches what power tasks take.
    pub fn act(
        &mut self,
        now: i64,
        verb: &Verb,
        effect: i32,
        rung: u8,
        members: &[Ordinal],
        pace: u8,
    ) -> Answer {
        let ids: Vec<usize> = members.iter().map(|ordinal| ordinal.0 as usize).collect();
        match verb {
            Verb::PowerOff { .. } | Verb::PowerOn { .. } => {
                self.transition(now, verb, effect, rung, &ids, pace)
            }
            Verb::SetBootParameters {} => {
                self.tokens += 1;
                let token = format!("token {}", self.tokens);
                ids.iter().for_each(|id| self.nodes[*id].token = Some(token.clone()));
                Answer { reference: None, token: Some(BootToken(token)), rest: Took::Done, named: Vec::new() }
            }
            Verb::StageConfiguration { enable } => {
                for id in ids {
                    self.nodes[id].staged = true;
                    if *enable {
                        let era = self.nodes[id].era;
                        self.later.push((now + CONFIGURE, Later::Configured { node: id, era }));
                    }
                }
                Answer { reference: None, token: None, rest: Took::Done, named: Vec::new() }
            }
            Verb::Job(_) => self.job(now, effect, &ids, pace),
            _ => Answer { reference: None, token: None, rest: Took::Done, named: Vec::new() },
        }
    }

    /// A job of the site's own: it ends for all at once.
    fn job(&mut self, now: i64, effect: i32, ids: &[usize], pace: u8) -> Answer {
        let ends = now + 2 * SECOND + i64::from(pace) * 200;
        let fails = ids.iter().any(|id| self.nodes[*id].nature.misconfigured);
        let fate = if fails { Fate::Failed } else { Fate::Done };
        let name = format!("job {effect}");
        self.transitions.insert(name.clone(), ids.iter().map(|id| (*id, Task { ends, fate })).collect());
        self.taken.insert(effect, name.clone());
        let reference = Some(RemoteRef(name));
        Answer { reference, token: None, rest: Took::Underway, named: Vec::new() }
    }

    /// Commands end with the worker that runs them.
    pub fn forget_jobs(&mut self) {
        self.transitions.retain(|name, _| !name.starts_with("job"));
        self.taken.retain(|_, name| !name.starts_with("job"));
    }

    fn transition(
        &mut self,
        now: i64,
        verb: &Verb,
        effect: i32,
        rung: u8,
        ids: &[usize],
        pace: u8,
    ) -> Answer {
        let shape = verb.shape();
        let on = shape.power == Some(Power::On);
        let soft = shape.rungs[rung as usize].name == "Soft-Off";
        let within = shape.rungs[rung as usize].within.as_millis() as i64;
        let name = format!("transition {effect}");
        let mut tasks = BTreeMap::new();
        let mut named = Vec::new();
        for id in ids {
            let nature = &mut self.nodes[*id].nature;
            if nature.refused && !on {
                let reason = Reason::new(ReasonCode::UnknownToPowerControl, "not found");
                named.push((Ordinal(*id as u32), Took::Refused(reason)));
                continue;
            }
            let (ends, fate) = if nature.reserved > 0 {
                nature.reserved -= 1;
                (now + SECOND, Fate::Reserved)
            } else if nature.flaky > 0 {
                nature.flaky -= 1;
                (now + 2 * SECOND, Fate::Failed)
            } else if soft && nature.deaf {
                (now + within, Fate::Failed)
            } else {
                (now + 3 * SECOND + i64::from(pace) * 500, Fate::Done)
            };
            if fate == Fate::Done {
                self.later.push((ends, Later::Power { node: *id, on }));
            }
            tasks.insert(*id, Task { ends, fate });
        }
        self.transitions.insert(name.clone(), tasks);
        self.taken.insert(effect, name.clone());
        Answer { reference: Some(RemoteRef(name)), token: None, rest: Took::Underway, named }
    }

    /// Ends a transition as far as it can: a command that was sent already is not undone.
    pub fn abort(&mut self, now: i64, effect: i32) {
        let Some(tasks) = self.taken.get(&effect).and_then(|name| self.transitions.get_mut(name)) else {
            return;
        };
        for task in tasks.values_mut().filter(|task| task.ends > now) {
            *task = Task { ends: now, fate: Fate::Aborted };
        }
    }

    /// Whether the service remembers the call of this effect. A webhook is simply called once more.
    pub fn find(&self, verb: &Verb, effect: i32) -> Option<Answer> {
        if matches!(verb, Verb::Http(_)) {
            return Some(Answer { reference: None, token: None, rest: Took::Done, named: Vec::new() });
        }
        let name = self.taken.get(&effect)?;
        let reference = Some(RemoteRef(name.clone()));
        Some(Answer { reference, token: None, rest: Took::Underway, named: Vec::new() })
    }

    /// What is seen of one component. `since` and `noticed` are what the flow says of it.
    pub fn look(
        &self,
        now: i64,
        verb: &Verb,
        id: usize,
        open: &[OpenEffect],
        since: i64,
        noticed: bool,
    ) -> Seen {
        let node = &self.nodes[id];
        let reached = |reached: bool| if reached { Seen::Reached(None) } else { Seen::Pending };
        match verb {
            Verb::Inspect { goal } => Seen::Reached(Some(Self::decide(node, *goal))),
            Verb::PowerOff { .. } => self.task(now, id, open, since, false),
            Verb::PowerOn { .. } => self.task(now, id, open, since, true),
            Verb::AwaitBoot {} => match (node.ready.is_some(), noticed) {
                (false, false) => Seen::Noticed,
                (ready, _) => reached(ready && noticed),
            },
            Verb::AwaitConfiguration {} if node.nature.misconfigured && node.ready.is_some() => {
                Seen::Failed(Reason::new(ReasonCode::ConfigurationFailed, "a layer failed"))
            }
            Verb::Job(_) => Self::ended(now, self.known(id, open)),
            _ => reached(node.configured.is_some()),
        }
    }

    /// A job that nobody knows has ended with its worker.
    fn ended(now: i64, task: Option<&Task>) -> Seen {
        match task {
            None => Seen::Busy(Reason::new(ReasonCode::JobFailed, "lost")),
            Some(task) if task.ends > now => Seen::Pending,
            Some(Task { fate: Fate::Done, .. }) => Seen::Reached(None),
            Some(_) => Seen::Spent(Reason::new(ReasonCode::JobFailed, "exit code 1")),
        }
    }

    /// What its service knows of the latest open effect on a component.
    fn known(&self, id: usize, open: &[OpenEffect]) -> Option<&Task> {
        let of_id = |effect: &&OpenEffect| effect.members.contains(&Ordinal(id as u32));
        let latest = open.iter().filter(of_id).max_by_key(|effect| effect.effect);
        let name = latest.and_then(|effect| effect.reference.as_ref());
        name.and_then(|name| self.transitions.get(&name.0)?.get(&id))
    }

    fn decide(node: &Node, goal: Goal) -> Decision {
        match (goal, node.on, node.nature.current) {
            (Goal::Shutdown, true, _) => Decision::PowerOff,
            (Goal::Boot | Goal::Configure, true, true) => Decision::ConfigureOnly,
            (Goal::Boot | Goal::Reboot, false, _) => Decision::PowerOn,
            (Goal::Boot, true, false) => Decision::UnknownArtifacts,
            (Goal::Reboot, true, _) => Decision::PowerCycle,
            _ => Decision::Nothing,
        }
    }

    /// Our own task is believed; the table only when it was looked at after the last power effect.
    fn task(&self, now: i64, id: usize, open: &[OpenEffect], since: i64, on: bool) -> Seen {
        let Some(task) = self.known(id, open) else {
            let fresh = self.sampled >= since - BEGIN + SAMPLE_INTERVAL;
            return if fresh && self.nodes[id].shown == on { Seen::Reached(None) } else { Seen::Pending };
        };
        match task.fate {
            _ if task.ends > now => Seen::Pending,
            Fate::Done => Seen::Reached(None),
            Fate::Failed => Seen::Spent(Reason::new(ReasonCode::PowerOffFailed, "the task failed")),
            Fate::Aborted => {
                // Looked at after the time in which what was sent took effect.
                let fresh = self.sampled >= since - BEGIN + SAMPLE_INTERVAL + MINUTE;
                match fresh {
                    true if self.nodes[id].shown == on => Seen::Reached(None),
                    true => Seen::Spent(Reason::new(ReasonCode::PowerOffFailed, "the task was aborted")),
                    false => Seen::Pending,
                }
            }
            Fate::Reserved => Seen::Busy(Reason::new(ReasonCode::PowerOffFailed, "reserved by somebody")),
        }
    }
}

/// The service a verb's calls and questions go to.
pub fn service(plan: &Plan, step: usize) -> &'static str {
    plan.steps[step].verb.shape().service
}
