//! Table `effect`: calls that change the world.

use crate::model::{
    Timestamp,
    artifacts::BootToken,
    effect::{EffectNo, EffectState, RemoteRef},
    plan::StepNo,
    session::SessionId,
};

use super::{Connection, DbError, error::doing, label};

/// An effect with component numbers, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEffect {
    /// Its number in the session.
    pub no: EffectNo,
    /// The checkpoint that wrote the intent.
    pub seq: i64,
    /// The step.
    pub step: StepNo,
    /// The rung, counted from 0.
    pub rung: u8,
    /// Its components, ascending.
    pub components: Vec<i32>,
    /// What is known of it.
    pub state: EffectState,
    /// The service's name for it.
    pub reference: Option<RemoteRef>,
    /// The BSS token it brought.
    pub token: Option<BootToken>,
    /// When the intent was written.
    pub intended_at: Timestamp,
    /// The moment after which the call can no longer act.
    pub dead_at: Timestamp,
}

/// All effects of a session, by number.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<StoredEffect>, DbError> {
    let rows = sqlx::query!(
        "select effect_no, seq, step_no, rung, component_ids, state, remote_ref, token, intended_at, dead_at
           from effect where session_id = $1 order by effect_no",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read effects"))?;
    let effects = rows.into_iter().map(|row| {
        Ok(StoredEffect {
            no: EffectNo(row.effect_no),
            seq: row.seq,
            step: StepNo(row.step_no),
            rung: u8::try_from(row.rung).unwrap_or(u8::MAX),
            components: row.component_ids,
            state: label::read("the state of an effect", &row.state)?,
            reference: row.remote_ref.map(RemoteRef),
            token: row.token.map(BootToken),
            intended_at: row.intended_at,
            dead_at: row.dead_at,
        })
    });
    effects.collect()
}

/// Whom a call was about to be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intended {
    /// The checkpoint that wrote the intent.
    pub seq: i64,
    /// The step.
    pub step: StepNo,
    /// Its components, ascending.
    pub components: Vec<i32>,
}

/// The calls whose intents were written by checkpoints after `seq`, in order.
pub async fn intended_after(
    conn: &mut Connection,
    session: &SessionId,
    seq: i64,
) -> Result<Vec<Intended>, DbError> {
    let rows = sqlx::query!(
        "select seq, step_no, component_ids from effect where session_id = $1 and seq > $2 order by effect_no",
        session.0,
        seq
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read intents"))?;
    let intended = rows.into_iter().map(|row| Intended {
        seq: row.seq,
        step: StepNo(row.step_no),
        components: row.component_ids,
    });
    Ok(intended.collect())
}

/// The last effects of a session, newest first; at most `limit` (10,000).
pub async fn newest(
    conn: &mut Connection,
    session: &SessionId,
    limit: i64,
) -> Result<Vec<EffectLine>, DbError> {
    sqlx::query_as!(
        EffectLine,
        r#"select effect_no as "no!", step as "step!", verb as "verb!", rung as "rung!", state as "state!",
                  components as "components!", remote_ref as reference, error, intended_at as "intended_at!",
                  answered_at, lost_at, settled_at
             from effects where session_id = $1 order by effect_no desc limit $2"#,
        session.0,
        limit.clamp(0, 10_000)
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list the last effects"))
}

/// An effect as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLine {
    /// Its number in the session.
    pub no: i32,
    /// The step's name.
    pub step: String,
    /// The verb.
    pub verb: String,
    /// The rung's name.
    pub rung: String,
    /// What is known of it.
    pub state: String,
    /// How many components it covers.
    pub components: i32,
    /// The service's name for it.
    pub reference: Option<String>,
    /// What the service said.
    pub error: Option<String>,
    /// When the intent was written.
    pub intended_at: Timestamp,
    /// When the service answered.
    pub answered_at: Option<Timestamp>,
    /// When its answer was given up.
    pub lost_at: Option<Timestamp>,
    /// When all it covered had been judged.
    pub settled_at: Option<Timestamp>,
}

/// A session's effects after number `after`, at most `limit` (10,000).
pub async fn page(
    conn: &mut Connection,
    session: &SessionId,
    after: i32,
    limit: i64,
) -> Result<Vec<EffectLine>, DbError> {
    sqlx::query_as!(
        EffectLine,
        r#"select effect_no as "no!", step as "step!", verb as "verb!", rung as "rung!", state as "state!",
                  components as "components!", remote_ref as reference, error, intended_at as "intended_at!",
                  answered_at, lost_at, settled_at
             from effects where session_id = $1 and effect_no > $2 order by effect_no limit $3"#,
        session.0,
        after,
        limit.clamp(0, 10_000)
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list effects"))
}
