//! Version 1 of the API.

pub(super) mod draft_files;
pub(super) mod drafts;
pub(super) mod files;
pub(super) mod operations;
pub(super) mod posture;
pub(super) mod publish;
pub(super) mod uploads;
pub(super) mod urls;
pub(super) mod versions;
