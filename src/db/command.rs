//! Table `command`: what operators ask of sessions.

use crate::model::{
    Timestamp,
    command::{CommandKind, CommandRequest, PendingCommand, Standing},
    session::SessionId,
};

use super::{Connection, DbError, error::doing, label};

/// A command with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    /// The command.
    pub command: PendingCommand,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was obeyed, or refused.
    pub obeyed_at: Option<Timestamp>,
    /// What the writer said.
    pub answer: Option<String>,
}

/// Keeps a command and tells the session's writer and the launcher, who need not hear it.
pub async fn insert(
    conn: &mut Connection,
    session: &SessionId,
    request: &CommandRequest,
    actor: &str,
) -> Result<i64, DbError> {
    insert_once(conn, session, request, actor, None).await
}

/// The same under a key that the client gave: kept once; a second one is [`DbError::Conflict`], and nothing was kept.
pub async fn insert_once(
    conn: &mut Connection,
    session: &SessionId,
    request: &CommandRequest,
    actor: &str,
    key: Option<&str>,
) -> Result<i64, DbError> {
    let data = serde_json::to_value(request).expect("a command is a document");
    let row = sqlx::query!(
        "with kept as (
           insert into command (session_id, data, actor, request_key) values ($1, $2, $3, $4) returning command_id)
         select command_id, pg_notify('bosun_session_' || $1::int8, 'command')::text as writer,
                pg_notify('bosun_launcher', '')::text as launcher
           from kept",
        session.0,
        data,
        actor,
        key
    )
    .fetch_one(conn)
    .await
    .map_err(doing("keep a command"))
    .map_err(|error| taken(error, key))?;
    Ok(row.command_id)
}

/// Keeps a command that needs no worker to be obeyed, with its answer; under a key as in [`insert_once`].
pub async fn insert_obeyed(
    conn: &mut Connection,
    session: &SessionId,
    request: &CommandRequest,
    (actor, key): (&str, Option<&str>),
    answer: &str,
) -> Result<(), DbError> {
    let data = serde_json::to_value(request).expect("a command is a document");
    sqlx::query!(
        "insert into command (session_id, data, actor, request_key, obeyed_at, answer)
         values ($1, $2, $3, $4, clock_timestamp(), $5)",
        session.0,
        data,
        actor,
        key,
        answer
    )
    .execute(conn)
    .await
    .map_err(doing("keep a command"))
    .map_err(|error| taken(error, key))?;
    Ok(())
}

fn taken(error: DbError, key: Option<&str>) -> DbError {
    error.or_conflict("command_request_key", || {
        format!("a command with the id '{}' was given a moment ago", key.unwrap_or_default())
    })
}

/// The command that was given under a key, if one was.
pub async fn by_key(
    conn: &mut Connection,
    session: &SessionId,
    key: &str,
) -> Result<Option<CommandRow>, DbError> {
    let id = sqlx::query_scalar!(
        "select command_id from command where session_id = $1 and request_key = $2",
        session.0,
        key
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("look for a command"))?;
    match id {
        Some(id) => get(conn, id).await.map(Some),
        None => Ok(None),
    }
}

/// What commands that were obeyed have left behind. A cancel is behind a session that was opened again since its end.
pub async fn standing(conn: &mut Connection, session: &SessionId) -> Result<Standing, DbError> {
    let rows = sqlx::query!(
        r#"select data, obeyed_at > coalesce((select max(e.at) from event e
                                               where e.session_id = $1 and e.kind = 'ended'), '-infinity') as "stands!"
             from command
            where session_id = $1 and obeyed_at is not null and data->>'kind' in ('set', 'cancel')
            order by command_id"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read obeyed commands"))?;
    let mut standing = Standing::default();
    for row in rows {
        let request: CommandRequest = label::read_json("a command", row.data)?;
        match request.kind {
            CommandKind::Set => standing.settings.merge(&request.settings),
            _ => standing.at_once |= row.stands && request.at_once,
        }
    }
    Ok(standing)
}

/// The commands that wait for the session's writer, oldest first.
pub async fn pending(conn: &mut Connection, session: &SessionId) -> Result<Vec<PendingCommand>, DbError> {
    let rows = sqlx::query!(
        "select command_id, data, actor from command
          where session_id = $1 and obeyed_at is null order by command_id limit 1000",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read commands"))?;
    let commands = rows.into_iter().map(|row| {
        let request = label::read_json("a command", row.data)?;
        Ok(PendingCommand { id: row.command_id, request, actor: row.actor })
    });
    commands.collect()
}

/// A command and its answer.
pub async fn get(conn: &mut Connection, id: i64) -> Result<CommandRow, DbError> {
    let row = sqlx::query!(
        "select command_id, data, actor, created_at, obeyed_at, answer from command where command_id = $1",
        id
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("read a command"))?
    .ok_or_else(|| DbError::NotFound { what: format!("command number {id}") })?;
    let request = label::read_json("a command", row.data)?;
    Ok(CommandRow {
        command: PendingCommand { id: row.command_id, request, actor: row.actor },
        created_at: row.created_at,
        obeyed_at: row.obeyed_at,
        answer: row.answer,
    })
}

/// A session's commands, newest first; at most 1,000.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<CommandRow>, DbError> {
    let rows = sqlx::query!(
        "select command_id, data, actor, created_at, obeyed_at, answer from command
          where session_id = $1 order by command_id desc limit 1000",
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list commands"))?;
    let commands = rows.into_iter().map(|row| {
        Ok(CommandRow {
            command: PendingCommand {
                id: row.command_id,
                request: label::read_json("a command", row.data)?,
                actor: row.actor,
            },
            created_at: row.created_at,
            obeyed_at: row.obeyed_at,
            answer: row.answer,
        })
    });
    commands.collect()
}
