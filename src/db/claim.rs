//! Claims: `component_progress.claimed_by`, taken together with what admission writes into `component`.
//!
//! Claims are taken under one lock of all admissions, ascending, and only where they are free; so two admissions never
//! deadlock, and nobody gets half of what was asked for: whoever gets fewer rolls back. An admission that takes over
//! marks the rest as wanted; its holder's checkpoint gives it away (see [`super::checkpoint`]).

use crate::model::session::SessionId;

use super::{Connection, DbError, error::doing, hand_over};

/// Who holds components that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The session's name.
    pub session: String,
    /// What it holds of what was asked for.
    pub components: Vec<i32>,
    /// It holds nothing yet: it came first, and waits for them.
    pub waits: bool,
}

/// What a session writes into the records of the components it claims. Parallel arrays, one entry per slice.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub session_name: &'a str,
    /// What is to be booted.
    pub artifacts: &'a [i32],
    /// Whether that is nothing.
    pub off: &'a [bool],
    pub configurations: &'a [Option<&'a str>],
    /// The operation only configures: the record keeps what the node is to boot.
    pub keeps_artifacts: bool,
}

/// The number of the lock that all admissions take in turn; arbitrary, and never to be changed.
const ADMISSION_LOCK: i64 = 0x626f_7375_6e01;

/// How often what is free and what is held is looked at in turn: holders give back in the meantime.
const LOOKS_MAX: usize = 5;

const GONE: &str = "a component of the session (deleted a moment ago; ask again)";

/// Waits for the turn. Held until the transaction ends.
pub(super) async fn lock(conn: &mut Connection) -> Result<(), DbError> {
    sqlx::query!("select pg_advisory_xact_lock($1)::text", ADMISSION_LOCK)
        .fetch_all(&mut *conn)
        .await
        .map_err(doing("wait for other admissions"))?;
    // Fresh statistics that say "empty table" were measured to turn this transaction's second into minutes.
    sqlx::query("set local enable_seqscan = off")
        .execute(conn)
        .await
        .map_err(doing("set up an admission"))?;
    Ok(())
}

/// Claims them all. Otherwise says who holds the rest, and the caller rolls back. Without an `action` their last action
/// stays what it was.
pub(super) async fn take_all(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
    action: Option<&str>,
) -> Result<Vec<Holder>, DbError> {
    for _ in 0..LOOKS_MAX {
        if take(conn, session, ids, action).await? == ids.len() {
            return Ok(Vec::new());
        }
        let holders = holders(conn, session, ids).await?;
        if !holders.is_empty() {
            return Ok(holders);
        }
    }
    Err(DbError::NotFound { what: GONE.to_owned() })
}

/// Claims what is free, and asks its holders for the rest. Says who they are.
pub(super) async fn take_over(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
    action: Option<&str>,
) -> Result<Vec<Holder>, DbError> {
    for _ in 0..LOOKS_MAX {
        let taken = take(conn, session, ids, action).await?;
        if taken == ids.len() {
            return Ok(Vec::new());
        }
        let wanted = want(conn, session, ids).await?;
        let count: usize = wanted.iter().map(|wanted| wanted.holder.components.len()).sum();
        if taken + count == ids.len() {
            let holders: Vec<(SessionId, usize)> =
                wanted.iter().map(|wanted| (wanted.id, wanted.holder.components.len())).collect();
            let losers: Vec<i64> = wanted.iter().flat_map(|wanted| wanted.losers.clone()).collect();
            hand_over::ask(conn, session, &holders, &losers).await?;
            return Ok(wanted.into_iter().map(|wanted| wanted.holder).collect());
        }
    }
    Err(DbError::NotFound { what: GONE.to_owned() })
}

struct Wanted {
    id: SessionId,
    holder: Holder,
    /// Sessions that wanted some of it before: they get nothing of it any more.
    losers: Vec<i64>,
}

/// Marks what others hold as wanted by the session.
async fn want(conn: &mut Connection, session: SessionId, ids: &[i32]) -> Result<Vec<Wanted>, DbError> {
    let rows = sqlx::query!(
        r#"with held as materialized (
             select p.component_id, p.claimed_by, nullif(p.wanted_by, $1) as loser
               from unnest($2::int4[]) w(component_id)
               join lateral (
                 select x.component_id, x.claimed_by, x.wanted_by from component_progress x
                  where x.component_id = w.component_id and x.claimed_by is not null and x.claimed_by <> $1
                    for update) p on true),
           wanted as (
             update component_progress p set wanted_by = $1 from held where p.component_id = held.component_id)
           select s.session_id, s.name, array_agg(h.component_id order by h.component_id) as "components!",
                  coalesce(array_agg(distinct h.loser) filter (where h.loser is not null), '{}') as "losers!"
             from held h join session s on s.session_id = h.claimed_by
            group by s.session_id, s.name order by s.session_id"#,
        session.0,
        ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("ask for components"))?;
    let wanted = rows.into_iter().map(|row| Wanted {
        id: SessionId(row.session_id),
        holder: Holder { session: row.name, components: row.components, waits: false },
        losers: row.losers,
    });
    Ok(wanted.collect())
}

