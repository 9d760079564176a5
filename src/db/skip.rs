//! Who was left out of a session: at admission (`session_component_batch`) and on the way (`step_result_batch`).

use crate::model::{Timestamp, session::SessionId};

use super::{
    Connection, DbError,
    cursor::{Cursor, Page},
    error::doing,
};

/// A component that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipLine {
    /// The component's id.
    pub xname: String,
    /// Where; none: at admission.
    pub step: Option<String>,
    /// Why: the name.
    pub reason: Option<String>,
    /// Why: the words.
    pub text: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
}

/// Everybody left out of a session, for one reason or any, in the order in which it happened. At most `limit` (10,000).
pub async fn page(
    conn: &mut Connection,
    session: &SessionId,
    reason: Option<&str>,
    after: Cursor,
    limit: i64,
) -> Result<Page<SkipLine>, DbError> {
    let limit = limit.clamp(1, 10_000);
    let rows = sqlx::query!(
        r#"with meant as (
             select 0::int8 as seq, b.batch_no as part, null::text as step, b.skip_reason as reason, b.skip_text as text,
                    s.admitted_at as at, b.component_ids
               from session_component_batch b join session s on s.session_id = b.session_id
              where b.session_id = $1 and b.skip_reason is not null
             union all
             select r.seq, r.part::int4, t.name, e.code, e.text, r.at, r.component_ids
               from step_result_batch r
               join step t on t.session_id = r.session_id and t.step_no = r.step_no
               left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
              where r.session_id = $1 and r.kind = 'skipped'),
           counted as (
             select m.*, sum(cardinality(component_ids)) over (order by seq, part) as so_far
               from meant m where (seq, part) >= ($3::int8, $4::int4) and ($2::text is null or reason = $2)),
           shown as materialized (
             select * from counted where so_far - cardinality(component_ids) <= $6::int8 + 1000)
           select c.xname as "xname!", r.step, r.reason, r.text, r.at, r.seq as "seq!", r.part as "part!",
                  u.component_id as "component_id!"
             from shown r
             cross join lateral unnest(r.component_ids) u(component_id)
             join component c on c.component_id = u.component_id
            where (r.seq, r.part, u.component_id) > ($3, $4, $5)
            order by r.seq, r.part, u.component_id limit $6"#,
        session.0,
        reason,
        after.seq,
        after.part,
        after.component,
        limit + 1
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list who was left out"))?;
    let lines = rows.into_iter().map(|row| {
        let cursor = Cursor { seq: row.seq, part: row.part, component: row.component_id };
        let text = row.text.filter(|text| !text.is_empty());
        (cursor, SkipLine { xname: row.xname, step: row.step, reason: row.reason, text, at: row.at })
    });
    Ok(Page::of(lines, limit))
}
