//! Sends failed components of a session on their way again: what they gave back is claimed anew, the session reopened
//! if it had ended, and the writer told, all in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::{Admit, Chosen, Rejection, freeze, session::named};
use crate::{
    db::{self, result::FailedComponent, session::Session},
    model::{
        command::{CommandKind, CommandRequest},
        session::{SessionId, SessionState},
        xname::Xname,
    },
};

/// Most components that a refusal names.
const GONE_SHOWN_MAX: usize = 5;

/// A request to try failed components again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryRequest {
    /// The session's name.
    pub session: String,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// Only those that failed in this step, and then from there (`compute/await_boot`, or `await_boot` for every
    /// boot set); otherwise every step sends its own back to where its `again` says.
    pub step: Option<String>,
    /// Only these, as a limit over the failed ones; empty: all of them.
    pub limit: String,
    /// From this step instead of where their step's `again` sends them.
    pub from: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who asks.
    pub actor: String,
    /// The id that the client gave its request, if it did.
    pub key: Option<String>,
}

/// Who goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// The session.
    pub id: SessionId,
    /// Who of its components.
    pub xnames: Vec<Xname>,
}

impl Admit {
    /// Tries failed components again.
    ///
    /// # Errors
    /// Nothing has failed, others hold the components, or the database does not answer. Nothing was changed then.
    pub async fn retry(&self, request: &RetryRequest) -> Result<Retried, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let session = db::session::get(&mut conn, &request.tenant, &request.session).await?;
        let failed = db::result::failed(&mut conn, &session.id).await?;
        drop(conn);
        let all: BTreeSet<&str> = failed.iter().map(|found| found.xname.as_str()).collect();
        let (_, within) = self.meant(&request.tenant, &request.limit, &all).await?;
        let chosen = choose(request, failed, &within)?;
        if let Some(components) = self.components_of_tenant(&request.tenant).await? {
            check_tenant(&request.tenant, &chosen, &components)?;
        }
        let names: BTreeMap<i32, _> =
            chosen.iter().filter_map(|failed| Some((failed.component, failed.xname.parse().ok()?))).collect();
        let kind = if request.step.is_some() { CommandKind::Restart } else { CommandKind::Retry };
        let Chosen { components, xnames } =
            Chosen::of(chosen.into_iter().map(|failed| (failed.component, failed.xname)));
        let command = CommandRequest {
            step: request.step.clone().or_else(|| request.from.clone()),
            components: components.clone(),
            reason: request.reason.clone(),
            ..CommandRequest::plain(kind)
        };
        self.readmit(session.id, components, &names, command, request).await?;
        Ok(Retried { id: session.id, xnames })
    }

    /// Lets components of a session pass the step of the request. Those of them that failed in it are claimed again.
    ///
    /// # Errors
    /// The session is over and none of them has failed in the step, others hold them, or the database does not answer.
    /// Nothing was changed then.
    pub async fn pass(&self, session: &Session, request: &RetryRequest) -> Result<Retried, Rejection> {
        let Chosen { components, xnames } = self.choose(session, &request.limit).await?;
        let mut conn = db::acquire(&self.pool).await?;
        let mut failed = db::result::failed(&mut conn, &session.id).await?;
        drop(conn);
        let step = request.step.as_deref();
        failed.retain(|found| of_step(found, step) && components.binary_search(&found.component).is_ok());
        if failed.is_empty() && session.state == SessionState::Ended {
            return Err(Rejection::Invalid(format!(
                "session '{}' has ended, and none of these failed in {}; nobody is left to pass it",
                session.new.name,
                step.unwrap_or_default()
            )));
        }
        if let Some(theirs) = self.components_of_tenant(&request.tenant).await? {
            check_tenant(&request.tenant, &failed, &theirs)?;
        }
        let names: BTreeMap<i32, _> =
            failed.iter().filter_map(|failed| Some((failed.component, failed.xname.parse().ok()?))).collect();
        let command = CommandRequest {
            step: request.step.clone(),
            components,
            reason: request.reason.clone(),
            ..CommandRequest::plain(CommandKind::Pass)
        };
        let claims = failed.into_iter().map(|failed| failed.component).collect();
        self.readmit(session.id, claims, &names, command, request).await?;
        Ok(Retried { id: session.id, xnames })
    }

    async fn readmit(
        &self,
        session: SessionId,
        claims: Vec<i32>,
        names: &BTreeMap<i32, Xname>,
        command: CommandRequest,
        request: &RetryRequest,
    ) -> Result<(), Rejection> {
        let (actor, key) = (request.actor.clone(), request.key.clone());
        match db::admission::readmit_failed(&self.pool, session, claims, command, actor, key).await? {
            db::admission::Admitted::Claimed(holders) => Err(Rejection::Claimed(named(holders, names))),
            db::admission::Admitted::Frozen(frozen) => Err(Rejection::Frozen(freeze::named(frozen, names))),
            _ => Ok(()),
        }
    }
}