/// Sessions that came earlier and wait for any of these components.
pub(super) async fn waiting_before(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
) -> Result<Vec<Holder>, DbError> {
    let rows = sqlx::query!(
        r#"select s.name, array_agg(u.component_id order by u.component_id) as "components!"
             from waiting_component_batch b
             join session s on s.session_id = b.session_id and s.state = 'waiting' and s.deleted_at is null
             cross join lateral unnest(b.component_ids) u(component_id)
             join unnest($2::int4[]) w(component_id) on w.component_id = u.component_id
            where b.session_id < $1
            group by s.session_id, s.name order by s.session_id"#,
        session.0,
        ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look who waits for components"))?;
    let holder = |name, components| Holder { session: name, components, waits: true };
    Ok(rows.into_iter().map(|row| holder(row.name, row.components)).collect())
}

/// Keeps what a session waits for, and says so.
pub(super) async fn wait_for(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
    why: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "with kept as (
           insert into waiting_component_batch (session_id, component_ids) values ($1, $2)
           on conflict (session_id) do update set component_ids = excluded.component_ids)
         update session set reason = $3 where session_id = $1 and state = 'waiting'",
        session.0,
        ids,
        why
    )
    .execute(conn)
    .await
    .map_err(doing("keep what a session waits for"))?;
    Ok(())
}

/// Forgets what a session waits for: it is to be looked at anew.
pub(super) async fn forget_wait(conn: &mut Connection, session: SessionId) -> Result<(), DbError> {
    sqlx::query!("delete from waiting_component_batch where session_id = $1", session.0)
        .execute(conn)
        .await
        .map_err(doing("forget what a session waits for"))?;
    Ok(())
}

/// What a session waits for; none if it has not been found to have to.
pub(super) async fn waited_for(
    conn: &mut Connection,
    session: SessionId,
) -> Result<Option<Vec<i32>>, DbError> {
    sqlx::query_scalar!("select component_ids from waiting_component_batch where session_id = $1", session.0)
        .fetch_optional(conn)
        .await
        .map_err(doing("look what a session waits for"))
}

/// Claims what is free; the number that is the session's afterwards.
async fn take(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
    action: Option<&str>,
) -> Result<usize, DbError> {
    let taken = sqlx::query_scalar!(
        r#"with free as materialized (
             select p.component_id
               from unnest($2::int4[]) w(component_id)
               join lateral (
                 select x.component_id from component_progress x
                  where x.component_id = w.component_id and (x.claimed_by is null or x.claimed_by = $1)
                    for update) p on true),
           taken as (
             update component_progress p
                set claimed_by = $1, wanted_by = null, handed_over_at = null, session_id = $1, phase = '',
                    last_action = coalesce($3::text, (select r.action from component_record r
                                                 where $3::text is null and r.component_id = p.component_id), ''),
                    last_action_failed = false, power_on_attempts = 0, power_off_graceful_attempts = 0,
                    power_off_forceful_attempts = 0, error_no = null,
                    powered_on_at = case when p.session_id = $1 then p.powered_on_at end,
                    last_action_at = clock_timestamp(), changed_at = clock_timestamp()
               from free
              where p.component_id = free.component_id and p.claimed_by is null)
           select count(*) as "n!" from free"#,
        session.0,
        ids,
        action
    )
    .fetch_one(conn)
    .await
    .map_err(doing("claim components"))?;
    Ok(usize::try_from(taken).unwrap_or_default())
}

