//! How far a component's configuration is: worked out from its layers, never stored truth.

use std::sync::Arc;

use serde::Serialize;

use super::configuration::WantedLayer;

/// What became of a layer on a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerStatus {
    Applied,
    Failed,
    Skipped,
    Incomplete,
}

impl LayerStatus {
    /// Reads a name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "applied" => Self::Applied,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            "incomplete" => Self::Incomplete,
            _ => return None,
        })
    }
}

/// A layer of a component's state.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    pub clone_url: Arc<str>,
    pub playbook: Arc<str>,
    pub commit: Arc<str>,
    pub status: LayerStatus,
    pub last_updated: Arc<str>,
    pub session_name: Arc<str>,
}

/// A component's status, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Unconfigured,
    Failed,
    Pending,
    Configured,
}

impl Status {
    /// Reads a name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "unconfigured" => Self::Unconfigured,
            "failed" => Self::Failed,
            "pending" => Self::Pending,
            "configured" => Self::Configured,
            _ => return None,
        })
    }
}

/// The status of a component with this state. Without wanted layers, because no configuration is desired or the
/// desired one does not exist, it only says whether there is any state.
pub fn status(wanted: Option<&[WantedLayer]>, state: &[Layer], retries_used_up: bool) -> Status {
    let Some(wanted) = wanted else {
        return if state.is_empty() { Status::Unconfigured } else { Status::Configured };
    };
    let of_layer = |layer: &WantedLayer| {
        let reached = state.iter().find(|reached| {
            reached.clone_url == layer.clone_url
                && reached.playbook == layer.playbook
                && reached.commit == layer.commit
        });
        match reached.map(|reached| reached.status) {
            Some(LayerStatus::Applied | LayerStatus::Skipped) => Status::Configured,
            _ if retries_used_up => Status::Failed,
            _ => Status::Pending,
        }
    };
    wanted.iter().map(of_layer).min().unwrap_or(Status::Configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Vec<WantedLayer> {
        ["a", "b"]
            .map(|playbook| WantedLayer {
                clone_url: "u".into(),
                playbook: playbook.into(),
                commit: "c".into(),
            })
            .to_vec()
    }

    fn reached(status: LayerStatus) -> Vec<Layer> {
        wanted().iter().map(|layer| layer.reached(status, &"t".into(), &"s".into())).collect()
    }

    #[test]
    fn a_missing_configuration_is_never_pending() {
        assert_eq!(status(None, &[], false), Status::Unconfigured);
        assert_eq!(status(None, &reached(LayerStatus::Failed), true), Status::Configured);
    }

    #[test]
    fn the_worst_layer_counts() {
        let wanted = wanted();
        assert_eq!(status(Some(&wanted), &[], false), Status::Pending);
        assert_eq!(status(Some(&wanted), &[], true), Status::Failed);
        assert_eq!(status(Some(&wanted), &reached(LayerStatus::Applied), true), Status::Configured);
        assert_eq!(status(Some(&wanted), &reached(LayerStatus::Applied)[..1], false), Status::Pending);
        assert_eq!(status(Some(&wanted), &reached(LayerStatus::Failed), false), Status::Pending);
        assert_eq!(status(Some(&wanted), &reached(LayerStatus::Failed), true), Status::Failed);
    }
}
