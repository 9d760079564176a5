//! Shows plans to people: as a text tree, and as a graph in DOT.

use std::fmt::Write as _;

use chrono::SecondsFormat;

use crate::model::{
    gate::Share,
    plan::{Edge, EdgeKind, Plan, Slice, SliceNo, Step, StepNo},
    site::{HttpStep, JobStep, Method, Per},
    verb::Verb,
    workflow::Condition,
};

/// Most characters of a job's command that are shown.
const COMMAND_CHARS_MAX: usize = 80;

/// The plan as a text tree: boot sets, their steps, what each waits for and how long it may take.
pub fn tree(plan: &Plan) -> String {
    let mut text = String::new();
    for gate in gates(plan) {
        line(&mut text, format_args!("{gate}"));
    }
    for (number, slice) in plan.slices.iter().enumerate() {
        let count = plan.members.iter().filter(|member| index(member.slice) == number).count();
        let mut about = vec![components(count)];
        if let Some(boots) = &slice.artifacts {
            about.push(format!("boots {}", boots.artifacts.kernel));
        }
        if let Some(configuration) = &slice.configuration {
            about.push(format!("configuration {configuration}"));
        }
        line(&mut text, format_args!("{}: {}", title(plan, slice), about.join(", ")));
        let steps: Vec<_> = numbered(plan).filter(|(_, step)| index(step.slice) == number).collect();
        for (place, (no, step)) in steps.iter().enumerate() {
            let (branch, trunk) =
                if place + 1 == steps.len() { ("└─", "  ") } else { ("├─", "│ ") };
            line(&mut text, format_args!("{branch} {}{}", short(&step.name), particulars(step)));
            for detail in details(plan, *no, step) {
                line(&mut text, format_args!("{trunk}    {detail}"));
            }
        }
    }
    text
}

/// The plan as a graph in DOT: one box per boot set and wave, barriers dashed, what the gates know as its title.
pub fn dot(plan: &Plan) -> String {
    let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
    let gates = gates(plan);
    if !gates.is_empty() {
        line(&mut text, format_args!("  labelloc=t;\n  label={};", quoted(&gates.join("; "))));
    }
    for (number, slice) in plan.slices.iter().enumerate() {
        line(&mut text, format_args!("  subgraph cluster_{number} {{"));
        line(&mut text, format_args!("    label={};", quoted(&title(plan, slice))));
        for (no, step) in numbered(plan).filter(|(_, step)| index(step.slice) == number) {
            line(&mut text, format_args!("    s{} [label={}];", no.0, quoted(short(&step.name))));
        }
        line(&mut text, format_args!("  }}"));
    }
    for edge in &plan.edges {
        let style = match edge.kind {
            EdgeKind::PerComponent => String::new(),
            EdgeKind::Barrier { threshold_percent } => {
                format!(" [style=dashed, label=\"{threshold_percent} %\"]")
            }
        };
        line(&mut text, format_args!("  s{} -> s{}{style};", edge.from.0, edge.to.0));
    }
    for (no, step) in numbered(plan) {
        if let Some(again) = &step.again {
            let label = format!("again, {} times", again.times);
            line(
                &mut text,
                format_args!(
                    "  s{} -> s{} [style=dotted, constraint=false, label={}];",
                    no.0,
                    again.from.0,
                    quoted(&label)
                ),
            );
        }
    }
    text.push_str("}\n");
    text
}

/// A boot set, and its wave where there are several.
fn title(plan: &Plan, slice: &Slice) -> String {
    match plan.slices.iter().map(|slice| slice.wave).max() {
        Some(last) if last > 0 => format!("wave {}, {}", slice.wave + 1, slice.boot_set),
        _ => slice.boot_set.clone(),
    }
}

