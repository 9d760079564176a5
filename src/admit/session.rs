//! Admits a session, or shows what it would do.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use super::{
    Admit, Admitted, Claim, FrozenPart, Guards, Preview, Rejection, SessionRequest, freeze, resolve::Resolved,
};
use crate::{
    db::{
        self,
        admission::{Admission, Origin, Skip},
        session::NewSession,
    },
    model::{
        Timestamp,
        component::ComponentNo,
        event::{EventKind, NewEvent},
        gate::Rollout,
        plan::Plan,
        reason::{Reason, ReasonCode},
        selection::{ComponentNumbers, Selection, Skipped},
        session::{OnConflict, Outcome, SessionId},
        xname::Xname,
    },
    plan::change::Shown,
};

/// How often those that others have claimed in the meantime are left out as well.
const SKIP_ROUNDS_MAX: usize = 5;

impl Admit {
    /// Admits a session: all of it, or nothing. One that may wait for others is kept, and admitted when it is its turn.
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
        let mut resolved = self.resolve(&request).await?;
        let numbers = self.preview_numbers(&resolved.selection.ids().collect::<Vec<_>>()).await?;
        let claimed = self.holders(&resolved.selection, &numbers).await?;
        if request.on_conflict == OnConflict::Skip {
            leave_out(&mut resolved.selection, &claimed);
        }
        let (plan, plan_hash) = self.planned(&request, &resolved, &numbers)?;
        let forecast = self.forecast(&plan, &resolved).await?;
        let mut conn = db::acquire(&self.pool).await?;
        db::plan_shown::keep(&mut conn, &plan_hash, &json!(Shown::of(&plan))).await?;
        drop(conn);
        let frozen = self.frozen(&names_of(&plan), &request.actor).await?;
        let keeps_out =
            |part: &FrozenPart| format!("would be refused: {}", Rejection::Frozen(vec![part.clone()]));
        resolved.selection.notes.extend(frozen.iter().map(keeps_out));
        let skipped = skipped_names(&resolved.selection);
        Ok(Preview { plan, plan_hash, skipped, claimed, forecast, notes: resolved.selection.notes })
    }

    /// The plan of a resolved request, and its hash.
    fn planned(
        &self,
        request: &SessionRequest,
        resolved: &Resolved<'_>,
        numbers: &ComponentNumbers,
    ) -> Result<(Plan, String), Rejection> {
        match resolved.selection.member_count() {
            0 => Ok(self.nothing(request)),
            _ => self.compile(request, resolved, numbers),
        }
    }

    /// Who holds any of those who would take part.
    async fn holders(
        &self,
        selection: &Selection,
        numbers: &ComponentNumbers,
    ) -> Result<Vec<Claim>, Rejection> {
        let members = selection.boot_sets.iter().flat_map(|boot_set| &boot_set.members);
        let names: BTreeMap<i32, Xname> =
            members.filter_map(|xname| Some((numbers.get(&xname.to_string())?.0, *xname))).collect();
        let ids: Vec<i32> = names.keys().copied().collect();
        let mut conn = db::acquire(&self.pool).await?;
        Ok(named(db::admission::holders(&mut conn, &ids).await?, &names))
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
        let mut resolved = self.resolve(&request).await?;
        let numbers = self.numbers(&resolved.selection.ids().collect::<Vec<_>>()).await?;
        if request.on_conflict == OnConflict::Skip {
            // As the plan was shown: without those that others hold.
            let held = self.holders(&resolved.selection, &numbers).await?;
            leave_out(&mut resolved.selection, &held);
        }
        for _ in 0..SKIP_ROUNDS_MAX {
            match self.admit_resolved(&request, &resolved, &numbers, waiting).await {
                Err(Rejection::Claimed(claims)) if request.on_conflict == OnConflict::Skip => {
                    leave_out(&mut resolved.selection, &claims);
                }
                other => return other,
            }
        }
        self.admit_resolved(&request, &resolved, &numbers, waiting).await
    }

    async fn admit_resolved(
        &self,
        request: &SessionRequest,
        resolved: &Resolved<'_>,
        numbers: &ComponentNumbers,
        waiting: Option<SessionId>,
    ) -> Result<Admitted, Rejection> {
        let members = resolved.selection.member_count();
        let (plan, plan_hash) = self.planned(request, resolved, numbers)?;
        self.guard(request, &plan, &plan_hash, resolved.site.confirm_over).await?;
        let later =
            request.rollout.gates.not_before.filter(|begins| waiting.is_none() && *begins > Utc::now());
        if let Some(begins) = later {
            return self.keep_for_later(request, resolved, begins).await;
        }
        let names = names_of(&plan);
        let admission = Admission {
            new: new_session(request),
            waiting,
            template: resolved.template.clone(),
            workflow: resolved.declared.text.clone(),
            plan,
            plan_hash,
            skips: skips(&resolved.selection, numbers),
            on_conflict: request.on_conflict,
            event: event(request, resolved),
            origin: Origin::Request,
        };
        let admitted =
            db::admission::admit(&self.pool, admission).await.map_err(|error| conflict(error, request))?;
        let (id, holders, waits) = match admitted {
            db::admission::Admitted::Session(id) => (id, Vec::new(), false),
            db::admission::Admitted::TakingOver(id, holders) => (id, holders, false),
            db::admission::Admitted::Waiting(id, holders) => (id, holders, true),
            db::admission::Admitted::Claimed(holders) => {
                return Err(Rejection::Claimed(named(holders, &names)));
            }
            db::admission::Admitted::Frozen(frozen) => {
                return Err(Rejection::Frozen(freeze::named(frozen, &names)));
            }
        };
        let claimed = named(holders, &names);
        let mut notes = resolved.selection.notes.clone();
        let what = if waits { "waits" } else { "takes over" };
        notes.extend(claimed.iter().map(|claim| format!("{what}: {}", claim.told())));
        Ok(Admitted {
            id,
            members,
            skipped: resolved.selection.skips_by_reason(),
            outcome: (members == 0).then_some(Outcome::NothingToDo),
            waits,
            claimed,
            notes,
        })
    }
}

