//! Location names of components: `x3000c0s17b1n0` is cabinet 3000, chassis 0, slot 17, BMC 1, node 0.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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

impl FromStr for Xname {
    type Err = InvalidXname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidXname(text.to_owned());
        let mut numbers = [0; 5];
        let mut rest = text;
        for (number, letter) in numbers.iter_mut().zip(['x', 'c', 's', 'b', 'n']) {
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
