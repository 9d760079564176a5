//! Admits the sessions that wait: those of `/v2`, which answers before anything is resolved, and those that let others
//! finish first.
//!
//! First come first served: while a service that the first one needs is down, those behind it wait too, or they could
//! take its components. Nobody waits for a service for ever: after [`super::AdmitSettings::service_patience`] a session is
//! rejected. One that waits for other sessions holds nothing, and waits as long as they last; those behind it that want
//! some of the same wait for it, the others do not. One that is frozen gives up its place in that line, for nobody knows how
//! long that is; so has one whose time has not come (`not_before`): it holds nothing, and nobody waits for it.

use super::{APPLIES, Admit, Rejection, SessionRequest, default_on_conflict};
use crate::{
    db::{self, session::NewSession},
    model::{plan::UnknownPolicy, session::OnConflict},
};

/// What a pass over the waiting sessions did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pass {
    /// How many were admitted.
    pub admitted: usize,
    /// How many ended as rejected.
    pub rejected: usize,
    /// Why the others still wait.
    pub waits_for: Option<String>,
}

impl Admit {
    /// One pass over the sessions that wait, oldest first.
    ///
    /// # Errors
    /// The database's only; what is wrong with a session ends that session.
    pub async fn waiting(&self) -> Result<Pass, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        db::staged::complete(&mut conn).await?;
        let waiting = db::session::waiting(&mut conn).await?;
        drop(conn);
        let mut pass = Pass::default();
        for id in waiting {
            let mut conn = db::acquire(&self.pool).await?;
            let session = db::session::get_by_id(&mut conn, &id).await?;
            if !db::admission::waits_for(&mut conn, &id).await?.is_empty() {
                continue;
            }
            drop(conn);
            let asked = SessionRequest::of(&session.new);
            let begins =
                asked.rollout.gates.not_before.map_or(session.created_at, |at| at.max(session.created_at));
            if begins > session.now {
                continue;
            }
            let patient =
                (session.now - begins).to_std().is_ok_and(|waited| waited < self.settings.service_patience);
            let done = if asked.stage {
                self.stage(&session, &asked).await.map(|_| false)
            } else if session.new.request.get(APPLIES).is_some() {
                self.apply(&session).await.map(|()| false)
            } else {
                self.admit(asked, Some(session.id)).await.map(|admitted| admitted.waits)
            };
            match done {
                Ok(waits) => pass.admitted += usize::from(!waits),
                Err(error @ Rejection::Database(_)) => return Err(error),
                // It waits as long as the freeze lasts, and those behind it that are not frozen do not.
                Err(error @ Rejection::Frozen(_)) => {
                    let mut conn = db::acquire(&self.pool).await?;
                    db::admission::leave_line(&mut conn, &session.id).await?;
                    db::session::say_why_it_waits(&mut conn, &session.id, &error.to_string()).await?;
                }
                Err(error) if error.is_temporary() && patient => {
                    pass.waits_for = Some(error.to_string());
                    return Ok(pass);
                }
                // Cancelled or deleted in the meantime: nothing is left to be admitted.
                Err(Rejection::NameTaken(_)) => {}
                Err(error) => {
                    self.refuse_staged(&session, &error.to_string()).await?;
                    let mut conn = db::acquire(&self.pool).await?;
                    if db::session::reject(&mut conn, &session.id, &error.to_string()).await? {
                        pass.rejected += 1;
                    }
                }
            }
        }
        Ok(pass)
    }
}

impl SessionRequest {
    /// As it was kept.
    pub fn of(new: &NewSession) -> Self {
        let unknown = new.request.get("unknown").cloned();
        let on_conflict = new.request.get("on_conflict").cloned();
        let on_conflict = on_conflict.and_then(|asked| serde_json::from_value::<OnConflict>(asked).ok());
        let guards = new.request.get("guards").cloned();
        let rollout = new.request.get("rollout").cloned();
        Self {
            name: new.name.clone(),
            tenant: new.tenant.clone(),
            operation: new.operation.clone(),
            template: new.template_name.clone(),
            limit: new.limit.clone(),
            include_disabled: new.include_disabled,
            stage: new.stage,
            api: new.api,
            unknown: unknown.and_then(|unknown| serde_json::from_value::<UnknownPolicy>(unknown).ok()),
            on_conflict: on_conflict.unwrap_or_else(|| default_on_conflict(new.api)),
            guards: guards.and_then(|guards| serde_json::from_value(guards).ok()).unwrap_or_default(),
            rollout: rollout.and_then(|asked| serde_json::from_value(asked).ok()).unwrap_or_default(),
            actor: new.actor.clone(),
        }
    }
}
