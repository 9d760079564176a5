//! Location names of components: `x3000c0s17b1n0` is cabinet 3000, chassis 0, slot 17, BMC 1, node 0.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub mod pattern;

pub use pattern::Pattern;

/// The canonical name of a node: lower case, no leading zeros (the form HSM normalises to).
///
/// Ordered naturally: by cabinet, chassis, slot, BMC and node *number*, so `s2` comes before `s10`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Xname {
    /// Cabinet number.
    pub cabinet: u32,
    /// Chassis number within the cabinet.
    pub chassis: u32,
    /// Slot number within the chassis.
    pub slot: u32,
    /// BMC number within the slot.
    pub bmc: u32,
    /// Node number behind the BMC.
    pub node: u32,
}

/// What stands before each of a name's five numbers.
const LETTERS: [char; 5] = ['x', 'c', 's', 'b', 'n'];

/// A string that does not name a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the xname of a node (expected something like x3000c0s17b1n0)")]
pub struct InvalidXname(pub String);

impl Xname {
    /// The xname of the BMC that controls this node.
    pub fn bmc_name(&self) -> String {
        format!("x{}c{}s{}b{}", self.cabinet, self.chassis, self.slot, self.bmc)
    }
}

/// The form in which BOS keeps a component's name: lower case, and without leading zeros where it names a node.
pub fn canonical(text: &str) -> String {
    let lower = text.to_lowercase();
    lower.parse::<Xname>().map_or(lower, |xname| xname.to_string())
}

/// Writes many names short: `x1000c0s[0-3]b0n0,x1001c0s0b0n[0-1]`, in natural order. What comes out names exactly
/// what went in.
pub fn fold(xnames: &[Xname]) -> String {
    let mut grids: Vec<Grid> = xnames.iter().map(Grid::of).collect();
    grids.sort_unstable();
    grids.dedup();
    // From the innermost number outwards: names that agree in all but this number become one grid.
    for dimension in (0..5).rev() {
        let mut merged: BTreeMap<Grid, Vec<Range>> = BTreeMap::new();
        for mut names in grids {
            let ranges = std::mem::take(&mut names.0[dimension]);
            merged.entry(names).or_default().extend(ranges);
        }
        grids = merged
            .into_iter()
            .map(|(mut names, ranges)| {
                names.0[dimension] = join(ranges);
                names
            })
            .collect();
    }
    grids.sort_unstable();
    grids.iter().map(Grid::to_string).collect::<Vec<_>>().join(",")
}

/// The numbers from the first to the second, both included.
type Range = (u32, u32);

/// A set of names that is the product of five sets of numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grid([Vec<Range>; 5]);

impl Grid {
    fn of(xname: &Xname) -> Self {
        let one = |number| vec![(number, number)];
        Self([one(xname.cabinet), one(xname.chassis), one(xname.slot), one(xname.bmc), one(xname.node)])
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_levels(f, &self.0)
    }
}

/// Writes ranges behind their letters, from the cabinet inwards.
fn write_levels(f: &mut fmt::Formatter<'_>, levels: &[Vec<Range>]) -> fmt::Result {
    for (letter, ranges) in LETTERS.iter().zip(levels) {
        match ranges.as_slice() {
            [(first, last)] if first == last => write!(f, "{letter}{first}")?,
            ranges => {
                let range = |&(first, last): &Range| match last - first {
                    0 => first.to_string(),
                    _ => format!("{first}-{last}"),
                };
                write!(f, "{letter}[{}]", ranges.iter().map(range).collect::<Vec<_>>().join(","))?;
            }
        }
    }
    Ok(())
}

/// Sorts ranges and joins those that touch.
fn join(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

impl FromStr for Xname {
    type Err = InvalidXname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidXname(text.to_owned());
        let mut numbers = [0; 5];
        let mut rest = text;
        for (number, letter) in numbers.iter_mut().zip(LETTERS) {
            rest = rest.strip_prefix([letter, letter.to_ascii_uppercase()]).ok_or_else(invalid)?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            *number = rest[..end].parse().map_err(|_| invalid())?;
            rest = &rest[end..];
        }
        let [cabinet, chassis, slot, bmc, node] = numbers;
        if rest.is_empty() { Ok(Self { cabinet, chassis, slot, bmc, node }) } else { Err(invalid()) }
    }
}

