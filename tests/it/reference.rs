//! The reference of workflows is made of what reads them: which fields there are, the reader says; what they mean, their
//! types' own comments say. `BOSUN_WRITE_REFERENCE=1` writes it anew.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use bosun::plan::workflow::{self, EMBEDDED};

const FILE: &str = "src/api/ui/document/workflow.md";
const WORKFLOW: &str = include_str!("../../src/model/workflow.rs");
const VERB: &str = include_str!("../../src/model/verb.rs");
const SITE: &str = include_str!("../../src/model/site.rs");

const INTRODUCTION: &str = "\
# Workflow reference

An operation is a file: `boot`, `reboot`, `shutdown` and `configure` are built in, and every `NAME.yaml` in the directory that
the server's `--workflows` names replaces the one of that name or adds an operation. A session keeps the text it was admitted
with: a changed file changes no session that exists. `bosun plan --template T --operation NAME` shows what a workflow would do;
all mistakes of a file are reported at once, when the server starts.

Steps are walked by each component on its own, as soon as *it* is through every step in `needs`; only a barrier makes everybody
wait for everybody. A step whose `when` does not hold for a component is passed by it.

Durations are written as `90s`, `5m` or `1h 30m`. Where a time is left out BOS's options decide, as they stand when a session
is admitted: `max_power_off_wait_time` for `soft_off_within`, `max_power_on_wait_time` for `within` of `power_on`,
`max_boot_wait_time` for the `timeout` of `await_boot`, `default_retry_policy` for attempts and tries.
";

const PODS: &str = "
Where it runs: on Kubernetes, if the chart's `worker.siteJobs.enabled` allows it; elsewhere such a workflow is refused when the
server starts. The components' names are in `/bosun/components` (one a line; more than 50,000 go on in `/bosun/components.1`), the last
line of its log may name who failed, and the Job outlives its worker.
";

/// What each item of a type says of itself, by name in small letters; fields of variants as `variant.field`.
fn comments(source: &str, item: &str) -> BTreeMap<String, String> {
    let starts = [format!("pub enum {item} {{\n"), format!("pub struct {item} {{\n")];
    let begin = starts.iter().find_map(|start| source.find(start.as_str()).map(|at| at + start.len()));
    let body = &source[begin.unwrap_or_else(|| panic!("no type {item}"))..];
    let body = &body[..body.find("\n}\n").expect("it ends")];
    let (mut said, mut found, mut variant) = (String::new(), BTreeMap::new(), String::new());
    for line in body.lines() {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        if let Some(text) = line.strip_prefix("///") {
            said.push_str(text);
        } else if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let name = line.strip_prefix("pub ").unwrap_or(line);
            let name = small(name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap());
            let name = if indent > 4 { format!("{variant}.{name}") } else { name };
            if indent == 4 {
                variant.clone_from(&name);
            }
            found.insert(name, std::mem::take(&mut said).trim().to_owned());
        }
    }
    found
}

/// `PowerOff` is `power_off`.
fn small(name: &str) -> String {
    let mut small = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !small.is_empty() {
            small.push('_');
        }
        small.push(c.to_ascii_lowercase());
    }
    small
}

fn mistakes(text: &str) -> Vec<(String, String)> {
    let found = workflow::parse("probe", text).expect_err("a probe is wrong");
    found.into_iter().map(|mistake| (mistake.place.unwrap_or_default(), mistake.text)).collect()
}

/// The fields of a map, which the reader lists when one is wrong; with whether they have to be there.
fn fields(text: &str, place: &str) -> Vec<(String, bool)> {
    let mistakes = mistakes(text);
    let here = || mistakes.iter().filter(|(at, _)| at == place).map(|(_, text)| text);
    let missing: Vec<&str> = here()
        .filter_map(|text| text.strip_suffix(" is missing").or_else(|| text.split(" is missing:").next()))
        .map(|name| name.trim_matches('\''))
        .collect();
    let listed = here().find_map(|text| text.split("there is no field 'no_such_field'").nth(1));
    let listed = listed.unwrap_or_else(|| panic!("no list of fields at '{place}': {mistakes:?}"));
    let names = listed.split("there are ").nth(1).unwrap().split(", ");
    names.map(|name| (name.to_owned(), missing.contains(&name))).collect()
}

