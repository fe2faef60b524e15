-- Who may do what: tokens with a life, and grants to principals and groups.

alter table tokens add column created_by text not null default '';
alter table tokens add column expires_at bigint;
alter table tokens add column last_used_at bigint;
alter table tokens add column revoked_at bigint;
alter table tokens add column revoked_by text;
create index tokens_by_name on tokens (name);

-- `on_folded` is `*`, a namespace or a model, in lower case; `on_name` is how it was spelled.
create table grants (
    id text not null primary key,
    principal text not null,
    role text not null,
    on_folded text not null,
    on_name text not null,
    created_at bigint not null,
    created_by text not null,
    constraint grant_one_per_role unique (principal, on_folded, role)
);
create index grants_by_place on grants (on_folded);

-- What the role of a token was is a grant to its name now.
insert into grants (id, principal, role, on_folded, on_name, created_at, created_by)
    select min(id), 'token:' || name, 'admin', '*', '*', min(created_at), 'strongroom' from tokens
    where role = 'admin' group by name;
alter table tokens drop column role;

-- Aliases that only some may move, as a JSON list of patterns in which `*` stands for any characters.
alter table namespaces add column protected_aliases text not null default '[]';
-- A JSON object of texts, for policies and for people.
alter table models add column labels text not null default '{}';
