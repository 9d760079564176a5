//! What was taken, what was left, and why.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::Fate;
use crate::{
    cli::output::{self, Column},
    model::xname::{self, Xname},
};

/// Most names of a line.
const NAMES_MAX: usize = 20;

/// What is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Options,
    Templates,
    Tokens,
    Components,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Options => "options",
            Self::Templates => "templates",
            Self::Tokens => "tokens",
            Self::Components => "components",
        }
    }
}

/// Something that BOS's records say of components. In the order of its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remark {
    Enabled,
    Staged,
    Uncertain,
    Unknown,
    Silent,
}

/// Whom a remark concerns.
pub(super) type Remarks = BTreeMap<Remark, Vec<String>>;

impl Remark {
    fn says(self) -> &'static str {
        match self {
            Self::Enabled => {
                "BOS is at work on them; when its sessions have ended, give this command again to take what they run then"
            }
            Self::Staged => "BOS holds staged sessions for them, which stay there; stage them again here",
            Self::Uncertain => {
                "BOS says of their token that it is several things, so none was believed; a boot session leaves them as \
                 they are, and says so"
            }
            Self::Unknown => {
                "BOS does not know what their token stands for, or has none; a boot session leaves them as they are, and \
                 says so"
            }
            Self::Silent => "off, or not heard of by BOS for a while: nothing to take but their records",
        }
    }
}

#[derive(Default)]
struct Count {
    known: HashSet<String>,
    taken: usize,
    unchanged: usize,
    left: BTreeMap<String, Vec<String>>,
}

/// The whole of it.
pub(super) struct Summary {
    source: String,
    version: String,
    dry_run: bool,
    counts: BTreeMap<Kind, Count>,
    remarks: Remarks,
}

impl Summary {
    pub fn new(source: &str, version: &str, dry_run: bool, remarks: Remarks) -> Self {
        let kinds = [Kind::Options, Kind::Templates, Kind::Tokens, Kind::Components];
        let counts = kinds.into_iter().map(|kind| (kind, Count::default())).collect();
        Self { source: source.to_owned(), version: version.to_owned(), dry_run, counts, remarks }
    }

    /// What is told of something again does not count: one token is many components'.
    pub fn add(&mut self, kind: Kind, fate: Fate) {
        let count = self.counts.entry(kind).or_default();
        if !count.known.insert(fate.name.clone()) {
            return;
        }
        match fate.fate.as_str() {
            "taken" => count.taken += 1,
            "unchanged" => count.unchanged += 1,
            _ => count.left.entry(fate.reason).or_default().push(fate.name),
        }
    }

    pub fn json(&self) -> Value {
        let mut shown = json!({"source": self.source, "version": self.version, "dry_run": self.dry_run});
        for (kind, count) in &self.counts {
            let left: Vec<Value> =
                count.left.iter().map(|(reason, names)| json!({"reason": reason, "names": names})).collect();
            shown[kind.word()] = json!({"taken": count.taken, "unchanged": count.unchanged, "left": left});
        }
        let note =
            |(remark, names): (&Remark, &Vec<String>)| json!({"note": remark.says(), "components": names});
        shown["notes"] = self.remarks.iter().map(note).collect();
        shown
    }

    pub fn table(&self) -> String {
        let row = |(kind, count): (&Kind, &Count)| {
            let left: usize = count.left.values().map(Vec::len).sum();
            let numbers = [count.taken, count.unchanged, left].map(|number| number.to_string());
            [vec![kind.word().to_owned()], numbers.to_vec()].concat()
        };
        let columns = [
            Column::Text("WHAT"),
            Column::Number("TAKEN"),
            Column::Number("UNCHANGED"),
            Column::Number("LEFT"),
        ];
        let mut text = format!("BOS {} at {}\n", self.version, self.source);
        text.push_str(&output::table(&columns, self.counts.iter().map(row)));
        for (kind, count) in &self.counts {
            for (reason, names) in &count.left {
                // A token is nothing that anybody reads.
                let names = if *kind == Kind::Tokens { names.len().to_string() } else { folded(names) };
                text.push_str(&format!("left: {} {names}: {reason}\n", kind.word()));
            }
        }
        for (remark, names) in &self.remarks {
            text.push_str(&format!("note: {} ({}): {}\n", folded(names), names.len(), remark.says()));
        }
        if self.dry_run {
            text.push_str("this was a dry run: nothing was written; without --dry-run it is\n");
        }
        text
    }
}

fn folded(names: &[String]) -> String {
    let (nodes, others): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| name.parse::<Xname>().is_ok());
    let nodes: Vec<Xname> = nodes.iter().filter_map(|name| name.parse().ok()).collect();
    let mut parts = vec![xname::fold(&nodes)];
    parts.retain(|part| !part.is_empty());
    parts.extend(others.iter().take(NAMES_MAX).map(|name| (*name).clone()));
    if others.len() > NAMES_MAX {
        parts.push(format!("and {} more", others.len() - NAMES_MAX));
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_was_left_and_why() {
        let busy = vec!["x1000c0s0b0n0".to_owned(), "lamp".to_owned()];
        let mut summary = Summary::new("http://bos", "2.50.0", true, [(Remark::Enabled, busy)].into());
        let fate = |name: &str, fate: &str, reason: &str| Fate {
            name: name.to_owned(),
            fate: fate.to_owned(),
            reason: reason.to_owned(),
        };
        summary.add(Kind::Options, fate("max_boot_wait_time", "taken", ""));
        summary.add(Kind::Templates, fate("day", "left", "'day' is odd"));
        summary.add(Kind::Tokens, fate("3f8a", "left", "something else"));
        summary.add(Kind::Tokens, fate("77c1", "taken", ""));
        summary.add(Kind::Tokens, fate("77c1", "unchanged", ""));
        summary.add(Kind::Components, fate("x1000c0s0b0n1", "left", "held"));
        summary.add(Kind::Components, fate("x1000c0s0b0n0", "left", "held"));
        assert_eq!(
            summary.table(),
            "BOS 2.50.0 at http://bos\n\
             WHAT        TAKEN  UNCHANGED  LEFT\n\
             options         1          0     0\n\
             templates       0          0     1\n\
             tokens          1          0     1\n\
             components      0          0     2\n\
             left: templates day: 'day' is odd\n\
             left: tokens 1: something else\n\
             left: components x1000c0s0b0n[0-1]: held\n\
             note: x1000c0s0b0n0,lamp (2): BOS is at work on them; when its sessions have ended, give this command again \
             to take what they run then\n\
             this was a dry run: nothing was written; without --dry-run it is\n"
        );
        let json = summary.json();
        assert_eq!(json["components"]["left"][0]["names"], json!(["x1000c0s0b0n1", "x1000c0s0b0n0"]));
        assert_eq!((&json["dry_run"], &json["options"]["taken"]), (&json!(true), &json!(1)));
    }
}
