//! What happened to a component, session by session.

use crate::model::Timestamp;

use super::super::{Connection, DbError, error::doing};

/// What became of a component in one step of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The session's number.
    pub session_id: i64,
    /// The session's name.
    pub session: String,
    /// Its operation.
    pub operation: String,
    /// The step; `admission` for one left out there.
    pub step: String,
    /// The run.
    pub run: i32,
    /// What is said, as `FactKind::label`.
    pub result: String,
    /// Effects in this step and run.
    pub attempts: i32,
    /// Why: the name.
    pub reason: Option<String>,
    /// Why: the service's words.
    pub error: Option<String>,
    /// When it was made durable.
    pub at: Option<Timestamp>,
    /// The session's template.
    pub template: String,
    /// The number of its version.
    pub template_version: Option<i64>,
    /// The IMS image that the session boots.
    pub image: Option<String>,
    /// The kernel that the session boots.
    pub kernel: Option<String>,
}

/// A component's results in its newest sessions (each was measured to cost about 4 ms), oldest first; a tenant sees those of
/// its own.
pub async fn component_history(
    conn: &mut Connection,
    tenant: Option<&str>,
    xname: &str,
    sessions: i64,
) -> Result<Vec<HistoryLine>, DbError> {
    sqlx::query_as!(
        HistoryLine,
        r#"select session_id as "session_id!", session as "session!", operation as "operation!", step as "step!",
                  run::int4 as "run!", result as "result!", attempts::int4 as "attempts!", reason, error, at,
                  template as "template!", template_version, image, kernel
             from component_history
            where xname = $1 and ($3::text is null or tenant = $3)
              and session_id = any (array(
                    select b.session_id
                      from component c join session_component_batch b
                        on c.component_id between b.lowest and b.highest and c.component_id = any (b.component_ids)
                     where c.xname = $1
                     order by b.session_id desc limit $2))
            order by session_id, seq, step_no"#,
        xname,
        sessions.clamp(0, 100),
        tenant
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a component's history"))
}
