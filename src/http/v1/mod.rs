//! Version 1 of the API.

pub(super) mod aliases;
pub(super) mod audit;
pub(super) mod describe;
pub(super) mod draft_files;
pub(super) mod drafts;
pub(super) mod files;
pub(super) mod grants;
pub(super) mod hold;
pub(super) mod models;
pub(super) mod namespaces;
pub(super) mod operations;
pub(super) mod posture;
pub(super) mod publish;
pub(super) mod retention;
pub(super) mod tokens;
pub(super) mod trash;
pub(super) mod uploads;
pub(super) mod urls;
pub(super) mod versions;
