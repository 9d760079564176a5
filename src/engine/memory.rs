//! What a session remembers: the plan, and the past as the flow wants it (ordinals, not component numbers).

use std::{collections::HashMap, sync::Arc};

use crate::{
    clients::otlp::Trace,
    db::{self, Connection},
    model::{
        Timestamp,
        effect::Effect,
        plan::{Ordinal, Plan},
        reason::Reason,
        result::{Fact, PastFact},
        session::SessionId,
    },
    plan::flow::{Approval, Past},
};

use super::{EngineError, record::Titles};

/// Everything a worker needs to go on.
pub struct Memory {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What happened before.
    pub past: Past,
    /// Whether other sessions want components that this one holds.
    pub wanted: bool,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// The trace that all who work on it tell of.
    pub trace: Trace,
    /// What the session is called.
    pub titles: Titles,
    /// The last event.
    pub last_seq: i64,
    /// Error texts that are kept already.
    pub errors: HashMap<Reason, i32>,
}

/// Loads a session.
pub async fn load(connection: &mut Connection, session: &SessionId) -> Result<Memory, EngineError> {
    let row = db::session::get_by_id(connection, session).await?;
    let plan = db::plan::load(connection, session).await?;
    let ids: Vec<i32> = plan.members.iter().map(|member| member.component.0).collect();
    let ordinal = |component: i32| ids.binary_search(&component).ok().map(|index| Ordinal(index as u32));
    let ordinals = |components: &[i32]| components.iter().filter_map(|id| ordinal(*id)).collect::<Vec<_>>();

    let results = db::result::list(connection, session).await?;
    let facts = results.into_iter().map(|stored| PastFact {
        seq: stored.seq,
        at: stored.at,
        fact: Fact {
            step: stored.step,
            run: stored.run,
            kind: stored.kind,
            attempts: stored.attempts,
            reason: stored.reason,
            decision: stored.decision,
            sent_to: stored.sent_to,
            members: ordinals(&stored.components),
        },
    });
    let facts = facts.collect();
    let effects = db::effect::list(connection, session).await?;
    let effects = effects.into_iter().map(|stored| Effect {
        no: stored.no,
        step: stored.step,
        rung: stored.rung,
        members: ordinals(&stored.components),
        state: stored.state,
        reference: stored.reference,
        token: stored.token,
        seq: stored.seq,
        intended_at: stored.intended_at,
        dead_at: stored.dead_at,
    });
    let effects = effects.collect();
    let opened = db::step_edge::opened(connection, session).await?;
    let edge = |ends: &(_, _)| plan.edges.iter().position(|edge| (edge.from, edge.to) == *ends);
    let reports = db::component::reports(connection, &ids).await?;
    let progress = db::component_progress::last_power(connection, &ids).await?;
    let policies = db::component::retry_policies(connection, &ids).await?;
    let standing = db::command::standing(connection, session).await?;
    let approvals = db::event::approvals(connection, session).await?;
    let approvals = approvals.into_iter().map(|line| Approval {
        seq: line.seq,
        wave: line.wave.and_then(|wave| usize::try_from(wave - 1).ok()),
        accepts_failures: line.accepts_failures,
    });
    let whose =
        if row.new.tenant.is_empty() { String::new() } else { format!(" --tenant {}", row.new.tenant) };
    let admitted_at = row.admitted_at.unwrap_or(row.created_at);
    let past = Past {
        approvals: approvals.collect(),
        name: format!("{}{whose}", row.new.name),
        facts,
        effects,
        opened: opened.iter().filter_map(edge).collect(),
        state: Some(row.state),
        reports: reports.into_iter().filter_map(|(id, report)| Some((ordinal(id)?, report))).collect(),
        // Our own power effects are among our effects; older ones are somebody else's.
        last_power: progress
            .iter()
            .filter_map(|row| {
                let ours_since = row.handed_over_at.map_or(admitted_at, |at| at.max(admitted_at));
                Some((ordinal(row.component)?, row.last_power_at.filter(|at| *at < ours_since)?))
            })
            .collect(),
        claimed: progress
            .iter()
            .filter(|row| row.claimed_by == Some(*session))
            .filter_map(|row| ordinal(row.component))
            .collect(),
        retry_policies: policies.into_iter().filter_map(|(id, most)| Some((ordinal(id)?, most))).collect(),
        // Also those that a third session has taken since: the claims, looked at before anything is done, say so.
        awaited: progress
            .iter()
            .filter(|row| row.claimed_by != Some(*session))
            .filter_map(|row| ordinal(row.component))
            .collect(),
        standing,
    };
    let texts = db::error_text::list(connection, session).await?;
    Ok(Memory {
        past,
        admitted_at,
        trace: Trace::of(*session, row.created_at),
        wanted: progress.iter().any(|row| row.claimed_by == Some(*session) && row.wanted_by.is_some()),
        titles: Titles {
            session: row.new.name.to_string(),
            template: row.new.template_name,
            operation: row.new.operation,
            tenant: row.new.tenant,
        },
        last_seq: db::event::last_seq(connection, session).await?,
        errors: texts.into_iter().map(|error| (Reason::new(error.code, error.text), error.id)).collect(),
        plan: Arc::new(plan),
    })
}
