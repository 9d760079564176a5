//! A plan as it is kept: `slice`, `step`, `step_edge`, `session_component_batch`, and columns of `session`.

use std::time::Duration;

use crate::model::{
    gate::Gates,
    plan::{PLAN_FORMAT, Plan},
    session::SessionId,
};

use super::{
    Connection, DbError, command, error::doing, label, session_component_batch,
    session_component_batch::Skip, slice, step, step_edge,
};

/// Keeps a plan; `artifacts` are the numbers of what its slices boot.
pub(super) async fn insert(
    conn: &mut Connection,
    session: SessionId,
    plan: &Plan,
    artifacts: &[Option<i32>],
    skips: &[Skip],
) -> Result<(), DbError> {
    let mut members = vec![0_i32; plan.slices.len()];
    for member in &plan.members {
        let slice = usize::try_from(member.slice.0).expect("slices are counted from 0");
        members[slice] += 1;
    }
    slice::insert(conn, session, &plan.slices, artifacts).await?;
    session_component_batch::insert(conn, session, &plan.members, skips).await?;
    step::insert(conn, session, &plan.steps, &members).await?;
    step_edge::insert(conn, session, &plan.edges).await?;
    insert_gates(conn, session, &plan.gates).await
}

async fn insert_gates(conn: &mut Connection, session: SessionId, gates: &Gates) -> Result<(), DbError> {
    if gates.is_empty() {
        return Ok(());
    }
    let gates = serde_json::to_value(gates).expect("gates are a document");
    sqlx::query!("update session set gates = $2 where session_id = $1", session.0, gates)
        .execute(conn)
        .await
        .map_err(doing("keep what a plan's gates know"))?;
    Ok(())
}

/// What the gates of a session know, with what operators changed of it; nothing for one that is not admitted.
pub async fn gates(conn: &mut Connection, session: &SessionId) -> Result<Gates, DbError> {
    let gates = sqlx::query_scalar!("select gates from session where session_id = $1", session.0)
        .fetch_optional(&mut *conn)
        .await
        .map_err(doing("read what a session's gates know"))?;
    let mut gates: Gates =
        gates.flatten().map(|gates| label::read_json("the gates", gates)).transpose()?.unwrap_or_default();
    command::standing(conn, session).await?.settings.apply_to(&mut gates);
    Ok(gates)
}

/// A session's plan without its members, as it stands now: with what operators changed of it. As [`load`] otherwise.
pub async fn outline(conn: &mut Connection, session: &SessionId) -> Result<Plan, DbError> {
    let mut plan = read(conn, session, false).await?;
    plan.apply(&command::standing(conn, session).await?.settings);
    Ok(plan)
}

/// A session's plan as it was admitted. One of another format, or with verbs of another version, is [`DbError::Unknown`]: the session
/// is parked, nothing is guessed (law 11).
pub async fn load(conn: &mut Connection, session: &SessionId) -> Result<Plan, DbError> {
    read(conn, session, true).await
}

async fn read(conn: &mut Connection, session: &SessionId, with_members: bool) -> Result<Plan, DbError> {
    let row = sqlx::query!(
        r#"select plan_format, unknown_policy, gates, extract(epoch from service_patience)::float8 as service_patience_s
             from session where session_id = $1"#,
        session.0
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("read a plan"))?
    .ok_or_else(|| DbError::NotFound { what: format!("session number {session}") })?;
    if row.plan_format != Some(PLAN_FORMAT) {
        let value = row.plan_format.map_or_else(|| "none".to_owned(), |format| format.to_string());
        return Err(DbError::Unknown { what: "the plan format", value });
    }
    Ok(Plan {
        slices: slice::list(conn, *session).await?,
        steps: step::load(conn, *session).await?,
        edges: step_edge::list(conn, *session).await?,
        members: if with_members {
            session_component_batch::members(conn, *session).await?
        } else {
            Vec::new()
        },
        unknown: label::read("the unknown policy", row.unknown_policy.as_deref().unwrap_or_default())?,
        service_patience: Duration::from_secs_f64(row.service_patience_s.unwrap_or_default().max(0.0)),
        gates: row.gates.map(|gates| label::read_json("the gates", gates)).transpose()?.unwrap_or_default(),
    })
}
