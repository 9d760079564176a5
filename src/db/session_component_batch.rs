//! Table `session_component_batch`: who takes part in a session, and who was left out at admission.

use std::collections::HashMap;

use crate::model::{
    component::ComponentNo,
    plan::{PlanMember, SliceNo},
    reason::{Reason, ReasonCode},
    session::SessionId,
};

use super::{Connection, DbError, error::doing, label, span::Span};

/// Most component ids in one row.
const BATCH_MAX: usize = 1_000;

/// Components left out at admission, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Why.
    pub reason: Reason,
    /// Who, ascending.
    pub components: Vec<i32>,
}

/// Keeps members (ascending) and skips.
pub(super) async fn insert(
    conn: &mut Connection,
    session: SessionId,
    members: &[PlanMember],
    skips: &[Skip],
) -> Result<(), DbError> {
    let mut batches = Batches::default();
    let slices = members.iter().map(|member| member.slice.0).max().map_or(0, |most| most + 1);
    for slice in 0..slices {
        let ids: Vec<i32> = members.iter().filter(|m| m.slice.0 == slice).map(|m| m.component.0).collect();
        batches.add(Some(slice), None, &ids);
    }
    for skip in skips {
        batches.add(None, Some(&skip.reason), &skip.components);
    }
    sqlx::query!(
        "insert into session_component_batch
           (session_id, batch_no, slice_no, skip_reason, skip_text, lowest, highest, component_ids)
         select $1, u.n, u.slice_no, u.reason, u.text, ($2::int4[])[u.first], ($2::int4[])[u.last],
                ($2::int4[])[u.first:u.last]
           from unnest($3::int2[], $4::text[], $5::text[], $6::int4[], $7::int4[])
                with ordinality u(slice_no, reason, text, first, last, n)",
        session.0,
        &batches.components,
        &batches.slice as &[Option<i16>],
        &batches.reason as &[Option<&str>],
        &batches.text as &[&str],
        &batches.first,
        &batches.last,
    )
    .execute(conn)
    .await
    .map_err(doing("keep a session's members"))?;
    Ok(())
}

#[derive(Default)]
struct Batches<'a> {
    slice: Vec<Option<i16>>,
    reason: Vec<Option<&'a str>>,
    text: Vec<&'a str>,
    first: Vec<i32>,
    last: Vec<i32>,
    components: Vec<i32>,
}

impl<'a> Batches<'a> {
    fn add(&mut self, slice: Option<i16>, reason: Option<&'a Reason>, ids: &[i32]) {
        let position = |n: usize| i32::try_from(n).expect("a session has fewer than 2^31 members");
        for batch in ids.chunks(BATCH_MAX) {
            self.slice.push(slice);
            self.reason.push(reason.map(|reason| reason.code.label()));
            self.text.push(reason.map_or("", |reason| reason.text.as_str()));
            self.first.push(position(self.components.len() + 1));
            self.components.extend(batch);
            self.last.push(position(self.components.len()));
        }
    }
}

/// A session's members with their slices, ascending.
pub(super) async fn slices(conn: &mut Connection, session: SessionId) -> Result<Vec<(i32, i16)>, DbError> {
    let rows = sqlx::query!(
        r#"select slice_no as "slice_no!", component_ids from session_component_batch
            where session_id = $1 and slice_no is not null"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a session's members"))?;
    let mut members: Vec<(i32, i16)> = rows
        .into_iter()
        .flat_map(|row| row.component_ids.into_iter().map(move |id| (id, row.slice_no)))
        .collect();
    members.sort_unstable();
    Ok(members)
}

/// A session's members as its plan holds them.
pub(super) async fn members(conn: &mut Connection, session: SessionId) -> Result<Vec<PlanMember>, DbError> {
    let slices = slices(conn, session).await?;
    let ids: Vec<i32> = slices.iter().map(|(id, _)| *id).collect();
    let names = names(conn, &ids).await?;
    let members = slices.into_iter().map(|(id, slice)| {
        let name = names.binary_search_by_key(&id, |(id, _)| *id).map_or("", |at| names[at].1.as_str());
        let xname = name.parse().map_err(|_| DbError::Unknown {
            what: "as a session's member the component",
            value: name.to_owned(),
        })?;
        Ok(PlanMember { component: ComponentNo(id), xname, slice: SliceNo(slice) })
    });
    members.collect()
}

/// The names of components (ascending), by number.
pub async fn names(conn: &mut Connection, ids: &[i32]) -> Result<Vec<(i32, String)>, DbError> {
    let span = Span::of(ids);
    let rows = sqlx::query!(
        r#"select component_id as "component_id!", xname as "xname!" from component
            where component_id between $1 and $2
           union all
           select c.component_id, c.xname
             from unnest($3::int4[]) w(component_id)
             join lateral (select * from component x where x.component_id = w.component_id) c on true"#,
        span.lowest,
        span.highest,
        span.few
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read component names"))?;
    let names = rows.into_iter().map(|row| (row.component_id, row.xname)).collect();
    Ok(span.keep(names, |(id, _)| *id))
}

/// Who was left out at admission, and why.
pub async fn skips(conn: &mut Connection, session: &SessionId) -> Result<Vec<Skip>, DbError> {
    let rows = sqlx::query!(
        r#"select skip_reason as "reason!", skip_text, component_ids from session_component_batch
            where session_id = $1 and skip_reason is not null order by batch_no"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a session's skips"))?;
    let skips = rows.into_iter().map(|row| {
        let code: ReasonCode = label::read("the reason", &row.reason)?;
        Ok(Skip { reason: Reason::new(code, row.skip_text), components: row.component_ids })
    });
    skips.collect()
}

/// The ids of those who take part in each of these sessions, bytewise, joined by commas.
pub async fn joined_member_names(
    conn: &mut Connection,
    sessions: &[SessionId],
) -> Result<HashMap<SessionId, String>, DbError> {
    let ids: Vec<i64> = sessions.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select b.session_id, string_agg(c.xname, ',' order by c.xname) as "names!"
             from session_component_batch b
             cross join unnest(b.component_ids) m(component_id)
             join component c on c.component_id = m.component_id
            where b.session_id = any ($1) and b.slice_no is not null
            group by b.session_id"#,
        &ids
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read the members of sessions"))?;
    Ok(rows.into_iter().map(|row| (SessionId(row.session_id), row.names)).collect())
}

/// Those who take part in a session, by number and id.
pub async fn named_members(
    conn: &mut Connection,
    session: &SessionId,
) -> Result<Vec<(i32, String)>, DbError> {
    let members = slices(conn, *session).await?;
    let ids: Vec<i32> = members.into_iter().map(|(id, _)| id).collect();
    names(conn, &ids).await
}

/// The ids of those who take part in a session, bytewise.
pub async fn member_names(conn: &mut Connection, session: &SessionId) -> Result<Vec<String>, DbError> {
    let members = slices(conn, *session).await?;
    let ids: Vec<i32> = members.into_iter().map(|(id, _)| id).collect();
    let mut found: Vec<String> = names(conn, &ids).await?.into_iter().map(|(_, name)| name).collect();
    found.sort_unstable();
    Ok(found)
}
