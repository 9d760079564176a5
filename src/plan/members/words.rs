//! What the words of our limits stand for beside HSM's own names: ranges (`x3000c0s[1-16]b[0-1]n0`), parents (`x3000c0`),
//! `@group`, and NIDs (`nid001234`, `nid[1-16]`).

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use crate::model::{
    limit::{Limit, LimitError, Word, looks_like_nid},
    spelling,
    xname::{Pattern, Xname, pattern},
};

/// Most different ranges, parents and NIDs in one limit: each is looked for among all nodes.
const WORDS_MAX: usize = 2_000;

/// What stands before a group that is meant whatever else has its name.
const GROUP: char = '@';

/// Whether all words of a limit can be understood without asking HSM: they are names of nodes, ranges and parents, or in
/// `named`.
pub fn are_plain(limit: &Limit, named: impl Fn(&str) -> bool) -> bool {
    limit.words().all(|word| named(word.text) || Pattern::parse(word.text).is_some())
}

/// Reads those words of a limit that HSM has no name for.
pub(super) fn learn(
    names: &Names<'_>,
    limit: &Limit,
    reject_nids: bool,
) -> Result<BTreeMap<String, BTreeSet<String>>, LimitError> {
    let mut learnt = BTreeMap::new();
    let mut nodes = None;
    for word in limit.words().filter(|word| names.members(word.text).is_none()) {
        if learnt.contains_key(word.text) {
            continue;
        }
        let wrong = |message: String| LimitError { column: word.column, message };
        let ids = if let Some(group) = word.text.strip_prefix(GROUP) {
            group_members(names, group).map_err(wrong)?
        } else if looks_like_nid(word.text) {
            if reject_nids {
                return Err(wrong(format!(
                    "'{}' looks like a NID, which the option reject_nids forbids; name nodes by xname, group or role",
                    word.text
                )));
            }
            by_nid(names, word).map_err(wrong)?
        } else if let Some(pattern) = Pattern::parse(word.text) {
            let pattern = pattern.map_err(wrong)?;
            if pattern.only().is_some() {
                continue;
            }
            let nodes = nodes.get_or_insert_with(|| nodes_of(names));
            let found = nodes.iter().filter(|(xname, _)| pattern.matches(xname));
            let found: BTreeSet<String> = found.map(|(_, id)| (*id).clone()).collect();
            if found.is_empty() {
                return Err(wrong(format!("there is no node in '{}'", word.text)));
            }
            found
        } else {
            continue;
        };
        learnt.insert(word.text.to_owned(), ids);
        if learnt.len() > WORDS_MAX {
            return Err(wrong(format!("more than {WORDS_MAX} ranges, parents and NIDs; fold them")));
        }
    }
    Ok(learnt)
}

fn nodes_of<'a>(names: &Names<'a>) -> Vec<(Xname, &'a String)> {
    let nodes = names.components.iter().filter(|(_, component)| component.is_node);
    nodes.filter_map(|(id, _)| Some((id.parse().ok()?, id))).collect()
}

fn group_members(names: &Names<'_>, group: &str) -> Result<BTreeSet<String>, String> {
    names.groups.get(group).cloned().ok_or_else(|| {
        let hint = spelling::hint(group, names.groups.keys().map(String::as_str));
        format!("there is no HSM group '{group}'{hint}")
    })
}

/// `nid001234`, `nid[1-16,20]`.
fn by_nid(names: &Names<'_>, word: Word<'_>) -> Result<BTreeSet<String>, String> {
    let text = &word.text["nid".len()..];
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ranges = pattern::ranges(inside)
        .ok_or_else(|| format!("'{}' is not a NID, nor a range of NIDs as in nid[1-16,20]", word.text))?;
    let wanted = |nid: Option<u32>| nid.is_some_and(|nid| pattern::holds(&ranges, nid));
    let found = names.components.iter().filter(|(_, component)| wanted(component.nid));
    let found: BTreeSet<String> = found.map(|(id, _)| id.clone()).collect();
    match (found.is_empty(), ranges.as_slice()) {
        (false, _) => Ok(found),
        (true, [(first, last)]) if first == last => Err(format!("no node has the NID {first}")),
        (true, _) => Err(format!("no node has a NID of '{}'", word.text)),
    }
}

