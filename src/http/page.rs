//! Pages of lists: `limit` and `cursor` in, `items` and `next_cursor` out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::ApiError;

const DEFAULT: usize = 50;
const MAX: usize = 200;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageView<T> {
    /// The items.
    pub(super) items: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub(super) next_cursor: Option<String>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        bounded_limit(self.limit)
    }

    /// The key behind which the page begins.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, ApiError> {
        self.cursor.as_deref().map(read_cursor).transpose()
    }
}

pub(super) fn bounded_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit {
        None => Ok(DEFAULT),
        Some(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::bad_request("invalid_limit", format!("`limit` is a number from 1 to {MAX}"))),
    }
}

/// A cursor is opaque: what it is made of may change.
pub(super) fn cursor(key: &impl ToString) -> String {
    URL_SAFE_NO_PAD.encode(key.to_string())
}

pub(super) fn read_cursor<T: std::str::FromStr>(cursor: &str) -> Result<T, ApiError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| ApiError::bad_request("invalid_cursor", "`cursor` is not the `next_cursor` of this list"))
}
