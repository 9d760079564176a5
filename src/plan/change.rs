//! What a plan looked like when it was shown, and in what another one differs: whoever decided on the first has to know
//! before the second is run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{
    plan::{Plan, SliceNo},
    xname::{self, Xname},
};

/// A plan as far as people decide on it. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// By boot set and wave.
    slices: BTreeMap<String, ShownSlice>,
    /// Steps by name, each as the plan holds it.
    steps: BTreeMap<String, String>,
    /// What is done with nodes of which nobody knows what they run, and what else concerns all.
    rest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownSlice {
    members: Vec<Xname>,
    /// What they boot and are configured with, by name.
    facts: BTreeMap<String, String>,
}

/// How much of a message names components.
const NAMES_CHARS_MAX: usize = 500;

impl Shown {
    /// What is shown of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut members: BTreeMap<SliceNo, Vec<Xname>> = BTreeMap::new();
        for member in &plan.members {
            members.entry(member.slice).or_default().push(member.xname);
        }
        let slices = plan.slices.iter().zip(0_i16..).map(|(slice, number)| {
            let mut facts = BTreeMap::new();
            if let Some(boots) = &slice.artifacts {
                facts.insert("kernel", boots.artifacts.kernel.clone());
                facts.insert("initrd", boots.artifacts.initrd.clone());
                facts.insert("kernel parameters", boots.artifacts.kernel_parameters.clone());
                facts.insert("image", boots.image.clone().unwrap_or_default());
            }
            if let Some(configuration) = &slice.configuration {
                facts.insert("configuration", configuration.clone());
            }
            let name = match slice.wave {
                0 => slice.boot_set.clone(),
                wave => format!("{}, wave {}", slice.boot_set, wave + 1),
            };
            let mut members = members.remove(&SliceNo(number)).unwrap_or_default();
            members.sort_unstable();
            let facts = facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
            (name, ShownSlice { members, facts })
        });
        let steps = plan.steps.iter().map(|step| {
            let definition = serde_json::to_string(step).expect("a step holds nothing that JSON cannot");
            (step.name.clone(), definition)
        });
        let rest = (&plan.edges, plan.unknown, plan.service_patience.as_secs(), &plan.gates);
        let rest = serde_json::to_string(&rest);
        Self {
            slices: slices.collect(),
            steps: steps.collect(),
            rest: rest.expect("a plan holds nothing that JSON cannot"),
        }
    }

    /// In what `now` differs, in words; plans that only differ elsewhere say so.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let names: BTreeSet<&String> = self.slices.keys().chain(now.slices.keys()).collect();
        for name in names {
            let nobody = ShownSlice { members: Vec::new(), facts: BTreeMap::new() };
            let (was, is) =
                (self.slices.get(name).unwrap_or(&nobody), now.slices.get(name).unwrap_or(&nobody));
            let (before, after): (BTreeSet<_>, BTreeSet<_>) =
                (was.members.iter().copied().collect(), is.members.iter().copied().collect());
            let joined: Vec<Xname> = after.difference(&before).copied().collect();
            let left: Vec<Xname> = before.difference(&after).copied().collect();
            changes.extend(moved(name, &joined, "more"));
            changes.extend(moved(name, &left, "fewer"));
            if was.members.is_empty() || is.members.is_empty() {
                continue;
            }
            let facts: BTreeSet<&String> = was.facts.keys().chain(is.facts.keys()).collect();
            for fact in facts {
                let (was, is) = (was.facts.get(fact), is.facts.get(fact));
                if was != is {
                    let told =
                        |text: Option<&String>| text.map_or_else(|| "none".to_owned(), |t| format!("'{t}'"));
                    changes.push(format!("{name}: {fact} was {}, is {}", told(was), told(is)));
                }
            }
        }
        let steps: BTreeSet<&String> = self.steps.keys().chain(now.steps.keys()).collect();
        let differ: Vec<&str> = steps
            .into_iter()
            .filter(|name| self.steps.get(*name) != now.steps.get(*name))
            .map(String::as_str)
            .collect();
        if !differ.is_empty() {
            changes.push(format!("steps that differ: {}", differ.join(", ")));
        }
        if self.rest != now.rest || changes.is_empty() {
            changes.push("how its steps go together or what concerns all of them".to_owned());
        }
        changes
    }
}

fn moved(boot_set: &str, who: &[Xname], how: &str) -> Option<String> {
    let nodes = match who.len() {
        0 => return None,
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let mut names = xname::fold(who);
    if names.len() > NAMES_CHARS_MAX {
        names.truncate(NAMES_CHARS_MAX);
        names.push('…');
    }
    Some(format!("{boot_set}: {nodes} {how} ({names})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        component::ComponentNo,
        plan::{PlanMember, Slice, SliceArtifacts},
    };

    fn plan(xnames: &[&str], kernel: &str) -> Plan {
        let members = xnames.iter().zip(0..).map(|(xname, number)| PlanMember {
            component: ComponentNo(number),
            xname: xname.parse().unwrap(),
            slice: SliceNo(0),
        });
        let artifacts = BootArtifacts { kernel: kernel.to_owned(), ..BootArtifacts::default() };
        let artifacts = SliceArtifacts { id: BootArtifactsId(1), artifacts, image: None, projected: false };
        let slice = Slice {
            boot_set: "compute".to_owned(),
            wave: 0,
            artifacts: Some(artifacts),
            configuration: None,
        };
        Plan { slices: vec![slice], members: members.collect(), ..Plan::default() }
    }

    #[test]
    fn what_changed_is_told() {
        let shown = Shown::of(&plan(&["x1c0s0b0n0", "x1c0s0b0n1"], "a"));
        let now = Shown::of(&plan(&["x1c0s0b0n1", "x1c0s1b0n0"], "b"));
        assert_eq!(
            shown.changes(&now),
            [
                "compute: 1 node more (x1c0s1b0n0)",
                "compute: 1 node fewer (x1c0s0b0n0)",
                "compute: kernel was 'a', is 'b'"
            ]
        );
        let stored: Shown = serde_json::from_value(serde_json::to_value(&shown).unwrap()).unwrap();
        assert_eq!(stored, shown);
    }

    #[test]
    fn other_options_are_told_too() {
        let one = plan(&["x1c0s0b0n0"], "a");
        let other = Plan { service_patience: std::time::Duration::from_secs(1), ..one.clone() };
        let changes = Shown::of(&one).changes(&Shown::of(&other));
        assert_eq!(changes, ["how its steps go together or what concerns all of them"]);
    }
}
