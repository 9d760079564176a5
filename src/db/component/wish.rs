//! Wishes: components that a client enabled without a session. They wait in their own rows until a session is admitted
//! for them, whoever does that.

use std::{sync::Arc, time::Duration};

use crate::model::{
    Timestamp,
    artifacts::{BootArtifacts, BootArtifactsId},
};

use super::{
    super::{Connection, DbError, error::doing},
    shared_artifacts,
};

/// A component that waits to be driven to its desired state.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Its number.
    pub component: i32,
    /// Its id.
    pub id: String,
    /// Who enabled it.
    pub actor: String,
    /// What it is to boot; none, or without a kernel: nothing.
    pub artifacts: Option<(BootArtifactsId, Arc<BootArtifacts>)>,
    /// Its configuration; empty for none.
    pub configuration: String,
    /// Which wish this is: a later one replaces it.
    pub version: WishVersion,
}

/// Tells a wish from a later one for the same component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WishVersion {
    wished_at: Timestamp,
    desired_at: Option<Timestamp>,
}

/// How long the oldest wish has waited.
pub async fn oldest_wish(conn: &mut Connection) -> Result<Option<Duration>, DbError> {
    let waited = sqlx::query_scalar!(
        "select extract(epoch from clock_timestamp() - min(wished_at))::float8
           from component where wished_at is not null and retired_at is null"
    )
    .fetch_one(conn)
    .await
    .map_err(doing("look for enabled components"))?;
    Ok(waited.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
}

/// The wishes, by ascending component; at most so many. Whether sessions hold the components does not matter: what a client
/// wants now is taken over from them.
pub async fn wishes(conn: &mut Connection, most: i64) -> Result<Vec<Wish>, DbError> {
    let rows = sqlx::query!(
        r#"select c.component_id, c.xname, c.wished_at as "wished_at!", coalesce(c.wished_by, '') as "actor!",
                  c.desired_boot_artifacts_id as boots, coalesce(c.desired_configuration, '') as "configuration!",
                  c.desired_updated_at
             from component c
            where c.wished_at is not null and c.retired_at is null
            order by c.component_id limit $1"#,
        most
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(doing("read enabled components"))?;
    let mut ids: Vec<i32> = rows.iter().filter_map(|row| row.boots).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = shared_artifacts(conn, &ids).await?;
    let wishes = rows.into_iter().map(|row| Wish {
        component: row.component_id,
        id: row.xname,
        actor: row.actor,
        artifacts: row.boots.and_then(|id| Some((BootArtifactsId(id), known.get(&id)?.clone()))),
        configuration: row.configuration,
        version: WishVersion { wished_at: row.wished_at, desired_at: row.desired_updated_at },
    });
    Ok(wishes.collect())
}

/// Takes these wishes (by ascending component): their components are enabled, with nothing said of them. False if
/// somebody took one before, or asked for something else since; the caller rolls back.
pub(in crate::db) async fn take_wishes(
    conn: &mut Connection,
    wishes: &[(i32, WishVersion)],
) -> Result<bool, DbError> {
    let components: Vec<i32> = wishes.iter().map(|(component, _)| *component).collect();
    let wished: Vec<Timestamp> = wishes.iter().map(|(_, version)| version.wished_at).collect();
    let desired: Vec<Option<Timestamp>> = wishes.iter().map(|(_, version)| version.desired_at).collect();
    let taken = sqlx::query!(
        "with wished as materialized (
           select w.component_id
             from unnest($1::int4[], $2::timestamptz[], $3::timestamptz[]) w(component_id, wished_at, desired_at)
             join lateral (select 1 from component x
                            where x.component_id = w.component_id and x.retired_at is null
                              and x.wished_at = w.wished_at
                              and x.desired_updated_at is not distinct from w.desired_at for update) x on true)
         update component c
            set wished_at = null, wished_by = null, enabled = true, error = '', status = null, last_action = null,
                event_stats = null, written_at = now()
           from wished w
          where c.component_id = w.component_id",
        &components,
        &wished,
        &desired as &[Option<Timestamp>],
    )
    .execute(conn)
    .await
    .map_err(doing("take enabled components"))?;
    Ok(taken.rows_affected() == wishes.len() as u64)
}