/// Who holds components that somebody else asked for.
pub(super) async fn holders(
    conn: &mut Connection,
    session: SessionId,
    ids: &[i32],
) -> Result<Vec<Holder>, DbError> {
    let rows = sqlx::query!(
        r#"select s.name, array_agg(p.component_id order by p.component_id) as "components!"
             from unnest($2::int4[]) w(component_id)
             join lateral (select x.component_id, x.claimed_by from component_progress x
                            where x.component_id = w.component_id and x.claimed_by is not null) p on true
             join session s on s.session_id = p.claimed_by
            where p.claimed_by <> $1
            group by s.session_id, s.name order by s.session_id"#,
        session.0,
        ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look who holds components"))?;
    let holder = |name, components| Holder { session: name, components, waits: false };
    Ok(rows.into_iter().map(|row| holder(row.name, row.components)).collect())
}

/// Writes what the session wants into the records of its components; `ids` ascending, each with its slice.
pub(super) async fn record(
    conn: &mut Connection,
    ids: &[i32],
    slices: &[i16],
    wish: &Wish<'_>,
) -> Result<(), DbError> {
    let recorded = sqlx::query!(
        "with locked as materialized (
           select w.component_id, w.slice_no
             from unnest($1::int4[], $2::int2[]) w(component_id, slice_no)
             join lateral (select 1 from component x
                            where x.component_id = w.component_id and x.retired_at is null for update) x on true)
         update component c
            set enabled = true, session = $3, error = '', status = null, last_action = null, event_stats = null,
                desired_boot_artifacts_id = case when $6 then c.desired_boot_artifacts_id
                                                 else ($4::int4[])[l.slice_no + 1] end,
                desired_configuration = coalesce(($5::text[])[l.slice_no + 1], ''),
                desired_token = case when ($7::bool[])[l.slice_no + 1] then '' else c.desired_token end,
                desired_updated_at = now(), written_at = now(), wished_at = null, wished_by = null
           from locked l
          where c.component_id = l.component_id",
        ids,
        slices,
        wish.session_name,
        wish.artifacts,
        wish.configurations as &[Option<&str>],
        wish.keeps_artifacts,
        wish.off,
    )
    .execute(conn)
    .await
    .map_err(doing("write what components are to become"))?;
    if recorded.rows_affected() < ids.len() as u64 {
        return Err(DbError::NotFound { what: GONE.to_owned() });
    }
    Ok(())
}

/// A component that a session holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimLine {
    /// The component's id.
    pub xname: String,
    /// The session's number.
    pub session_id: i64,
    /// The session's name.
    pub session: String,
    /// Where it is, as `SessionState::label`.
    pub state: String,
    /// What is being done with the component, in BOS's word.
    pub phase: String,
    /// The session that waits for it.
    pub wanted_by: Option<String>,
}

/// Which claims are asked for; all that are set must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimFilter<'a> {
    /// Held by the session of this name.
    pub session: Option<&'a str>,
    /// Only those that somebody waits for.
    pub wanted: bool,
    /// After this component.
    pub after: Option<&'a str>,
    /// At most so many (10,000).
    pub limit: i64,
}

/// Who holds what, by component. Of one session only its own members are looked at: one that is over has no claims, and
/// one that holds little is not looked for among all that others hold.
pub async fn page(conn: &mut Connection, filter: ClaimFilter<'_>) -> Result<Vec<ClaimLine>, DbError> {
    let limit = filter.limit.clamp(1, 10_000);
    let listed = match filter.session {
        None => {
            sqlx::query_as!(
                ClaimLine,
                r#"select xname as "xname!", session_id as "session_id!", session as "session!", state as "state!",
                          phase as "phase!", wanted_by as "wanted_by?"
                     from claims
                    where (not $1 or wanted_by is not null) and ($2::text is null or xname > $2)
                    order by xname limit $3"#,
                filter.wanted,
                filter.after,
                limit
            )
            .fetch_all(conn)
            .await
        }
        Some(session) => {
            sqlx::query_as!(
                ClaimLine,
                r#"with held as materialized (
                     select s.session_id, s.name, s.state, p.component_id, p.phase, p.wanted_by
                       from session s
                       join session_component_batch b on b.session_id = s.session_id and b.slice_no is not null
                      cross join lateral unnest(b.component_ids) u(component_id)
                       join component_progress p on p.component_id = u.component_id and p.claimed_by = s.session_id
                      where s.name = $1 and s.state <> 'ended' and (not $2 or p.wanted_by is not null))
                   select c.xname, h.session_id, h.name as session, h.state, h.phase, w.name as "wanted_by?"
                     from held h join component c on c.component_id = h.component_id
                     left join session w on w.session_id = h.wanted_by
                    where $3::text is null or c.xname > $3
                    order by c.xname limit $4"#,
                session,
                filter.wanted,
                filter.after,
                limit
            )
            .fetch_all(conn)
            .await
        }
    };
    listed.map_err(doing("list claims"))
}
