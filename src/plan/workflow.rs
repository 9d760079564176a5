//! Reads workflows. All mistakes of a file are reported at once, each with its place and the words that would be right:
//! who mends a workflow should not have to start bosun once per typo.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZeroU16,
};

use petgraph::{algo::tarjan_scc, graph::DiGraph, visit::Dfs};
use serde_json::Value;

use super::Mistake;
use crate::model::{
    reason::ReasonCode,
    spelling,
    verb::Goal,
    workflow::{
        BarrierOrder, Condition, DeclaredVerb, Workflow, WorkflowAgain, WorkflowBarrier, WorkflowStep,
    },
};

mod fields;
mod site;

use fields::{Fields, Mistakes};

/// The workflows built into bosun: operation and text.
pub const EMBEDDED: [(&str, &str); 4] = [
    ("boot", include_str!("../../workflows/boot.yaml")),
    ("configure", include_str!("../../workflows/configure.yaml")),
    ("reboot", include_str!("../../workflows/reboot.yaml")),
    ("shutdown", include_str!("../../workflows/shutdown.yaml")),
];

/// A workflow with the text it was read from; versions are kept by the hash of that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The workflow.
    pub workflow: Workflow,
    /// Its text.
    pub text: String,
}

/// The workflows at hand, by operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflows(BTreeMap<String, Declared>);

