//! The HTTP API. It translates, and decides nothing: what may be done and what is done is the registry's.
//!
//! Routes and the OpenAPI document come from one list. Every route needs a caller but those in `auth::OPEN`, every
//! error is a problem document, and every answer names its request.

mod allowance;
mod auth;
pub mod body;
mod browser;
pub mod client_address;
pub mod digest;
mod extract;
mod health;
mod limits;
mod lingering;
mod metrics;
mod page;
mod problem;
pub mod range;
mod request_body;
mod request_log;
mod v1;

use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse as _;
use axum::{Extension, Router, middleware};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use self::client_address::Proxies;
use self::limits::Gate;
use self::problem::ApiError;
use self::request_body::Pace;
use crate::config::Door;
use crate::door::Counts;
use crate::registry::Registry;

/// How long a client is asked to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const FORBIDDEN: &str = "`forbidden`: the caller may see it, and not do this; what a caller may not see is 404";

const CROSS_SITE: &str = "`cross_site_request`: a browser sent it for a page of another site";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Strongroom",
        description = "Keeps machine-learning model artifacts in a secured S3 bucket and gives them out over HTTP.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    tags(
        (name = "models", description = "What versions belong to, and what is kept of them"),
        (name = "versions", description = "Immutable, numbered sets of files of a model"),
        (name = "drafts", description = "Sets of files on their way to be a version, filled by many writers over days"),
        (name = "files", description = "The bytes of a version"),
        (name = "aliases", description = "Movable names of versions"),
        (name = "namespaces", description = "Who owns models, and what that takes"),
        (name = "access", description = "Who is calling, and what they may do"),
        (name = "operations", description = "For operators and load balancers"),
    )
)]
struct Document;

/// What the API is told of the way in.
#[derive(Debug)]
pub struct Entrance {
    /// Bounds of requests, and which proxies are believed.
    pub door: Door,
    /// How long a request body may be silent.
    pub body_idle: Duration,
    /// Bytes a second that a request body must bring.
    pub min_upload_rate: u64,
    /// What the door counts.
    pub connections: Arc<Counts>,
    /// Cancelled when no more requests are to be taken.
    pub ending: CancellationToken,
}

/// The whole API: its router, and the document that describes it.
pub fn api(registry: Registry, entrance: Entrance) -> (Router, OpenApi) {
    let Entrance { door, body_idle, min_upload_rate, connections, ending } = entrance;
    let gate = Gate::new(&door.requests, Pace { idle: body_idle, min_rate: min_upload_rate }, ending);
    let gate = Arc::new(gate);
    let proxies = Arc::new(Proxies { trusted: door.trusted_proxies, header: door.forwarded_header });
    let (router, mut document) = routes_and_document(registry.clone());
    describe_security(&mut document);
    describe_limits(&mut document);
    let router = router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document.clone()))
        .fallback(|| async { ApiError::route_not_found().into_response() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed().into_response() })
        .layer(Extension(connections))
        .layer(Extension(Arc::clone(&gate)))
        .layer(middleware::from_fn_with_state(Arc::clone(&gate), limits::bound_caller))
        .layer(middleware::from_fn_with_state(registry, auth::require_caller))
        .layer(middleware::from_fn_with_state(gate, limits::admit))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(middleware::from_fn(browser::guard))
        .layer(middleware::from_fn_with_state(proxies, request_log::name_and_log));
    (router, document)
}

/// The OpenAPI document alone, as `openapi/strongroom.json` has it.
pub fn openapi() -> OpenApi {
    let mut document = route_list().into_openapi();
    describe_security(&mut document);
    describe_limits(&mut document);
    document
}

fn routes_and_document(registry: Registry) -> (Router, OpenApi) {
    route_list().with_state(registry).split_for_parts()
}

