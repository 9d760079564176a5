//! Tables `session_template` (what a name stands for now) and `session_template_version` (contents, immutable).

use sha2::{Digest, Sha256};

use crate::model::{Timestamp, session::Name, session_template::SessionTemplate};

use super::{Connection, DbError, error::doing, label};

/// A template as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTemplate {
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// The version its name stands for now.
    pub version: i64,
    /// What it says.
    pub content: SessionTemplate,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Creates or replaces a template; what sessions were made from stays. Returns the version.
pub async fn put(
    conn: &mut Connection,
    tenant: &str,
    name: &Name,
    content: &SessionTemplate,
) -> Result<i64, DbError> {
    let version = version(conn, content).await?;
    sqlx::query!(
        "insert into session_template (tenant, name, session_template_version_id) values ($1, $2, $3)
         on conflict (tenant, name) do update
            set session_template_version_id = excluded.session_template_version_id, updated_at = clock_timestamp()",
        tenant,
        name.as_str(),
        version
    )
    .execute(conn)
    .await
    .map_err(doing("keep a session template"))?;
    Ok(version)
}

/// Replaces a template that is still at this version. Whether it was.
pub async fn replace(
    conn: &mut Connection,
    tenant: &str,
    name: &Name,
    content: &SessionTemplate,
    expected: i64,
) -> Result<bool, DbError> {
    let version = version(conn, content).await?;
    let replaced = sqlx::query!(
        "update session_template set session_template_version_id = $4, updated_at = clock_timestamp()
          where tenant = $1 and name = $2 and session_template_version_id = $3",
        tenant,
        name.as_str(),
        expected,
        version
    )
    .execute(conn)
    .await
    .map_err(doing("change a session template"))?;
    Ok(replaced.rows_affected() > 0)
}

/// A template by name.
pub async fn get(conn: &mut Connection, tenant: &str, name: &str) -> Result<StoredTemplate, DbError> {
    let row = sqlx::query!(
        "select t.session_template_version_id as version, v.content, t.updated_at
           from session_template t join session_template_version v using (session_template_version_id)
          where t.tenant = $1 and t.name = $2",
        tenant,
        name
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("read a session template"))?
    .ok_or_else(|| DbError::NotFound { what: format!("session template '{name}'") })?;
    Ok(StoredTemplate {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        version: row.version,
        content: label::read_json("a session template", row.content)?,
        updated_at: row.updated_at,
    })
}

/// The content that a template's name stands for, or ever stood for, by version.
pub async fn get_version(
    conn: &mut Connection,
    tenant: &str,
    name: &str,
    version: i64,
) -> Result<SessionTemplate, DbError> {
    let content = sqlx::query_scalar!(
        "select v.content from session_template_version v
          where v.session_template_version_id = $3
            and exists (select from session_template_applied a
                         where a.tenant = $1 and a.name = $2 and a.session_template_version_id = $3)",
        tenant,
        name,
        version
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("read a version of a session template"))?
    .ok_or_else(|| DbError::NotFound { what: format!("version {version} of session template '{name}'") })?;
    label::read_json("a session template", content)
}

/// A version of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionLine {
    /// Its number.
    pub version: i64,
    /// Whether the name stands for it now.
    pub is_current: bool,
    /// When this content was first kept, under whatever name.
    pub created_at: Timestamp,
    /// How many sessions were made from it under this name.
    pub sessions: i64,
    /// When the last of them was asked for.
    pub last_used_at: Option<Timestamp>,
}

/// The versions that [`get_version`] finds, the newest first; at most 1,000.
pub async fn versions(conn: &mut Connection, tenant: &str, name: &str) -> Result<Vec<VersionLine>, DbError> {
    sqlx::query_as!(
        VersionLine,
        r#"with used as (
             select session_template_version_id as version, count(*) as sessions, max(created_at) as last_used_at
               from session
              where tenant = $1 and split_part(template_name, '@', 1) = $2 and session_template_version_id is not null
              group by session_template_version_id),
           now as (
             select session_template_version_id as version from session_template where tenant = $1 and name = $2)
           select v.session_template_version_id as version, n.version is not null as "is_current!", v.created_at,
                  coalesce(u.sessions, 0) as "sessions!", u.last_used_at
             from session_template_applied a
             join session_template_version v using (session_template_version_id)
             left join used u on u.version = a.session_template_version_id
             left join now n on n.version = a.session_template_version_id
            where a.tenant = $1 and a.name = $2
            order by v.session_template_version_id desc limit 1000"#,
        tenant,
        name
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list the versions of a session template"))
}

/// All templates of a tenant (`None`: of everybody), by name.
pub async fn list(conn: &mut Connection, tenant: Option<&str>) -> Result<Vec<StoredTemplate>, DbError> {
    let rows = sqlx::query!(
        "select t.tenant, t.name, t.session_template_version_id as version, v.content, t.updated_at
           from session_template t join session_template_version v using (session_template_version_id)
          where $1::text is null or t.tenant = $1
          order by t.tenant, t.name",
        tenant
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list session templates"))?;
    let templates = rows.into_iter().map(|row| {
        Ok(StoredTemplate {
            tenant: row.tenant,
            name: row.name,
            version: row.version,
            content: label::read_json("a session template", row.content)?,
            updated_at: row.updated_at,
        })
    });
    templates.collect()
}

/// Forgets the name; what sessions were made from stays.
pub async fn delete(conn: &mut Connection, tenant: &str, name: &str) -> Result<(), DbError> {
    let deleted = sqlx::query!("delete from session_template where tenant = $1 and name = $2", tenant, name)
        .execute(conn)
        .await
        .map_err(doing("delete a session template"))?;
    match deleted.rows_affected() {
        0 => Err(DbError::NotFound { what: format!("session template '{name}'") }),
        _ => Ok(()),
    }
}

/// The number of this content; a new one is added.
pub(super) async fn version(conn: &mut Connection, content: &SessionTemplate) -> Result<i64, DbError> {
    let content = serde_json::to_value(content).expect("a template is a document");
    let hash = Sha256::digest(content.to_string().as_bytes()).to_vec();
    sqlx::query!(
        "insert into session_template_version (sha256, content) values ($1, $2) on conflict (sha256) do nothing",
        &hash,
        &content
    )
    .execute(&mut *conn)
    .await
    .map_err(doing("keep a session template's content"))?;
    sqlx::query_scalar!(
        "select session_template_version_id from session_template_version where sha256 = $1",
        &hash
    )
    .fetch_one(conn)
    .await
    .map_err(doing("look up a session template's content"))
}
