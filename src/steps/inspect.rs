//! Looks at a component once and decides what is to be done with it. The decision is recorded and never made again in
//! that run.

use super::{configuration, is_calm, learnt, power, since};
use crate::{
    clients::{
        Services,
        cfs::{CfsComponent, ConfigurationStatus},
        pcs::PowerState,
    },
    model::{
        artifacts::BootArtifactsId,
        plan::Ordinal,
        reason::{Reason, ReasonCode},
        verb::{CallError, Decision, Goal, Member, Seen, Shared, Sight},
    },
};

/// Where a component stands after a look at its power.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Seen(Seen),
    /// Up with the wanted artifacts: its configuration decides.
    Up,
}

/// Decides for everybody.
pub(super) async fn observe(
    goal: Goal,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    let mut seen = Vec::with_capacity(sight.members.len());
    let mut ask: Vec<&Member<'_>> = Vec::new();
    match goal {
        Goal::Reboot => {
            return Ok(sight
                .members
                .iter()
                .map(|member| (member.ordinal, decided(Decision::PowerCycle)))
                .collect());
        }
        Goal::Configure => ask.extend(sight.members),
        Goal::Boot | Goal::Shutdown => {
            let staleness = at.settings.power_staleness();
            let states = power::states(at, sight.members.iter()).await?;
            for member in sight.members {
                let state = states.get(member.xname).copied().flatten();
                let is_calm = is_calm(member, sight.shared.now, staleness);
                // PCS learns of a new node at its next sweep; until then it is not unknown, only new.
                let is_new = since(member.since, sight.shared.now) < staleness;
                let look = match (goal, state) {
                    (_, None) if is_new || !is_calm => Look::Seen(Seen::Pending),
                    (_, None) => Look::Seen(Seen::Failed(unknown())),
                    (Goal::Shutdown, Some(state)) => Look::Seen(shutdown(state, is_calm)),
                    (_, Some(state)) => boot(state, is_calm, member, sight.shared.artifacts_id),
                };
                match look {
                    Look::Seen(verdict) => seen.push((member.ordinal, verdict)),
                    Look::Up if sight.shared.configuration.is_none() => {
                        seen.push((member.ordinal, decided(Decision::Nothing)));
                    }
                    Look::Up => ask.push(member),
                }
            }
        }
    }
    if ask.is_empty() {
        return Ok(seen);
    }
    let look = configuration::look(at, ask, sight.shared.now).await;
    let judged = look.told.iter().map(|(member, component)| {
        (member.ordinal, decided(configure(goal, &sight.shared, component.as_ref())))
    });
    seen.extend(judged);
    learnt(seen, look.trouble)
}

fn decided(decision: Decision) -> Seen {
    Seen::Reached(Some(decision))
}

fn unknown() -> Reason {
    Reason::new(
        ReasonCode::UnknownToPowerControl,
        "power control has no state for it; is it discovered in HSM?",
    )
}

/// A node whose state cannot be read is sent off like one that is on: being off already does no harm.
fn shutdown(state: PowerState, is_calm: bool) -> Seen {
    match state {
        PowerState::On | PowerState::Undefined => decided(Decision::PowerOff),
        PowerState::Off if is_calm => decided(Decision::Nothing),
        PowerState::Off => Seen::Pending,
    }
}

/// A node whose state cannot be read is taken for on. What it reported before the last power effect on it says nothing
/// of what it runs now.
fn boot(state: PowerState, is_calm: bool, member: &Member<'_>, wanted: Option<BootArtifactsId>) -> Look {
    if !is_calm {
        return Look::Seen(Seen::Pending);
    }
    if state == PowerState::Off {
        return Look::Seen(decided(Decision::PowerOn));
    }
    let is_current = |at| member.last_power.is_none_or(|last_power| at >= last_power);
    let running = member.reported.filter(|report| is_current(report.at)).and_then(|report| report.artifacts);
    match running {
        None => Look::Seen(decided(Decision::UnknownArtifacts)),
        Some(running) if Some(running) == wanted => Look::Up,
        Some(_) => Look::Seen(decided(Decision::PowerCycle)),
    }
}

