//! The batcher: it configures every component that is enabled and pending, up or not.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::status::{LayerStatus, Status};
use crate::sim::faults::NodeFault;
use crate::sim::world::{Event, NodeNo, World};

/// Components that become pending within this time share a session.
const BATCH_WINDOW: Duration = Duration::from_secs(1);

impl World {
    /// Plans a component's configuration if it is enabled and pending.
    pub fn cfs_consider(&mut self, id: &str) {
        let Some(component) = self.cfs.components.get(id) else { return };
        let Some(&no) = self.names.get(id) else { return };
        let pending = component.enabled && self.cfs.status_of(component) == Some(Status::Pending);
        if !pending || self.nodes[no].faults.has(NodeFault::ConfigurationStaysPending) {
            return;
        }
        let round = component.round;
        let time = self.jittered(self.settings.configure, no);
        self.schedule(time, Event::Configured { node: no, round, boot: self.nodes[no].boot });
    }

    /// Looks again at every component that wants a configuration which was just written.
    pub fn cfs_consider_all_of(&mut self, configuration: &str) {
        let wants =
            self.cfs.components.iter().filter(|(_, component)| *component.desired_config == *configuration);
        let ids: Vec<String> = wants.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Some(component) = self.cfs.components.get_mut(&id) {
                component.round += 1;
            }
            self.cfs_settle(&id);
        }
    }

    /// A node that came up lets CFS configure it.
    pub fn cfs_enabled_by_node(&mut self, no: NodeNo) {
        let id = self.nodes[no].xname.clone();
        if let Some(component) = self.cfs.components.get_mut(&id) {
            component.enabled = true;
            component.round += 1;
            self.cfs_settle(&id);
        }
    }

    /// CFS is through with a node: its layers are written, or one more try is used up.
    pub fn configured(&mut self, no: NodeNo, round: u32, boot: u32) {
        let node = &self.nodes[no];
        let id = node.xname.clone();
        let faults = node.faults;
        // A node that is down, or went down meanwhile, could not be reached.
        let reached = node.up && node.boot == boot;
        let Some(component) = self.cfs.components.get(&id).filter(|component| component.round == round)
        else {
            return;
        };
        if !component.enabled || self.cfs.status_of(component) != Some(Status::Pending) {
            return;
        }
        if faults.has(NodeFault::ConfigurationVanishes) {
            self.cfs.components.remove(&id);
            return;
        }
        let wanted = self.cfs.wanted(component).unwrap_or_default().to_vec();
        let (now, session) = (self.cfs_time(), self.session_of_batch());
        let fails = faults.has(NodeFault::FailConfiguration) || !reached;
        let status = if fails { LayerStatus::Failed } else { LayerStatus::Applied };
        let Some(component) = self.cfs.components.get_mut(&id) else { return };
        let state = component.state.get_or_insert_default();
        if reached {
            for layer in &wanted {
                state.retain(|old| old.clone_url != layer.clone_url || old.playbook != layer.playbook);
                state.push(layer.reached(status, &now, &session));
            }
        }
        if fails {
            component.error_count = component.error_count.map(|errors| errors + 1);
        }
        component.round += 1;
        self.nodes[no].configured_at = Some(self.now);
        self.cfs_settle(&id);
    }

    fn session_of_batch(&mut self) -> Arc<str> {
        if self.now.since(self.cfs.batch.0) >= BATCH_WINDOW {
            self.cfs.batch = (self.now, format!("batcher-{}", Uuid::new_v4()).into());
        }
        self.cfs.batch.1.clone()
    }
}
