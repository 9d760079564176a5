//! What `serve` has to do for sessions: admit those that wait, find workers for those that need one.

use crate::model::session::SessionId;

use super::super::{Connection, DbError, error::doing};

/// A session that needs a worker and has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its number.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// What it does.
    pub operation: String,
    /// The epoch of its last lease; 0: it never had one.
    pub epoch: i64,
    /// The highest launch that was given up and counted; see [`super::super::lease::count_failed_launches`].
    pub last_failed_launch: u32,
    /// Too many workers died without a new result in between: park it instead.
    pub budget_spent: bool,
    /// Another session waits for components of it: its worker does not wait for its turn, since those that have theirs
    /// may be the ones that wait.
    pub hands_over: bool,
}

/// Sessions that are under way, have a command to obey or components to give, and nobody holds their lease; oldest first.
pub async fn need_worker(conn: &mut Connection) -> Result<Vec<Needed>, DbError> {
    let rows = sqlx::query!(
        r#"select s.session_id, s.name, s.tenant, s.operation, l.epoch, l.last_failed_launch,
                  l.takeovers >= l.max_takeovers as "budget_spent!", h.holder_id is not null as "hands_over!"
             from session s join session_lease l on l.session_id = s.session_id
             left join (select distinct holder_id from hand_over where done_at is null) h
               on h.holder_id = s.session_id and s.state <> 'ended'
            where s.session_id in (
                    select session_id from session where state in ('running', 'cancelling')
                    union all
                    select c.session_id from command c where c.obeyed_at is null
                    union all
                    select o.holder_id from hand_over o join session e on e.session_id = o.holder_id
                     where o.done_at is null and e.state <> 'ended')
              and s.state <> 'waiting'
              and (l.worker is null or coalesce(l.valid_until, '-infinity') <= clock_timestamp())
            order by s.session_id limit 1000"#
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look for sessions without a worker"))?;
    let needed = rows.into_iter().map(|row| Needed {
        session: SessionId(row.session_id),
        name: row.name,
        tenant: row.tenant,
        operation: row.operation,
        epoch: row.epoch,
        last_failed_launch: u32::try_from(row.last_failed_launch).unwrap_or_default(),
        budget_spent: row.budget_spent,
        hands_over: row.hands_over,
    });
    Ok(needed.collect())
}

/// Sessions that wait for admission, first come first; at most 1,000.
pub async fn waiting(conn: &mut Connection) -> Result<Vec<SessionId>, DbError> {
    let ids = sqlx::query_scalar!(
        "select session_id from session where state = 'waiting' and deleted_at is null order by session_id limit 1000"
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look for waiting sessions"))?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Says why a session waits.
pub async fn say_why_it_waits(conn: &mut Connection, id: &SessionId, why: &str) -> Result<(), DbError> {
    sqlx::query!(
        "update session set reason = $2
          where session_id = $1 and state = 'waiting' and reason is distinct from $2",
        id.0,
        why
    )
    .execute(conn)
    .await
    .map_err(doing("say why a session waits"))?;
    Ok(())
}
