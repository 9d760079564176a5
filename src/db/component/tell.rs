//! What the sessions at components have to know: the one that holds a component, and the one that gets it next.

use std::collections::BTreeMap;

use crate::model::{
    command::{CommandKind, CommandRequest},
    session::SessionId,
};

use super::super::{Connection, DbError, command, error::doing};

/// What is to be told of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News<'a> {
    pub component: i32,
    pub kind: CommandKind,
    /// Why, where that is not said by who says it.
    pub reason: Option<&'a str>,
}

/// Tells the sessions that hold or want components what somebody asks of them. The components' rows are locked, so nobody
/// is admitted for them in the meantime.
pub(super) async fn tell(conn: &mut Connection, news: &[News<'_>], actor: &str) -> Result<(), DbError> {
    if news.is_empty() {
        return Ok(());
    }
    let ids: Vec<i32> = news.iter().map(|news| news.component).collect();
    let rows = sqlx::query!(
        r#"select p.component_id, p.claimed_by as "claimed_by!", p.wanted_by
             from unnest($1::int4[]) w(component_id)
             join lateral (select x.component_id, x.claimed_by, x.wanted_by from component_progress x
                            where x.component_id = w.component_id and x.claimed_by is not null) p on true"#,
        &ids
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(doing("look whose components are"))?;
    let sessions: BTreeMap<i32, [Option<i64>; 2]> =
        rows.into_iter().map(|row| (row.component_id, [Some(row.claimed_by), row.wanted_by])).collect();
    let mut told: BTreeMap<(i64, CommandKind, Option<&str>), Vec<i32>> = BTreeMap::new();
    for News { component, kind, reason } in news {
        for session in sessions.get(component).into_iter().flatten().flatten() {
            told.entry((*session, *kind, *reason)).or_default().push(*component);
        }
    }
    for ((session, kind, reason), mut components) in told {
        components.sort_unstable();
        let request =
            CommandRequest { components, reason: reason.map(str::to_owned), ..CommandRequest::plain(kind) };
        command::insert(conn, &SessionId(session), &request, actor).await?;
    }
    Ok(())
}
