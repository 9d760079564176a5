//! What HSM says of the machine, asked once per admission.

use std::collections::BTreeSet;

use super::{Admit, Rejection};
use crate::{
    clients::{
        Services,
        hsm::{HsmComponent, HsmState},
    },
    db,
    model::{
        selection::{Inventory, InventoryComponent},
        session_template::Arch,
        xname::canonical,
    },
};

impl Admit {
    /// What HSM says of the machine, and who is in quarantine; where nodes are to be powered on, also what they sit in
    /// that is off. PCS powers no parents by itself: On would only time out.
    pub(super) async fn inventory(&self, powers_on: bool) -> Result<Inventory, Rejection> {
        let mut inventory = ask(&self.services).await?;
        if powers_on {
            let parents = self.services.hsm.parents_off().await?;
            inventory.parents_off = parents.iter().map(|id| canonical(id)).collect();
        }
        let mut conn = db::acquire(&self.pool).await?;
        inventory.quarantined = db::quarantine::xnames(&mut conn).await?;
        Ok(inventory)
    }
}

/// Asks HSM: nodes, groups, partitions, locks.
pub async fn ask(services: &Services) -> Result<Inventory, Rejection> {
    let hsm = &services.hsm;
    let (nodes, groups, partitions, locked) =
        tokio::try_join!(hsm.nodes(), hsm.groups(), hsm.partitions(), hsm.locked_nodes())?;
    let set = |ids: Vec<String>| ids.iter().map(|id| canonical(id)).collect();
    let held = nodes.iter().filter(|node| node.locked || node.reservation_disabled);
    let locked = held.map(|node| canonical(&node.id)).chain(locked.iter().map(|id| canonical(id))).collect();
    Ok(Inventory {
        components: nodes.into_iter().map(component).collect(),
        groups: groups.into_iter().map(|group| (group.label, set(group.members))).collect(),
        partitions: partitions.into_iter().map(|part| (part.name, set(part.members))).collect(),
        locked,
        quarantined: BTreeSet::new(),
        parents_off: BTreeSet::new(),
    })
}

fn component(node: HsmComponent) -> (String, InventoryComponent) {
    let component = InventoryComponent {
        is_node: node.kind.eq_ignore_ascii_case("node"),
        is_empty: node.state == HsmState::Empty,
        enabled: node.enabled,
        arch: arch(node.arch.as_deref()),
        role: node.role,
        sub_role: node.sub_role,
        nid: node.nid.and_then(|nid| nid.try_into().ok()),
        class: node.class,
    };
    (canonical(&node.id), component)
}

/// HSM writes `UNKNOWN` in capitals, and leaves the field out of old records.
fn arch(text: Option<&str>) -> Arch {
    match text.unwrap_or_default().to_ascii_lowercase().as_str() {
        "x86" => Arch::X86,
        "arm" => Arch::Arm,
        "other" => Arch::Other,
        _ => Arch::Unknown,
    }
}