impl Workflows {
    /// The built-in workflows, and those of a site (`operation`, `text`), which replace built-in ones of the same name.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub fn load(site: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Mistake>> {
        let embedded = EMBEDDED.map(|(operation, text)| (operation.to_owned(), text.to_owned()));
        let texts: BTreeMap<String, String> = embedded.into_iter().chain(site).collect();
        let mut workflows = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (operation, text) in texts {
            match parse(&operation, &text) {
                Ok(workflow) => drop(workflows.insert(operation, Declared { workflow, text })),
                Err(found) => mistakes.extend(found),
            }
        }
        if mistakes.is_empty() { Ok(Self(workflows)) } else { Err(mistakes) }
    }

    /// Steps that run in pods of their own: mistakes where no worker may make any.
    pub fn pods(&self) -> Vec<Mistake> {
        let in_pod =
            |step: &&WorkflowStep| matches!(&step.verb, DeclaredVerb::Job(job) if job.kubernetes.is_some());
        let of = |(operation, declared): (&String, &Declared)| {
            let steps = declared.workflow.steps.iter().filter(in_pod);
            let mistake = |step: &WorkflowStep| Mistake {
                file: format!("{operation}.yaml"),
                place: Some(format!("step {}, kubernetes", step.name)),
                text: PODS_ARE_NONE.to_owned(),
            };
            steps.map(mistake).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The workflow of an operation.
    pub fn get(&self, operation: &str) -> Option<&Declared> {
        self.0.get(operation)
    }

    /// The operations there are, sorted.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The workflows built into bosun.
pub fn embedded() -> Workflows {
    Workflows::load([]).expect("a test reads every built-in workflow")
}

const STEP: &str = "step";
const PODS_ARE_NONE: &str = "no worker may start a pod of its own here: that takes '--launcher kubernetes --site-jobs' (in the \
     chart worker.siteJobs.enabled); without 'kubernetes' the command runs where the worker runs";
const VERBS: [&str; 10] = [
    "inspect",
    "tag_image",
    "power_off",
    "set_boot_parameters",
    "stage_configuration",
    "power_on",
    "await_boot",
    "await_configuration",
    "http",
    "job",
];

/// What verbs have as parameters.
const PARAMETERS: [&str; 15] = [
    "goal",
    "enable",
    "soft_off_within",
    "force_off_within",
    "within",
    "tries",
    "call",
    "wait",
    "token",
    "command",
    "environment",
    "kubernetes",
    "per",
    "batch",
    "disturbs",
];

/// Reads one workflow. `operation` is the stem of its file's name.
///
/// # Errors
/// Every mistake in it, in the order of the file.
pub fn parse(operation: &str, text: &str) -> Result<Workflow, Vec<Mistake>> {
    let mistakes = Mistakes::of(format!("{operation}.yaml"));
    let options = serde_saphyr::options! { with_snippet: false };
    let whole = match serde_saphyr::from_str_with_options::<Value>(text, options) {
        Ok(value) => value,
        Err(error) => {
            mistakes.add(None, error.render_with_formatter(&serde_saphyr::UserMessageFormatter));
            return Err(mistakes.found());
        }
    };
    let mut fields = Fields::of(whole, None, &mistakes);
    let steps: Vec<WorkflowStep> = fields
        .list("steps")
        .into_iter()
        .enumerate()
        .map(|(position, value)| step(value, position, &mistakes))
        .collect();
    let barriers: Vec<WorkflowBarrier> = fields
        .list("barriers")
        .into_iter()
        .enumerate()
        .filter_map(|(position, value)| barrier(value, position, &mistakes))
        .collect();
    fields.end(&[]);
    let workflow = Workflow { operation: operation.to_owned(), steps, barriers };
    check(&workflow, &mistakes);
    let found = mistakes.found();
    if found.is_empty() { Ok(workflow) } else { Err(found) }
}

/// Reads a step. What is wrong with it is reported and stands as something harmless in the answer, so that the mistakes
/// behind it are found in the same pass.
fn step(value: Value, position: usize, mistakes: &Mistakes) -> WorkflowStep {
    let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
    let place = format!("{STEP} {}", name.unwrap_or_else(|| (position + 1).to_string()));
    let mut fields = Fields::of(value, Some(place.clone()), mistakes);
    let name: String = fields.required("name", "a name").unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && (!name.chars().all(plain) || name.len() > 63) {
        mistakes
            .add(Some(&place), "a step's name is at most 63 lower-case letters, digits and '_'".to_owned());
    }
    let verb_name: String = fields.required("verb", "a verb").unwrap_or_default();
    let verb = verb(&verb_name, &mut fields, &place, mistakes);
    let step = WorkflowStep {
        name,
        verb,
        needs: fields.names("needs"),
        when: fields.words::<Condition>("when", "condition"),
        timeout: fields.duration("timeout", false),
        attempts: fields.number("attempts"),
        again: fields.map("again").map(|mut again| {
            let read = WorkflowAgain {
                from: again.required("from", "the name of a step").unwrap_or_default(),
                times: again.number::<NonZeroU16>("times").map(NonZeroU16::get),
                on: again.words::<ReasonCode>("on", "reason"),
            };
            if read.on.is_empty() {
                mistakes.add(
                    Some(&place),
                    "again: 'on' names no reason, so nobody would ever be sent back".to_owned(),
                );
            }
            again.end(&[]);
            read
        }),
    };
    if let (DeclaredVerb::Job(job), Some(timeout)) = (&step.verb, step.timeout)
        && timeout <= job.within
    {
        let text = "timeout: it has to be longer than 'within', what one run may take".to_owned();
        mistakes.add(Some(&place), text);
    }
    // Nobody knows which parameters a misspelt verb should have.
    fields.end(if VERBS.contains(&verb_name.as_str()) { &[] } else { &PARAMETERS });
    step
}

/// Reads a verb's parameters from its step.
fn verb(name: &str, fields: &mut Fields<'_>, place: &str, mistakes: &Mistakes) -> DeclaredVerb {
    match name {
        "inspect" => {
            let goal = fields.required_word::<Goal>("goal", "goal").unwrap_or(Goal::Boot);
            return DeclaredVerb::Inspect { goal };
        }
        "power_off" => {
            return DeclaredVerb::PowerOff {
                soft_off_within: fields.duration("soft_off_within", true),
                force_off_within: fields.duration("force_off_within", false),
            };
        }
        "stage_configuration" => {
            return DeclaredVerb::StageConfiguration {
                enable: fields.required("enable", "true or false").unwrap_or(false),
            };
        }
        "power_on" => {
            return DeclaredVerb::PowerOn {
                within: fields.duration("within", false),
                tries: fields.number("tries"),
            };
        }
        "tag_image" => return DeclaredVerb::TagImage,
        "set_boot_parameters" => return DeclaredVerb::SetBootParameters,
        "await_boot" => return DeclaredVerb::AwaitBoot,
        "await_configuration" => return DeclaredVerb::AwaitConfiguration,
        "http" => return DeclaredVerb::Http(site::http(fields)),
        "job" => return DeclaredVerb::Job(site::job(fields)),
        "" => {}
        unknown => mistakes.add(
            Some(place),
            format!(
                "there is no verb '{unknown}'{}; there are {}",
                spelling::hint(unknown, VERBS),
                VERBS.join(", ")
            ),
        ),
    }
    DeclaredVerb::TagImage
}

fn barrier(value: Value, position: usize, mistakes: &Mistakes) -> Option<WorkflowBarrier> {
    let mut fields = Fields::of(value, Some(format!("barrier {}", position + 1)), mistakes);
    let by = fields.required_word::<BarrierOrder>("by", "order");
    let after = fields.required("after", "the name of a step");
    let before = fields.names("before");
    let threshold_percent = fields.percent("threshold_percent");
    fields.end(&[]);
    Some(WorkflowBarrier { by: by?, after: after?, before, threshold_percent })
}

/// What can only be judged when all steps are known.
fn check(workflow: &Workflow, mistakes: &Mistakes) {
    let steps = &workflow.steps;
    if steps.is_empty() {
        mistakes.add(None, "there are no steps".to_owned());
    }
    let mut graph = DiGraph::<&str, ()>::new();
    let mut nodes = HashMap::new();
    for step in steps.iter().filter(|step| !step.name.is_empty()) {
        let node = graph.add_node(step.name.as_str());
        if nodes.insert(step.name.as_str(), node).is_some() {
            mistakes.add(Some(&place(step)), "there are two steps of this name".to_owned());
        }
    }
    let known: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let unknown = |place: &str, what: &str, name: &str| {
        let hint = spelling::hint(name, known.iter().copied());
        mistakes.add(Some(place), format!("{what}: there is no step '{name}'{hint}"));
    };
    for step in steps {
        for need in &step.needs {
            match (nodes.get(need.as_str()), nodes.get(step.name.as_str())) {
                (Some(from), Some(to)) => drop(graph.add_edge(*from, *to, ())),
                (None, _) => unknown(&place(step), "needs", need),
                (_, None) => {}
            }
        }
    }
    for circle in tarjan_scc(&graph) {
        if circle.len() > 1 || graph.contains_edge(circle[0], circle[0]) {
            let mut names: Vec<&str> = circle.iter().rev().map(|node| graph[*node]).collect();
            names.push(names[0]);
            mistakes.add(None, format!("steps need each other in a circle: {}", names.join(" → ")));
        }
    }
    let downstream = |name: &str| {
        let mut reached = HashSet::new();
        if let Some(&start) = nodes.get(name) {
            let mut walk = Dfs::new(&graph, start);
            while let Some(node) = walk.next(&graph) {
                reached.insert(graph[node]);
            }
        }
        reached
    };
    for step in steps {
        let Some(again) = step.again.as_ref().filter(|again| !again.from.is_empty()) else { continue };
        if !nodes.contains_key(again.from.as_str()) {
            unknown(&place(step), "again", &again.from);
        } else if !step.name.is_empty() && !downstream(&again.from).contains(step.name.as_str()) {
            let text = format!(
                "again: '{}' does not come before this step, so nobody can be sent back to it",
                again.from
            );
            mistakes.add(Some(&place(step)), text);
        }
    }
    let inspects: Vec<&WorkflowStep> =
        steps.iter().filter(|step| matches!(step.verb, DeclaredVerb::Inspect { .. })).collect();
    for second in inspects.iter().skip(1) {
        mistakes.add(
            Some(&place(second)),
            format!("'{}' inspects already; what is to be done is decided once", inspects[0].name),
        );
    }
    let inspected = inspects.first().map(|step| downstream(&step.name)).unwrap_or_default();
    for step in steps {
        let asks = step.when.iter().any(|condition| !condition.asks_the_template());
        let itself = matches!(step.verb, DeclaredVerb::Inspect { .. });
        if asks && (itself || !inspected.contains(step.name.as_str())) {
            let text = "when: asks what a step 'inspect' decided, but comes after none; add it to 'needs'"
                .to_owned();
            mistakes.add(Some(&place(step)), text);
        }
    }
    for (position, barrier) in workflow.barriers.iter().enumerate() {
        let place = format!("barrier {}", position + 1);
        if barrier.before.is_empty() {
            mistakes.add(Some(&place), "'before' names no step".to_owned());
        }
        for name in std::iter::once(&barrier.after).chain(&barrier.before) {
            if !nodes.contains_key(name.as_str()) {
                unknown(&place, "barrier", name);
            }
        }
    }
}

fn place(step: &WorkflowStep) -> String {
    format!("{STEP} {}", step.name)
}
