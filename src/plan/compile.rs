//! Binds a workflow to one session's members.
//!
//! Where the workflow is silent, BOS's options as they stand now are frozen into the plan, so that a change of options
//! never changes a session under way. A step that can be meant for nobody in a slice (no configuration, nothing to be
//! projected) is left out, and its neighbours are joined.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    num::NonZeroU16,
    time::Duration,
};

use petgraph::{
    Direction,
    algo::{has_path_connecting, toposort},
    graph::{DiGraph, NodeIndex},
    visit::{Dfs, EdgeRef, Reversed},
};

use super::{
    Mistake, standstill,
    wave::{BoundSlice, cut},
};
use crate::model::{
    component::ComponentNo,
    gate::{Gates, Rollout},
    options::Options,
    pace::PowerInterval,
    plan::{
        Again, Edge, EdgeKind, Plan, PlanMember, Slice, SliceArtifacts, SliceNo, Step, StepNo, UnknownPolicy,
    },
    verb::Verb,
    workflow::{BarrierOrder, Condition, DeclaredVerb, Workflow, WorkflowStep},
    xname::Xname,
};

/// What a workflow is bound to.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    /// Who takes part, by boot set. One without members is left out.
    pub boot_sets: Vec<BoundBootSet>,
    /// BOS's options as they stand now.
    pub options: &'a Options,
    /// What is done with a node that is on while nobody knows what it runs.
    pub unknown: UnknownPolicy,
    /// How long a service may be down before the components that need it fail.
    pub service_patience: Duration,
    /// Which share of a barrier's earlier step has to succeed, where the workflow and the request are silent.
    pub threshold_percent: u8,
    /// Waves, thresholds, and what the gates know.
    pub rollout: &'a Rollout,
    /// Shortest intervals between two power actions, for whom.
    pub power_intervals: Vec<PowerInterval>,
}

/// A boot set, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundBootSet {
    /// Its name.
    pub name: String,
    /// When it boots.
    pub boot_ordinal: Option<u32>,
    /// When it shuts down.
    pub shutdown_ordinal: Option<u32>,
    /// What it boots; none for operations that boot nothing.
    pub artifacts: Option<SliceArtifacts>,
    /// Its configuration; none where CFS is not enabled.
    pub configuration: Option<String>,
    /// Who takes part.
    pub members: Vec<(ComponentNo, Xname)>,
}

/// PCS's Force-Off where the workflow is silent: what BOA gave it (`FORCEFUL_SHUTDOWN_TIMEOUT`). BOS has no option.
const FORCE_OFF_WITHIN: Duration = Duration::from_secs(180);
/// A step that tells or asks a service something, where the workflow is silent.
const SERVICE_STEP_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// What a power step may take beyond twice its rungs: reservations held by others, a busy PCS. A job the same, whose
/// turn may be long in coming.
const POWER_STEP_SLACK: Duration = Duration::from_secs(10 * 60);

/// Most steps in a plan: what the database's step numbers hold.
const STEPS_MAX: usize = i16::MAX as usize;

