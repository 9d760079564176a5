//! Table `hand_over`: who is asked to give components to whom (law 9).
//!
//! Which components is said in `component_progress.wanted_by`; a row here brings the holder's writer to look there, and
//! a holder without a writer to one. It is closed when nothing is left to be given.

use crate::model::session::SessionId;

use super::{Connection, DbError, error::doing, lease::Lease};

/// Components on their way from one session to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// The name of the session that holds them.
    pub holder: String,
    /// The name of the session that gets them.
    pub wanter: String,
    /// Who, as the database sorts names.
    pub xnames: Vec<String>,
}

/// Asks holders for components, and tells the sessions that lose what they waited for. `holders` with how many each.
pub(super) async fn ask(
    conn: &mut Connection,
    wanter: SessionId,
    holders: &[(SessionId, usize)],
    losers: &[i64],
) -> Result<(), DbError> {
    let ids: Vec<i64> = holders.iter().map(|(holder, _)| holder.0).collect();
    let counts: Vec<i32> = holders.iter().map(|(_, n)| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "with asked as (
           insert into hand_over (holder_id, wanter_id, components)
           select u.holder_id, $1, u.components from unnest($2::int8[], $3::int4[]) u(holder_id, components))
         select pg_notify('bosun_session_' || u.session_id, 'claims')::text
           from (select unnest($2::int8[]) union select unnest($4::int8[])) u(session_id)",
        wanter.0,
        &ids,
        &counts,
        losers
    )
    .fetch_all(conn)
    .await
    .map_err(doing("ask for components"))?;
    Ok(())
}

/// What the session's writer is asked for: numbers of rows that are open.
pub async fn open(conn: &mut Connection, holder: &SessionId) -> Result<Vec<i64>, DbError> {
    sqlx::query_scalar!(
        "select hand_over_id from hand_over where holder_id = $1 and done_at is null order by hand_over_id",
        holder.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look who wants components"))
}

/// Closes rows of the lease's session: a look at its claims that was made after these rows were read found nothing to be
/// given.
pub async fn close(conn: &mut Connection, lease: &Lease, rows: &[i64]) -> Result<(), DbError> {
    sqlx::query!(
        "update hand_over set done_at = clock_timestamp()
          where hand_over_id = any ($3) and holder_id = $1 and done_at is null
            and exists (select from session_lease where session_id = $1 and epoch = $2)",
        lease.session().0,
        lease.epoch(),
        rows
    )
    .execute(conn)
    .await
    .map_err(doing("close what was handed over"))?;
    Ok(())
}

/// What is on its way to a session, or from it.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<HandOver>, DbError> {
    // Few sessions ever take anything over, so this asks for that first.
    sqlx::query_as!(
        HandOver,
        r#"select h.name as holder, w.name as wanter, array_agg(c.xname order by c.xname) as "xnames!"
             from session_component_batch b
             cross join lateral unnest(b.component_ids) u(component_id)
             join lateral (select p.claimed_by, p.wanted_by from component_progress p
                            where p.component_id = u.component_id and p.wanted_by is not null) p on true
             join session h on h.session_id = p.claimed_by
             join session w on w.session_id = p.wanted_by
             join component c on c.component_id = u.component_id
            where b.session_id = $1 and b.slice_no is not null and $1 in (p.claimed_by, p.wanted_by)
              and exists (select from hand_over o where o.holder_id = $1 and o.done_at is null
                          union all select from hand_over o where o.wanter_id = $1)
            group by h.session_id, h.name, w.session_id, w.name order by h.session_id, w.session_id"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look what is handed over"))
}
