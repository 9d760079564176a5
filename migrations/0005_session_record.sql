-- What BOS's clients wrote over a session, and the status they saved. The engine reads none of it.
create table session_record (
  session_id bigint primary key references session on delete cascade,
  components text,
  status jsonb not null default '{}',
  over_label text not null default '',
  saved_status jsonb,
  saved_at timestamptz
);
comment on table session_record is 'What clients of BOS''s API wrote over a session (PATCH, POST status). Shown in /v2 only.';
comment on column session_record.over_label is 'Where the session was when its status was written; what is written of that counts until it moves on.';
