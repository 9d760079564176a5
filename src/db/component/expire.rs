//! What nodes reported goes after a while without news, as BOS's option says. Nothing is ever done to a node for that.

use std::time::Duration;

use crate::model::artifacts::BootArtifacts;

use super::super::{Connection, DbError, artifacts, error::doing};

/// Most components of one statement; the next pass finds the others.
const BATCH_MAX: i64 = 5_000;

/// Empties the actual state of components that did not report for so long and that no session holds. Unlike BOS's, it
/// never disturbs an action under way. How many there were.
pub async fn expire_actual(conn: &mut Connection, time_to_live: Duration) -> Result<u64, DbError> {
    let nothing = artifacts::find_or_insert(conn, &[BootArtifacts::default()]).await?;
    let expired = sqlx::query!(
        "with old as materialized (
           select c.component_id
             from component c join component_progress p on p.component_id = c.component_id
            where p.claimed_by is null and c.retired_at is null and c.actual_boot_artifacts_id <> $1
              and coalesce(c.actual_updated_at, '-infinity') <= clock_timestamp() - make_interval(secs => $2)
            order by c.component_id limit $3 for update of c),
         shown as materialized (
           select r.* from component_record r where r.component_id = any (array(select component_id from old)))
         update component c
            set actual_boot_artifacts_id = $1, actual_token = '', actual_updated_at = clock_timestamp(), error = '',
                last_action = jsonb_build_object('action', 'actual_state_cleanup', 'failed', false,
                                                 'last_updated', clock_timestamp()),
                status = jsonb_build_object('phase', coalesce(r.phase, ''),
                                            'status_override', coalesce(r.status_override, '')),
                event_stats = jsonb_strip_nulls(jsonb_build_object(
                  'power_on_attempts', r.power_on_attempts,
                  'power_off_graceful_attempts', r.power_off_graceful_attempts,
                  'power_off_forceful_attempts', r.power_off_forceful_attempts)),
                written_at = clock_timestamp()
           from shown r
          where c.component_id = r.component_id",
        nothing[0].0,
        time_to_live.as_secs_f64(),
        BATCH_MAX
    )
    .execute(conn)
    .await
    .map_err(doing("expire what nodes reported"))?;
    Ok(expired.rows_affected())
}
