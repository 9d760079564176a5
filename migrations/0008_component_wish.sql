-- Components that a client enabled without a session wait in their own row until somebody admits a session for them:
-- whichever replica does it first, and however often one died before.
alter table component add column wished_at timestamptz;
alter table component add column wished_by text;
alter table component add column applied_at timestamptz;
comment on column component.wished_at is 'Since when it waits to be driven to its desired state without a session; null: it does not.';
comment on column component.wished_by is 'Who enabled it.';
comment on column component.applied_at is 'When what is staged for it was last applied.';
-- Both are partial: rows that neither wait nor are staged cost nothing, and the engine's updates stay HOT.
create index component_wish on component (wished_at) where wished_at is not null;
create index component_staged on component ((staged_state->>'session')) where staged_state->>'session' <> '';
