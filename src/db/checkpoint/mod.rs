//! The checkpoint: one statement that makes durable all that happened since the last one.
//!
//! It is a single data-modifying CTE behind a fence. The fence takes a key-share lock on `(session_id, epoch)`: a take-over
//! waits for it, or was first and then nothing at all is written. Sent twice, its event's key refuses it as a whole.
//! Traps that shaped it: two updates of one row in one statement lose one of them silently (a component is in at most one
//! list of progress); an update joined with `unnest` was measured at 13–20 s per 1,000 rows under stale statistics
//! where `= any` takes 4 ms; ids are sent ascending, so that `width_bucket` finds a parallel value by bisection.
//!
//! A component whose way has ended goes to the session that wants it, if one does, with the same update that would free it:
//! there is no moment without a holder, nor one with two. What is left out while somebody else still holds it for this
//! session is no longer wanted; whichever of the two statements comes second sees what the first has written.

mod flat;

use crate::model::{Timestamp, checkpoint::Checkpoint};

use super::{Connection, DbError, error::doing, lease::Lease};

/// What came of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is durable, and happened then.
    Written {
        /// The database's clock: `at`, `intended_at` and so on of all it wrote.
        at: Timestamp,
    },
    /// It had been written before; its answer was lost.
    AlreadyWritten,
    /// Nothing was written: somebody else may write this session now.
    LeaseLost,
}

