-- Whoever watches sessions is told of every new event, whoever wrote it. A hint only: it may be lost, and says no more
-- than which session. Once per statement and session: a checkpoint writes its events in one.
create function tell_of_events() returns trigger language plpgsql as $$
begin
  perform pg_notify('bosun_event', w.session_id::text) from (select distinct session_id from written) w;
  return null;
end
$$;
create trigger event_told after insert on event referencing new table as written
  for each statement execute function tell_of_events();