fn of_step(found: &FailedComponent, step: Option<&str>) -> bool {
    step.is_none_or(|step| {
        found.step == step || found.step.rsplit_once('/').is_some_and(|(_, short)| short == step)
    })
}

/// A component may have gone to another tenant since the session was admitted.
fn check_tenant(
    tenant: &str,
    chosen: &[FailedComponent],
    components: &BTreeSet<String>,
) -> Result<(), Rejection> {
    let gone = chosen.iter().filter(|failed| !components.contains(&failed.xname));
    let gone: Vec<&str> = gone.map(|failed| failed.xname.as_str()).take(GONE_SHOWN_MAX).collect();
    if gone.is_empty() {
        return Ok(());
    }
    Err(Rejection::Invalid(format!(
        "components of the session do not belong to tenant '{tenant}' any more, among them {}; name those that do",
        gone.join(",")
    )))
}

/// Who of the failed is meant, by ascending number.
fn choose(
    request: &RetryRequest,
    failed: Vec<FailedComponent>,
    within: &BTreeSet<String>,
) -> Result<Vec<FailedComponent>, Rejection> {
    let session = &request.session;
    if failed.is_empty() {
        return Err(Rejection::Invalid(format!(
            "nothing has failed in session '{session}'; there is nothing to retry"
        )));
    }
    let of_step = |found: &FailedComponent| of_step(found, request.step.as_deref());
    let steps: BTreeSet<String> = failed.iter().map(|found| found.step.clone()).collect();
    let chosen: Vec<FailedComponent> =
        failed.into_iter().filter(|found| of_step(found) && within.contains(&found.xname)).collect();
    if chosen.is_empty() {
        let steps = steps.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Rejection::Invalid(format!(
            "none of these has failed in session '{session}'; there are failures in {steps}"
        )));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Vec<FailedComponent> {
        let one = |component: i32, step: &str| FailedComponent {
            component,
            xname: format!("x1000c0s{component}b0n0"),
            step: step.to_owned(),
            reason: "boot_timeout".to_owned(),
            error: String::new(),
            at: crate::model::Timestamp::UNIX_EPOCH,
        };
        vec![one(1, "compute/await_boot"), one(2, "uan/await_boot"), one(3, "compute/power_off")]
    }

    fn chosen(step: Option<&str>, within: &[i32]) -> Result<Vec<i32>, String> {
        let request = RetryRequest {
            session: "night".to_owned(),
            tenant: String::new(),
            step: step.map(str::to_owned),
            limit: String::new(),
            from: None,
            reason: None,
            actor: "admin".to_owned(),
            key: None,
        };
        let within = failed().into_iter().filter(|found| within.contains(&found.component));
        let within = within.map(|found| found.xname).collect();
        let chosen = choose(&request, failed(), &within).map_err(|error| error.to_string())?;
        Ok(chosen.iter().map(|failed| failed.component).collect())
    }

    #[test]
    fn step_and_limit_narrow_what_is_tried_again() {
        assert_eq!(chosen(None, &[1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(chosen(Some("await_boot"), &[1, 2, 3]), Ok(vec![1, 2]));
        assert_eq!(chosen(Some("uan/await_boot"), &[1, 2]), Ok(vec![2]));
        assert_eq!(chosen(None, &[3]), Ok(vec![3]));
        assert_eq!(
            chosen(Some("power_on"), &[1, 2, 3]).unwrap_err(),
            "none of these has failed in session 'night'; there are failures in compute/await_boot, \
             compute/power_off, uan/await_boot"
        );
    }
}