/// Writes a checkpoint, or nothing. After [`DbError::is_transient`] send the same one again.
pub async fn save(conn: &mut Connection, lease: &Lease, checkpoint: &Checkpoint) -> Result<Saved, DbError> {
    let f = flat::Flat::of(checkpoint);
    let written = sqlx::query!(
        r#"with fence as materialized (
             select 1 from session_lease where session_id = $1 and epoch = $2 for key share),
           moment as materialized (select clock_timestamp() as at),
           narrative as (
             insert into event (session_id, seq, at, epoch, kind, actor, data)
             select $1, $3 + u.n - 1, (select at from moment), $2, u.kind, u.actor, u.data
               from unnest($4::text[], $5::text[], $6::jsonb[]) with ordinality u(kind, actor, data, n)
              where exists (select from fence)),
           errors as (
             insert into error_text (session_id, error_no, code, text)
             select $1, u.no, u.code, u.text
               from unnest($7::int4[], $8::text[], $9::text[]) u(no, code, text)
              where exists (select from fence)),
           results as (
             insert into step_result_batch
               (session_id, seq, part, at, step_no, run, kind, attempts, error_no, decision, sent_to, component_ids)
             select $1, $3, u.n, (select at from moment), u.step_no, u.run, u.kind, u.attempts, u.error_no, u.decision,
                    u.sent_to, ($17::int4[])[u.first:u.last]
               from unnest($10::int2[], $11::int2[], $12::text[], $13::int2[], $14::int4[], $15::text[], $16::int2[],
                           $18::int4[], $19::int4[])
                    with ordinality u(step_no, run, kind, attempts, error_no, decision, sent_to, first, last, n)
              where exists (select from fence)),
           budget as (
             update session_lease set takeovers = 0
              where session_id = $1 and epoch = $2 and takeovers > 0 and cardinality($17::int4[]) > 0),
           counters as (
             update step t
                set not_reached = u.not_reached, in_flight = u.in_flight, succeeded = u.succeeded, failed = u.failed,
                    skipped = u.skipped, attempts = u.attempts,
                    started_at = coalesce(t.started_at, case when u.in_flight + u.succeeded + u.failed > 0
                                                             then (select at from moment) end),
                    ended_at = case when u.not_reached + u.in_flight = 0
                                    then coalesce(t.ended_at, (select at from moment)) end
               from unnest($20::int2[], $21::int4[], $22::int4[], $23::int4[], $24::int4[], $25::int4[], $26::int4[])
                    u(step_no, not_reached, in_flight, succeeded, failed, skipped, attempts)
              where t.session_id = $1 and t.step_no = any ($20) and t.step_no = u.step_no and exists (select from fence)),
           intents as (
             insert into effect (session_id, effect_no, seq, step_no, rung, rung_name, verb, component_ids, epoch,
                                 intended_at, dead_at)
             select $1, u.effect_no, $3, u.step_no, u.rung, u.rung_name, u.verb, ($33::int4[])[u.first:u.last], $2,
                    (select at from moment), (select at from moment) + make_interval(secs => u.alive_for)
               from unnest($27::int4[], $28::int2[], $29::int2[], $30::text[], $31::text[], $32::float8[], $34::int4[],
                           $35::int4[])
                    u(effect_no, step_no, rung, rung_name, verb, alive_for, first, last)
              where exists (select from fence)),
           news as (
             update effect f
                set state = u.state, remote_ref = coalesce(u.remote_ref, f.remote_ref),
                    token = coalesce(u.token, f.token), error = coalesce(u.error, f.error),
                    answered_at = case
                      when u.state = 'accepted' or u.state in ('settled', 'not_taken') and f.lost_at is null
                      then coalesce(f.answered_at, (select at from moment)) else f.answered_at end,
                    lost_at = case when u.state = 'lost' then coalesce(f.lost_at, (select at from moment))
                              else f.lost_at end,
                    found_at = case when u.state = 'found' then coalesce(f.found_at, (select at from moment))
                               else f.found_at end,
                    settled_at = case when u.state in ('settled', 'not_taken')
                                 then coalesce(f.settled_at, (select at from moment)) else f.settled_at end
               from unnest($36::int4[], $37::text[], $38::text[], $39::text[], $40::text[])
                    u(effect_no, state, remote_ref, token, error)
              where f.session_id = $1 and f.effect_no = any ($36) and f.effect_no = u.effect_no
                and exists (select from fence)),
           tokens as (
             insert into boot_token (token, boot_artifacts_id, session_id)
             select u.token, u.artifacts, $1 from unnest($41::text[], $42::int4[]) u(token, artifacts)
              where exists (select from fence)
             on conflict (token) do nothing),
           barriers as (
             update step_edge e set opened_at = (select at from moment)
               from unnest($43::int2[], $44::int2[]) u(from_no, to_no)
              where e.session_id = $1 and e.from_no = u.from_no and e.to_no = u.to_no and e.kind = 'barrier'
                and e.opened_at is null and exists (select from fence)),
           powering_off_gracefully as (
             update component_progress
                set phase = 'powering_off', last_action = 'powering_off_gracefully', last_action_failed = false,
                    power_off_graceful_attempts = power_off_graceful_attempts + 1, last_action_at = (select at from moment),
                    last_power_at = (select at from moment), changed_at = (select at from moment)
              where component_id = any ($45::int4[]) and exists (select from fence)),
           powering_off_forcefully as (
             update component_progress
                set phase = 'powering_off', last_action = 'powering_off_forcefully', last_action_failed = false,
                    power_off_forceful_attempts = power_off_forceful_attempts + 1, last_action_at = (select at from moment),
                    last_power_at = (select at from moment), changed_at = (select at from moment)
              where component_id = any ($46::int4[]) and exists (select from fence)),
           powering_on as (
             update component_progress
                set phase = 'powering_on', last_action = 'powering_on', last_action_failed = false,
                    power_on_attempts = power_on_attempts + 1, last_action_at = (select at from moment),
                    last_power_at = (select at from moment), powered_on_at = (select at from moment),
                    changed_at = (select at from moment)
              where component_id = any ($47::int4[]) and exists (select from fence)),
           configuring as (
             update component_progress set phase = 'configuring', changed_at = (select at from moment)
              where component_id = any ($48::int4[]) and exists (select from fence)),
           succeeded as (
             update component_progress
                set phase = '', claimed_by = wanted_by, wanted_by = null, error_no = null, power_on_attempts = 0,
                    power_off_graceful_attempts = 0, power_off_forceful_attempts = 0,
                    session_id = coalesce(wanted_by, session_id),
                    last_action = case when wanted_by is null then last_action else 'session_setup' end,
                    powered_on_at = case when wanted_by is null then powered_on_at end,
                    handed_over_at = case when wanted_by is not null then (select at from moment) end,
                    changed_at = (select at from moment)
              where component_id = any ($49::int4[]) and claimed_by = $1 and exists (select from fence)
             returning component_id, claimed_by),
           failed as (
             update component_progress
                set phase = '', claimed_by = wanted_by, wanted_by = null, last_action_failed = wanted_by is null,
                    error_no = case when wanted_by is null
                                    then ($51::int4[])[width_bucket(component_id, $50::int4[])] end,
                    power_on_attempts = case when wanted_by is null then power_on_attempts else 0 end,
                    power_off_graceful_attempts = case when wanted_by is null then power_off_graceful_attempts else 0 end,
                    power_off_forceful_attempts = case when wanted_by is null then power_off_forceful_attempts else 0 end,
                    session_id = coalesce(wanted_by, session_id),
                    last_action = case when wanted_by is null then last_action else 'session_setup' end,
                    powered_on_at = case when wanted_by is null then powered_on_at end,
                    handed_over_at = case when wanted_by is not null then (select at from moment) end,
                    changed_at = (select at from moment)
              where component_id = any ($50::int4[]) and claimed_by = $1 and exists (select from fence)
             returning component_id, claimed_by),
           skipped as (
             update component_progress
                set claimed_by = case when claimed_by = $1 then wanted_by else claimed_by end,
                    wanted_by = case when claimed_by = $1 or wanted_by = $1 then null else wanted_by end,
                    phase = case when claimed_by = $1 then '' else phase end,
                    error_no = case when claimed_by <> $1 then error_no when wanted_by is null
                                    then ($53::int4[])[width_bucket(component_id, $52::int4[])] end,
                    last_action_failed = last_action_failed and (claimed_by <> $1 or wanted_by is null),
                    power_on_attempts = case when claimed_by <> $1 or wanted_by is null then power_on_attempts else 0 end,
                    power_off_graceful_attempts = case when claimed_by <> $1 or wanted_by is null
                                                       then power_off_graceful_attempts else 0 end,
                    power_off_forceful_attempts = case when claimed_by <> $1 or wanted_by is null
                                                       then power_off_forceful_attempts else 0 end,
                    session_id = case when claimed_by = $1 then coalesce(wanted_by, session_id) else session_id end,
                    last_action = case when claimed_by <> $1 or wanted_by is null then last_action else 'session_setup' end,
                    powered_on_at = case when claimed_by <> $1 or wanted_by is null then powered_on_at end,
                    handed_over_at = case when claimed_by <> $1 then handed_over_at
                                          when wanted_by is not null then (select at from moment) end,
                    changed_at = (select at from moment)
              where component_id = any ($52::int4[]) and claimed_by is not null and exists (select from fence)
             returning component_id, claimed_by),
           given as (
             select component_id, claimed_by from succeeded where claimed_by is not null
              union all select component_id, claimed_by from failed where claimed_by is not null
              union all select component_id, claimed_by from skipped where claimed_by is not null),
           locked as materialized (
             select x.component_id
               from unnest($54::int4[]) w(component_id)
               join lateral (select c.component_id from component c where c.component_id = w.component_id for update) x
                 on true
              where exists (select from fence)),
           disabled as (
             update component set enabled = false
              where component_id = any ($54::int4[]) and wished_at is null and (select count(*) from locked) > 0
                and component_id not in (select component_id from given)),
           session_row as (
             update session
                set state = $55, reason = $56, outcome = $57, succeeded = $58, failed = $59, skipped = $60,
                    retry_command = $61, ended_at = case when $55 = 'ended' then (select at from moment) end
              where session_id = $1 and $55::text is not null and exists (select from fence)),
           obeyed as (
             update command c set obeyed_at = (select at from moment), answer = u.answer
               from unnest($62::int8[], $63::text[]) u(command_id, answer)
              where c.session_id = $1 and c.command_id = any ($62) and c.command_id = u.command_id
                and exists (select from fence))
           select (select at from moment) as "at!",
                  case when $55::text = 'ended' then pg_notify('bosun_launcher', '')::text end as notified,
                  (select count(pg_notify('bosun_session_' || g.claimed_by, 'claims')::text)
                     from (select distinct claimed_by from given) g) as given
             from fence"#,
        lease.session().0,
        lease.epoch(),
        checkpoint.seq,
        &f.event_kind as &[&str],
        &f.event_actor as &[Option<&str>],
        &f.event_data as &[&serde_json::Value],
        &f.error_no,
        &f.error_code as &[&str],
        &f.error_text as &[&str],
        &f.result_step,
        &f.result_run,
        &f.result_kind as &[&str],
        &f.result_attempts,
        &f.result_error as &[Option<i32>],
        &f.result_decision as &[Option<String>],
        &f.result_sent_to as &[Option<i16>],
        &f.result_components,
        &f.result_first,
        &f.result_last,
        &f.step_no,
        &f.step_not_reached,
        &f.step_in_flight,
        &f.step_succeeded,
        &f.step_failed,
        &f.step_skipped,
        &f.step_attempts,
        &f.intent_no,
        &f.intent_step,
        &f.intent_rung,
        &f.intent_rung_name as &[&str],
        &f.intent_verb as &[&str],
        &f.intent_alive_for,
        &f.intent_components,
        &f.intent_first,
        &f.intent_last,
        &f.effect_no,
        &f.effect_state as &[&str],
        &f.effect_reference as &[Option<&str>],
        &f.effect_token as &[Option<&str>],
        &f.effect_error as &[Option<&str>],
        &f.token as &[&str],
        &f.token_artifacts,
        &f.barrier_from,
        &f.barrier_to,
        &f.powering_off_gracefully,
        &f.powering_off_forcefully,
        &f.powering_on,
        &f.configuring,
        &f.succeeded,
        &f.failed,
        &f.failed_error,
        &f.skipped,
        &f.skipped_error,
        &f.disabled,
        f.session_state,
        f.session_reason,
        f.session_outcome,
        f.session_succeeded,
        f.session_failed,
        f.session_skipped,
        f.session_retry_command,
        &f.command_id,
        &f.command_answer as &[&str],
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(doing("write a checkpoint"));
    match written {
        Ok(Some(row)) => Ok(Saved::Written { at: row.at }),
        Ok(None) => Ok(Saved::LeaseLost),
        // Any of its keys: which row of a statement is written first is Postgres' business.
        Err(error) if error.unique_key().is_some() => again(conn, lease, checkpoint.seq, error).await,
        Err(error) => Err(error),
    }
}

/// Something it inserts is there already: its event, written by itself or by somebody it knows nothing of; or it is
/// wrong in itself.
async fn again(conn: &mut Connection, lease: &Lease, seq: i64, error: DbError) -> Result<Saved, DbError> {
    let epoch = sqlx::query_scalar!(
        "select epoch from event where session_id = $1 and seq = $2",
        lease.session().0,
        seq
    )
    .fetch_optional(conn)
    .await
    .map_err(doing("look for a checkpoint"))?;
    let Some(epoch) = epoch else { return Err(error) };
    if epoch == lease.epoch() {
        return Ok(Saved::AlreadyWritten);
    }
    Err(DbError::Conflict {
        what: format!(
            "event {seq} of session {} was written in epoch {epoch}, not in {}: this worker read its past too early",
            lease.session(),
            lease.epoch()
        ),
    })
}
