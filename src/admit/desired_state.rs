//! Sessions of components that say themselves what they are to become: those that were enabled without a session, and
//! those to which a staged session is applied. No template is resolved: artifacts and configuration are in their records.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Admit, Rejection, artifacts::image_id};
use crate::{
    db::admission::Skip,
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        component::ComponentNo,
        plan::SliceArtifacts,
        reason::{Reason, ReasonCode},
        selection::Inventory,
        xname::Xname,
    },
    plan::{BoundBootSet, members},
};

/// A component, and what it is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Desired {
    pub component: i32,
    pub id: String,
    /// What it is to boot; none, or without a kernel: nothing.
    pub artifacts: Option<(BootArtifactsId, Arc<BootArtifacts>)>,
    /// Its configuration; empty for none.
    pub configuration: String,
    /// The boot set that it belongs to, if it was ever in one.
    pub boot_set: Option<String>,
}

/// Components by what is done with them.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// To be booted: a boot set for each distinct artifacts and configuration.
    pub boot: Vec<BoundBootSet>,
    /// To be switched off.
    pub off: Vec<BoundBootSet>,
    /// Left out, and why; ascending.
    pub skips: Vec<Skip>,
}

impl Sorted {
    /// How many take part.
    pub(super) fn member_count(&self) -> usize {
        self.boot.iter().chain(&self.off).map(|boot_set| boot_set.members.len()).sum()
    }

    /// Leaves out who would be switched off.
    pub(super) fn skip_off(&mut self, reason: Reason) {
        let off = std::mem::take(&mut self.off).into_iter().flat_map(|boot_set| boot_set.members);
        let mut components: Vec<i32> = off.map(|(number, _)| number.0).collect();
        if !components.is_empty() {
            components.sort_unstable();
            self.skips.push(Skip { reason, components });
        }
    }

    /// How many are left out, by reason.
    pub(super) fn skipped(&self) -> BTreeMap<ReasonCode, usize> {
        let mut skipped = BTreeMap::new();
        for skip in &self.skips {
            *skipped.entry(skip.reason.code).or_default() += skip.components.len();
        }
        skipped
    }
}

impl Admit {
    /// Sorts components by what is to be done with them, after a look at HSM and CFS. `boots` is false where nothing is to be
    /// booted whatever their records say.
    pub(super) async fn sort_desired(
        &self,
        components: Vec<Desired>,
        boots: bool,
        include_disabled: bool,
    ) -> Result<Sorted, Rejection> {
        let inventory = self.inventory(boots).await?;
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        if boots {
            wanted
                .extend(components.iter().filter(|c| kernel(c).is_some()).map(|c| c.configuration.as_str()));
        }
        let mut missing = BTreeSet::new();
        for configuration in wanted.into_iter().filter(|name| !name.is_empty()) {
            if self.services.cfs.configuration(configuration).await?.is_none() {
                missing.insert(configuration.to_owned());
            }
        }
        Ok(sort(components, boots, include_disabled, &inventory, &missing))
    }
}

/// What a component is to boot, if anything.
fn kernel(component: &Desired) -> Option<&BootArtifacts> {
    component.artifacts.as_ref().map(|(_, artifacts)| artifacts.as_ref()).filter(|a| !a.kernel.is_empty())
}

/// What components share that go together: a boot set's name, artifacts, and a configuration.
type Key = (Option<String>, Option<BootArtifactsId>, String);

fn sort(
    components: Vec<Desired>,
    boots: bool,
    include_disabled: bool,
    inventory: &Inventory,
    missing: &BTreeSet<String>,
) -> Sorted {
    let mut groups: BTreeMap<Key, Vec<(ComponentNo, Xname)>> = BTreeMap::new();
    let mut artifacts: HashMap<BootArtifactsId, Arc<BootArtifacts>> = HashMap::new();
    let mut skips: HashMap<Reason, Vec<i32>> = HashMap::new();
    for component in components {
        let boots = boots && kernel(&component).is_some();
        let judged = members::judge(&component.id, None, include_disabled, inventory).map_err(why);
        let judged = judged.and_then(|xname| match missing.contains(&component.configuration) && boots {
            true => Err(Reason::new(
                ReasonCode::ConfigurationMissing,
                format!("CFS has no configuration '{}'", component.configuration),
            )),
            false => Ok(xname),
        });
        match judged {
            Err(reason) => skips.entry(reason).or_default().push(component.component),
            Ok(xname) => {
                let key = match component.artifacts.filter(|_| boots) {
                    None => (component.boot_set, None, String::new()),
                    Some((id, booted)) => {
                        artifacts.insert(id, booted);
                        (component.boot_set, Some(id), component.configuration)
                    }
                };
                groups.entry(key).or_default().push((ComponentNo(component.component), xname));
            }
        }
    }
    let mut sorted = Sorted::default();
    let mut taken = BTreeSet::new();
    let several = groups.keys().filter(|(_, boots, _)| boots.is_some()).count() > 1;
    for ((name, id, configuration), members) in groups {
        let name = name.unwrap_or_else(|| match id {
            None => "off".to_owned(),
            Some(_) if several => "boot-1".to_owned(),
            Some(_) => "boot".to_owned(),
        });
        let boot_set = BoundBootSet {
            name: free_name(&name, &mut taken),
            boot_ordinal: None,
            shutdown_ordinal: None,
            artifacts: id.and_then(|id| Some(slice_artifacts(id, artifacts.get(&id)?))),
            configuration: Some(configuration).filter(|name| !name.is_empty()),
            members,
        };
        if id.is_some() { sorted.boot.push(boot_set) } else { sorted.off.push(boot_set) }
    }
    for (reason, mut components) in skips {
        components.sort_unstable();
        sorted.skips.push(Skip { reason, components });
    }
    sorted.skips.sort_by_key(|skip| skip.components.first().copied());
    sorted
}