impl Admit {
    /// A session that is sound, and begins later: it is admitted then, by what is true then. Until then it holds nothing.
    async fn keep_for_later(
        &self,
        request: &SessionRequest,
        resolved: &Resolved<'_>,
        begins: Timestamp,
    ) -> Result<Admitted, Rejection> {
        let begins = begins.to_rfc3339_opts(SecondsFormat::Secs, true);
        let why = format!("begins at {begins}");
        let kept = db::admission::keep_for_later(&self.pool, new_session(request), why.clone()).await;
        let id = kept.map_err(|error| conflict(error, request))?;
        let mut notes = resolved.selection.notes.clone();
        notes.push(format!(
            "{why}: members, artifacts and who holds what are looked at then; it holds nothing before"
        ));
        Ok(Admitted {
            id,
            members: resolved.selection.member_count(),
            skipped: resolved.selection.skips_by_reason(),
            outcome: None,
            waits: true,
            claimed: Vec::new(),
            notes,
        })
    }
}

/// Leaves out what others hold.
fn leave_out(selection: &mut Selection, claims: &[Claim]) {
    let held: BTreeSet<Xname> = claims.iter().flat_map(|claim| claim.components.iter().copied()).collect();
    for boot_set in &mut selection.boot_sets {
        let (out, members) = boot_set.members.iter().partition(|xname| held.contains(xname));
        boot_set.members = members;
        let skipped = |xname: Xname| Skipped { reason: ReasonCode::Claimed, id: xname.to_string() };
        boot_set.skipped.extend(Vec::into_iter(out).map(skipped));
    }
    selection.notes.extend(claims.iter().map(|claim| format!("left out: {}", claim.told())));
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
        request: kept(request),
        actor: request.actor.clone(),
    }
}

/// What else was asked for: what a session that waits is admitted with.
fn kept(request: &SessionRequest) -> serde_json::Value {
    let mut kept = json!({ "on_conflict": request.on_conflict });
    if request.guards != Guards::default() {
        kept["guards"] = json!(request.guards);
    }
    if request.rollout != Rollout::default() {
        kept["rollout"] = json!(request.rollout);
    }
    if let Some(unknown) = request.unknown {
        kept["unknown"] = json!(unknown);
    }
    kept
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
pub(super) fn names_of(plan: &Plan) -> BTreeMap<i32, Xname> {
    plan.members.iter().map(|member| (member.component.0, member.xname)).collect()
}

/// Holders with names instead of numbers.
pub(super) fn named(holders: Vec<db::admission::Holder>, names: &BTreeMap<i32, Xname>) -> Vec<Claim> {
    let claim = |holder: db::admission::Holder| {
        let mut components: Vec<Xname> =
            holder.components.iter().filter_map(|number| names.get(number).copied()).collect();
        components.sort_unstable();
        Claim { session: holder.session, components, waits: holder.waits }
    };
    holders.into_iter().map(claim).collect()
}