fn step(more: &str) -> String {
    format!("steps:\n  - no_such_field: 1\n{more}")
}

/// The words of a closed list, which the reader lists when one is wrong.
fn words(text: &str, what: &str) -> Vec<String> {
    let begin = format!("there is no {what} ");
    let mistakes = mistakes(text);
    let listed = mistakes.iter().find(|(_, text)| text.contains(&begin));
    let (_, text) = listed.unwrap_or_else(|| panic!("no list of {what}: {mistakes:?}"));
    text.split("there are ").nth(1).unwrap().split(", ").map(str::to_owned).collect()
}

/// What is read here and nowhere in the types by its own name.
fn other(name: &str) -> Option<String> {
    let per = comments(SITE, "Per");
    match name {
        "batch" => Some(format!("With `per: batch`. {}", per["batch"])),
        "per" => Some(format!(
            "`batch`, `slice` or `session`. *batch*: {} *slice*: {} *session*: {}",
            per["batch"], per["slice"], per["session"]
        )),
        "file" | "environment" => comments(SITE, "Secret").get(name).cloned(),
        _ => None,
    }
}

fn table(out: &mut String, fields: &[(String, bool)], meaning: &BTreeMap<String, String>, scope: &str) {
    out.push_str("\n| field | meaning |\n|---|---|\n");
    for (name, required) in fields {
        let said = meaning.get(&format!("{scope}{name}")).cloned();
        let said = if scope.is_empty() && said.is_some() { said } else { said.or_else(|| other(name)) };
        let said = said.unwrap_or_else(|| panic!("nothing is said of the field {name}"));
        let required = if *required { "Required. " } else { "" };
        writeln!(out, "| `{name}` | {required}{said} |").unwrap();
    }
}

fn list(out: &mut String, names: &[String], meaning: &BTreeMap<String, String>) {
    out.push_str("\n| word | meaning |\n|---|---|\n");
    for name in names {
        let said = meaning.get(name).unwrap_or_else(|| panic!("nothing is said of {name}"));
        writeln!(out, "| `{name}` | {said} |").unwrap();
    }
}

fn verb(out: &mut String, name: &str) {
    let (verbs, common) = (comments(VERB, "Verb"), comments(WORKFLOW, "WorkflowStep"));
    let read = fields(&step(&format!("    name: x\n    verb: {name}\n")), "step x");
    let own: Vec<_> = read.into_iter().filter(|(field, _)| !common.contains_key(field)).collect();
    writeln!(out, "\n### {name}\n{}", verbs[name]).unwrap();
    let (meaning, scope) = match name {
        "http" => (comments(SITE, "HttpStep"), String::new()),
        "job" => (comments(SITE, "JobStep"), String::new()),
        _ => (verbs, format!("{name}.")),
    };
    let meaning: BTreeMap<String, String> = match name {
        "http" | "job" => meaning.into_iter().filter(|(field, _)| field != "per").collect(),
        _ => meaning,
    };
    if !own.is_empty() {
        table(out, &own, &meaning, &scope);
    }
}

fn within(out: &mut String, title: &str, probe: &str, place: &str, item: &str) {
    writeln!(out, "\n### {title}").unwrap();
    table(out, &fields(probe, place), &comments(SITE, item), "");
}

fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## A workflow\n");
    table(&mut out, &fields("no_such_field: 1\n", ""), &comments(WORKFLOW, "Workflow"), "");
    out.push_str("\n## A step\n");
    let common = comments(WORKFLOW, "WorkflowStep");
    let read = fields(&step("    verb: tag_image\n"), "step 1");
    let mut known = read.clone();
    known.retain(|(name, _)| common.contains_key(name));
    assert_eq!(known, read, "a verb without parameters has these");
    for (name, required) in &mut known {
        *required = matches!(name.as_str(), "name" | "verb");
    }
    table(&mut out, &known, &common, "");
    out.push_str("\n### again\nWho fails in this step for one of these reasons is sent back, and goes from there once more.\n");
    let probe = step("    name: x\n    verb: tag_image\n    again: {no_such_field: 1}\n");
    table(&mut out, &fields(&probe, "step x, again"), &comments(WORKFLOW, "WorkflowAgain"), "");
    out.push_str("\nReasons are those of the [failure catalogue](/ui/documents/failures).\n");

    out.push_str("\n## Conditions\nFor `when`; all that are named must hold.\n");
    let conditions =
        words(&step("    name: x\n    verb: tag_image\n    when: [no_such_word]\n"), "condition");
    list(&mut out, &conditions, &comments(WORKFLOW, "Condition"));

    out.push_str("\n## Barriers\nThey order boot sets by their ordinals; without ordinals there is none.\n");
    let probe = "steps: []\nbarriers:\n  - no_such_field: 1\n";
    table(&mut out, &fields(probe, "barrier 1"), &comments(WORKFLOW, "WorkflowBarrier"), "");
    out.push_str("\nWords for `by`:\n");
    let orders = words("steps: []\nbarriers:\n  - by: no_such_word\n", "order");
    list(&mut out, &orders, &comments(WORKFLOW, "BarrierOrder"));

    out.push_str("\n## Verbs\n");
    for name in words(&step("    name: x\n    verb: no_such_word\n"), "verb") {
        verb(&mut out, &name);
        if name == "inspect" {
            out.push_str("\nWords for `goal`:\n");
            let goals = words(&step("    name: x\n    verb: inspect\n    goal: no_such_word\n"), "goal");
            list(&mut out, &goals, &comments(VERB, "Goal"));
        }
    }
    out.push_str("\n## Parts of http and job\n");
    let http = |part: &str| step(&format!("    name: x\n    verb: http\n    {part}\n"));
    within(&mut out, "call", &http("call: {no_such_field: 1}"), "step x, call", "Request");
    within(&mut out, "wait", &http("wait: {no_such_field: 1}"), "step x, wait", "Question");
    within(&mut out, "until", &http("wait: {until: {no_such_field: 1}}"), "step x, wait, until", "Until");
    within(&mut out, "token", &http("token: {no_such_field: 1}"), "step x, token", "Secret");
    let job = step("    name: x\n    verb: job\n    kubernetes: {no_such_field: 1}\n");
    within(&mut out, "kubernetes", &job, "step x, kubernetes", "Pod");
    out.push_str(PODS);

    out.push_str("\n## The built-in ones\n");
    for (operation, text) in EMBEDDED {
        writeln!(out, "\n### {operation}.yaml\n```yaml\n{}\n```", text.trim_end()).unwrap();
    }
    out
}

#[test]
fn the_workflow_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = reference();
    if std::env::var_os("BOSUN_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "{FILE} is not current ({differs:?}): run this test with BOSUN_WRITE_REFERENCE=1");
}

/// The commands of a document: lines of its examples, without comments, their continuations joined.
fn commands(text: &str) -> Vec<String> {
    let examples = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = examples
        .flat_map(|example| example.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    let plain = lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
    plain.filter(|line| line.starts_with("bosun ")).collect()
}

/// As a shell would, as far as examples go: blanks part words, quotes keep them together.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut quote, mut begun) = (vec![String::new()], None, false);
    for c in line.chars() {
        let word = words.last_mut().expect("one at least");
        match (quote, c) {
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') if begun => {
                words.push(String::new());
                begun = false;
            }
            (None, ' ') => {}
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_commands_of_the_documents_exist() {
    let mut seen = 0;
    for text in [
        include_str!("../../src/api/ui/document/guide.md"),
        include_str!("../../src/api/ui/document/migration.md"),
        include_str!("../../src/api/ui/document/architecture.md"),
        include_str!("../../README.md"),
    ] {
        for line in commands(text) {
            let parsed = <bosun::config::Cli as clap::Parser>::try_parse_from(words_of(&line));
            assert!(parsed.is_ok(), "{line}\n{}", parsed.err().unwrap());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
