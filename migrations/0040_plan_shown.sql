-- What was shown to people before they acted on it, and how long verbs take.

create table plan_shown (
  plan_hash text primary key,
  content jsonb not null,
  shown_at timestamptz not null default clock_timestamp()
);
create index plan_shown_at on plan_shown (shown_at);
comment on table plan_shown is 'Plans that were shown lately: when one is to be run and is another by now, what changed can be told.';

create table verb_time (
  session_id bigint not null references session on delete cascade,
  verb text not null,
  bucket int2 not null,
  components int4 not null,
  primary key (session_id, verb, bucket)
);
comment on table verb_time is 'How long components took in the steps of a session that is over: a histogram, eight buckets to a doubling.';
comment on column verb_time.bucket is 'floor(8 × log2(seconds × 1000)), 0 for what took no longer than a millisecond: bounds are within 9 %.';

alter table session add column timed_at timestamptz;
comment on column session.timed_at is 'When verb_time was written for it; null: not since it ended last.';
create index session_untimed on session (session_id) where state = 'ended' and timed_at is null;
update session set timed_at = clock_timestamp() where state = 'ended';

create view verb_times as
  with filled as (
    select verb, bucket, sum(components) as components,
           sum(sum(components)) over (partition by verb order by bucket) as up_to,
           sum(sum(components)) over (partition by verb) as total
      from verb_time group by verb, bucket)
  select verb, max(total)::int8 as components,
         make_interval(secs => (power(2, (min(bucket) filter (where up_to >= 0.50 * total) + 1) / 8.0) / 1000)::float8) as p50,
         make_interval(secs => (power(2, (min(bucket) filter (where up_to >= 0.95 * total) + 1) / 8.0) / 1000)::float8) as p95,
         make_interval(secs => (power(2, (min(bucket) filter (where up_to >= 0.99 * total) + 1) / 8.0) / 1000)::float8) as p99
    from filled group by verb;
comment on view verb_times is 'How long components took in each verb, in the sessions that are over: upper bounds, within 9 %.';

do $$
begin
  grant select on verb_times to bosun_reader;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role bosun_reader was not given what is new: %', sqlerrm;
end
$$;