/// One line a path.
fn route_list() -> OpenApiRouter<Registry> {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(v1::publish::publish_version, v1::versions::list_versions))
        .routes(routes!(v1::versions::get_version, v1::trash::delete_version, v1::describe::patch_version))
        .routes(routes!(v1::trash::restore_version))
        .routes(routes!(v1::hold::hold_version, v1::hold::release_version))
        .routes(routes!(v1::models::list_models))
        .routes(routes!(v1::models::get_model, v1::models::patch_model, v1::trash::delete_model))
        .routes(routes!(v1::trash::restore_model))
        .routes(routes!(v1::retention::get_retention, v1::retention::put_retention, v1::retention::delete_retention))
        .routes(routes!(v1::retention::preview_retention))
        .routes(routes!(v1::files::list_files))
        .routes(routes!(v1::urls::download_urls))
        .routes(routes!(v1::drafts::begin_draft, v1::drafts::list_drafts))
        .routes(routes!(v1::drafts::get_draft, v1::drafts::change_draft, v1::drafts::discard_draft))
        .routes(routes!(v1::draft_files::publish_draft))
        .routes(routes!(v1::uploads::declare_uploads))
        .routes(routes!(v1::uploads::get_upload, v1::uploads::abort_upload))
        .routes(routes!(v1::uploads::part_urls))
        .routes(routes!(v1::uploads::complete_upload))
        .routes(routes!(v1::aliases::list_aliases))
        .routes(routes!(v1::aliases::set_alias, v1::aliases::get_alias, v1::aliases::remove_alias))
        .routes(routes!(v1::aliases::alias_history))
        .routes(routes!(v1::namespaces::get_namespace, v1::namespaces::change_namespace))
        .routes(routes!(v1::operations::outputs))
        .routes(routes!(v1::operations::whoami))
        .routes(routes!(v1::tokens::make_token, v1::tokens::list_tokens))
        .routes(routes!(v1::tokens::revoke_token))
        .routes(routes!(v1::tokens::rotate_token))
        .routes(routes!(v1::grants::give_grant, v1::grants::list_grants))
        .routes(routes!(v1::grants::take_grant_back))
        .routes(routes!(v1::grants::authorize))
        .routes(routes!(v1::audit::audit))
        .routes(routes!(v1::posture::posture))
        .routes(routes!(v1::posture::set_override))
        .routes(routes!(v1::posture::end_override))
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz));
    let router = with_rest_of_path(router, routes!(v1::files::download, v1::files::head));
    with_rest_of_path(router, routes!(v1::draft_files::put_file, v1::draft_files::remove_file))
}

/// Mounts routes whose last parameter `{path}` is the rest of the URL, slashes included: OpenAPI has no word for that.
fn with_rest_of_path(
    mut router: OpenApiRouter<Registry>,
    (schemas, paths, methods): UtoipaMethodRouter<Registry>,
) -> OpenApiRouter<Registry> {
    let components = router.get_openapi_mut().components.get_or_insert_default();
    components.schemas.extend(schemas);
    let mut at = Vec::new();
    for (path, item) in paths.paths {
        at.push(path.replace("{path}", "{*path}"));
        router.get_openapi_mut().paths.paths.insert(path, item);
    }
    at.dedup();
    for path in at {
        router = router.route(&path, methods.clone());
    }
    router
}

/// What holds for every operation that needs a caller is said in one place.
fn describe_security(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let reading = [&mut item.get, &mut item.head].map(|operation| (operation, false));
        let changing =
            [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch].map(|operation| (operation, true));
        for (operation, changes) in reading.into_iter().chain(changing) {
            let Some(operation) = operation else { continue };
            let responses = &mut operation.responses.responses;
            if let Some(RefOr::T(unauthorized)) = responses.get("401").cloned() {
                let mut forbidden: Response = unauthorized;
                forbidden.description =
                    if changes { format!("{FORBIDDEN}; {CROSS_SITE}") } else { FORBIDDEN.to_owned() };
                responses.entry("403".to_owned()).or_insert(RefOr::T(forbidden));
            }
        }
    }
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
}

/// What every operation may answer when there is too much at once; probes of load balancers are told in their own words.
fn describe_limits(document: &mut OpenApi) {
    let codes = [
        ("429", "`too_many_requests`, `too_many_failures`, `quota_exceeded`: wait as long as `Retry-After` says"),
        ("503", "`overloaded`, `shutting_down`: wait as long as `Retry-After` says"),
    ];
    let items = document.paths.paths.iter_mut().filter(|(path, _)| !["/healthz", "/readyz"].contains(&path.as_str()));
    for (_, item) in items {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.head, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            for (status, told) in codes {
                let known = operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
                    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                    let mut response = Response::new("");
                    response.content.insert("application/json".to_owned(), RefOr::T(problem));
                    RefOr::T(response)
                });
                if let RefOr::T(response) = known {
                    let separator = if response.description.is_empty() { "" } else { "; " };
                    response.description = format!("{}{separator}{told}", response.description);
                }
            }
        }
    }
}
