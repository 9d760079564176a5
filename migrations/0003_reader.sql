-- The role for people and dashboards: reads the views, and nothing for long (an old snapshot, even of another
-- database of the cluster, keeps updates from being HOT). Where we may not make roles, an administrator does.
do $$
begin
  if not exists (select from pg_roles where rolname = 'bosun_reader') then
    create role bosun_reader login;
    alter role bosun_reader set default_transaction_read_only = on;
    alter role bosun_reader set statement_timeout = '30s';
    alter role bosun_reader set idle_in_transaction_session_timeout = '10s';
  end if;
  grant select on session_progress, step_progress, step_result, step_history, failed_components, component_history,
    effects, claims, stuck_sessions, timeline to bosun_reader;
exception
  when insufficient_privilege or undefined_object or duplicate_object or unique_violation then
    raise notice 'role bosun_reader was not set up: %', sqlerrm;
end
$$;
