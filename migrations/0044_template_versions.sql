-- Every version that a template's name ever stood for: whoever applied one may name it again.

create table session_template_applied (
  tenant text not null,
  name text collate "C" not null,
  session_template_version_id bigint not null references session_template_version,
  applied_at timestamptz not null default clock_timestamp(),
  primary key (tenant, name, session_template_version_id)
);
comment on table session_template_applied is 'Which versions a template''s name stood for, and when each was first applied. Stays when the name is deleted.';

insert into session_template_applied (tenant, name, session_template_version_id, applied_at)
select tenant, name, session_template_version_id, min(at)
  from (select tenant, name, session_template_version_id, updated_at as at from session_template
        union all
        select tenant, split_part(template_name, '@', 1), session_template_version_id, created_at from session
         where session_template_version_id is not null and template_name <> '') known
 group by tenant, name, session_template_version_id;

create function keep_applied_version() returns trigger language plpgsql as $$
begin
  insert into session_template_applied (tenant, name, session_template_version_id)
  values (new.tenant, new.name, new.session_template_version_id)
  on conflict do nothing;
  return null;
end
$$;
create trigger session_template_kept after insert or update of session_template_version_id on session_template
  for each row execute function keep_applied_version();
