//! A node's report that it booted, and with which BSS token.

use std::collections::BTreeMap;

use super::super::{Connection, DbError, error::doing};

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It is kept; the session that holds the component has been told.
    Recorded,
    /// The node is being switched off or configured: what it says about itself is not wanted now (BOS's 409).
    Refused,
    /// There is no such component.
    Unknown,
}

/// Keeps reports, each a component's id and its token (the last one of several counts), in one statement. As in BOS a token
/// that is not known leaves the actual artifacts and their `last_updated` alone. With `refuse_busy` BOS's rule for
/// a single PATCH holds: an enabled component that is not stable is only believed after a power-on.
///
/// `offset 0` keeps the look-up by name by itself: planned while there is no component, it would else become a walk through
/// all of them, for as long as the connection lives.
pub async fn report(
    conn: &mut Connection,
    reports: &[(String, String)],
    refuse_busy: bool,
) -> Result<Vec<(String, ReportOutcome)>, DbError> {
    let newest: BTreeMap<&str, &str> =
        reports.iter().map(|(xname, token)| (xname.as_str(), token.as_str())).collect();
    let (xnames, tokens): (Vec<&str>, Vec<&str>) = newest.into_iter().unzip();
    let rows = sqlx::query!(
        r#"with reported as materialized (
             select w.xname, r.component_id, w.token, r.claimed_by, t.boot_artifacts_id,
                    $3 and r.enabled and r.status <> 'stable' and r.action is distinct from 'powering_on' as refused
               from unnest($1::text[], $2::text[]) w(xname, token)
               left join lateral (select * from component_record y where y.xname = w.xname offset 0) r on true
               left join lateral (select * from boot_token z where z.token = w.token) t on true),
           locked as materialized (
             select w.component_id, w.token, w.boot_artifacts_id
               from (select * from reported where component_id is not null and refused is not true
                      order by component_id) w
               join lateral (select 1 from component y where y.component_id = w.component_id for update) x on true),
           kept as (
             update component c
                set actual_token = l.token, reported_at = clock_timestamp(),
                    actual_boot_artifacts_id = coalesce(l.boot_artifacts_id, c.actual_boot_artifacts_id),
                    actual_updated_at = case when l.boot_artifacts_id is null then c.actual_updated_at
                                             else clock_timestamp() end
               from locked l
              where c.component_id = l.component_id),
           told as (
             select pg_notify('bosun_session_' || claimed_by, 'report ' || string_agg(component_id::text, ','))::text
               from (select component_id, claimed_by,
                            row_number() over (partition by claimed_by order by component_id) / 700 as part
                       from reported where claimed_by is not null and refused is not true) n
              group by claimed_by, part)
           select xname as "xname!", component_id is not null as "known!", coalesce(refused, false) as "refused!",
                  (select count(*) from told) as told
             from reported"#,
        &xnames as &[&str],
        &tokens as &[&str],
        refuse_busy,
    )
    .fetch_all(conn)
    .await
    .map_err(doing("keep reports"))?;
    let outcomes = rows.into_iter().map(|row| {
        let outcome = match (row.known, row.refused) {
            (false, _) => ReportOutcome::Unknown,
            (true, true) => ReportOutcome::Refused,
            (true, false) => ReportOutcome::Recorded,
        };
        (row.xname, outcome)
    });
    Ok(outcomes.collect())
}
