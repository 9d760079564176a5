//! Table `component_progress`: the engine's half of a component. Written by checkpoints and admission only.

use crate::model::{Timestamp, session::SessionId};

use super::{Connection, DbError, error::doing, span::Span};

/// What the engine has to know of a component's past beyond its own session, and who holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPower {
    /// Who.
    pub component: i32,
    /// The last power effect on it, by any session.
    pub last_power_at: Option<Timestamp>,
    /// The last power-on, by the session that claimed it last.
    pub powered_on_at: Option<Timestamp>,
    /// Who holds it.
    pub claimed_by: Option<SessionId>,
    /// Who waits for it.
    pub wanted_by: Option<SessionId>,
    /// When another session gave it to its holder.
    pub handed_over_at: Option<Timestamp>,
}

/// Past power effects and claims of components (ascending).
pub async fn last_power(conn: &mut Connection, ids: &[i32]) -> Result<Vec<LastPower>, DbError> {
    let span = Span::of(ids);
    let rows = sqlx::query!(
        r#"select component_id as "component_id!", last_power_at, powered_on_at, claimed_by, wanted_by,
                  handed_over_at
             from component_progress where component_id between $1 and $2
           union all
           select p.component_id, p.last_power_at, p.powered_on_at, p.claimed_by, p.wanted_by, p.handed_over_at
             from unnest($3::int4[]) w(component_id)
             join lateral (select * from component_progress x where x.component_id = w.component_id) p on true"#,
        span.lowest,
        span.highest,
        span.few
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read past power actions"))?;
    let progress = rows.into_iter().map(|row| LastPower {
        component: row.component_id,
        last_power_at: row.last_power_at,
        powered_on_at: row.powered_on_at,
        claimed_by: row.claimed_by.map(SessionId),
        wanted_by: row.wanted_by.map(SessionId),
        handed_over_at: row.handed_over_at,
    });
    Ok(span.keep(progress.collect(), |progress| progress.component))
}