fn slice_artifacts(id: BootArtifactsId, artifacts: &BootArtifacts) -> SliceArtifacts {
    let image = image_id(&artifacts.kernel).map(str::to_owned);
    let projected = image.is_some() && artifacts.kernel_parameters.contains("root=sbps-s3");
    SliceArtifacts { id, artifacts: artifacts.clone(), image, projected }
}

/// The name, or the next one like it that nobody has: `boot`, `boot-2`, `boot-3`.
fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let (stem, first) = match name.rsplit_once('-') {
        Some((stem, "1")) => (stem, 1),
        _ => (name, 2),
    };
    let names = std::iter::once(name.to_owned()).chain((first..).map(|number| format!("{stem}-{number}")));
    let free = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

/// Why somebody is left out, for the record of the component.
fn why(code: ReasonCode) -> Reason {
    let text = match code {
        ReasonCode::Locked => {
            "HSM has it locked, or its reservations disabled; unlock it, then enable it again"
        }
        ReasonCode::ParentOff => "its slot or chassis is off; power that on, then enable it again",
        ReasonCode::Quarantined => "it is in quarantine; see 'bosun component quarantined'",
        ReasonCode::UnknownComponent => "HSM does not know it",
        ReasonCode::NotANode => "it is not a node",
        ReasonCode::Empty => "HSM says that its slot is empty",
        ReasonCode::Disabled => "HSM has it disabled",
        _ => "",
    };
    Reason::new(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{selection::InventoryComponent, session_template::Arch};

    fn desired(slot: i32, kernel: &str, configuration: &str) -> Desired {
        let parameters = "root=sbps-s3:s3://boot-images/i/rootfs";
        let artifacts = BootArtifacts {
            kernel: kernel.to_owned(),
            kernel_parameters: parameters.to_owned(),
            ..BootArtifacts::default()
        };
        let id = BootArtifactsId(kernel.len() as i32);
        Desired {
            component: slot,
            id: format!("x1000c0s{slot}b0n0"),
            artifacts: Some((id, Arc::new(artifacts))),
            configuration: configuration.to_owned(),
            boot_set: None,
        }
    }

    fn inventory() -> Inventory {
        let component = InventoryComponent {
            is_node: true,
            is_empty: false,
            enabled: false,
            arch: Arch::Arm,
            role: None,
            sub_role: None,
            nid: None,
            class: None,
        };
        Inventory {
            components: (1..8).map(|slot| (format!("x1000c0s{slot}b0n0"), component.clone())).collect(),
            locked: BTreeSet::from(["x1000c0s7b0n0".to_owned()]),
            ..Inventory::default()
        }
    }

    #[test]
    fn a_boot_set_for_each_wish_and_a_reason_for_whoever_is_left_out() {
        let image = "s3://boot-images/image/kernel";
        let mut nothing = desired(4, "", "day2");
        nothing.artifacts = None;
        let odd = Desired { id: "lamp".to_owned(), ..desired(9, image, "") };
        let components = vec![
            desired(1, image, "day2"),
            desired(2, image, "day2"),
            desired(3, image, "day3"),
            nothing,
            desired(5, "", ""),
            desired(6, "s3://k", ""),
            desired(7, image, "day2"),
            desired(8, image, "day2"),
            odd,
        ];
        let missing = BTreeSet::from(["day3".to_owned()]);
        let sorted = sort(components.clone(), true, true, &inventory(), &missing);
        let shown = |boot_sets: &[BoundBootSet]| -> Vec<(String, Vec<i32>, Option<String>, bool)> {
            let shown = boot_sets.iter().map(|boot_set| {
                let members = boot_set.members.iter().map(|(number, _)| number.0).collect();
                let projected = boot_set.artifacts.as_ref().is_some_and(|artifacts| artifacts.projected);
                (boot_set.name.clone(), members, boot_set.configuration.clone(), projected)
            });
            shown.collect()
        };
        assert_eq!(
            shown(&sorted.boot),
            [
                ("boot-1".to_owned(), vec![6], None, false),
                ("boot-2".to_owned(), vec![1, 2], Some("day2".to_owned()), true)
            ]
        );
        assert_eq!(shown(&sorted.off), [("off".to_owned(), vec![4, 5], None, false)]);
        let skips: Vec<_> =
            sorted.skips.iter().map(|skip| (skip.reason.code, skip.components.clone())).collect();
        assert_eq!(
            skips,
            [
                (ReasonCode::ConfigurationMissing, vec![3]),
                (ReasonCode::Locked, vec![7]),
                (ReasonCode::UnknownComponent, vec![8, 9]),
            ]
        );
        assert_eq!((sorted.member_count(), sorted.skipped()[&ReasonCode::UnknownComponent]), (5, 2));
        // A shutdown looks at nothing but who they are.
        let off = sort(components, false, false, &inventory(), &BTreeSet::new());
        assert_eq!((off.boot.len(), off.off.len()), (0, 0));
        assert_eq!(off.skipped()[&ReasonCode::Disabled], 6);
    }
}
