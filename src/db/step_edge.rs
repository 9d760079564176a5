//! Table `step_edge`: what steps need.

use crate::model::{
    plan::{Edge, EdgeKind, StepNo},
    session::SessionId,
};

use super::{Connection, DbError, error::doing};

/// Keeps a plan's edges.
pub(super) async fn insert(conn: &mut Connection, session: SessionId, edges: &[Edge]) -> Result<(), DbError> {
    let from: Vec<i16> = edges.iter().map(|e| e.from.0).collect();
    let to: Vec<i16> = edges.iter().map(|e| e.to.0).collect();
    let kind: Vec<&str> = edges
        .iter()
        .map(|e| match e.kind {
            EdgeKind::PerComponent => "per_component",
            EdgeKind::Barrier { .. } => "barrier",
        })
        .collect();
    let threshold: Vec<Option<i16>> = edges
        .iter()
        .map(|e| match e.kind {
            EdgeKind::PerComponent => None,
            EdgeKind::Barrier { threshold_percent } => Some(i16::from(threshold_percent)),
        })
        .collect();
    sqlx::query!(
        "insert into step_edge (session_id, from_no, to_no, kind, threshold_percent)
         select $1, * from unnest($2::int2[], $3::int2[], $4::text[], $5::int2[])",
        session.0,
        &from,
        &to,
        &kind as &[&str],
        &threshold as &[Option<i16>],
    )
    .execute(conn)
    .await
    .map_err(doing("keep a plan's edges"))?;
    Ok(())
}

/// A plan's edges, by their ends.
pub(super) async fn list(conn: &mut Connection, session: SessionId) -> Result<Vec<Edge>, DbError> {
    let rows = sqlx::query!(
        "select from_no, to_no, threshold_percent from step_edge where session_id = $1 order by from_no, to_no, kind",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a plan's edges"))?;
    let edges = rows.into_iter().map(|row| Edge {
        from: StepNo(row.from_no),
        to: StepNo(row.to_no),
        kind: match row.threshold_percent {
            None => EdgeKind::PerComponent,
            Some(percent) => EdgeKind::Barrier {
                threshold_percent: u8::try_from(percent).expect("a check keeps it between 0 and 100"),
            },
        },
    });
    Ok(edges.collect())
}

/// The barriers that have opened.
pub async fn opened(conn: &mut Connection, session: &SessionId) -> Result<Vec<(StepNo, StepNo)>, DbError> {
    let rows = sqlx::query!(
        "select from_no, to_no from step_edge
          where session_id = $1 and opened_at is not null order by from_no, to_no",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a plan's barriers"))?;
    Ok(rows.into_iter().map(|row| (StepNo(row.from_no), StepNo(row.to_no))).collect())
}
