-- Drafts that clients fill over hours or weeks, beside those of one request.
-- `kind` is `request` (one request, ends with it) or `client` (made by a call, ends by publishing, discarding or expiry).
-- `prefix` is the ULID in the keys of its objects: the draft's own, until a kept draft is published and goes on under a
-- new one, so that a published prefix is never written again.
-- `revision` counts changes of the set of files; `published_revision` is the one that `published_version` has.
alter table drafts add column kind text not null default 'request';
alter table drafts add column prefix text not null default '';
update drafts set prefix = id;
alter table drafts add column metadata text not null default '{}';
alter table drafts add column keep bigint not null default 0;
alter table drafts add column base bigint;
alter table drafts add column expires_at bigint;
alter table drafts add column revision bigint not null default 0;
alter table drafts add column published_revision bigint;
alter table drafts add column published_version bigint;
create index drafts_by_creator on drafts (created_by, kind);
create index drafts_by_expiry on drafts (expires_at);

-- Files of a draft that are complete. Those that came with `base` keep their objects, and so share them.
-- `upload_id` is the upload that brought it: completing it again finds the file.
create table draft_files (
    draft_id text not null references drafts (id),
    path text not null,
    object_id bigint not null references objects (id),
    upload_id text,
    created_at bigint not null,
    primary key (draft_id, path)
);
create index draft_files_by_object on draft_files (object_id);

-- The intent behind bytes on their way into a draft: the row is there, with its token, before S3 hears of the file.
-- `kind` is `presigned` (parts go straight to S3) or `streamed` (through the service; ends with its request).
-- `parts` packs the digests that URLs were signed for: base64 of 33 bytes a part, a
-- flag and a SHA-256; one row an upload, not one a part.
create table uploads (
    id text not null primary key,
    draft_id text not null references drafts (id),
    kind text not null,
    path text not null,
    size bigint,
    sha256 text,
    part_size bigint,
    part_count bigint,
    s3_key text not null,
    s3_upload_id text,
    token text not null,
    parts text not null default '',
    created_at bigint not null,
    created_by text not null,
    expires_at bigint not null
);
create index uploads_by_draft on uploads (draft_id, path);
create index uploads_by_key on uploads (s3_key);
create index uploads_by_expiry on uploads (expires_at);

-- `state` is `live`, or `condemned` once nothing refers to it any more: only a live object gets new references, and only
-- a condemned one is deleted. `integrity` is `verified`, `declared`, or `wrong`: the bytes do not have the digest that
-- the client stated. `s3_checksum` is what S3 computed: base64 SHA-256, or its composite form `…-N`.
alter table objects add column state text not null default 'live';
alter table objects add column s3_checksum text not null default '';
alter table objects add column checked_at bigint;
create index objects_declared on objects (integrity) where integrity = 'declared';
create index objects_condemned on objects (state) where state = 'condemned';

-- Further states of a version: `trashed` (hidden, can be restored until `purge_at`), `purging` (its bytes are going),
-- `purged` (nothing is left but the row with its number).
-- `quarantine` says why its bytes are not given out. `wanted_aliases` are moved when it becomes visible.
-- `plain_prefix`: all its files lie under one prefix, and nothing else does.
alter table versions add column description text not null default '';
alter table versions add column revision bigint not null default 0;
alter table versions add column quarantine text;
alter table versions add column wanted_aliases text;
alter table versions add column plain_prefix bigint not null default 1;
alter table versions add column hold text;
alter table versions add column deleted_at bigint;
alter table versions add column deleted_by text;
alter table versions add column purge_at bigint;
create index versions_trashed on versions (purge_at) where state in ('trashed', 'purging');
drop index versions_unfinished;
create index versions_unfinished on versions (state) where state in ('publishing', 'described');

-- A deleted model hides its versions; `purged_at`: they are gone, and the next version goes on from `last_number`.
alter table models add column description text not null default '';
alter table models add column deleted_at bigint;
alter table models add column deleted_by text;
alter table models add column purge_at bigint;
alter table models add column purged_at bigint;
alter table models add column retention text;

-- `bytes` counts the objects of the namespace.
alter table namespaces add column bytes bigint not null default 0;
alter table namespaces add column require_verified bigint not null default 0;
update namespaces set bytes = (
    select coalesce(sum(o.size), 0) from objects o join models m on m.id = o.model_id
    where m.namespace_id = namespaces.id
);

create table aliases (
    model_id bigint not null references models (id),
    name text not null,
    number bigint not null,
    updated_at bigint not null,
    updated_by text not null,
    primary key (model_id, name)
);
create index aliases_by_number on aliases (model_id, number);

-- Every move of an alias. `from_number` is null when it was new, `to_number` when it was removed.
create table alias_history (
    id integer primary key,
    model_id bigint not null references models (id),
    name text not null,
    from_number bigint,
    to_number bigint,
    moved_at bigint not null,
    moved_by text not null,
    reason text not null default ''
);
create index alias_history_by_alias on alias_history (model_id, name, id);

-- What is still to be written to the bucket's journal, in the transaction of the change itself.
-- `seq` is never reused; the journal's object is `journal/{catalog id}/{seq}.json`.
create table outbox (
    seq integer primary key autoincrement,
    event text not null,
    created_at bigint not null
);

-- Answers of creating calls that carried an Idempotency-Key. `result` is null while the first request is under way.
create table idempotency (
    principal text not null,
    route text not null,
    key text not null,
    fingerprint text,
    draft_id text,
    result text,
    created_at bigint not null,
    primary key (principal, route, key)
);
create index idempotency_by_draft on idempotency (draft_id);
create index idempotency_by_age on idempotency (created_at);

-- When the sweeper first saw something that nothing refers to: its age counts from there.
-- `kind` is `upload` or `version`; `s3_id` is the upload id or the VersionId.
create table sightings (
    kind text not null,
    s3_key text not null,
    s3_id text not null,
    first_seen bigint not null,
    last_seen bigint not null,
    primary key (kind, s3_key, s3_id)
);

-- Who is doing what only one may do at a time, until when at the latest.
create table leases (
    name text not null primary key,
    owner text not null,
    until bigint not null
);