/// Binds a workflow to its members.
///
/// # Errors
/// What is wrong with this pair: nobody takes part, a component is in two boot sets, artifacts are missing, barriers
/// that contradict the steps' needs, waves too many, gates that would never open.
pub fn compile(workflow: &Workflow, binding: &Binding<'_>) -> Result<Plan, Vec<Mistake>> {
    let wrong = |text: String| Mistake { file: format!("{}.yaml", workflow.operation), place: None, text };
    let boot_sets: Vec<&BoundBootSet> =
        binding.boot_sets.iter().filter(|boot_set| !boot_set.members.is_empty()).collect();
    let mut mistakes = Vec::new();
    if boot_sets.is_empty() {
        mistakes.push(wrong("there is nobody to act upon".to_owned()));
    }
    for boot_set in boot_sets.iter().filter(|boot_set| workflow.boots() && boot_set.artifacts.is_none()) {
        mistakes.push(wrong(format!("boot set {} has nothing to boot", boot_set.name)));
    }
    for name in binding.rollout.threshold.boot_sets.keys() {
        if !binding.boot_sets.iter().any(|boot_set| boot_set.name == *name) {
            mistakes.push(wrong(format!("a threshold is given for '{name}', and there is no such boot set")));
        }
    }
    let slices = cut(&boot_sets, binding.rollout.waves.as_ref(), &mut |text| wrong(text));
    let slices = slices.unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        Vec::new()
    });
    if slices.len() * workflow.steps.len() > STEPS_MAX {
        mistakes.push(wrong(format!(
            "{} slices (a boot set's share of a wave) of {} steps each are more than one session holds",
            slices.len(),
            workflow.steps.len()
        )));
    }
    let members = members(&slices, &mut |text| mistakes.push(wrong(text)));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let drawing = Drawing::of(workflow, &slices, binding);
    let order = drawing.order().map_err(|name| {
        vec![wrong(format!(
            "'{name}' would have to wait for itself: ordinals and 'needs' contradict each other"
        ))]
    })?;
    let numbers: HashMap<NodeIndex, StepNo> =
        order.iter().zip(0..).map(|(&node, number)| (node, StepNo(number))).collect();
    let steps = order
        .iter()
        .map(|&node| {
            let (slice, declared) = drawing.vertex(node);
            let bound = Bound::of(declared, binding.options);
            Step {
                name: format!("{}/{}", slices[slice].title, declared.name),
                verb: bound.verb,
                slice: slice_no(slice),
                when: declared
                    .when
                    .iter()
                    .copied()
                    .filter(|condition| !condition.asks_the_template())
                    .collect(),
                timeout: bound.timeout,
                attempts: bound.attempts,
                again: declared.again.as_ref().map(|again| Again {
                    from: numbers[&drawing.stand_in(slice, &again.from, node)],
                    times: again.times.unwrap_or_else(|| policy(binding.options).saturating_sub(1)),
                    on: again.on.clone(),
                }),
            }
        })
        .collect();
    let mut edges: Vec<Edge> = drawing
        .graph
        .edge_indices()
        .map(|edge| {
            let (from, to) = drawing.graph.edge_endpoints(edge).expect("an edge of this graph has two ends");
            Edge { from: numbers[&from], to: numbers[&to], kind: drawing.graph[edge] }
        })
        .collect();
    edges.sort_by_key(|edge| (edge.from, edge.to, edge.kind != EdgeKind::PerComponent));
    let gates = gates(binding, &slices);
    let slices = slices
        .iter()
        .map(|BoundSlice { boot_set, wave, .. }| Slice {
            boot_set: boot_set.name.clone(),
            wave: *wave,
            artifacts: boot_set.artifacts.clone().filter(|_| workflow.boots()),
            configuration: boot_set.configuration.clone().filter(|_| workflow.configures()),
        })
        .collect();
    let plan = Plan {
        slices,
        steps,
        edges,
        members,
        unknown: binding.unknown,
        service_patience: binding.service_patience,
        gates,
    };
    match plan.gates.max_unavailable.and_then(|share| standstill(&plan, share)) {
        Some(text) => Err(vec![wrong(text)]),
        None => Ok(plan),
    }
}

/// What the gates know: as asked, and what a wave has to reach. Where failures halt the session anyway, that alone decides.
fn gates(binding: &Binding<'_>, slices: &[BoundSlice<'_>]) -> Gates {
    let mut gates = binding.rollout.gates.clone();
    gates.power_intervals = binding.power_intervals.clone();
    if slices.iter().any(|slice| slice.wave > 0) {
        let silent = if gates.halt_on_failures.is_some() { 0 } else { binding.threshold_percent };
        gates.wave_threshold_percent = Some(binding.rollout.threshold.session.unwrap_or(silent));
    }
    gates
}

