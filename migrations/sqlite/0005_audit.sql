-- The audit log: who did what, on what, from where, and what came of it.

-- `hash` is SHA-256 over the entry with `prev`, the hash of the one before it, so that nothing can be changed, removed or
-- moved without a trace. `namespace` is the one in which `subject` lies, in lower case.
create table audit (
    seq bigint not null primary key,
    at bigint not null,
    principal text not null,
    address text not null,
    request_id text not null,
    action text not null,
    subject text not null,
    folded text not null,
    namespace text not null,
    result text not null,
    details text not null,
    prev text not null,
    hash text not null
);
create index audit_by_principal on audit (principal, seq);
create index audit_by_namespace on audit (namespace, seq);
create index audit_by_time on audit (at);

-- The end of the chain, which the next entry goes on from: one row.
create table audit_chain (
    only_row bigint not null primary key,
    id text not null,
    seq bigint not null,
    hash text not null,
    at bigint not null,
    constraint audit_chain_is_one check (only_row = 1)
);

-- Against mistakes; whoever may write the file can remove these, and the chain tells.
create trigger audit_is_not_changed before update on audit begin
    select raise(abort, 'the audit log is append-only');
end;
create trigger audit_is_not_deleted before delete on audit begin
    select raise(abort, 'the audit log is append-only');
end;

-- Where the request came from that publishes a version: the entry is written when it becomes visible, perhaps after a
-- restart.
alter table versions add column origin text;

-- The key under which cursors over what a caller may not see are sealed: 64 hex digits, made when it is first needed.
alter table catalog add column cursor_key text not null default '';
