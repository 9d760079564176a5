-- The Kubernetes launcher: Jobs that were given up count against the crash budget, each once.

alter table session_lease add column last_failed_launch int4 not null default 0 check (last_failed_launch >= 0);
comment on column session_lease.last_failed_launch is 'The highest launch (Job) that was given up and has been counted in takeovers; the next launch has a higher number.';
