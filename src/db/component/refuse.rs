//! Components that a session was to act on, and that were left out: their records say why, and they are not enabled any
//! more, also for whoever holds them.

use crate::model::command::CommandKind;

use super::{
    super::{Connection, DbError, error::doing},
    tell::{News, tell},
};

/// Who disables components that nothing can be done with.
const ACTOR: &str = "bosun";

/// Locks the records of components, ascending, for whoever writes them in several statements.
pub(in crate::db) async fn lock(conn: &mut Connection, components: &[i32]) -> Result<(), DbError> {
    sqlx::query!(
        r#"with locked as materialized (
             select 1 from unnest($1::int4[]) w(component_id)
               join lateral (select 1 from component x where x.component_id = w.component_id for update) x on true)
           select count(*) as "n!" from locked"#,
        components
    )
    .fetch_one(conn)
    .await
    .map_err(doing("lock components"))?;
    Ok(())
}

/// Says in the records of components (ascending, with an error each) why nothing is done with them.
pub(in crate::db) async fn refuse(
    conn: &mut Connection,
    components: &[i32],
    errors: &[&str],
) -> Result<(), DbError> {
    sqlx::query!(
        "with shown as materialized (
           select r.*, w.why
             from unnest($1::int4[], $2::text[]) w(component_id, why)
             join lateral (select * from component_record y where y.component_id = w.component_id) r on true)
         update component c
            set enabled = false, wished_at = null, wished_by = null, error = r.why,
                status = jsonb_build_object('phase', '', 'status_override', 'failed'),
                last_action = jsonb_strip_nulls(jsonb_build_object(
                  'action', nullif(r.action, ''), 'failed', r.action_failed, 'last_updated', r.action_at)),
                event_stats = jsonb_strip_nulls(jsonb_build_object(
                  'power_on_attempts', r.power_on_attempts,
                  'power_off_graceful_attempts', r.power_off_graceful_attempts,
                  'power_off_forceful_attempts', r.power_off_forceful_attempts)),
                written_at = clock_timestamp()
           from shown r
          where c.component_id = r.component_id",
        components,
        errors as &[&str],
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("say why components were left out"))?;
    let news = components.iter().zip(errors).map(|(component, why)| News {
        component: *component,
        kind: CommandKind::Disable,
        reason: Some(*why),
    });
    tell(conn, &news.collect::<Vec<_>>(), ACTOR).await
}

/// Says in the records of components that this session was to apply, and that are still enabled for it, why it does not.
pub(in crate::db) async fn refuse_session(
    conn: &mut Connection,
    xnames: &[String],
    session: &str,
    why: &str,
) -> Result<(), DbError> {
    let components = sqlx::query_scalar!(
        r#"with locked as materialized (
             select component_id from component
              where xname = any ($1) and session = $2 and enabled and retired_at is null
              order by component_id for update)
           select coalesce(array_agg(component_id order by component_id), '{}') as "ids!" from locked"#,
        xnames,
        session
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(doing("look for the components of a session"))?;
    refuse(conn, &components, &vec![why; components.len()]).await
}
