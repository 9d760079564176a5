//! Table `slice`.

use crate::model::{
    artifacts::{BootArtifacts, BootArtifactsId},
    plan::{Slice, SliceArtifacts},
    session::SessionId,
};

use super::{Connection, DbError, error::doing};

/// Keeps a plan's slices; `artifacts` are the numbers of what they boot.
pub(super) async fn insert(
    conn: &mut Connection,
    session: SessionId,
    slices: &[Slice],
    artifacts: &[Option<i32>],
) -> Result<(), DbError> {
    let boot_sets: Vec<&str> = slices.iter().map(|s| s.boot_set.as_str()).collect();
    let waves: Vec<i16> = slices.iter().map(|s| s.wave).collect();
    let images: Vec<Option<&str>> =
        slices.iter().map(|s| s.artifacts.as_ref().and_then(|a| a.image.as_deref())).collect();
    let projected: Vec<bool> =
        slices.iter().map(|s| s.artifacts.as_ref().is_some_and(|a| a.projected)).collect();
    let configurations: Vec<Option<&str>> = slices.iter().map(|s| s.configuration.as_deref()).collect();
    sqlx::query!(
        "insert into slice (session_id, slice_no, boot_set, wave, boot_artifacts_id, image, projected, configuration)
         select $1, u.n - 1, u.boot_set, u.wave, u.artifacts, u.image, u.projected, u.configuration
           from unnest($2::text[], $3::int2[], $4::int4[], $5::text[], $6::bool[], $7::text[])
                with ordinality u(boot_set, wave, artifacts, image, projected, configuration, n)",
        session.0,
        &boot_sets as &[&str],
        &waves,
        artifacts as &[Option<i32>],
        &images as &[Option<&str>],
        &projected,
        &configurations as &[Option<&str>],
    )
    .execute(conn)
    .await
    .map_err(doing("keep a plan's slices"))?;
    Ok(())
}

/// A plan's slices, in order.
pub(super) async fn list(conn: &mut Connection, session: SessionId) -> Result<Vec<Slice>, DbError> {
    let rows = sqlx::query!(
        r#"select s.boot_set, s.wave, s.image, s.projected, s.configuration, s.boot_artifacts_id,
                  b.kernel as "kernel?", b.initrd as "initrd?", b.kernel_parameters as "kernel_parameters?"
             from slice s left join boot_artifacts b on b.boot_artifacts_id = s.boot_artifacts_id
            where s.session_id = $1
            order by s.slice_no"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a plan's slices"))?;
    let slices = rows.into_iter().map(|row| Slice {
        boot_set: row.boot_set,
        wave: row.wave,
        artifacts: row.boot_artifacts_id.map(|id| SliceArtifacts {
            id: BootArtifactsId(id),
            artifacts: BootArtifacts {
                kernel: row.kernel.unwrap_or_default(),
                initrd: row.initrd.unwrap_or_default(),
                kernel_parameters: row.kernel_parameters.unwrap_or_default(),
            },
            image: row.image,
            projected: row.projected,
        }),
        configuration: row.configuration,
    });
    Ok(slices.collect())
}
