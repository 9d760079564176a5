//! Shortest intervals between power actions: which hardware class means which components.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use super::Rejection;
use crate::model::{
    pace::{PowerInterval, PowerIntervals},
    selection::{Inventory, Selection},
    spelling,
    xname::{self, Xname},
};

/// What was asked for by class, as the plan holds it.
pub(super) fn intervals(
    asked: &PowerIntervals,
    selection: &Selection,
    inventory: &Inventory,
) -> Result<Vec<PowerInterval>, Rejection> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let known: BTreeSet<&str> =
        inventory.components.values().filter_map(|component| component.class.as_deref()).collect();
    if let Some(class) = asked.classes().find(|class| !known.iter().any(|is| is.eq_ignore_ascii_case(class)))
    {
        return Err(Rejection::Invalid(format!(
            "power_interval: no component is of class '{class}'{}; HSM knows {}",
            spelling::hint(class, known.iter().copied()),
            known.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    let mut groups: BTreeMap<Option<Duration>, Vec<Xname>> = BTreeMap::new();
    for xname in selection.boot_sets.iter().flat_map(|boot_set| &boot_set.members) {
        let class = inventory.components.get(&xname.to_string()).and_then(|found| found.class.as_deref());
        groups.entry(asked.of(class)).or_default().push(*xname);
    }
    let alone = groups.len() == 1;
    let interval = |(at_least, xnames): (Option<Duration>, Vec<Xname>)| {
        let of = if alone { String::new() } else { xname::fold(&xnames) };
        Some(PowerInterval { at_least: at_least?, of })
    };
    Ok(groups.into_iter().filter_map(interval).collect())
}