/// Everybody, by ascending component number.
fn members(slices: &[BoundSlice<'_>], wrong: &mut impl FnMut(String)) -> Vec<PlanMember> {
    let mut by_number: BTreeMap<ComponentNo, PlanMember> = BTreeMap::new();
    for (slice, BoundSlice { boot_set, members, .. }) in slices.iter().enumerate() {
        for &(component, xname) in members {
            let member = PlanMember { component, xname, slice: slice_no(slice) };
            if let Some(other) = by_number.insert(component, member) {
                let other = &slices[usize::try_from(other.slice.0).unwrap_or_default()].boot_set.name;
                wrong(format!("{xname} is in the boot sets {other} and {}", boot_set.name));
            }
        }
    }
    by_number.into_values().collect()
}

fn slice_no(slice: usize) -> SliceNo {
    SliceNo(i16::try_from(slice).expect("there are fewer slices than steps, and those were counted"))
}

/// BOS's default retry policy as a number of attempts; BOS's 0 (no attempt at all) is read as 1.
fn policy(options: &Options) -> u16 {
    u16::try_from(options.default_retry_policy).unwrap_or(u16::MAX).max(1)
}

/// A declared step with nothing left open.
struct Bound {
    verb: Verb,
    timeout: Duration,
    attempts: u16,
}

impl Bound {
    fn of(declared: &WorkflowStep, options: &Options) -> Self {
        let seconds = |option: u32| Duration::from_secs(u64::from(option));
        let verb = match &declared.verb {
            DeclaredVerb::Inspect { goal } => Verb::Inspect { goal: *goal },
            DeclaredVerb::TagImage => Verb::TagImage {},
            DeclaredVerb::PowerOff { soft_off_within, force_off_within } => Verb::PowerOff {
                soft_off_within: soft_off_within.unwrap_or(seconds(options.max_power_off_wait_time)),
                force_off_within: force_off_within.unwrap_or(FORCE_OFF_WITHIN),
            },
            DeclaredVerb::SetBootParameters => Verb::SetBootParameters {},
            DeclaredVerb::StageConfiguration { enable } => Verb::StageConfiguration { enable: *enable },
            DeclaredVerb::PowerOn { within, tries } => Verb::PowerOn {
                within: within.unwrap_or(seconds(options.max_power_on_wait_time)),
                tries: tries.map_or(policy(options), NonZeroU16::get),
            },
            DeclaredVerb::AwaitBoot => Verb::AwaitBoot {},
            DeclaredVerb::AwaitConfiguration => Verb::AwaitConfiguration {},
            DeclaredVerb::Http(step) => Verb::Http(step.clone()),
            DeclaredVerb::Job(step) => Verb::Job(step.clone()),
        };
        // What a site's own step does once may do harm when it is done again: that has to be asked for.
        let own = matches!(verb, Verb::Http(_) | Verb::Job(_));
        let silent = match &verb {
            Verb::PowerOff { soft_off_within, force_off_within } => {
                (*soft_off_within + *force_off_within) * 2 + POWER_STEP_SLACK
            }
            Verb::PowerOn { within, tries } => *within * u32::from(*tries) * 2 + POWER_STEP_SLACK,
            Verb::AwaitBoot {} => seconds(options.max_boot_wait_time),
            Verb::Job(step) => {
                step.within * u32::from(declared.attempts.map_or(1, NonZeroU16::get)) * 2 + POWER_STEP_SLACK
            }
            _ => SERVICE_STEP_TIMEOUT,
        };
        // BOS counts attempts per action: soft and forceful ones apart.
        let rungs = u16::try_from(verb.shape().rungs.len()).unwrap_or(u16::MAX).max(1);
        let silent_attempts = if own { 1 } else { policy(options).saturating_mul(rungs) };
        let attempts = declared.attempts.map_or(silent_attempts, NonZeroU16::get);
        Self { verb, timeout: declared.timeout.unwrap_or(silent), attempts }
    }
}

/// The DAG before its steps have numbers.
struct Drawing<'a> {
    workflow: &'a Workflow,
    /// Vertices are (slice, position in the workflow).
    graph: DiGraph<(usize, usize), EdgeKind>,
    kept: HashMap<(usize, usize), NodeIndex>,
}

