//! Names and places: how xnames are built, read and put in order.

/// What an xname names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cabinet,
    Chassis,
    ComputeModule,
    RouterModule,
    NodeBmc,
    RouterBmc,
    Node,
    Processor,
}

impl Kind {
    /// The type's name in HSM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cabinet => "Cabinet",
            Self::Chassis => "Chassis",
            Self::ComputeModule => "ComputeModule",
            Self::RouterModule => "RouterModule",
            Self::NodeBmc => "NodeBMC",
            Self::RouterBmc => "RouterBMC",
            Self::Node => "Node",
            Self::Processor => "Processor",
        }
    }
}

/// The types' names that HSM takes in filters; a few more than this machine has.
pub const TYPES: [&str; 12] = [
    "cabinet",
    "chassis",
    "chassisbmc",
    "computemodule",
    "routermodule",
    "nodebmc",
    "routerbmc",
    "node",
    "processor",
    "memory",
    "cabinetpdu",
    "hsnboard",
];

/// What an xname names, exactly as written; `None` if it is not an xname.
pub fn kind_of(xname: &str) -> Option<Kind> {
    let mut shape = [0_u8; 6];
    let mut depth = 0;
    let mut bytes = xname.bytes().peekable();
    while let Some(letter) = bytes.next() {
        if depth == shape.len() || !letter.is_ascii_lowercase() {
            return None;
        }
        shape[depth] = letter;
        depth += 1;
        let mut digits = 0;
        while bytes.peek().is_some_and(u8::is_ascii_digit) {
            bytes.next();
            digits += 1;
        }
        if digits == 0 || digits > 5 {
            return None;
        }
    }
    match &shape[..depth] {
        b"x" => Some(Kind::Cabinet),
        b"xc" => Some(Kind::Chassis),
        b"xcs" => Some(Kind::ComputeModule),
        b"xcr" => Some(Kind::RouterModule),
        b"xcsb" => Some(Kind::NodeBmc),
        b"xcrb" => Some(Kind::RouterBmc),
        b"xcsbn" => Some(Kind::Node),
        b"xcsbnp" => Some(Kind::Processor),
        _ => None,
    }
}

/// HSM's spelling: lower case, no leading zeros.
pub fn normalised(xname: &str) -> String {
    let mut out = String::with_capacity(xname.len());
    let mut rest = xname.bytes().peekable();
    while let Some(byte) = rest.next() {
        let after_letter = !out.ends_with(|c: char| c.is_ascii_digit());
        if byte == b'0' && after_letter && rest.peek().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        out.push(byte.to_ascii_lowercase().into());
    }
    out
}

/// Whether `child` is `parent` or lies below it.
pub fn is_within(child: &str, parent: &str) -> bool {
    child.strip_prefix(parent).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The xname of a node's BMC.
pub fn bmc_of(node: &str) -> &str {
    node.rfind('n').map_or(node, |at| &node[..at])
}

/// The places of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub cabinet: u32,
    pub chassis: u32,
    pub slots: u32,
    pub bmcs: u32,
    pub nodes_per_bmc: u32,
}

impl Layout {
    /// The xnames of the first `count` nodes, and of everything they sit in.
    pub fn build(&self, count: usize) -> (Vec<String>, Vec<(String, Kind)>) {
        let mut nodes = Vec::with_capacity(count);
        let mut parents = Vec::new();
        for cabinet in self.cabinet.. {
            if nodes.len() == count {
                break;
            }
            parents.push((format!("x{cabinet}"), Kind::Cabinet));
            for chassis in 0..self.chassis {
                for slot in 0..self.slots {
                    if nodes.len() == count {
                        return (nodes, parents);
                    }
                    if slot == 0 {
                        parents.push((format!("x{cabinet}c{chassis}"), Kind::Chassis));
                    }
                    let module = format!("x{cabinet}c{chassis}s{slot}");
                    parents.push((module.clone(), Kind::ComputeModule));
                    for bmc in 0..self.bmcs {
                        if nodes.len() == count {
                            break;
                        }
                        parents.push((format!("{module}b{bmc}"), Kind::NodeBmc));
                        for node in 0..self.nodes_per_bmc {
                            if nodes.len() < count {
                                nodes.push(format!("{module}b{bmc}n{node}"));
                            }
                        }
                    }
                }
            }
        }
        (nodes, parents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xnames_have_kinds() {
        assert_eq!(kind_of("x1000c0s0b0n0"), Some(Kind::Node));
        assert_eq!(kind_of("x1000c0s0b0"), Some(Kind::NodeBmc));
        assert_eq!(kind_of("x1000c0s0b0n0p1"), Some(Kind::Processor));
        for wrong in ["", "foo", "X1000c0s0b0n0", "x1000c0s0b0n", "x1000 c0", "nid001000"] {
            assert_eq!(kind_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hsm_spells_xnames_its_way() {
        assert_eq!(normalised("X1000C00S0B0N0"), "x1000c0s0b0n0");
        assert_eq!(normalised("x01000c0s010b0n00"), "x1000c0s10b0n0");
    }

    #[test]
    fn descent_is_by_whole_numbers() {
        assert!(is_within("x1000c0s1b0n0", "x1000c0s1"));
        assert!(!is_within("x1000c0s10b0n0", "x1000c0s1"));
        assert!(is_within("x1000c0s1", "x1000c0s1"));
    }

    #[test]
    fn a_machine_is_filled_cabinet_by_cabinet() {
        let layout = Layout { cabinet: 1000, chassis: 8, slots: 8, bmcs: 2, nodes_per_bmc: 2 };
        let (nodes, parents) = layout.build(257);
        assert_eq!(nodes.len(), 257);
        assert_eq!(nodes[0], "x1000c0s0b0n0");
        assert_eq!(nodes[256], "x1001c0s0b0n0");
        let count = |kind| parents.iter().filter(|(_, is)| *is == kind).count();
        assert_eq!((count(Kind::Cabinet), count(Kind::Chassis), count(Kind::NodeBmc)), (2, 9, 129));
    }
}
