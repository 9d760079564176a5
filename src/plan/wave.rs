//! Cuts boot sets into waves: the slices of a plan.
//!
//! The waves are of the whole session, in the natural order of its components' names, so that `--waves 1,…` begins with
//! one node, whatever boot set it is in. A slice is what a boot set has in a wave; where that is nobody there is none.

use std::collections::BTreeMap;

use super::{BoundBootSet, Mistake};
use crate::model::{component::ComponentNo, wave::WAVES_MAX, wave::Waves, xname::Xname};

/// A boot set's members of one wave.
pub(super) struct BoundSlice<'a> {
    /// The boot set.
    pub boot_set: &'a BoundBootSet,
    /// The wave, counted from 0.
    pub wave: i16,
    /// Who takes part, in no particular order.
    pub members: Vec<(ComponentNo, Xname)>,
    /// Before the step in its steps' names.
    pub title: String,
}

/// The slices of a session: by wave, then in the order of the boot sets. Boot sets without members have none.
pub(super) fn cut<'a>(
    boot_sets: &[&'a BoundBootSet],
    waves: Option<&Waves>,
    wrong: &mut impl FnMut(String) -> Mistake,
) -> Result<Vec<BoundSlice<'a>>, Mistake> {
    let mut everybody: Vec<(Xname, usize, ComponentNo)> = boot_sets
        .iter()
        .enumerate()
        .flat_map(|(index, set)| set.members.iter().map(move |(number, xname)| (*xname, index, *number)))
        .collect();
    let sizes = match waves {
        Some(waves) => waves.sizes(everybody.len()),
        None => vec![everybody.len()],
    };
    if sizes.len() > WAVES_MAX {
        return Err(wrong(format!(
            "{} waves are more than a session holds ({WAVES_MAX}): make them larger, or limit how many components are \
             inside at once (max_unavailable)",
            sizes.len()
        )));
    }
    if sizes.len() > 1 {
        everybody.sort_unstable();
    }
    let mut slices: BTreeMap<(i16, usize), Vec<(ComponentNo, Xname)>> = BTreeMap::new();
    let mut rest = everybody.as_slice();
    for (wave, size) in (0_i16..).zip(&sizes) {
        let (members, later) = rest.split_at(*size);
        for (xname, boot_set, number) in members {
            slices.entry((wave, *boot_set)).or_default().push((*number, *xname));
        }
        rest = later;
    }
    let slice = |((wave, index), members): ((i16, usize), Vec<(ComponentNo, Xname)>)| {
        let name = &boot_sets[index].name;
        let title = if sizes.len() > 1 { format!("wave{}/{name}", wave + 1) } else { name.clone() };
        BoundSlice { boot_set: boot_sets[index], wave, members, title }
    };
    Ok(slices.into_iter().map(slice).collect())
}