/// What a person should know of the words that stand for many.
pub(super) fn notes(limit: &Limit, names: &Names<'_>, selected: &BTreeSet<&str>) -> Vec<String> {
    let told = limit.words().filter_map(|word| {
        let ids = names.written.get(word.text)?;
        let inside = ids.iter().filter(|id| selected.contains(id.as_str())).count();
        let count = if ids.len() == 1 { "1 node".to_owned() } else { format!("{} nodes", ids.len()) };
        Some(match inside == ids.len() {
            true => format!("'{}' stands for {count}", word.text),
            false => format!("'{}' stands for {count}, of which the template names {inside}", word.text),
        })
    });
    told.take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        limit::Dialect,
        selection::{Inventory, InventoryComponent},
    };

    /// Two cabinets of four nodes, with the NIDs 1 to 8; `few` is the first of each.
    fn inventory() -> Inventory {
        let id = |n: u32| format!("x{}c0s{}b0n{}", 1000 + n / 4, n % 4 / 2, n % 2);
        let mut inventory = Inventory::of_names((0..8).map(id));
        for n in 0..8 {
            let known = inventory.components.get_mut(&id(n)).unwrap();
            *known = InventoryComponent { nid: Some(n + 1), ..known.clone() };
        }
        inventory.groups.insert("few".to_owned(), BTreeSet::from([id(0), id(4)]));
        inventory
    }

    fn chosen(limit: &str) -> Result<String, String> {
        let inventory = inventory();
        let others = BTreeMap::new();
        let limit = Limit::parse(limit, Dialect::Bosun).unwrap();
        let all: BTreeSet<&str> = inventory.components.keys().map(String::as_str).collect();
        let found = super::super::choose(&limit, &all, &inventory, &others, false);
        let found = found.map_err(|error| error.to_string())?;
        let xnames: Vec<Xname> = found.iter().map(|id| id.parse().unwrap()).collect();
        Ok(crate::model::xname::fold(&xnames))
    }

    #[test]
    fn words_stand_for_many() {
        let ok = |limit| chosen(limit).unwrap();
        assert_eq!(ok("x1000"), "x1000c0s[0-1]b0n[0-1]");
        assert_eq!(ok("x1000,!x1000c0s1"), "x1000c0s0b0n[0-1]");
        assert_eq!(ok("x[1000-1001]c0s0b0n1"), "x[1000-1001]c0s0b0n1");
        assert_eq!(ok("@few,nid000008"), "x[1000-1001]c0s0b0n0,x1001c0s1b0n1");
        assert_eq!(ok("nid[1-2,7]"), "x1000c0s0b0n[0-1],x1001c0s1b0n0");
        assert_eq!(ok("x1000,&@few"), "x1000c0s0b0n0");
    }

    #[test]
    fn words_that_stand_for_nobody_are_mistakes() {
        let wrong = |limit| chosen(limit).unwrap_err();
        assert_eq!(wrong("all,!x1002"), "limit, column 5: there is no node in 'x1002'");
        assert_eq!(wrong("nid000009"), "limit, column 1: no node has the NID 9");
        assert_eq!(wrong("nid[9-12]"), "limit, column 1: no node has a NID of 'nid[9-12]'");
        assert_eq!(wrong("@fe"), "limit, column 1: there is no HSM group 'fe' (did you mean 'few'?)");
        assert!(wrong("x1000c0s[2-1]b0n0").contains("is no number, nor a range"));
    }

    #[test]
    fn plain_words_need_no_inventory() {
        let plain = |limit: &str| {
            are_plain(&Limit::parse(limit, Dialect::Bosun).unwrap(), |word| word.starts_with("@failed:"))
        };
        assert!(plain("x1000,!x1000c0s1b0n0,@failed:night,all"));
        assert!(!plain("@few") && !plain("nid1") && !plain("Compute"));
    }
}
