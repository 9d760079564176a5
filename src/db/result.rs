//! Table `step_result_batch`: append-only facts about components in steps.

use std::collections::HashMap;

use crate::model::{
    Timestamp, plan::StepNo, reason::Reason, result::FactKind, session::SessionId, verb::Decision,
};

use super::{
    Connection, DbError,
    cursor::{Cursor, Page},
    error::doing,
    error_text, label,
};

/// A fact with component numbers, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// The first event of the checkpoint that wrote it.
    pub seq: i64,
    /// When it was made durable.
    pub at: Timestamp,
    /// The step.
    pub step: StepNo,
    /// The run.
    pub run: u16,
    /// What is said.
    pub kind: FactKind,
    /// Effects so far in this step and run.
    pub attempts: u16,
    /// Why.
    pub reason: Option<Reason>,
    /// What `inspect` decided.
    pub decision: Option<Decision>,
    /// Where `SentBack` sends them.
    pub sent_to: Option<StepNo>,
    /// Who, ascending.
    pub components: Vec<i32>,
}

/// All facts of a session, in the order they were written.
pub async fn list(conn: &mut Connection, session: &SessionId) -> Result<Vec<StoredResult>, DbError> {
    list_after(conn, session, 0).await
}

/// The facts written by checkpoints after `seq`, in order.
pub async fn list_after(
    conn: &mut Connection,
    session: &SessionId,
    seq: i64,
) -> Result<Vec<StoredResult>, DbError> {
    let reasons: HashMap<i32, Reason> = error_text::list(conn, session)
        .await?
        .into_iter()
        .map(|error| (error.id, Reason::new(error.code, error.text)))
        .collect();
    let rows = sqlx::query!(
        "select seq, at, step_no, run, kind, attempts, error_no, decision, sent_to, component_ids
           from step_result_batch where session_id = $1 and seq > $2 order by seq, part",
        session.0,
        seq
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read a session's results"))?;
    let results = rows.into_iter().map(|row| {
        Ok(StoredResult {
            seq: row.seq,
            at: row.at,
            step: StepNo(row.step_no),
            run: u16::try_from(row.run).unwrap_or_default(),
            kind: label::read("the kind of result", &row.kind)?,
            attempts: u16::try_from(row.attempts).unwrap_or_default(),
            reason: row.error_no.and_then(|no| reasons.get(&no).cloned()),
            decision: row.decision.map(|decision| label::read("the decision", &decision)).transpose()?,
            sent_to: row.sent_to.map(StepNo),
            components: row.component_ids,
        })
    });
    results.collect()
}

/// What became of one component in one step, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLine {
    /// The component's id.
    pub xname: String,
    /// The step's name.
    pub step: String,
    /// The run.
    pub run: i16,
    /// What is said, as [`FactKind::label`].
    pub result: String,
    /// Effects in this step and run.
    pub attempts: i16,
    /// Why: the name.
    pub reason: Option<String>,
    /// Why: the service's words.
    pub error: Option<String>,
    /// What `inspect` decided.
    pub decision: Option<String>,
    /// When it was made durable.
    pub at: Timestamp,
    /// The first event of its checkpoint.
    pub seq: i64,
}

/// Which results are wanted; all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct ResultFilter<'a> {
    /// Of this step, or of the steps that every boot set calls so.
    pub step: Option<&'a str>,
    /// Of this kind.
    pub kind: Option<FactKind>,
    /// Of this component.
    pub xname: Option<&'a str>,
    /// After this line.
    pub after: Cursor,
    /// At most so many (10,000).
    pub limit: i64,
}

