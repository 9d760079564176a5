-- What the gates of a session know, and who let them open.

alter table session add column gates jsonb;
comment on column session.gates is 'What its gates know beside its state, as frozen in its plan: max_unavailable, halt_on_failures, time window …; null: nothing.';

create view approvals as
  select s.session_id, s.tenant, s.name as session, e.seq, e.at, e.actor, (e.data->>'wave')::int4 as wave,
         coalesce((e.data->>'accepts_failures')::bool, false) as accepts_failures, e.data->>'reason' as reason
    from event e join session s on s.session_id = e.session_id
   where e.kind = 'approved';
comment on view approvals is 'Who let the next wave of a session pass, or accepted what had failed. Waves are counted from 1.';

do $$
begin
  grant select on approvals to bosun_reader;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role bosun_reader was not given what is new: %', sqlerrm;
end
$$;
