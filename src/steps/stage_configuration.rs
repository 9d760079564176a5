//! Tells CFS the desired configuration: before power-on for a node that is off, at once for one that stays up.

use std::collections::HashSet;

use super::{done, names, rejected};
use crate::{
    clients::{Services, cfs::Staging},
    model::{
        plan::Ordinal,
        reason::{Reason, ReasonCode},
        verb::{Answer, Call, CallError, Member, Took},
    },
};

/// Stages the configuration. CFS leaves ids it does not know out of its answer, silently: those are refused.
pub(super) async fn act(enable: bool, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let Some(configuration) = call.shared.configuration else {
        return Err(rejected("the plan names no configuration for these components".to_owned()));
    };
    let staging = Staging { configuration, session: call.shared.session, enable };
    let known = at.cfs.stage(&names(call.members), &staging).await?;
    Ok(Answer { named: missing(call.members, &known), ..done() })
}

fn missing(members: &[Member<'_>], known: &[String]) -> Vec<(Ordinal, Took)> {
    let known: HashSet<&str> = known.iter().map(String::as_str).collect();
    let reason = || Reason::new(ReasonCode::ConfigurationMissing, "CFS does not know the component");
    members
        .iter()
        .filter(|member| !known.contains(member.xname.to_string().as_str()))
        .map(|member| (member.ordinal, Took::Refused(reason())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::member, *};

    #[test]
    fn who_is_missing_in_the_answer_is_refused_by_name() {
        let xnames = ["x1c0s0b0n0".parse().unwrap(), "x1c0s0b0n1".parse().unwrap()];
        let members = [member(&xnames[0]), Member { ordinal: Ordinal(7), ..member(&xnames[1]) }];
        let named = missing(&members, &["x1c0s0b0n0".to_owned()]);
        assert!(matches!(named.as_slice(), [(Ordinal(7), Took::Refused(reason))]
            if reason.code == ReasonCode::ConfigurationMissing));
        assert_eq!(missing(&members[..1], &["x1c0s0b0n0".to_owned()]), []);
    }
}
