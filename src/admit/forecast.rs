//! What a session would do with each of its components, as far as can be known without beginning: their power and what
//! they reported last, read once. The session itself looks again.

use std::collections::{BTreeMap, HashMap};

use super::{Admit, Rejection, resolve::Resolved};
use crate::{
    clients::pcs::PowerState,
    db,
    model::{
        artifacts::{BootArtifacts, BootArtifactsId},
        plan::{Plan, SliceNo, UnknownPolicy},
        verb::{Goal, Verb},
        xname::Xname,
    },
};

/// What a session would do, and how long it may take.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// Would be switched off and on again.
    pub power_cycled: Vec<Xname>,
    /// Would be switched on.
    pub powered_on: Vec<Xname>,
    /// Would be switched off.
    pub powered_off: Vec<Xname>,
    /// Stay as they are, but for their configuration.
    pub untouched: Vec<Xname>,
    /// On, and nobody knows what they run; as the request has it they are left alone or power-cycled.
    pub unknown_artifacts: Vec<Xname>,
    /// Power control does not know them, or did not answer.
    pub unknown_power: Vec<Xname>,
    /// How long verbs take, by what is past; a verb that is not listed has no past.
    pub verb_times: Vec<db::verb_time::VerbTime>,
    /// Why it is incomplete.
    pub notes: Vec<String>,
}

impl Admit {
    /// Looks at the members of a plan.
    pub(super) async fn forecast(&self, plan: &Plan, resolved: &Resolved<'_>) -> Result<Forecast, Rejection> {
        let mut forecast = Forecast::default();
        let goals = goals(plan);
        let asked: Vec<String> = plan
            .members
            .iter()
            .filter(|member| matches!(goals.get(&member.slice), Some(Goal::Boot | Goal::Shutdown)))
            .map(|member| member.xname.to_string())
            .collect();
        let power: HashMap<Xname, PowerState> = match self.services.pcs.power_status(&asked).await {
            Ok(statuses) => statuses
                .into_iter()
                .filter_map(|status| Some((status.xname.parse().ok()?, status.state?)))
                .collect(),
            Err(error) => {
                forecast
                    .notes
                    .push(format!("what would be powered cannot be told: {}", Rejection::from(error)));
                HashMap::new()
            }
        };
        let wanted: Vec<BootArtifacts> =
            resolved.artifacts.values().map(|found| found.artifacts.artifacts.clone()).collect();
        let mut conn = db::acquire(&self.pool).await?;
        let known = db::artifacts::find(&mut conn, &wanted).await?;
        let running = self.running(&mut conn, plan).await?;
        forecast.verb_times = db::verb_time::list(&mut conn).await?;
        drop(conn);
        for member in &plan.members {
            let state: Option<PowerState> = power.get(&member.xname).copied();
            let wanted = plan.slices.get(usize::try_from(member.slice.0).unwrap_or(usize::MAX));
            let wanted = wanted.and_then(|slice| slice.artifacts.as_ref());
            let wanted = wanted.and_then(|artifacts| known.get(&artifacts.artifacts)).copied();
            let list = match (goals.get(&member.slice), state) {
                (Some(Goal::Reboot), _) => &mut forecast.power_cycled,
                (Some(Goal::Configure) | None, _) => &mut forecast.untouched,
                (_, None) => &mut forecast.unknown_power,
                (Some(Goal::Shutdown), Some(PowerState::Off)) => &mut forecast.untouched,
                (Some(Goal::Shutdown), Some(_)) => &mut forecast.powered_off,
                (Some(Goal::Boot), Some(PowerState::Off)) => &mut forecast.powered_on,
                (Some(Goal::Boot), Some(_)) => match running.get(&member.component.0) {
                    None => {
                        if plan.unknown == UnknownPolicy::Reboot {
                            forecast.power_cycled.push(member.xname);
                        }
                        &mut forecast.unknown_artifacts
                    }
                    Some(running) if Some(*running) == wanted => &mut forecast.untouched,
                    Some(_) => &mut forecast.power_cycled,
                },
            };
            list.push(member.xname);
        }
        Ok(forecast)
    }

    /// What nodes said they run, where nobody has powered them since.
    async fn running(
        &self,
        conn: &mut db::Connection,
        plan: &Plan,
    ) -> Result<HashMap<i32, BootArtifactsId>, Rejection> {
        let ids: Vec<i32> =
            plan.members.iter().map(|member| member.component.0).filter(|number| *number >= 0).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let past = db::component_progress::last_power(conn, &ids).await?;
        let powered: HashMap<i32, _> =
            past.into_iter().filter_map(|past| Some((past.component, past.last_power_at?))).collect();
        let reports = db::component::reports(conn, &ids).await?;
        let current = reports
            .into_iter()
            .filter(|(component, report)| powered.get(component).is_none_or(|at| report.at >= *at));
        Ok(current.filter_map(|(component, report)| Some((component, report.artifacts?))).collect())
    }
}

/// What each slice's operation wants.
fn goals(plan: &Plan) -> BTreeMap<SliceNo, Goal> {
    let goal = |verb: &Verb| match verb {
        Verb::Inspect { goal } => Some(*goal),
        _ => None,
    };
    plan.steps.iter().filter_map(|step| Some((step.slice, goal(&step.verb)?))).collect()
}
