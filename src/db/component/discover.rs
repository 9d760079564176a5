//! Components come, and are retired.

use crate::model::command::CommandKind;

use super::{
    super::{Connection, DbError, Pool, error::doing},
    tell::{News, tell},
};

/// Adds components that HSM knows and we do not, as BOS does: disabled, with nothing to become. How many were new.
pub async fn discover(conn: &mut Connection, xnames: &[String]) -> Result<u64, DbError> {
    insert(conn, xnames, true).await
}

/// Adds components where there are none (or retired ones), with nothing written but what discovery writes.
pub(super) async fn insert(
    conn: &mut Connection,
    xnames: &[String],
    discovered: bool,
) -> Result<u64, DbError> {
    let added = sqlx::query_scalar!(
        r#"with added as (
             insert into component as c (xname, enabled, error, session, actual_token, desired_token, desired_configuration,
                                         staged_state, last_action)
             select x, f.enabled, f.empty, f.empty, f.empty, f.empty, f.empty, f.staged, f.action
               from (select distinct unnest($1::text[]) as x) w,
                    (select case when $2 then false end as enabled, case when $2 then '' end as empty,
                            case when $2 then '{}'::jsonb end as staged,
                            case when $2 then jsonb_build_object('action', 'newly_discovered', 'failed', false,
                                                                 'last_updated', now()) end as action) f
              order by x
             on conflict (xname) do update
                set retired_at = null, enabled = excluded.enabled, error = excluded.error, session = excluded.session,
                    retry_policy = null, actual_boot_artifacts_id = null, actual_token = excluded.actual_token,
                    actual_updated_at = null, reported_at = null, desired_boot_artifacts_id = null,
                    desired_configuration = excluded.desired_configuration, desired_token = excluded.desired_token,
                    desired_updated_at = null, staged_state = excluded.staged_state, status = null,
                    last_action = excluded.last_action, event_stats = null, written_at = clock_timestamp()
              where c.retired_at is not null
             returning component_id),
           progress as (
             insert into component_progress (component_id) select component_id from added
             on conflict (component_id) do nothing)
           select count(*) as "n!" from added"#,
        xnames,
        discovered
    )
    .fetch_one(conn)
    .await
    .map_err(doing("add components"))?;
    Ok(u64::try_from(added).unwrap_or_default())
}

/// The numbers of components by id, bytewise; unknown ones are left out.
pub async fn numbers(conn: &mut Connection, xnames: &[String]) -> Result<Vec<(String, i32)>, DbError> {
    let rows = sqlx::query!(
        "select c.xname, c.component_id
           from (select distinct unnest($1::text[]) as x) w
           join lateral (select * from component y where y.xname = w.x and y.retired_at is null) c on true
          order by c.xname",
        xnames
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look up components"))?;
    Ok(rows.into_iter().map(|row| (row.xname, row.component_id)).collect())
}

/// Retires a component: it is not there any more, but history keeps its name. Nobody acts on it from then on.
pub async fn delete(pool: &Pool, xname: &str, actor: &str) -> Result<(), DbError> {
    let (pool, xname, actor) = (pool.clone(), xname.to_owned(), actor.to_owned());
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("delete a component"))?;
        delete_in(&mut tx, &xname, &actor).await?;
        tx.commit().await.map_err(doing("delete a component"))
    });
    task.await.expect("nothing in a deletion panics")
}

async fn delete_in(conn: &mut Connection, xname: &str, actor: &str) -> Result<(), DbError> {
    let retired = sqlx::query_scalar!(
        "update component set retired_at = clock_timestamp(), wished_at = null, wished_by = null, applied_at = null
          where xname = $1 and retired_at is null
         returning component_id",
        xname
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("delete a component"))?;
    let component = retired.ok_or_else(|| DbError::NotFound { what: format!("Component '{xname}'") })?;
    let reason = Some("its record was deleted");
    tell(conn, &[News { component, kind: CommandKind::Disable, reason }], actor).await
}

/// All components that are not retired, with their numbers.
pub async fn names(conn: &mut Connection) -> Result<Vec<(i32, String)>, DbError> {
    let rows = sqlx::query!("select component_id, xname from component where retired_at is null")
        .fetch_all(conn)
        .await
        .map_err(doing("read the names of components"))?;
    Ok(rows.into_iter().map(|row| (row.component_id, row.xname)).collect())
}
