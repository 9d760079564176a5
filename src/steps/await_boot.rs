//! Waits for a node to be up. A report with the right token is judged as it arrives, not here; this is the other way, for nodes without a reporter: HSM's Ready, after the node was seen to leave Ready.

use std::collections::HashMap;

use super::names;
use crate::{
    clients::{Services, hsm::HsmState},
    model::{
        plan::Ordinal,
        verb::{CallError, Seen, Sight},
        xname::Xname,
    },
};

/// Asks HSM about everybody. One HSM does not know was asked about all the same: it is not up.
pub(super) async fn observe(at: &Services, sight: &Sight<'_>) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    let components = at.hsm.nodes_by_id(&names(sight.members)).await?;
    let states: HashMap<Xname, HsmState> = components
        .into_iter()
        .filter_map(|component| Some((component.id.parse().ok()?, component.state)))
        .collect();
    let judged = sight.members.iter().map(|member| {
        let state = states.get(member.xname).copied().unwrap_or(HsmState::Unknown);
        (member.ordinal, judge(state, member.noticed))
    });
    Ok(judged.collect())
}

/// HSM's state lags behind power: a Ready before the node was seen to leave it is the Ready of the boot before.
fn judge(state: HsmState, noticed: bool) -> Seen {
    match state {
        HsmState::Ready if noticed => Seen::Reached(None),
        HsmState::Off | HsmState::On | HsmState::Standby | HsmState::Halt if !noticed => Seen::Noticed,
        _ => Seen::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_counts_only_after_the_node_left_ready() {
        for (state, noticed, seen) in [
            (HsmState::Ready, false, Seen::Pending),
            (HsmState::Off, false, Seen::Noticed),
            (HsmState::On, false, Seen::Noticed),
            (HsmState::On, true, Seen::Pending),
            (HsmState::Ready, true, Seen::Reached(None)),
            (HsmState::Unknown, false, Seen::Pending),
            (HsmState::Populated, false, Seen::Pending),
        ] {
            assert_eq!(judge(state, noticed), seen, "{state:?}, noticed: {noticed}");
        }
    }
}
