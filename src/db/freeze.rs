//! Table `machine_freeze`: maintenance locks. Setting one takes the admissions' lock: no session is admitted past it.

use crate::model::{Timestamp, freeze::Freeze, session::SessionId};

use super::{Connection, DbError, Pool, claim, error::doing};

/// A lock to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFreeze {
    /// Why.
    pub reason: String,
    /// Who sets it.
    pub actor: String,
    /// Whom it covers, as asked for, and by ascending number; none: the whole machine.
    pub scope: Option<(String, Vec<i32>)>,
    /// Who is exempt, as asked for, and by ascending number.
    pub exempt: (String, Vec<i32>),
    /// Whose sessions are exempt.
    pub except_actors: Vec<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// Components that a freeze covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The freeze.
    pub freeze: Freeze,
    /// Whom it covers of those asked for, ascending.
    pub components: Vec<i32>,
}

/// Sets a lock; its number.
pub async fn insert(pool: &Pool, new: NewFreeze) -> Result<i64, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("freeze"))?;
        claim::lock(&mut tx).await?;
        let (scope, components) = new.scope.unzip();
        let id = sqlx::query_scalar!(
            "insert into machine_freeze (reason, actor, scope, component_ids, exempt, except_ids, except_actors, until)
             values ($1, $2, coalesce($3, ''), $4, $5, $6, $7, $8) returning freeze_id",
            new.reason,
            new.actor,
            scope,
            components.as_deref(),
            new.exempt.0,
            &new.exempt.1,
            &new.except_actors,
            new.until
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(doing("freeze"))?;
        tell(&mut tx).await?;
        tx.commit().await.map_err(doing("freeze"))?;
        Ok(id)
    });
    task.await.expect("nothing in a freeze panics")
}

/// Ends one that is in force; whether it was. `None`: all of them.
pub async fn lift(conn: &mut Connection, id: Option<i64>, actor: &str) -> Result<u64, DbError> {
    let lifted = sqlx::query!(
        "update machine_freeze set lifted_at = clock_timestamp(), lifted_by = $2
          where lifted_at is null and (until is null or until > clock_timestamp()) and ($1::int8 is null or freeze_id = $1)",
        id,
        actor
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("lift a freeze"))?;
    tell(conn).await?;
    Ok(lifted.rows_affected())
}

/// Tells the workers of live sessions, and whoever admits. They look for themselves.
async fn tell(conn: &mut Connection) -> Result<(), DbError> {
    sqlx::query!(
        "select pg_notify('bosun_session_' || session_id, 'freeze')::text as told from session
          where state not in ('waiting', 'ended')
         union all select pg_notify('bosun_launcher', '')::text"
    )
    .fetch_all(conn)
    .await
    .map_err(doing("tell of a freeze"))?;
    Ok(())
}

/// Locks, newest first; those in force only, or those that are over too.
pub async fn list(conn: &mut Connection, in_force_only: bool, limit: i64) -> Result<Vec<Freeze>, DbError> {
    sqlx::query_as!(
        Freeze,
        r#"select freeze_id as id, reason, actor, scope, exempt, except_actors, created_at, until, lifted_at, lifted_by,
                  (lifted_at is null and (until is null or until > clock_timestamp())) as "in_force!"
             from machine_freeze
            where not $1 or (lifted_at is null and (until is null or until > clock_timestamp()))
            order by freeze_id desc limit $2"#,
        in_force_only,
        limit.clamp(1, 1_000)
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read freezes"))
}

/// The locks in force that cover any of these components (ascending) for an actor's session.
pub async fn covering(
    conn: &mut Connection,
    components: &[i32],
    actor: &str,
) -> Result<Vec<Frozen>, DbError> {
    let rows = sqlx::query!(
        r#"select f.freeze_id, f.reason, f.actor, f.scope, f.exempt, f.except_actors, f.created_at, f.until,
                  held.components as "components!"
             from machine_freeze f
            cross join lateral (
              select array(
                select w.component_id from unnest($1::int4[]) w(component_id)
                 where (f.component_ids is null
                        or w.component_id in (select x.id from unnest(f.component_ids) x(id)))
                   and w.component_id not in (select x.id from unnest(f.except_ids) x(id))
                 order by w.component_id) as components) held
            where f.lifted_at is null and (f.until is null or f.until > clock_timestamp())
              and not $2 = any (f.except_actors) and held.components <> '{}'
            order by f.freeze_id"#,
        components,
        actor
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look who is frozen"))?;
    let frozen = rows.into_iter().map(|row| Frozen {
        freeze: Freeze {
            id: row.freeze_id,
            reason: row.reason,
            actor: row.actor,
            scope: row.scope,
            exempt: row.exempt,
            except_actors: row.except_actors,
            created_at: row.created_at,
            until: row.until,
            lifted_at: None,
            lifted_by: None,
            in_force: true,
        },
        components: row.components,
    });
    Ok(frozen.collect())
}

/// The components of an admitted session that a freeze in force covers, ascending.
pub async fn of_session(conn: &mut Connection, session: &SessionId) -> Result<Vec<i32>, DbError> {
    sqlx::query_scalar!(
        r#"select distinct u.component_id as "component_id!"
             from session s
             join machine_freeze f on f.lifted_at is null and (f.until is null or f.until > clock_timestamp())
              and not s.actor = any (f.except_actors)
             join session_component_batch b on b.session_id = s.session_id and b.slice_no is not null
            cross join lateral unnest(b.component_ids) u(component_id)
            where s.session_id = $1
              and (f.component_ids is null or u.component_id in (select x.id from unnest(f.component_ids) x(id)))
              and u.component_id not in (select x.id from unnest(f.except_ids) x(id))
            order by 1"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look who is frozen"))
}
