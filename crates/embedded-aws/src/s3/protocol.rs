//! The S3 protocol as a service: what stands in front of the protocol crate, and its limits.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, s3_error};

use super::Store;
use super::access::{Access, Secrets, Transport, failed_body};
use super::cors::{self, CrossOrigin};
use super::document::rewritten;
use crate::identity::Identities;
use crate::payload::{self, BodyFailure};

/// Largest XML document in bytes: a completion with 10,000 parts and their checksums has 3 MB.
const MAX_XML: usize = 8 * 1024 * 1024;

/// Answers S3 requests; clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct S3 {
    service: S3Service,
    store: Store,
}

impl S3 {
    /// Builds the service; its access check runs because it also checks signatures.
    pub(crate) fn new(store: Store, identities: Arc<Identities>, region: String) -> Self {
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_XML;
        // Forms are refused before they get there; this makes sure that none is ever held in memory.
        config.post_object_max_file_size = 0;
        config.form_max_fields_size = 1;
        config.form_max_parts = 1;
        let mut builder = S3ServiceBuilder::new(store.clone());
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(Secrets(Arc::clone(&identities)));
        builder.set_access(Access { store: store.clone(), identities, region });
        Self { service: builder.build(), store }
    }

    /// Answers one request that `transport` carried.
    pub(crate) async fn respond<B>(&self, transport: Transport, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if request.method() == Method::OPTIONS {
            return cors::preflight(&self.store, &request).unwrap_or_else(error_response);
        }
        let cross_origin = CrossOrigin::of(&request);
        let mut response = self.answer(transport, request).await;
        if let Some(page) = cross_origin {
            page.tell(&self.store, response.headers_mut());
        }
        response
    }

    async fn answer<B>(&self, transport: Transport, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if is_form(&request) {
            return error_response(s3_error!(NotImplemented, "Uploads by HTML form are not supported"));
        }
        let (mut head, body) = request.into_parts();
        let (body, failure) = payload::guard(&head.headers, body);
        head.extensions.insert(transport);
        head.extensions.insert(Arc::clone(&failure));
        let body = if body.is_end_stream() { s3s::Body::empty() } else { s3s::Body::http_body_unsync(body) };
        match self.service.call(Request::from_parts(head, body)).await {
            Ok(response) => restate(rewritten(response), &failure),
            Err(error) => {
                tracing::error!(?error, "S3 request has no answer");
                error_response(s3_error!(InternalError, "We encountered an internal error. Please try again."))
            }
        }
    }
}

/// An HTML form, which the protocol crate would read into memory whole before any check.
fn is_form<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.method() == Method::POST
        && content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(b"multipart/"))
}

/// The protocol crate calls a document that it could not read an internal error; the body's own fault says more.
fn restate(response: Response<Body>, failure: &BodyFailure) -> Response<Body> {
    match failed_body(failure) {
        Some(error) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => error_response(error),
        _ => response,
    }
}

fn error_response(error: S3Error) -> Response<Body> {
    let bare = |_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    };
    error.to_http_response().map_or_else(bare, |response| response.map(Body::new))
}