impl fmt::Display for Xname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x{}c{}s{}b{}n{}", self.cabinet, self.chassis, self.slot, self.bmc, self.node)
    }
}

impl fmt::Debug for Xname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Xname {
    type Error = InvalidXname;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Xname> for String {
    fn from(xname: Xname) -> Self {
        xname.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<Xname> {
        text.split(',').map(|name| name.parse().unwrap()).collect()
    }

    /// Reads what `fold` writes; an independent second opinion.
    fn expand(text: &str) -> Vec<Xname> {
        let mut items = vec![String::new()];
        let mut depth = 0;
        for letter in text.chars() {
            match letter {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            match letter {
                ',' if depth == 0 => items.push(String::new()),
                _ => items.last_mut().unwrap().push(letter),
            }
        }
        items.iter().flat_map(|item| unfold(item)).collect()
    }

    fn unfold(item: &str) -> Vec<Xname> {
        let Some((before, rest)) = item.split_once('[') else { return vec![item.parse().unwrap()] };
        let (inside, after) = rest.split_once(']').unwrap();
        inside
            .split(',')
            .flat_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap()
            })
            .flat_map(|number| unfold(&format!("{before}{number}{after}")))
            .collect()
    }

    #[test]
    fn natural_order_counts_numbers() {
        let mut sorted = names("x1000c0s10b0n0,x9c0s0b0n0,x1000c0s2b0n0");
        sorted.sort_unstable();
        assert_eq!(sorted, names("x9c0s0b0n0,x1000c0s2b0n0,x1000c0s10b0n0"));
    }

    #[test]
    fn canonical_form_drops_case_and_zeros() {
        assert_eq!(canonical("X0001C00S01B00N00"), "x1c0s1b0n0");
        assert_eq!(canonical("Gateway-01"), "gateway-01");
    }

    #[test]
    fn folds_ranges() {
        assert_eq!(fold(&[]), "");
        assert_eq!(fold(&names("x1000c0s0b0n0")), "x1000c0s0b0n0");
        let four = names("x1000c0s3b0n0,x1000c0s1b0n0,x1000c0s0b0n0,x1000c0s2b0n0");
        assert_eq!(fold(&four), "x1000c0s[0-3]b0n0");
        let uneven = names("x1000c0s0b0n0,x1000c0s0b0n1,x1000c0s1b0n0,x1000c0s5b0n0");
        assert_eq!(fold(&uneven), "x1000c0s0b0n[0-1],x1000c0s[1,5]b0n0");
    }

    #[test]
    fn folds_a_whole_machine_to_one_name() {
        let mut all = Vec::new();
        for (cabinet, chassis, slot) in
            (0..4).flat_map(|x| (0..8).flat_map(move |c| (0..8).map(move |s| (x, c, s))))
        {
            all.extend((0..4).map(|n| Xname {
                cabinet: 1000 + cabinet,
                chassis,
                slot,
                bmc: n / 2,
                node: n % 2,
            }));
        }
        assert_eq!(fold(&all), "x[1000-1003]c[0-7]s[0-7]b[0-1]n[0-1]");
    }

    proptest! {
        #[test]
        fn folded_names_are_the_same_set(
            numbers in proptest::collection::vec((0..3u32, 0..3u32, 0..4u32, 0..2u32, 0..3u32), 0..60)
        ) {
            let mut set: Vec<Xname> = numbers
                .into_iter()
                .map(|(cabinet, chassis, slot, bmc, node)| Xname { cabinet, chassis, slot, bmc, node })
                .collect();
            let folded = fold(&set);
            set.sort_unstable();
            set.dedup();
            let mut expanded = if folded.is_empty() { Vec::new() } else { expand(&folded) };
            expanded.sort_unstable();
            prop_assert_eq!(set, expanded);
        }
    }
}
