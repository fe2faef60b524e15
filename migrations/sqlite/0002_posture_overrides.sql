-- An operator lets writes pass in spite of a claim that does not hold. Rows are kept as history; times in milliseconds.
-- One that is neither ended nor past its time is in force; the newest of a claim counts.
create table posture_overrides (
    id text not null primary key,
    claim text not null,
    until bigint not null,
    reason text not null,
    made_by text not null,
    made_at bigint not null,
    ended_at bigint,
    ended_by text
);
create index posture_overrides_in_force on posture_overrides (claim) where ended_at is null;
