-- A client that asks again because it never heard the answer gives one command, not two.
alter table command add column request_key text check (length(request_key) between 1 and 64);
comment on column command.request_key is 'The id that the client gave its request; of a session''s commands only one has it.';
create unique index command_request_key on command (session_id, request_key) where request_key is not null;

-- What a worker reads before it goes on: what was set, and whether a cancel brings nothing back.
create index command_standing on command (session_id, command_id)
  where obeyed_at is not null and data->>'kind' in ('set', 'cancel');
