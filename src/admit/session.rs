//! Admits a session, or shows what it would do.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Admit, Admitted, Claim, Preview, Rejection, SessionRequest, resolve::Resolved};
use crate::{
    db::{
        self,
        admission::{Admission, Origin, Skip},
        session::NewSession,
    },
    model::{
        component::ComponentNo,
        event::{EventKind, NewEvent},
        plan::Plan,
        reason::{Reason, ReasonCode},
        selection::{ComponentNumbers, Selection},
        session::{Outcome, SessionId},
        xname::Xname,
    },
};

impl Admit {
    /// Admits a session: all of it, or nothing.
    ///
    /// # Errors
    /// What is wrong, with what, and what to do next. Nothing was changed anywhere.
    pub async fn session(&self, request: SessionRequest) -> Result<Admitted, Rejection> {
        self.admit(request, None).await
    }

    /// Shows what a session would do; keeps and claims nothing.
    ///
    /// # Errors
    /// Those of [`Admit::session`]; what others hold is part of the answer.
    pub async fn plan(&self, request: SessionRequest) -> Result<Preview, Rejection> {
        let resolved = self.resolve(&request).await?;
        let numbers = self.preview_numbers(&resolved.selection.ids().collect::<Vec<_>>()).await?;
        let (plan, plan_hash) = match resolved.selection.member_count() {
            0 => self.nothing(&request),
            _ => self.compile(&request, &resolved, &numbers)?,
        };
        let ids: Vec<i32> = plan.members.iter().map(|member| member.component.0).collect();
        let mut conn = db::acquire(&self.pool).await?;
        let claimed = named(db::admission::holders(&mut conn, &ids).await?, &members(&plan));
        drop(conn);
        let skipped = skipped_names(&resolved.selection);
        Ok(Preview { plan, plan_hash, skipped, claimed, notes: resolved.selection.notes })
    }

    pub(super) async fn admit(
        &self,
        request: SessionRequest,
        waiting: Option<SessionId>,
    ) -> Result<Admitted, Rejection> {
        if request.stage {
            return Err(Rejection::Invalid(
                "a staged session waits to be applied; nothing was changed".to_owned(),
            ));
        }
        let resolved = self.resolve(&request).await?;
        let numbers = self.numbers(&resolved.selection.ids().collect::<Vec<_>>()).await?;
        let skipped = resolved.selection.skips_by_reason();
        let notes = resolved.selection.notes.clone();
        let skips = skips(&resolved.selection, &numbers);
        let event = event(&request, &resolved);
        let new = new_session(&request);
        let member_count = resolved.selection.member_count();
        let (plan, plan_hash) = match member_count {
            0 => self.nothing(&request),
            _ => self.compile(&request, &resolved, &numbers)?,
        };
        let outcome = (member_count == 0).then_some(Outcome::NothingToDo);
        let names = members(&plan);
        let admission = Admission {
            new,
            waiting,
            template: resolved.template.clone(),
            workflow: resolved.declared.text.clone(),
            plan,
            plan_hash,
            skips,
            event,
            origin: Origin::Request,
        };
        match db::admission::admit(&self.pool, admission).await.map_err(|error| conflict(error, &request))? {
            db::admission::Admitted::Session(id) => {
                Ok(Admitted { id, members: member_count, skipped, outcome, notes })
            }
            db::admission::Admitted::Claimed(holders) => Err(Rejection::Claimed(named(holders, &names))),
        }
    }
}

fn conflict(error: db::DbError, request: &SessionRequest) -> Rejection {
    match error {
        db::DbError::Conflict { .. } => Rejection::NameTaken(request.name.to_string()),
        error => error.into(),
    }
}

fn new_session(request: &SessionRequest) -> NewSession {
    NewSession {
        name: request.name.clone(),
        tenant: request.tenant.clone(),
        operation: request.operation.clone(),
        template_name: request.template.clone(),
        api: request.api,
        limit: request.limit.clone(),
        include_disabled: request.include_disabled,
        stage: request.stage,
        request: request.unknown.map_or_else(|| json!({}), |unknown| json!({ "unknown": unknown })),
        actor: request.actor.clone(),
    }
}

/// The first line of the narrative.
fn event(request: &SessionRequest, resolved: &Resolved<'_>) -> NewEvent {
    let selection = &resolved.selection;
    let skipped: BTreeMap<&str, usize> =
        selection.skips_by_reason().into_iter().map(|(reason, count)| (reason.label(), count)).collect();
    let data = json!({
        "operation": request.operation,
        "template": request.template,
        "limit": request.limit,
        "members": selection.member_count(),
        "skipped": skipped,
        "notes": selection.notes,
    });
    NewEvent { kind: EventKind::Admitted, actor: Some(request.actor.clone()), data }
}

/// Who is left out, by reason, with ascending numbers.
pub(super) fn skips(selection: &Selection, numbers: &ComponentNumbers) -> Vec<Skip> {
    let mut by_reason: BTreeMap<ReasonCode, Vec<i32>> = BTreeMap::new();
    for skipped in selection.boot_sets.iter().flat_map(|boot_set| &boot_set.skipped) {
        if let Some(ComponentNo(number)) = numbers.get(&skipped.id) {
            by_reason.entry(skipped.reason).or_default().push(*number);
        }
    }
    let skip = |(code, mut components): (ReasonCode, Vec<i32>)| {
        components.sort_unstable();
        Skip { reason: Reason::bare(code), components }
    };
    by_reason.into_iter().map(skip).collect()
}

fn skipped_names(selection: &Selection) -> Vec<(String, ReasonCode, Vec<String>)> {
    let mut grouped: BTreeMap<(&str, ReasonCode), Vec<String>> = BTreeMap::new();
    for boot_set in &selection.boot_sets {
        for skipped in &boot_set.skipped {
            grouped.entry((&boot_set.name, skipped.reason)).or_default().push(skipped.id.clone());
        }
    }
    grouped.into_iter().map(|((boot_set, reason), ids)| (boot_set.to_owned(), reason, ids)).collect()
}

/// Who the numbers of a plan's members are.
pub(super) fn members(plan: &Plan) -> BTreeMap<i32, Xname> {
    plan.members.iter().map(|member| (member.component.0, member.xname)).collect()
}

/// Holders with names instead of numbers.
pub(super) fn named(holders: Vec<db::admission::Holder>, names: &BTreeMap<i32, Xname>) -> Vec<Claim> {
    let claim = |holder: db::admission::Holder| {
        let mut components: Vec<Xname> =
            holder.components.iter().filter_map(|number| names.get(number).copied()).collect();
        components.sort_unstable();
        Claim { session: holder.session, components }
    };
    holders.into_iter().map(claim).collect()
}
