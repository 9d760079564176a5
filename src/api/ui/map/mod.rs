//! The machine as a map: who is where in a session, as one compact document that the script draws.
//!
//! The facts of a session are replayed once and kept; a later request reads only what was written since. 50,000 nodes
//! are some kilobytes: equal chassis are told once ([`layout`]), and equal neighbours as one ([`cells`]).

mod cells;
mod layout;
mod replay;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use self::{
    cells::{Cell, Places},
    layout::Layout,
    replay::Replay,
};
use super::{Failure, shared};
use crate::{
    api::{ApiState, body::Json, query::Query},
    db,
    model::{
        plan::{Ordinal, Plan},
        session::SessionId,
    },
};

/// Most sessions whose maps are kept; the one that was not asked for longest goes first.
const MAPS_MAX: usize = 8;

/// A session's machine: who takes part, who was left out, and how far everybody is.
#[derive(Debug)]
struct Map {
    replay: Replay,
    layout: Layout,
}

type Kept = Arc<AsyncMutex<Option<Map>>>;

/// The maps that are kept.
#[derive(Debug, Default)]
pub struct Maps(Mutex<VecDeque<(SessionId, Kept)>>);

impl Maps {
    fn of(&self, id: SessionId) -> Kept {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = maps.iter().position(|(known, _)| *known == id).and_then(|place| maps.remove(place));
        let kept = found.unwrap_or_else(|| (id, Kept::default()));
        maps.truncate(MAPS_MAX - 1);
        maps.push_front(kept.clone());
        kept.1
    }
}

/// The path of the map.
pub fn router() -> Router<ApiState> {
    Router::new().route("/ui/sessions/{id}/map", get(map))
}

/// Where everybody is; with `layout=true` also where they stand.
async fn map(
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let id = SessionId(id);
    let with_layout = query.boolean("layout")? == Some(true);
    let kept = shared(&state).maps.of(id);
    let mut kept = kept.lock().await;
    let mut conn = db::acquire(&state.pool).await?;
    let session = db::session::get_by_id(&mut conn, &id).await?;
    // A session that is not admitted has no members yet, and its map must not be kept.
    let map = match &mut *kept {
        Some(map) => map,
        empty => empty.insert(load(&mut conn, &id).await?),
    };
    // Read first: whatever a checkpoint up to this event wrote is there, and what is newer is left for the next time.
    let last = db::event::last_seq(&mut conn, &id).await?;
    let facts = db::result::list_after(&mut conn, &id, map.replay.seq()).await?;
    let calls = db::effect::intended_after(&mut conn, &id, map.replay.seq()).await?;
    map.replay.feed(last, &facts, &calls);
    let mut places = Places::new(map.replay.steps());
    let is_over = session.ended_at.is_some();
    let codes: Vec<u16> = map
        .layout
        .cells()
        .map(|cell| match cell {
            Cell::Member(ordinal) => places.of_member(
                map.replay.place(Ordinal(ordinal)),
                map.replay.is_begun(Ordinal(ordinal)),
                is_over,
            ),
            Cell::LeftOut(reason) => places.left_out(reason),
        })
        .collect();
    let mut shown = json!({
        "seq": map.replay.seq(),
        "count": codes.len(),
        "cells": cells::runs(&codes),
        "places": places.legend(&codes),
    });
    if with_layout {
        shown["layout"] = map.layout.shown();
    }
    if session.admitted_at.is_none() {
        *kept = None;
    }
    Ok(Json::ok(shown))
}

async fn load(conn: &mut db::Connection, id: &SessionId) -> Result<Map, Failure> {
    let plan = match db::plan::load(conn, id).await {
        Ok(plan) => plan,
        // A session that was never admitted has no plan: nobody takes part.
        Err(db::DbError::Unknown { .. }) => Plan::default(),
        Err(error) => return Err(error.into()),
    };
    let mut left_out = Vec::new();
    for skip in db::session_component_batch::skips(conn, id).await? {
        let names = db::session_component_batch::names(conn, &skip.components).await?;
        left_out.extend(names.into_iter().map(|(_, name)| (name, skip.reason.code)));
    }
    let layout = Layout::of(&plan, left_out);
    Ok(Map { replay: Replay::new(plan), layout })
}
