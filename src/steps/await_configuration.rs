//! Waits until CFS has configured the node, with layers newer than this session's power-on of it.

use chrono::TimeDelta;

use super::{configuration, learnt, words::clean};
use crate::{
    clients::{
        Services,
        cfs::{CfsComponent, ConfigurationStatus},
    },
    model::{
        Timestamp,
        plan::Ordinal,
        reason::{Reason, ReasonCode},
        verb::{CallError, Seen, Sight},
    },
};

/// `Date` and the layers' times have whole seconds each. A layer cannot be this much older than the power-on and still
/// be from before it: the node was off then.
const SKEW_ALLOWED: TimeDelta = TimeDelta::seconds(2);

/// Asks CFS about everybody.
pub(super) async fn observe(at: &Services, sight: &Sight<'_>) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    // Without a configuration the step is passed; a plan that says otherwise has nothing to wait for.
    let Some(wanted) = sight.shared.configuration else {
        return Ok(sight.members.iter().map(|member| (member.ordinal, Seen::Reached(None))).collect());
    };
    let look = configuration::look(at, sight.members.iter().collect(), sight.shared.now).await;
    let judged = look.told.iter().map(|(member, component)| {
        let powered_on = member.powered_on.map(|at| at + look.ahead);
        (member.ordinal, judge(wanted, component.as_ref(), powered_on))
    });
    learnt(judged.collect(), look.trouble)
}

/// `powered_on` is by CFS' clock.
fn judge(wanted: &str, component: Option<&CfsComponent>, powered_on: Option<Timestamp>) -> Seen {
    let failed = |text: &str| Seen::Failed(Reason::new(ReasonCode::ConfigurationFailed, text));
    let Some(component) = component else {
        let reason = Reason::new(ReasonCode::ConfigurationMissing, "CFS does not know the component");
        return Seen::Failed(reason);
    };
    if component.desired_config.is_empty() {
        return Seen::Pending;
    }
    if component.desired_config != wanted {
        let other = clean(&component.desired_config);
        return failed(&format!("somebody changed the desired configuration to '{other}'"));
    }
    match component.status {
        ConfigurationStatus::Pending => Seen::Pending,
        ConfigurationStatus::Unconfigured => failed(&format!("the configuration '{wanted}' does not exist")),
        ConfigurationStatus::Failed => failed(&failed_layers(component)),
        ConfigurationStatus::Configured => {
            let is_new = |at: Timestamp| powered_on.is_none_or(|powered_on| at + SKEW_ALLOWED > powered_on);
            let all_new = component.layers.iter().all(|layer| layer.last_updated.is_none_or(is_new));
            if all_new { Seen::Reached(None) } else { Seen::Pending }
        }
    }
}

fn failed_layers(component: &CfsComponent) -> String {
    let failed: Vec<&str> = component
        .layers
        .iter()
        .filter(|layer| layer.status == "failed")
        .map(|layer| layer.playbook.as_str())
        .collect();
    if failed.is_empty() {
        "CFS gave up".to_owned()
    } else {
        clean(&format!("failed in {}", failed.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::moment, *};
    use crate::clients::cfs::CfsLayer;

    fn layer(playbook: &str, status: &str, at: i64) -> CfsLayer {
        let last_updated = Some(moment(at));
        CfsLayer { playbook: playbook.to_owned(), status: status.to_owned(), last_updated }
    }

    fn component(desired: &str, status: ConfigurationStatus, layers: Vec<CfsLayer>) -> CfsComponent {
        let desired_config = desired.to_owned();
        CfsComponent { id: "x1c0s0b0n0".to_owned(), enabled: true, desired_config, status, layers }
    }

    fn text(seen: Seen) -> String {
        let Seen::Failed(reason) = seen else { panic!("{seen:?}") };
        assert_eq!(reason.code, ReasonCode::ConfigurationFailed);
        reason.text
    }

    #[test]
    fn configured_counts_only_with_layers_newer_than_the_power_on() {
        let layers = vec![layer("site.yml", "applied", 300), layer("late.yml", "skipped", 400)];
        let node = component("day2", ConfigurationStatus::Configured, layers);
        assert_eq!(judge("day2", Some(&node), None), Seen::Reached(None));
        assert_eq!(judge("day2", Some(&node), Some(moment(299))), Seen::Reached(None));
        assert_eq!(judge("day2", Some(&node), Some(moment(301))), Seen::Reached(None), "whole seconds");
        assert_eq!(
            judge("day2", Some(&node), Some(moment(350))),
            Seen::Pending,
            "one layer is of the boot before"
        );
    }

    #[test]
    fn a_configuration_that_cannot_come_is_a_failure_with_its_cause() {
        let node = component("day2", ConfigurationStatus::Pending, vec![]);
        assert_eq!(judge("day2", Some(&node), None), Seen::Pending);
        assert_eq!(
            text(judge("day3", Some(&node), None)),
            "somebody changed the desired configuration to 'day2'"
        );
        let node = component("day2", ConfigurationStatus::Unconfigured, vec![]);
        assert_eq!(text(judge("day2", Some(&node), None)), "the configuration 'day2' does not exist");
        let layers = vec![layer("a.yml", "applied", 1), layer("b.yml", "failed", 2)];
        let node = component("day2", ConfigurationStatus::Failed, layers);
        assert_eq!(text(judge("day2", Some(&node), None)), "failed in b.yml");
        assert!(matches!(judge("day2", None, None), Seen::Failed(reason)
            if reason.code == ReasonCode::ConfigurationMissing));
        let node = component("", ConfigurationStatus::Unconfigured, vec![]);
        assert_eq!(judge("day2", Some(&node), None), Seen::Pending);
    }
}