impl<'a> Drawing<'a> {
    fn of(workflow: &'a Workflow, slices: &[BoundSlice<'_>], binding: &Binding<'_>) -> Self {
        let mut drawing = Self { workflow, graph: DiGraph::new(), kept: HashMap::new() };
        for (slice, BoundSlice { boot_set, .. }) in slices.iter().enumerate() {
            for (position, step) in workflow.steps.iter().enumerate() {
                let holds = |condition: &Condition| match condition {
                    Condition::Configured => boot_set.configuration.is_some(),
                    Condition::Projected => {
                        boot_set.artifacts.as_ref().is_some_and(|artifacts| artifacts.projected)
                    }
                    _ => true,
                };
                if step.when.iter().all(holds) {
                    let node = drawing.graph.add_node((slice, position));
                    drawing.kept.insert((slice, position), node);
                }
            }
        }
        drawing.draw_needs();
        drawing.draw_barriers(slices, binding);
        drawing
    }

    fn draw_needs(&mut self) {
        let mut detours = BTreeSet::new();
        let kept: BTreeMap<_, _> = self.kept.iter().map(|(&vertex, &node)| (vertex, node)).collect();
        for ((slice, position), to) in kept {
            for need in &self.workflow.steps[position].needs {
                for from in self.nearest(slice, need, Direction::Incoming) {
                    if self.vertex(from).1.name == *need {
                        self.graph.update_edge(from, to, EdgeKind::PerComponent);
                    } else {
                        detours.insert((from, to));
                    }
                }
            }
        }
        // Around a step that is left out, unless there is another way already.
        for (from, to) in detours {
            if !has_path_connecting(&self.graph, from, to, None) {
                self.graph.add_edge(from, to, EdgeKind::PerComponent);
            }
        }
    }

    fn draw_barriers(&mut self, slices: &[BoundSlice<'_>], binding: &Binding<'_>) {
        for barrier in &self.workflow.barriers {
            for (earlier, later) in pairs(barrier.by, slices) {
                let asked = || binding.rollout.threshold.of(&slices[earlier].boot_set.name);
                let threshold_percent =
                    barrier.threshold_percent.or_else(asked).unwrap_or(binding.threshold_percent);
                let after = self.nearest(earlier, &barrier.after, Direction::Incoming);
                for name in &barrier.before {
                    for to in self.nearest(later, name, Direction::Outgoing) {
                        for &from in &after {
                            self.draw_barrier(from, to, threshold_percent);
                        }
                    }
                }
            }
        }
    }

    /// Of two barriers between the same steps the stricter one says it all. A per-component edge stays beside a barrier.
    fn draw_barrier(&mut self, from: NodeIndex, to: NodeIndex, threshold_percent: u8) {
        let there = self.graph.edges_connecting(from, to).find_map(|edge| match edge.weight() {
            EdgeKind::Barrier { threshold_percent } => Some((edge.id(), *threshold_percent)),
            EdgeKind::PerComponent => None,
        });
        match there {
            Some((edge, other)) => {
                self.graph[edge] = EdgeKind::Barrier { threshold_percent: other.max(threshold_percent) };
            }
            None => drop(self.graph.add_edge(from, to, EdgeKind::Barrier { threshold_percent })),
        }
    }

    /// The step of this name in the slice, or, where it is left out, the nearest ones before or behind it.
    fn nearest(&self, slice: usize, name: &str, direction: Direction) -> Vec<NodeIndex> {
        let steps = &self.workflow.steps;
        let Some(position) = steps.iter().position(|step| step.name == name) else { return Vec::new() };
        if let Some(&node) = self.kept.get(&(slice, position)) {
            return vec![node];
        }
        let next: Vec<&str> = match direction {
            Direction::Incoming => steps[position].needs.iter().map(String::as_str).collect(),
            Direction::Outgoing => steps
                .iter()
                .filter(|step| step.needs.iter().any(|need| need == name))
                .map(|step| step.name.as_str())
                .collect(),
        };
        let found: BTreeSet<NodeIndex> =
            next.into_iter().flat_map(|name| self.nearest(slice, name, direction)).collect();
        found.into_iter().collect()
    }

    /// The step to send back to: the one named or, where it is left out, one behind it that still comes before `node`.
    fn stand_in(&self, slice: usize, name: &str, node: NodeIndex) -> NodeIndex {
        let mut upstream = HashSet::from([node]);
        let mut walk = Dfs::new(Reversed(&self.graph), node);
        while let Some(before) = walk.next(Reversed(&self.graph)) {
            upstream.insert(before);
        }
        self.nearest(slice, name, Direction::Outgoing)
            .into_iter()
            .find(|found| upstream.contains(found))
            .unwrap_or(node)
    }

    fn vertex(&self, node: NodeIndex) -> (usize, &'a WorkflowStep) {
        let (slice, position) = self.graph[node];
        (slice, &self.workflow.steps[position])
    }

    /// A topological order that follows the workflow's file and the boot sets' names as far as the edges allow. The
    /// error names a step in a circle.
    fn order(&self) -> Result<Vec<NodeIndex>, String> {
        toposort(&self.graph, None).map_err(|circle| self.vertex(circle.node_id()).1.name.clone())?;
        let mut missing: HashMap<NodeIndex, usize> = self
            .graph
            .node_indices()
            .map(|node| (node, self.graph.neighbors_directed(node, Direction::Incoming).count()))
            .collect();
        let rank = |node: NodeIndex| {
            let (slice, position) = self.graph[node];
            (position, slice, node)
        };
        let mut ready: BTreeSet<_> =
            missing.iter().filter(|(_, count)| **count == 0).map(|(&node, _)| rank(node)).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some((_, _, node)) = ready.pop_first() {
            order.push(node);
            for next in self.graph.neighbors_directed(node, Direction::Outgoing) {
                let count = missing.get_mut(&next).expect("every vertex was counted");
                *count -= 1;
                if *count == 0 {
                    ready.insert(rank(next));
                }
            }
        }
        Ok(order)
    }
}