/// A component that CFS does not know is left to the step that configures: it names it.
fn configure(goal: Goal, shared: &Shared<'_>, component: Option<&CfsComponent>) -> Decision {
    let is_configured = component.is_some_and(|component| {
        Some(component.desired_config.as_str()) == shared.configuration
            && component.status == ConfigurationStatus::Configured
            && (component.enabled || goal != Goal::Configure)
    });
    if is_configured { Decision::Nothing } else { Decision::ConfigureOnly }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{member, moment, shared},
        *,
    };
    use crate::model::{artifacts::BootToken, component::Report};

    const WANTED: Option<BootArtifactsId> = Some(BootArtifactsId(1));

    fn report(artifacts: Option<i32>, at: i64) -> Report {
        let artifacts = artifacts.map(BootArtifactsId);
        Report { token: BootToken("t".to_owned()), artifacts, at: moment(at) }
    }

    #[test]
    fn off_is_believed_only_when_the_table_is_fresh() {
        assert_eq!(shutdown(PowerState::Off, true), decided(Decision::Nothing));
        assert_eq!(shutdown(PowerState::Off, false), Seen::Pending);
        for state in [PowerState::On, PowerState::Undefined] {
            assert_eq!(shutdown(state, false), decided(Decision::PowerOff), "{state:?}");
        }
        let xname = "x1c0s0b0n0".parse().unwrap();
        let member = member(&xname);
        assert_eq!(boot(PowerState::Off, true, &member, WANTED), Look::Seen(decided(Decision::PowerOn)));
        assert_eq!(boot(PowerState::Off, false, &member, WANTED), Look::Seen(Seen::Pending));
        assert_eq!(boot(PowerState::On, false, &member, WANTED), Look::Seen(Seen::Pending));
    }

    #[test]
    fn a_node_that_is_on_is_judged_by_its_own_current_report() {
        let xname = "x1c0s0b0n0".parse().unwrap();
        let on = |report: Option<&Report>, last_power: Option<i64>, wanted| {
            let last_power = last_power.map(moment);
            let member = Member { reported: report, last_power, ..member(&xname) };
            boot(PowerState::On, true, &member, wanted)
        };
        let unknown = Look::Seen(decided(Decision::UnknownArtifacts));
        assert_eq!(on(Some(&report(Some(1), 50)), Some(10), WANTED), Look::Up);
        assert_eq!(on(Some(&report(Some(2), 50)), None, WANTED), Look::Seen(decided(Decision::PowerCycle)));
        assert_eq!(
            on(Some(&report(Some(1), 5)), Some(10), WANTED),
            unknown,
            "power-cycled since, and silent"
        );
        assert_eq!(on(Some(&report(None, 50)), None, WANTED), unknown, "a token nobody knows");
        assert_eq!(on(None, None, WANTED), unknown);
        assert_eq!(on(None, None, None), unknown, "nothing reported is not 'nothing wanted'");
    }

    #[test]
    fn configuration_is_only_done_when_it_is_the_wanted_one() {
        let shared = Shared { configuration: Some("day2"), ..shared() };
        let node = |desired: &str, status, enabled| CfsComponent {
            id: String::new(),
            enabled,
            desired_config: desired.to_owned(),
            status,
            layers: Vec::new(),
        };
        use ConfigurationStatus::{Configured, Pending};
        use Decision::{ConfigureOnly, Nothing};
        for (goal, component, decision) in [
            (Goal::Boot, Some(node("day2", Configured, false)), Nothing),
            (Goal::Configure, Some(node("day2", Configured, true)), Nothing),
            (Goal::Configure, Some(node("day2", Configured, false)), ConfigureOnly),
            (Goal::Boot, Some(node("day1", Configured, true)), ConfigureOnly),
            (Goal::Boot, Some(node("day2", Pending, true)), ConfigureOnly),
            (Goal::Configure, None, ConfigureOnly),
        ] {
            assert_eq!(configure(goal, &shared, component.as_ref()), decision, "{goal:?} {component:?}");
        }
    }
}
