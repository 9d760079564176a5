//! What a client's change of a record asks of the engine. Pure.

use super::{Component, ComponentPatch, Patching, State};

/// What a change of a record asks of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steering {
    /// Nothing.
    Nothing,
    /// Drive it to its desired state.
    Wish,
    /// A session drives it to this very state already.
    UnderWay,
    /// Leave it alone.
    Withdraw,
}

/// A record before it was changed, as far as it steers.
pub(super) struct Before {
    enabled: bool,
    desired: State,
}

impl Before {
    pub(super) fn of(component: &Component) -> Self {
        Self { enabled: component.enabled == Some(true), desired: component.desired.clone() }
    }
}

impl Steering {
    /// What this change asks for.
    pub(super) fn of(before: &Before, after: &Component, patch: &ComponentPatch, how: Patching) -> Self {
        let replaces = how == Patching::Replace;
        if after.enabled != Some(true) {
            let disables = patch.enabled == Some(false) || replaces;
            return if disables { Self::Withdraw } else { Self::Nothing };
        }
        if patch.enabled.is_none() && patch.desired.is_none() && !replaces {
            return Self::Nothing;
        }
        let is_new = before.desired.artifacts != after.desired.artifacts
            || before.desired.configuration.as_deref().unwrap_or_default()
                != after.desired.configuration.as_deref().unwrap_or_default();
        if after.claimed_by.is_some() && before.enabled && !is_new {
            return Self::UnderWay;
        }
        Self::Wish
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        db::component::StatePatch,
        model::{artifacts::BootArtifacts, session::SessionId},
    };

    fn component(enabled: Option<bool>, held: bool, kernel: &str) -> Component {
        let artifacts = BootArtifacts { kernel: kernel.to_owned(), ..BootArtifacts::default() };
        let desired = State { artifacts: Some(Arc::new(artifacts)), ..State::default() };
        let mut component = Component {
            number: 1,
            xname: "x1".to_owned(),
            claimed_by: held.then_some(SessionId(1)),
            enabled,
            error: None,
            session: None,
            retry_policy: None,
            actual: State::default(),
            desired: State::default(),
            staged: None,
            phase: None,
            status_override: None,
            status: String::new(),
            last_action: Default::default(),
            event_stats: Default::default(),
        };
        component.desired = desired;
        component
    }

    fn asked(before: (Option<bool>, &str), patch: &ComponentPatch, after: (&str, bool)) -> Steering {
        let enabled = patch.enabled.or(before.0);
        let changed = component(enabled, after.1, after.0);
        let how = Patching::Merge { skip_unknown: false };
        Steering::of(&Before::of(&component(before.0, after.1, before.1)), &changed, patch, how)
    }

    #[test]
    fn enabling_is_a_wish_unless_somebody_fulfils_it_already() {
        let enable = ComponentPatch { enabled: Some(true), ..Default::default() };
        let disable = ComponentPatch { enabled: Some(false), ..Default::default() };
        let desire = ComponentPatch { desired: Some(StatePatch::default()), ..Default::default() };
        let other = ComponentPatch { retry_policy: Some(1), ..Default::default() };
        for (before, patch, after, steering) in [
            ((Some(false), "k"), &enable, ("k", false), Steering::Wish),
            ((None, "k"), &enable, ("k", false), Steering::Wish),
            ((Some(true), "k"), &enable, ("k", false), Steering::Wish),
            ((Some(true), "k"), &enable, ("k", true), Steering::UnderWay),
            ((Some(false), "k"), &enable, ("k", true), Steering::Wish),
            ((Some(true), "k"), &desire, ("l", true), Steering::Wish),
            ((Some(true), "k"), &desire, ("k", true), Steering::UnderWay),
            ((Some(false), "k"), &desire, ("l", false), Steering::Nothing),
            ((Some(true), "k"), &other, ("k", true), Steering::Nothing),
            ((Some(true), "k"), &disable, ("k", true), Steering::Withdraw),
            ((None, "k"), &other, ("k", false), Steering::Nothing),
        ] {
            assert_eq!(asked(before, patch, after), steering, "{before:?} {patch:?} {after:?}");
        }
    }
}
