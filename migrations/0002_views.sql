-- The operators' SQL interface: stable names, for the role bosun_reader. Filter by session, session_id or xname.

create view session_progress as
  select s.session_id, s.tenant, s.name as session, s.operation, s.template_name as template, s.state, s.outcome,
         coalesce(s.error, s.reason) as reason, s.members, s.skipped_at_admission,
         coalesce(t.targeted, 0) as step_results_expected, coalesce(t.settled, 0) as step_results,
         case when s.state = 'ended' then 100.0
              when coalesce(t.targeted, 0) = 0 then 0.0
              else round(100.0 * t.settled / t.targeted, 1) end as percent,
         case when s.state = 'ended' then s.failed else coalesce(t.failed, 0) end as failed,
         l.worker, l.epoch, coalesce(l.valid_until > clock_timestamp(), false) as worker_alive,
         s.actor, s.created_at, s.admitted_at, s.started_at, s.ended_at,
         coalesce(s.ended_at, clock_timestamp()) - s.started_at as elapsed, s.retry_command, s.deleted_at
    from session s
    left join session_lease l on l.session_id = s.session_id
    left join lateral (
      select sum(succeeded + failed + skipped) as settled, sum(failed) as failed,
             sum(not_reached + in_flight + succeeded + failed + skipped) as targeted
        from step where step.session_id = s.session_id) t on true;
comment on view session_progress is 'One row per session: where it is, how far, who works on it.';

create view step_progress as
  select s.session_id, s.tenant, s.name as session, t.step_no, t.name as step, t.verb,
         t.not_reached + t.in_flight + t.succeeded + t.failed + t.skipped as targeted,
         t.not_reached, t.in_flight, t.succeeded, t.failed, t.skipped, t.attempts, t.started_at, t.ended_at,
         coalesce(t.ended_at, clock_timestamp()) - t.started_at as elapsed
    from step t join session s on s.session_id = t.session_id;
comment on view step_progress is 'One row per step of a session, with its counters now.';

create view step_result as
  select s.session_id, s.tenant, s.name as session, t.step_no, t.name as step, c.xname, u.component_id, r.run, r.kind as result,
         r.attempts, e.code as reason, e.text as error, r.decision, sent.name as sent_to, r.at, r.seq
    from session s
    join step_result_batch r on r.session_id = s.session_id
    join step t on t.session_id = r.session_id and t.step_no = r.step_no
    cross join lateral unnest(r.component_ids) u (component_id)
    join component c on c.component_id = u.component_id
    left join step sent on sent.session_id = r.session_id and sent.step_no = r.sent_to
    left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no;
comment on view step_result is 'One row per component, step and run: every fact, as if it were kept so.';

create view step_history as
  select session_id, tenant, session, step_no, step, xname, run, result, attempts, reason, error, at, seq
    from step_result where result <> 'noticed';
comment on view step_history is 'What became of components in steps, without mere observations. Filter by session, and by step, result or xname.';

-- The keys of `distinct on` hold all one filters by, so that a filter reaches the index.
create view failed_components as
  select session_id, tenant, session, step_no, step, component_id, xname, run, attempts, reason, error, at
    from (
      select distinct on (s.session_id, s.tenant, s.name, u.component_id)
             s.session_id, s.tenant, s.name as session, r.step_no, t.name as step, u.component_id, c.xname, r.run, r.attempts,
             e.code as reason, e.text as error, r.at, r.kind
        from session s
        join step_result_batch r on r.session_id = s.session_id and r.kind in ('failed', 'sent_back', 'passed')
        join step t on t.session_id = r.session_id and t.step_no = r.step_no
        cross join lateral unnest(r.component_ids) u (component_id)
        join component c on c.component_id = u.component_id
        left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
       order by s.session_id, s.tenant, s.name, u.component_id, r.seq desc, r.part desc) newest
   where kind = 'failed';
comment on view failed_components is 'Components whose last word is a failure: one that was sent back since is not listed.';

create view component_history as
  select c.xname, s.session_id, s.tenant, s.name as session, s.operation, t.step_no, t.name as step, r.run, r.kind as result,
         r.attempts, e.code as reason, e.text as error, r.at, r.seq
    from component c
    join session_component_batch b on c.component_id between b.lowest and b.highest and c.component_id = any (b.component_ids)
    join session s on s.session_id = b.session_id
    join step_result_batch r on r.session_id = b.session_id and c.component_id = any (r.component_ids)
    join step t on t.session_id = r.session_id and t.step_no = r.step_no
    left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
  union all
  select c.xname, s.session_id, s.tenant, s.name, s.operation, null, 'admission', 1, 'skipped', 0, b.skip_reason, b.skip_text,
         s.admitted_at, 1
    from component c
    join session_component_batch b on c.component_id between b.lowest and b.highest and c.component_id = any (b.component_ids)
    join session s on s.session_id = b.session_id
   where b.skip_reason is not null;
comment on view component_history is 'What happened to a component in every session. Always filter by xname; newest first: order by session_id desc, seq desc limit n.';

create view effects as
  select s.session_id, s.tenant, s.name as session, f.effect_no, t.name as step, f.verb, f.rung_name as rung, f.state,
         cardinality(f.component_ids) as components, f.remote_ref, f.error, f.epoch, f.intended_at, f.dead_at, f.answered_at,
         f.lost_at, f.found_at, f.settled_at, f.component_ids
    from effect f
    join session s on s.session_id = f.session_id
    join step t on t.session_id = f.session_id and t.step_no = f.step_no;
comment on view effects is 'One row per call that changes the world.';

create view claims as
  select c.xname, s.session_id, s.tenant, s.name as session, s.state, p.phase, w.name as wanted_by
    from component_progress p
    join component c on c.component_id = p.component_id
    join session s on s.session_id = p.claimed_by
    left join session w on w.session_id = p.wanted_by;
comment on view claims is 'Which session holds which component now.';

create view stuck_sessions as
  select s.session_id, s.tenant, s.name as session, s.operation, s.state, s.reason, s.started_at, l.takeovers,
         (select count(*) from command c where c.session_id = s.session_id and c.obeyed_at is null) as commands_waiting,
         (select max(e.at) from event e where e.session_id = s.session_id) as last_event_at
    from session s
    left join session_lease l on l.session_id = s.session_id
   where s.state in ('paused', 'halted', 'stuck');
comment on view stuck_sessions is 'Sessions that wait for an operator, and why.';

create view timeline as
  select s.session_id, s.tenant, s.name as session, e.seq, e.at, e.at - coalesce(s.started_at, s.created_at) as since_start,
         e.kind, e.actor, e.epoch, e.data
    from event e join session s on s.session_id = e.session_id;
comment on view timeline is 'The narrative of a session, in order of seq.';
