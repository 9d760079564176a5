//! Table `boot_artifacts`.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::model::artifacts::{BootArtifacts, BootArtifactsId};

use super::{Connection, DbError, error::doing};

/// The numbers of these artifacts, in the same order; those not known yet are added.
pub async fn find_or_insert(
    conn: &mut Connection,
    wanted: &[BootArtifacts],
) -> Result<Vec<BootArtifactsId>, DbError> {
    let hashes: Vec<Vec<u8>> = wanted.iter().map(hash).collect();
    let kernels: Vec<&str> = wanted.iter().map(|a| a.kernel.as_str()).collect();
    let initrds: Vec<&str> = wanted.iter().map(|a| a.initrd.as_str()).collect();
    let parameters: Vec<&str> = wanted.iter().map(|a| a.kernel_parameters.as_str()).collect();
    sqlx::query!(
        "insert into boot_artifacts (sha256, kernel, initrd, kernel_parameters)
         select distinct * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[])
         on conflict (sha256) do nothing",
        &hashes,
        &kernels as &[&str],
        &initrds as &[&str],
        &parameters as &[&str],
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("keep boot artifacts"))?;
    // A statement of its own: it sees what somebody else inserted in the meantime.
    let ids = sqlx::query_scalar!(
        r#"select b.boot_artifacts_id
             from unnest($1::bytea[]) with ordinality w(sha256, n) join boot_artifacts b on b.sha256 = w.sha256
            order by w.n"#,
        &hashes
    )
    .fetch_all(conn)
    .await
    .map_err(doing("look up boot artifacts"))?;
    Ok(ids.into_iter().map(BootArtifactsId).collect())
}

/// The numbers of these artifacts, of which many may be the same; those not known yet are added.
pub async fn numbers<'a>(
    conn: &mut Connection,
    wanted: &[&'a BootArtifacts],
) -> Result<HashMap<&'a BootArtifacts, BootArtifactsId>, DbError> {
    let distinct: Vec<&BootArtifacts> = wanted.iter().copied().collect::<HashSet<_>>().into_iter().collect();
    let owned: Vec<BootArtifacts> = distinct.iter().map(|one| (*one).clone()).collect();
    let ids = find_or_insert(conn, &owned).await?;
    Ok(distinct.into_iter().zip(ids).collect())
}

/// The numbers of these artifacts, as far as they are known.
pub async fn find(
    conn: &mut Connection,
    wanted: &[BootArtifacts],
) -> Result<HashMap<BootArtifacts, BootArtifactsId>, DbError> {
    let by_hash: HashMap<Vec<u8>, &BootArtifacts> = wanted.iter().map(|one| (hash(one), one)).collect();
    let hashes: Vec<Vec<u8>> = by_hash.keys().cloned().collect();
    let rows =
        sqlx::query!("select boot_artifacts_id, sha256 from boot_artifacts where sha256 = any ($1)", &hashes)
            .fetch_all(conn)
            .await
            .map_err(doing("look up boot artifacts"))?;
    let known = rows.into_iter().filter_map(|row| {
        Some(((*by_hash.get(&row.sha256)?).clone(), BootArtifactsId(row.boot_artifacts_id)))
    });
    Ok(known.collect())
}

/// Artifacts by number, those that exist.
pub async fn list(
    conn: &mut Connection,
    ids: &[BootArtifactsId],
) -> Result<Vec<(BootArtifactsId, BootArtifacts)>, DbError> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "select boot_artifacts_id, kernel, initrd, kernel_parameters from boot_artifacts
          where boot_artifacts_id = any ($1)",
        &ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read boot artifacts"))?;
    let artifacts = rows.into_iter().map(|row| {
        let artifacts = BootArtifacts {
            kernel: row.kernel,
            initrd: row.initrd,
            kernel_parameters: row.kernel_parameters,
        };
        (BootArtifactsId(row.boot_artifacts_id), artifacts)
    });
    Ok(artifacts.collect())
}

fn hash(artifacts: &BootArtifacts) -> Vec<u8> {
    let fields = [&artifacts.kernel, &artifacts.initrd, &artifacts.kernel_parameters];
    let mut digest = Sha256::new();
    for field in fields {
        digest.update(u64::try_from(field.len()).expect("a length fits").to_be_bytes());
        digest.update(field.as_bytes());
    }
    digest.finalize().to_vec()
}
