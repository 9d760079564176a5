//! Many names in one word: `x3000c0s[1-16]b[0-1]n0` by ranges, `x3000c0` by what they begin with.

use std::fmt;

use super::{LETTERS, Range, Xname};

/// What a name must be like: its numbers from the left, as far as they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// One to five levels, from the cabinet inwards; a number is within one of the level's ranges.
    levels: Vec<Vec<Range>>,
}

impl Pattern {
    /// Reads a pattern; none if the text does not begin as a name of a component does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let after = text.strip_prefix(['x', 'X'])?;
        after.starts_with(|c: char| c.is_ascii_digit() || c == '[').then(|| Self::read(text))
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut levels = Vec::new();
        let mut rest = text;
        for letter in LETTERS {
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix([letter, letter.to_ascii_uppercase()]).ok_or_else(|| {
                format!("'{text}': expected '{letter}' at '{rest}', as in x3000c0s[1-16]b[0-1]n0 or x3000c0")
            })?;
            let (ranges, behind) = numbers(rest)
                .ok_or_else(|| format!("'{text}': '{rest}' is no number, nor a range as in [1-16,20]"))?;
            levels.push(ranges);
            rest = behind;
        }
        if rest.is_empty() { Ok(Self { levels }) } else { Err(format!("'{text}': '{rest}' is too much")) }
    }

    /// Whether it is a parent: a slot, a chassis, a cabinet.
    pub fn is_parent(&self) -> bool {
        self.levels.len() < LETTERS.len()
    }

    /// The one node it names, if it can name no other.
    pub fn only(&self) -> Option<Xname> {
        let [cabinet, chassis, slot, bmc, node] = self.levels.as_slice() else { return None };
        let one = |ranges: &[Range]| match ranges {
            [(first, last)] if first == last => Some(*first),
            _ => None,
        };
        Some(Xname {
            cabinet: one(cabinet)?,
            chassis: one(chassis)?,
            slot: one(slot)?,
            bmc: one(bmc)?,
            node: one(node)?,
        })
    }

    /// Whether a node is meant.
    pub fn matches(&self, xname: &Xname) -> bool {
        let numbers = [xname.cabinet, xname.chassis, xname.slot, xname.bmc, xname.node];
        self.levels.iter().zip(numbers).all(|(ranges, number)| holds(ranges, number))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_levels(f, &self.levels)
    }
}

/// A number, or ranges in brackets, and what comes behind.
fn numbers(text: &str) -> Option<(Vec<Range>, &str)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (inside, behind) = inside.split_once(']')?;
        return Some((ranges(inside)?, behind));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((vec![(number, number)], &text[end..]))
}

/// `1-16,20`.
pub fn ranges(text: &str) -> Option<Vec<Range>> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let range = |item: &str| match item.split_once('-') {
        None => number(item).map(|number| (number, number)),
        Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first <= last),
    };
    text.split(',').map(range).collect()
}

/// Whether one of the ranges holds the number.
pub fn holds(ranges: &[Range], number: u32) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

/// Splits a list at its commas, but not at those within brackets.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.split(move |c: char| {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap().unwrap()
    }

    fn matches(text: &str, name: &str) -> bool {
        pattern(text).matches(&name.parse().unwrap())
    }

    #[test]
    fn ranges_and_parents_name_many() {
        assert!(matches("x3000c0s[1-16]b[0-1]n0", "x3000c0s16b1n0"));
        assert!(!matches("x3000c0s[1-16]b[0-1]n0", "x3000c0s17b1n0"));
        assert!(matches("x3000c0s[1,3-4,9]b0n0", "x3000c0s9b0n0"));
        assert!(matches("X3000C0", "x3000c0s9b0n0") && !matches("x3000c0", "x3000c1s9b0n0"));
        assert!(pattern("x3000c[0-7]").is_parent() && !pattern("x1c0s0b0n0").is_parent());
        assert_eq!(pattern("x1c0s07b0n0").only(), Some("x1c0s7b0n0".parse().unwrap()));
        assert_eq!(pattern("x1c0s[0-1]b0n0").only(), None);
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = |text| Pattern::parse(text).unwrap().unwrap_err();
        assert_eq!(Pattern::parse("xylophone"), None);
        assert_eq!(Pattern::parse("uan"), None);
        assert!(wrong("x3000c0s[16-1]b0n0").contains("is no number, nor a range"));
        assert!(wrong("x3000c0s[1-2b0n0").contains("is no number, nor a range"));
        assert!(wrong("x3000s0").contains("expected 'c' at 's0'"));
        assert!(wrong("x1c0s0b0n0p0").contains("'p0' is too much"));
    }

    #[test]
    fn lists_are_split_outside_of_brackets() {
        let parts: Vec<_> = split_list("a,x1c0s[1,3]b0n0,,&b").collect();
        assert_eq!(parts, ["a", "x1c0s[1,3]b0n0", "", "&b"]);
    }
}
