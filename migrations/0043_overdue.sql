-- History that answers "what booted this node", and what takes longer than it should.

create or replace view component_history as
  select c.xname, s.session_id, s.tenant, s.name as session, s.operation, t.step_no, t.name as step, r.run, r.kind as result,
         r.attempts, e.code as reason, e.text as error, r.at, r.seq, split_part(s.template_name, '@', 1) as template,
         s.session_template_version_id as template_version, l.image, a.kernel, l.configuration
    from component c
    join session_component_batch b on c.component_id between b.lowest and b.highest and c.component_id = any (b.component_ids)
    join session s on s.session_id = b.session_id
    join step_result_batch r on r.session_id = b.session_id and c.component_id = any (r.component_ids)
    join step t on t.session_id = r.session_id and t.step_no = r.step_no
    left join error_text e on e.session_id = r.session_id and e.error_no = r.error_no
    left join slice l on l.session_id = t.session_id and l.slice_no = t.slice_no
    left join boot_artifacts a on a.boot_artifacts_id = l.boot_artifacts_id
  union all
  select c.xname, s.session_id, s.tenant, s.name, s.operation, null, 'admission', 1, 'skipped', 0, b.skip_reason, b.skip_text,
         s.admitted_at, 1, split_part(s.template_name, '@', 1), s.session_template_version_id, null, null, null
    from component c
    join session_component_batch b on c.component_id between b.lowest and b.highest and c.component_id = any (b.component_ids)
    join session s on s.session_id = b.session_id
   where b.skip_reason is not null;

create view overdue_components as
  select s.session_id, s.tenant, s.name as session, t.step_no, t.name as step, t.verb, c.xname, f.intended_at as since,
         clock_timestamp() - f.intended_at as waits, v.p99 as usual
    from session s
    join effect f on f.session_id = s.session_id and f.state in ('intended', 'accepted', 'lost', 'found')
    join step t on t.session_id = f.session_id and t.step_no = f.step_no
    join verb_times v on v.verb = t.verb and v.components >= 20 and f.intended_at < clock_timestamp() - v.p99
   cross join lateral (
     select unnest(f.component_ids)
     except
     select unnest(r.component_ids) from step_result_batch r
      where r.session_id = f.session_id and r.step_no = f.step_no and r.seq > f.seq) u (component_id)
    join component c on c.component_id = u.component_id
   where s.state not in ('waiting', 'ended')
  union all
  select s.session_id, s.tenant, s.name, t.step_no, t.name, t.verb, c.xname, late.at, clock_timestamp() - late.at, v.p99
    from session s
    join step t on t.session_id = s.session_id and t.in_flight > 0 and t.verb in ('await_boot', 'await_configuration')
    join verb_times v on v.verb = t.verb and v.components >= 20
   cross join lateral (
     select entered.component_id, entered.at
       from (select u.component_id, max(r.at) as at
               from step_edge e
               join step_result_batch r on r.session_id = e.session_id and r.step_no = e.from_no and r.kind = 'succeeded'
                and r.at < clock_timestamp() - v.p99
              cross join lateral unnest(r.component_ids) u (component_id)
              where e.session_id = t.session_id and e.to_no = t.step_no and e.kind = 'per_component'
              group by u.component_id) entered
       left join (select u.component_id, max(r.at) as at
                    from step_result_batch r
                   cross join lateral unnest(r.component_ids) u (component_id)
                   where r.session_id = t.session_id and r.step_no = t.step_no and r.kind <> 'noticed'
                   group by u.component_id) gone
         on gone.component_id = entered.component_id
      where gone.at is null or gone.at < entered.at) late
    join component c on c.component_id = late.component_id
   where s.state not in ('waiting', 'ended');
comment on view overdue_components is 'Who is in a step longer than 99 of 100 were in that verb before (of verbs that were timed 20 times). Filter by session or session_id.';

create or replace view stuck_sessions as
  select s.session_id, s.tenant, s.name as session, s.operation, s.state, s.reason, s.started_at, l.takeovers,
         (select count(*) from command c where c.session_id = s.session_id and c.obeyed_at is null) as commands_waiting,
         (select max(e.at) from event e where e.session_id = s.session_id) as last_event_at,
         o.components as overdue_components, o.step as overdue_step,
         case
           when s.state = 'paused' then 'bosun session resume ' || s.name
           when s.state in ('halted', 'stuck') then 'bosun session show ' || s.name || ' --full'
           when o.verb = 'await_configuration' then 'cray cfs v3 components describe ' || o.xname
           when o.verb = 'await_boot' then 'bosun component show ' || o.xname || '   # then its console'
           else 'bosun session effects ' || s.name end as next_command
    from session s
    left join session_lease l on l.session_id = s.session_id
    left join lateral (
      select count(*) as components, min(v.step) as step, min(v.verb) as verb, min(v.xname) as xname
        from overdue_components v where v.session_id = s.session_id) o on true
   where s.state <> 'ended' and s.state <> 'waiting'
     and (s.state in ('paused', 'halted', 'stuck') or o.components > 0);
comment on view stuck_sessions is 'Sessions that wait for an operator, or in which components take longer than they should; what to look at next.';

do $$
begin
  grant select on overdue_components to bosun_reader;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role bosun_reader was not given what is new: %', sqlerrm;
end
$$;