/// A session's results, one line per component, oldest first. As many rows are unnested as are shown, and at most two
/// full ones more.
pub async fn page(
    conn: &mut Connection,
    session: &SessionId,
    filter: &ResultFilter<'_>,
) -> Result<Page<ResultLine>, DbError> {
    let limit = filter.limit.clamp(1, 10_000);
    let rows = sqlx::query!(
        r#"with who as (select component_id from component where xname = $4),
           meant as (
             select r.seq, r.part, r.at, r.step_no, r.run, r.kind, r.attempts, r.error_no, r.decision, r.component_ids,
                    sum(case when $4::text is null then cardinality(r.component_ids) else 1 end)
                      over (order by r.seq, r.part) as so_far
               from step_result_batch r
              where r.session_id = $1 and (r.seq, r.part) >= ($5, $6)
                and ($2::text is null
                     or r.step_no in (select step_no from step
                                       where session_id = $1 and (name = $2 or split_part(name, '/', 2) = $2)))
                and ($3::text is null or r.kind = $3)
                and ($4::text is null or (select component_id from who) = any (r.component_ids))),
           shown as materialized (
             select * from meant where so_far - cardinality(component_ids) <= $8::int8 + 1000)
           select c.xname, t.name as step, r.run, r.kind as result, r.attempts, e.code as "reason?", e.text as "error?",
                  r.decision, r.at, r.seq, r.part::int4 as "part!", u.component_id as "component_id!"
             from shown r
             cross join lateral unnest(r.component_ids) u(component_id)
             join component c on c.component_id = u.component_id
             join step t on t.session_id = $1 and t.step_no = r.step_no
             left join error_text e on e.session_id = $1 and e.error_no = r.error_no
            where (r.seq, r.part, u.component_id) > ($5, $6, $7)
              and ($4::text is null or u.component_id = (select component_id from who))
            order by r.seq, r.part, u.component_id limit $8"#,
        session.0,
        filter.step,
        filter.kind.map(|kind| kind.label()),
        filter.xname,
        filter.after.seq,
        i16::try_from(filter.after.part).unwrap_or(i16::MAX),
        filter.after.component,
        limit + 1,
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list results"))?;
    let lines = rows.into_iter().map(|row| {
        let cursor = Cursor { seq: row.seq, part: row.part, component: row.component_id };
        let line = ResultLine {
            xname: row.xname,
            step: row.step,
            run: row.run,
            result: row.result,
            attempts: row.attempts,
            reason: row.reason,
            error: row.error,
            decision: row.decision,
            at: row.at,
            seq: row.seq,
        };
        (cursor, line)
    });
    Ok(Page::of(lines, limit))
}

/// Equal failures of a session: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The step.
    pub step: String,
    /// The reason's name.
    pub reason: String,
    /// The service's words.
    pub error: String,
    /// How many.
    pub count: i64,
    /// The first of them, by name; at most as many as were asked for.
    pub xnames: Vec<String>,
}

/// Components whose last word is a failure, by step and reason, the most frequent first; `names` of each at most.
pub async fn failures(
    conn: &mut Connection,
    session: &SessionId,
    names: i32,
) -> Result<Vec<FailureGroup>, DbError> {
    sqlx::query_as!(
        FailureGroup,
        r#"select step as "step!", coalesce(reason, '') as "reason!", coalesce(error, '') as "error!", count(*) as "count!",
                  (array_agg(xname order by xname))[1:$2] as "xnames!"
             from failed_components where session_id = $1
            group by step_no, step, reason, error order by count(*) desc, step_no limit 1000"#,
        session.0,
        names
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list failures"))
}

/// When the components of a step were through it, or failed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The step.
    pub step: i16,
    /// When half of those that are settled were.
    pub half_at: Timestamp,
    /// When 95 % of them were.
    pub most_at: Timestamp,
}

/// How fast the steps of a session settled their components; a step that settled nobody is not listed.
pub async fn paces(conn: &mut Connection, session: &SessionId) -> Result<Vec<Pace>, DbError> {
    sqlx::query_as!(
        Pace,
        r#"select step_no as "step!", min(at) filter (where 2 * so_far >= everybody) as "half_at!",
                  min(at) filter (where 20 * so_far >= 19 * everybody) as "most_at!"
             from (select step_no, at, sum(number) over (partition by step_no order by at) as so_far,
                          sum(number) over (partition by step_no) as everybody
                     from (select step_no, at, sum(cardinality(component_ids)) as number
                             from step_result_batch where session_id = $1 and kind in ('succeeded', 'failed')
                            group by step_no, at) moments) sums
            group by step_no order by step_no"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read how fast steps were"))
}

/// A component whose last word is a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedComponent {
    /// Its number.
    pub component: i32,
    /// Its id.
    pub xname: String,
    /// Where.
    pub step: String,
    /// The reason's name.
    pub reason: String,
    /// The service's words.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

/// All components of a session whose last word is a failure, ascending by number.
pub async fn failed(conn: &mut Connection, session: &SessionId) -> Result<Vec<FailedComponent>, DbError> {
    sqlx::query_as!(
        FailedComponent,
        r#"select component_id as "component!", xname as "xname!", step as "step!", coalesce(reason, '') as "reason!",
                  coalesce(error, '') as "error!", at as "at!"
             from failed_components where session_id = $1 order by component_id"#,
        session.0
    )
    .fetch_all(conn)
    .await
    .map_err(doing("list failed components"))
}