/// Which slices an order puts before which, within each wave: waves are ordered by gates alone. Every pair is named, not
/// neighbours only: a slice in between may have nothing to do, and settle at once.
fn pairs(by: BarrierOrder, slices: &[BoundSlice<'_>]) -> Vec<(usize, usize)> {
    let boots = |slice: usize| {
        let boot_set = slices[slice].boot_set;
        (boot_set.boot_ordinal.is_none(), boot_set.boot_ordinal)
    };
    let shuts_down = |slice: usize| slices[slice].boot_set.shutdown_ordinal;
    let together = |&(a, b): &(usize, usize)| slices[a].wave == slices[b].wave;
    let every = || {
        (0..slices.len())
            .flat_map(|earlier| (0..slices.len()).map(move |later| (earlier, later)))
            .filter(together)
    };
    match by {
        BarrierOrder::BootOrdinal => every().filter(|&(a, b)| boots(a) < boots(b)).collect(),
        BarrierOrder::ShutdownOrdinal => every().filter(|&(a, b)| shuts_down(a) < shuts_down(b)).collect(),
        BarrierOrder::All => {
            let ordered = every().any(|(a, b)| boots(a) != boots(b) || shuts_down(a) != shuts_down(b));
            every().filter(|_| ordered).collect()
        }
    }
}
