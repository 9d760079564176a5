//! Where components stand in the machine: cabinet, chassis, slot, node. Equal chassis are told once. Pure.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::cells::Cell;
use crate::model::{plan::Plan, reason::ReasonCode, xname::Xname};

/// The slots of a chassis with the BMC and node numbers in each.
type Pattern = Vec<(u32, Vec<(u32, u32)>)>;

/// Everybody's place, and whom each cell shows.
#[derive(Debug)]
pub struct Layout {
    cells: Vec<Cell>,
    shown: Value,
}

impl Layout {
    /// Of the members of a plan, and of those left out.
    pub fn of(plan: &Plan, left_out: Vec<(String, ReasonCode)>) -> Self {
        let members = plan.members.iter().zip(0..).map(|(member, at)| (member.xname, Cell::Member(at)));
        let mut nodes: Vec<(Xname, Cell)> = members.collect();
        let mut others: Vec<(String, Cell)> = Vec::new();
        for (name, reason) in left_out {
            match name.parse() {
                Ok(xname) => nodes.push((xname, Cell::LeftOut(reason))),
                Err(_) => others.push((name, Cell::LeftOut(reason))),
            }
        }
        nodes.sort_unstable_by_key(|(xname, _)| *xname);
        nodes.dedup_by_key(|(xname, _)| *xname);
        others.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut known: HashMap<Pattern, usize> = HashMap::new();
        let mut cabinets: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
        for chassis in nodes.chunk_by(|(a, _), (b, _)| (a.cabinet, a.chassis) == (b.cabinet, b.chassis)) {
            let slots = chassis.chunk_by(|(a, _), (b, _)| a.slot == b.slot);
            let pattern: Pattern = slots
                .map(|slot| (slot[0].0.slot, slot.iter().map(|(xname, _)| (xname.bmc, xname.node)).collect()))
                .collect();
            let number = *known.entry(pattern).or_insert_with_key(|pattern| {
                patterns.push(pattern.clone());
                patterns.len() - 1
            });
            let first = chassis[0].0;
            cabinets.entry(first.cabinet).or_default().push((first.chassis, number));
        }
        let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
        let shown = json!({
            "patterns": patterns,
            "cabinets": cabinets.into_iter().collect::<Vec<_>>(),
            "others": names,
        });
        let cells = nodes.iter().map(|(_, cell)| *cell).chain(others.iter().map(|(_, cell)| *cell)).collect();
        Self { cells, shown }
    }

    /// The cells, in the order of their places.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.cells.iter().copied()
    }

    /// As the script reads it.
    pub fn shown(&self) -> Value {
        self.shown.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        component::ComponentNo,
        plan::{PlanMember, SliceNo},
    };

    #[test]
    fn equal_chassis_are_told_once_and_the_unnamed_come_last() {
        let mut plan = Plan::default();
        for chassis in [1, 0] {
            for node in [1, 0] {
                plan.members.push(PlanMember {
                    component: ComponentNo(0),
                    xname: format!("x1000c{chassis}s2b0n{node}").parse().unwrap(),
                    slice: SliceNo(0),
                });
            }
        }
        let left_out = vec![
            ("lamp".to_owned(), ReasonCode::NotANode),
            ("x9s".to_owned(), ReasonCode::NotANode),
            ("x1001c0s0b0n0".to_owned(), ReasonCode::Locked),
        ];
        let layout = Layout::of(&plan, left_out);
        assert_eq!(
            layout.shown(),
            json!({
                "patterns": [[[2, [[0, 0], [0, 1]]]], [[0, [[0, 0]]]]],
                "cabinets": [[1000, [[0, 0], [1, 0]]], [1001, [[0, 1]]]],
                "others": ["lamp", "x9s"],
            })
        );
        let cells: Vec<Cell> = layout.cells().collect();
        assert_eq!(cells[..2], [Cell::Member(3), Cell::Member(2)]);
        assert_eq!(
            cells[4..],
            [
                Cell::LeftOut(ReasonCode::Locked),
                Cell::LeftOut(ReasonCode::NotANode),
                Cell::LeftOut(ReasonCode::NotANode),
            ]
        );
    }
}
