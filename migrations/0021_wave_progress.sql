-- Who waits before the gates of a session, and who is inside.

create view wave_progress as
  select s.session_id, s.tenant, s.name as session, w.wave + 1 as wave, w.components, w.waiting, w.inside,
         (select coalesce(sum(t.failed), 0) from step t
            join slice l on l.session_id = t.session_id and l.slice_no = t.slice_no
           where t.session_id = s.session_id and l.wave = w.wave) as failed
    from session s
    cross join lateral (
      select l.wave, count(*) as components,
             count(*) filter (where p.claimed_by = s.session_id and p.phase = '') as waiting,
             count(*) filter (where p.claimed_by = s.session_id and p.phase <> '') as inside
        from session_component_batch b
        join slice l on l.session_id = b.session_id and l.slice_no = b.slice_no
        cross join lateral unnest(b.component_ids) u (component_id)
        join component_progress p on p.component_id = u.component_id
       where b.session_id = s.session_id
       group by l.wave) w;
comment on view wave_progress is 'One row per wave of a session (counted from 1): whose way has not ended, waiting before its gate or inside, and how many failed. Filter by session.';

do $$
begin
  grant select on wave_progress to bosun_reader;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role bosun_reader was not given what is new: %', sqlerrm;
end
$$;
