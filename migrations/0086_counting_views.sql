-- Views that count 100,000 components: without a look at each name, and without one at each row.

create view overdue_numbers as
  select s.session_id, s.tenant, s.name as session, t.step_no, t.name as step, t.verb, u.component_id,
         f.intended_at as since, v.p99 as usual
    from session s
    join effect f on f.session_id = s.session_id and f.state in ('intended', 'accepted', 'lost', 'found')
    join step t on t.session_id = f.session_id and t.step_no = f.step_no
    join verb_times v on v.verb = t.verb and v.components >= 20 and f.intended_at < clock_timestamp() - v.p99
   cross join lateral (
     select unnest(f.component_ids)
     except
     select unnest(r.component_ids) from step_result_batch r
      where r.session_id = f.session_id and r.step_no = f.step_no and r.seq > f.seq) u (component_id)
   where s.state not in ('waiting', 'ended')
  union all
  select s.session_id, s.tenant, s.name, t.step_no, t.name, t.verb, late.component_id, late.at, v.p99
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
   where s.state not in ('waiting', 'ended');
comment on view overdue_numbers is 'overdue_components by component_id: for counting. Not part of the interface.';

create or replace view overdue_components as
  select n.session_id, n.tenant, n.session, n.step_no, n.step, n.verb, c.xname, n.since, clock_timestamp() - n.since as waits,
         n.usual
    from overdue_numbers n join component c on c.component_id = n.component_id;

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
      select n.components, n.step, n.verb, c.xname
        from (select count(*) as components, min(v.step) as step, min(v.verb) as verb, min(v.component_id) as component_id
                from overdue_numbers v where v.session_id = s.session_id) n
        left join component c on c.component_id = n.component_id) o on true
   where s.state <> 'ended' and s.state <> 'waiting'
     and (s.state in ('paused', 'halted', 'stuck') or o.components > 0);

create or replace view wave_progress as
  select s.session_id, s.tenant, s.name as session, w.wave + 1 as wave, w.components, w.waiting, w.inside,
         (select coalesce(sum(t.failed), 0) from step t
            join slice l on l.session_id = t.session_id and l.slice_no = t.slice_no
           where t.session_id = s.session_id and l.wave = w.wave) as failed
    from session s
    cross join lateral (
      select m.wave, count(*) as components, count(*) filter (where m.waits) as waiting,
             count(*) filter (where not m.waits) as inside
        from (select x.component_id, max(x.wave) as wave, bool_or(x.waits) as waits
                from (select u.component_id, l.wave, null::bool as waits
                        from session_component_batch b
                        join slice l on l.session_id = b.session_id and l.slice_no = b.slice_no
                       cross join lateral unnest(b.component_ids) u (component_id)
                       where b.session_id = s.session_id
                      union all
                      select p.component_id, null, p.phase = ''
                        from session_component_batch b
                       cross join lateral (
                         select n.component_id, n.claimed_by, n.phase from component_progress n
                          where n.component_id between b.lowest and b.highest offset 0) p
                       where b.session_id = s.session_id and p.claimed_by = s.session_id) x
               group by x.component_id) m
       where m.wave is not null
       group by m.wave) w;

-- As for our own connections: what a question costs is overrated before tables are analysed, and it was compiled for longer
-- than it ran.
do $$
begin
  alter role bosun_reader set jit = off;
exception
  when insufficient_privilege or undefined_object or internal_error then
    raise notice 'role bosun_reader was not set up: %', sqlerrm;
end
$$;
