//! Sessions: the list, one of them, and what may be asked of it.

mod command;
mod confirm;
mod detail;
mod list;
mod record;
mod timeline;
mod trouble;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};

use self::{detail::Detail, list::Wanted};
use super::{
    Failure,
    form::FormKey,
    live,
    page::{Page, Place, Theme},
};
use crate::{
    api::{ApiState, bosun::view, query::Query},
    db::{self, session::ProgressFilter},
    model::session::SessionId,
};

/// Sessions of one page.
const PAGE_LINES: i64 = 50;
/// Most failed components whose names a page knows.
const NAMES_MAX: i32 = 20_000;
/// Most effects, and events, of one page: the last ones.
const RECORD_LINES_MAX: i64 = 200;

/// The paths of sessions.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/ui/sessions", get(list))
        .route("/ui/sessions/{id}", get(one))
        .merge(command::router())
}

async fn list(State(state): State<ApiState>, theme: Theme, query: Query) -> Result<Page, Failure> {
    let wanted = Wanted::of(&query)?;
    let mut conn = db::acquire(&state.pool).await?;
    let filter = ProgressFilter {
        states: &wanted.states(),
        outcome: wanted.outcome,
        operation: wanted.operation.as_deref(),
        template: wanted.template.as_deref(),
        actor: wanted.actor.as_deref(),
        name_part: wanted.name.as_deref(),
        before: wanted.before,
        limit: PAGE_LINES + 1,
        tenant: None,
    };
    let mut lines = db::session::progress(&mut conn, &filter).await?;
    let has_more = lines.len() as i64 > PAGE_LINES;
    lines.truncate(PAGE_LINES as usize);
    let parked = db::service_life::get(&mut conn).await?.parked_at;
    let operations: Vec<&str> = state.admit.operations().collect();
    Ok(Page::new("Sessions").theme(theme).place(Place::Sessions).live(live::PATH_OF_ALL).body(list::page(
        &wanted,
        &operations,
        &lines,
        has_more,
        parked,
    )))
}

async fn one(
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    theme: Theme,
    key: FormKey,
    query: Query,
) -> Result<Page, Failure> {
    let id = SessionId(id);
    let mut conn = db::acquire(&state.pool).await?;
    let session = db::session::get_by_id(&mut conn, &id).await?;
    let steps = db::step::list(&mut conn, &id).await?;
    let plan = match db::plan::outline(&mut conn, &id).await {
        Ok(plan) => Some(plan),
        // Not admitted yet, or made by another version of bosun: told without the drawing.
        Err(db::DbError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let held = db::session::counts(&mut conn, &id).await?;
    let detail = Detail {
        counts: view::Counts::of(&session, &steps, held),
        opened: db::step_edge::opened(&mut conn, &id).await?,
        paces: db::result::paces(&mut conn, &id).await?,
        failures: db::result::failures(&mut conn, &id, NAMES_MAX).await?,
        left_out: left_out(&mut conn, &id).await?,
        effects: db::effect::newest(&mut conn, &id, RECORD_LINES_MAX).await?,
        events: db::event::newest(&mut conn, &id, RECORD_LINES_MAX).await?,
        commands: db::command::list(&mut conn, &id).await?,
        lease: db::lease::get(&mut conn, &id).await?,
        is_deleted: is_deleted(&mut conn, &session).await?,
        said: query.text("said").and_then(command::said),
        session,
        steps,
        plan,
    };
    Ok(Page::new(detail.session.new.name.as_str())
        .theme(theme)
        .place(Place::Sessions)
        .live(live::path_of(id))
        .form_key(&key)
        .body(detail.page(&key)))
}

/// Whether a name no longer leads to it: deleted from the API, and perhaps given anew.
async fn is_deleted(conn: &mut db::Connection, session: &db::session::Session) -> Result<bool, Failure> {
    match db::session::get(conn, &session.new.tenant, session.new.name.as_str()).await {
        Ok(named) => Ok(named.id != session.id),
        Err(db::DbError::NotFound { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Who was left out at admission: why, and their names.
async fn left_out(conn: &mut db::Connection, id: &SessionId) -> Result<Vec<trouble::LeftOut>, Failure> {
    let mut groups: Vec<trouble::LeftOut> = Vec::new();
    for skip in db::session_component_batch::skips(conn, id).await? {
        let names = db::session_component_batch::names(conn, &skip.components).await?;
        let names = names.into_iter().map(|(_, name)| name);
        match groups.iter_mut().find(|group| group.reason == skip.reason) {
            Some(group) => group.names.extend(names),
            None => groups.push(trouble::LeftOut { reason: skip.reason, names: names.collect() }),
        }
    }
    Ok(groups)
}