/// What the gates of the session know, a sentence each.
fn gates(plan: &Plan) -> Vec<String> {
    let gates = &plan.gates;
    let waves = plan.slices.iter().map(|slice| slice.wave).max().unwrap_or(0) + 1;
    let mut said = Vec::new();
    if waves > 1 {
        let then = match (gates.approve_between_waves, gates.wave_threshold_percent.unwrap_or(0)) {
            (false, 0) => "once everybody of the one before has ended".to_owned(),
            (false, percent) => format!("once no more than {} % of the one before failed", 100 - percent),
            (true, 0) => "once the one before has ended and somebody approves".to_owned(),
            (true, percent) => {
                format!(
                    "once no more than {} % of the one before failed and somebody approves",
                    100 - percent
                )
            }
        };
        said.push(format!("{waves} waves, each begun {then}"));
    }
    if let Some(share) = gates.max_unavailable {
        let most = share.at_most(plan.members.len());
        said.push(format!("at most {most} are inside at once: switched off and not through"));
    }
    match gates.halt_on_failures {
        Some(Share::Count(count)) => said.push(format!("halts when {count} have failed")),
        Some(share) => said.push(format!("halts when {share} of a wave have failed")),
        None => {}
    }
    if let Some(from) = gates.not_before {
        said.push(format!("begins nothing before {}", from.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    if let Some(until) = gates.not_after {
        said.push(format!("begins nothing more after {}", until.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    if let Some(rate) = gates.power_on_rate {
        said.push(format!("powers on no more than {rate}"));
    }
    if let Some(rate) = gates.cabinet_power_on_rate {
        said.push(format!("powers on no more than {rate} in one cabinet"));
    }
    for interval in &gates.power_intervals {
        let of = if interval.of.is_empty() { "every component" } else { interval.of.as_str() };
        let at_least = humantime::format_duration(interval.at_least);
        said.push(format!("at least {at_least} between two power actions on {of}"));
    }
    said
}

/// What stands under a step.
fn details(plan: &Plan, no: StepNo, step: &Step) -> Vec<String> {
    let named = |no: StepNo| plan.steps.get(usize::try_from(no.0).unwrap_or(usize::MAX));
    let incoming: Vec<(&Edge, &Step)> = plan
        .edges
        .iter()
        .filter(|edge| edge.to == no)
        .filter_map(|edge| Some((edge, named(edge.from)?)))
        .collect();
    let mut details = Vec::new();
    let needs: Vec<&str> = incoming
        .iter()
        .filter(|(edge, _)| edge.kind == EdgeKind::PerComponent)
        .map(|(_, step)| short(&step.name))
        .collect();
    if !needs.is_empty() {
        details.push(format!("needs {}", needs.join(", ")));
    }
    for (edge, from) in incoming {
        if let EdgeKind::Barrier { threshold_percent } = edge.kind {
            let share = match threshold_percent {
                0 => String::new(),
                percent => format!(", {percent} % succeeded"),
            };
            details.push(format!("waits until {} has settled{share}", from.name));
        }
    }
    if !step.when.is_empty() {
        let when: Vec<&str> = step.when.iter().map(|condition| label(*condition)).collect();
        details.push(format!("when {}", when.join(", ")));
    }
    let tries = match step.attempts {
        _ if step.verb.shape().rungs.is_empty() => String::new(),
        1 => ", 1 attempt".to_owned(),
        attempts => format!(", {attempts} attempts"),
    };
    details.push(format!("within {}{tries}", humantime::format_duration(step.timeout)));
    if let Some((again, from)) = step.again.as_ref().and_then(|again| Some((again, named(again.from)?))) {
        let on: Vec<&str> = again.on.iter().map(|reason| reason.label()).collect();
        details.push(format!(
            "again from {} on {}, up to {} times",
            short(&from.name),
            on.join(", "),
            again.times
        ));
    }
    details
}

/// The verb where the name does not tell it, and its parameters.
fn particulars(step: &Step) -> String {
    let verb = step.verb.name();
    let verb = if short(&step.name) == verb { String::new() } else { format!(" ({verb})") };
    let parameters: Vec<String> = match &step.verb {
        Verb::PowerOff { .. } | Verb::PowerOn { .. } => step
            .verb
            .shape()
            .rungs
            .iter()
            .map(|rung| {
                let within = humantime::format_duration(rung.within);
                let times = if rung.tries == 1 { String::new() } else { format!(" × {}", rung.tries) };
                format!("{} {within}{times}", rung.name)
            })
            .collect(),
        Verb::StageConfiguration { enable } => {
            vec![if *enable { "enabled" } else { "not enabled yet" }.to_owned()]
        }
        Verb::Http(step) => http(step),
        Verb::Job(step) => job(step),
        _ => Vec::new(),
    };
    if parameters.is_empty() { verb } else { format!("{verb}: {}", parameters.join(", then ")) }
}

fn http(step: &HttpStep) -> Vec<String> {
    let call = step.call.as_ref().map(|call| format!("{} {}", call.method, call.url));
    let wait = step.wait.as_ref().map(|wait| {
        let until = match &wait.until {
            Some(until) => format!("{} is {}", until.at, until.equals),
            None => "it answers 2xx".to_owned(),
        };
        format!("{} {} until {until}", wait.method, wait.url)
    });
    let mut parts: Vec<String> = call.into_iter().chain(wait).collect();
    // A question by GET names nobody, so it is asked once for all.
    let names = step.call.is_some() || step.wait.as_ref().is_some_and(|wait| wait.method != Method::Get);
    if let Some(last) = parts.last_mut().filter(|_| names) {
        last.push_str(&format!(", {}", per(step.per)));
    }
    parts
}

fn job(step: &JobStep) -> Vec<String> {
    let command: String = step.command.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = command.chars().take(COMMAND_CHARS_MAX).collect();
    let rest = if shown.len() < command.len() { "…" } else { "" };
    let place = match &step.kubernetes {
        Some(pod) => format!("in {}", pod.image),
        None => "on the worker's machine".to_owned(),
    };
    let within = humantime::format_duration(step.within);
    vec![format!("'{shown}{rest}' {place}, {within} at most, {}", per(step.per))]
}

fn per(per: Per) -> String {
    match per {
        Per::Batch(most) => format!("{} at a time", components(most.get() as usize)),
        Per::Slice => "once per slice".to_owned(),
        Per::Session => "once per session".to_owned(),
    }
}

fn label(condition: Condition) -> &'static str {
    match condition {
        Condition::Configured => "configured",
        Condition::Projected => "projected",
        Condition::PowersOff => "it is to be switched off",
        Condition::PowersOn => "it is to be switched on",
        Condition::StaysUp => "it stays up and is only configured",
        Condition::EndsUp => "it ends up configured",
    }
}

fn numbered(plan: &Plan) -> impl Iterator<Item = (StepNo, &Step)> {
    (0..).map(StepNo).zip(&plan.steps)
}

fn index(slice: SliceNo) -> usize {
    usize::try_from(slice.0).unwrap_or(usize::MAX)
}

/// A step's name without its boot set.
fn short(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, step)| step)
}

fn components(count: usize) -> String {
    if count == 1 { "1 component".to_owned() } else { format!("{count} components") }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes everything");
}
