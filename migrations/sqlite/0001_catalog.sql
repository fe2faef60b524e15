-- One row: which catalog this is. The bucket's claim names the same id.
create table catalog (
    id text not null primary key,
    created_at bigint not null
);

-- A bucket and its key. Objects and drafts say which one they are in.
create table vaults (
    id integer primary key,
    bucket text not null,
    region text not null,
    kms_key_arn text not null,
    constraint vault_one_per_bucket_and_key unique (bucket, kms_key_arn)
);

-- The first spelling is kept; the folded one is unique.
create table namespaces (
    id integer primary key,
    name text not null,
    folded text not null,
    created_at bigint not null,
    constraint namespace_one_per_name unique (folded)
);

create table models (
    id integer primary key,
    namespace_id bigint not null references namespaces (id),
    name text not null,
    folded text not null,
    last_number bigint not null default 0,
    created_at bigint not null,
    constraint model_one_per_name unique (namespace_id, folded)
);

-- A set of files on its way to be a version. The row is there before the first byte reaches S3: everything under the
-- draft's prefix that carries its token was written for it.
create table drafts (
    id text not null primary key,
    model_namespace text not null,
    model_name text not null,
    vault_id bigint not null references vaults (id),
    token text not null,
    created_at bigint not null,
    created_by text not null
);

-- Bytes in S3 that were checked after they were written.
create table objects (
    id integer primary key,
    model_id bigint not null references models (id),
    vault_id bigint not null references vaults (id),
    s3_key text not null,
    s3_version_id text not null,
    kms_key_arn text not null,
    size bigint not null,
    sha256 text not null,
    integrity text not null,
    created_at bigint not null,
    constraint object_one_per_s3_version unique (vault_id, s3_key, s3_version_id)
);
create index objects_by_digest on objects (model_id, sha256);

-- `declared_files` counts the files whose digest is only the client's word.
-- `publishing` has its number and waits for its manifest, `described` for the numbers below it, `published` is visible.
create table versions (
    id integer primary key,
    model_id bigint not null references models (id),
    number bigint not null,
    state text not null,
    draft_id text not null,
    digest text not null,
    file_count bigint not null,
    total_size bigint not null,
    declared_files bigint not null,
    metadata text not null,
    created_at bigint not null,
    created_by text not null,
    constraint version_one_per_number unique (model_id, number),
    constraint version_one_per_draft unique (draft_id)
);
create index versions_by_digest on versions (model_id, digest);
create index versions_unfinished on versions (state) where state <> 'published';

create table version_files (
    version_id bigint not null references versions (id),
    path text not null,
    object_id bigint not null references objects (id),
    primary key (version_id, path)
);
create index version_files_by_object on version_files (object_id);

-- A token is stored as the SHA-256 of its text; the text was shown once.
create table tokens (
    id text not null primary key,
    name text not null,
    sha256 text not null,
    role text not null,
    created_at bigint not null,
    constraint token_one_per_secret unique (sha256)
);
