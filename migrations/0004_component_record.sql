-- The BOS record of a component as it is shown: what clients wrote, and what the engine did, whichever was later.
-- Not part of the operators' interface. `status` is BOS's computed status.
create view component_record as
  select c.component_id, c.xname, c.enabled, c.session, c.retry_policy, c.staged_state, p.claimed_by, r.stale,
         case when not r.stale then c.actual_boot_artifacts_id end as actual_boot_artifacts_id,
         case when not r.stale then c.actual_token end as actual_token,
         c.actual_updated_at,
         c.desired_boot_artifacts_id, c.desired_configuration, c.desired_token, c.desired_updated_at,
         n.newer, s.error, s.phase, s.status_override, s.action, s.action_failed, s.action_at,
         s.power_on_attempts, s.power_off_graceful_attempts, s.power_off_forceful_attempts,
         case
           when s.status_override <> '' then s.status_override
           when s.phase = 'powering_on' then
             case when s.action = 'powering_on' and not coalesce(s.action_failed, false) then 'power_on_called'
                  else 'power_on_pending' end
           when s.phase = 'powering_off' then
             case s.action when 'powering_off_gracefully' then 'power_off_gracefully_called'
                           when 'powering_off_forcefully' then 'power_off_forcefully_called'
                           else 'power_off_pending' end
           when s.phase = 'configuring' then 'configuring'
           else 'stable' end as status
    from component c
    join component_progress p on p.component_id = c.component_id
    left join error_text e on e.session_id = p.session_id and e.error_no = p.error_no
    cross join lateral (select coalesce(p.changed_at > c.written_at, false) as newer) n
    -- What a node reported before the last power action on it says nothing about what it runs now.
    cross join lateral (select coalesce(p.last_power_at > coalesce(c.reported_at, c.actual_updated_at), false) as stale) r
    cross join lateral (
      select coalesce(e.code || case when e.text = '' then '' else ': ' || e.text end, '') as error, p.phase,
             case when p.claimed_by is null and p.error_no is not null and p.last_action_failed then 'failed' else '' end
               as status_override,
             p.last_action as action, p.last_action_failed as action_failed, p.last_action_at as action_at,
             p.power_on_attempts, p.power_off_graceful_attempts, p.power_off_forceful_attempts
       where n.newer
      union all
      select c.error, c.status->>'phase', c.status->>'status_override', c.last_action->>'action',
             (c.last_action->>'failed')::bool, (c.last_action->>'last_updated')::timestamptz,
             (c.event_stats->>'power_on_attempts')::int4, (c.event_stats->>'power_off_graceful_attempts')::int4,
             (c.event_stats->>'power_off_forceful_attempts')::int4
       where not n.newer) s
   where c.retired_at is null;
