//! The audit log.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::domain::{Namespace, Subject, Timestamp};
use crate::http::auth::Authenticated;
use crate::http::extract::Query;
use crate::http::page::{PageView, bounded_limit, cursor, read_cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{AuditFilter, AuditOrder, AuditRow, Registry};

/// Entries that an export reads at a time.
const EXPORT_PAGE: usize = 500;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// By this principal, as in `token:ci`.
    principal: Option<String>,
    /// Of this kind, as in `version.publish`.
    action: Option<String>,
    /// On this or on something in it, as in `models/vision/resnet50`.
    on: Option<String>,
    /// In this namespace.
    namespace: Option<String>,
    /// `done` or `refused`.
    result: Option<String>,
    /// Of this request.
    request_id: Option<String>,
    /// From this time on, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
    /// `json`: a page, newest first. `jsonl`: all of them, oldest first, an entry a line.
    #[param(inline)]
    format: AuditFormat,
    /// With `json`: items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// With `json`: `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
    /// With `jsonl`: only entries behind the one with this `seq`, to go on where an export ended.
    after: Option<i64>,
}

/// How entries are given out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditFormat {
    /// A page, newest first.
    #[default]
    Json,
    /// All of them, oldest first, an entry a line.
    Jsonl,
}

/// An entry of the audit log.
///
/// `hash` is SHA-256 over the RFC 8785 form of all the other members.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// The log that it belongs to.
    chain: String,
    /// 1, 2, 3 …
    #[schema(minimum = 1)]
    seq: i64,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// Who.
    principal: String,
    /// From which address; null where there was none, or it is not believed.
    #[schema(value_type = Option<String>)]
    address: Option<std::net::IpAddr>,
    /// In which request; empty when it was none.
    request_id: String,
    /// What.
    action: &'static str,
    /// On what.
    on: String,
    /// `done`, or `refused`.
    result: &'static str,
    /// More, as the action has it.
    #[schema(value_type = Object)]
    details: serde_json::Value,
    /// Hash of the entry before it.
    prev: String,
    /// Its own.
    hash: String,
}

impl From<AuditRow> for AuditView {
    fn from(AuditRow { entry, hash, .. }: AuditRow) -> Self {
        Self {
            chain: entry.chain,
            seq: entry.seq,
            at: entry.at,
            principal: entry.by.principal,
            address: entry.by.origin.address,
            request_id: entry.by.origin.request_id,
            action: entry.deed.action.as_str(),
            on: entry.deed.on.as_str().to_owned(),
            result: entry.deed.result.as_str(),
            details: entry.deed.details,
            prev: entry.prev.to_string(),
            hash: hash.to_string(),
        }
    }
}

impl AuditQuery {
    fn filter(&mut self) -> Result<AuditFilter, ApiError> {
        let on: Option<Subject> = read("on", self.on.take())?;
        let namespace = read::<Namespace>("namespace", self.namespace.take())?.map(|namespace| namespace.folded());
        // What lies in a namespace is looked for there.
        let within = on.as_ref().map(Subject::in_namespace).filter(|namespace| !namespace.is_empty());
        if let (Some(namespace), Some(within)) = (&namespace, &within)
            && namespace != within
        {
            return Err(ApiError::bad_request("invalid_filter", "`on` does not lie in `namespace`"));
        }
        Ok(AuditFilter {
            principal: self.principal.take(),
            action: read("action", self.action.take())?,
            on,
            namespace: namespace.or(within),
            result: read("result", self.result.take())?,
            request_id: self.request_id.take(),
            since: time("since", self.since.take())?,
            until: time("until", self.until.take())?,
        })
    }
}

fn read<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: Option<String>) -> Result<Option<T>, ApiError> {
    let read = |text: String| {
        text.parse().map_err(|error: T::Err| ApiError::bad_request("invalid_filter", format!("`{name}`: {error}")))
    };
    text.map(read).transpose()
}

fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let told = || format!("`{name}` is a time like 2026-01-31T18:00:00Z; a `+` of an offset is written %2B");
    text.map(|text| text.parse().map_err(|_| ApiError::bad_request("invalid_filter", told()))).transpose()
}

/// Read the audit log: who did what, on what, from where, and what came of it.
///
/// Who operates the service sees all of it; who governs a namespace what lies in it, with `namespace` or `on`. JSON lines
/// end with what there was when they began.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "access",
    params(AuditQuery),
    responses(
        (status = 200, description = "A page, or an entry a line", content(
            (PageView<AuditView> = "application/json"),
            (String = "application/x-ndjson"),
        )),
        (status = 400, body = Problem, description = "`invalid_filter`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
        (status = 404, body = Problem, description = "`namespace_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn audit(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Query(mut query): Query<AuditQuery>,
) -> Result<Response, ApiError> {
    let filter = query.filter()?;
    let AuditQuery { format, limit, cursor: from, after, .. } = query;
    match format {
        AuditFormat::Json if after.is_some() => Err(misplaced("`after` is for `format=jsonl`; a page has `cursor`")),
        AuditFormat::Json => {
            let before = from.as_deref().map(read_cursor).transpose()?;
            let page = registry.audit(&caller, &filter, AuditOrder::NewestFirst(before), bounded_limit(limit)?).await?;
            let next_cursor = page.next.as_ref().map(cursor);
            let items = page.items.into_iter().map(AuditView::from).collect();
            Ok(Answer(PageView { items, next_cursor }).into_response())
        }
        AuditFormat::Jsonl if limit.is_some() || from.is_some() => {
            Err(misplaced("`limit` and `cursor` are for pages; `format=jsonl` gives everything, from behind `after`"))
        }
        AuditFormat::Jsonl if after.is_some_and(|after| after < 0) => {
            Err(misplaced("`after` is the `seq` of an entry, or 0"))
        }
        AuditFormat::Jsonl => export(registry, caller, filter, after.unwrap_or(0)).await,
    }
}

fn misplaced(told: &'static str) -> ApiError {
    ApiError::bad_request("invalid_filter", told)
}

async fn export(registry: Registry, caller: Caller, mut filter: AuditFilter, after: i64) -> Result<Response, ApiError> {
    // What is written meanwhile does not make it endless.
    let now = Timestamp::now();
    filter.until = Some(filter.until.map_or(now, |until| until.min(now)));
    let mut export = Export { registry, caller, filter, after, is_through: false };
    // The first page before the answer begins: what is wrong with it is told as a problem.
    let first = export.next().await?;
    let lines = stream::try_unfold((export, first), async |(mut export, first)| {
        let lines = match first {
            Some(lines) => Some(lines),
            None => export.next().await.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "an export of the audit log broke off");
                std::io::Error::other("the export broke off")
            })?,
        };
        Ok::<_, std::io::Error>(lines.map(|lines| (lines, (export, None))))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.jsonl\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// An export under way.
struct Export {
    registry: Registry,
    caller: Caller,
    filter: AuditFilter,
    after: i64,
    is_through: bool,
}

impl Export {
    /// The next lines; none when it is through.
    async fn next(&mut self) -> Result<Option<Bytes>, crate::registry::Error> {
        if self.is_through {
            return Ok(None);
        }
        let order = AuditOrder::OldestFirst(self.after);
        let page = self.registry.audit(&self.caller, &self.filter, order, EXPORT_PAGE).await?;
        match page.next {
            Some(next) => self.after = next,
            None => self.is_through = true,
        }
        let mut lines = String::new();
        for row in page.items {
            lines.push_str(&serde_json::json!(AuditView::from(row)).to_string());
            lines.push('\n');
        }
        Ok((!lines.is_empty()).then(|| Bytes::from(lines)))
    }
}
