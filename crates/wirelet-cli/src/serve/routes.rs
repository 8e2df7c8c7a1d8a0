//! Which path leads where.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use hyper::service::service_fn;
use wirelet::server::{Origins, Router, Ws, ws_with};

use super::console::{ASSETS, Asset};
use super::{Application, echo};
use crate::arguments;
use crate::log::Level;

/// The endpoint, `/status` and the console.
pub(crate) fn router(application: &Arc<Application>, arguments: &arguments::Serve) -> Router {
    let mut router = Router::new().ws(&arguments.path, endpoint(application, arguments));
    let counting = Arc::clone(application);
    router = router.json("/status", move || {
        counting.log.write(Level::Debug, "http", format_args!("/status"));
        format!("{:#}\n", counting.counters.to_json())
    });
    if !arguments.no_console {
        for asset in ASSETS {
            router = asset.paths().fold(router, |router, path| serve_file(router, &path, asset, application));
        }
    }
    router
}

fn endpoint(application: &Arc<Application>, arguments: &arguments::Serve) -> Ws {
    let origins = if arguments.allow_origin.iter().any(|origin| origin == "*") {
        Origins::any()
    } else {
        Origins::allow(&arguments.allow_origin)
    };
    ws_with(Arc::clone(application), |socket, context, application| echo::serve(application, socket, context))
        .subprotocols(&arguments.subprotocol)
        .origins(origins)
}

fn serve_file(router: Router, path: &str, asset: &'static Asset, application: &Arc<Application>) -> Router {
    let application = Arc::clone(application);
    router.service(
        path,
        service_fn(move |request: Request<_>| {
            let response = asset.respond(request.method(), request.headers());
            let (method, path, status) = (request.method(), request.uri().path(), response.status());
            application.log.write(Level::Debug, "http", format_args!("{method} {path}: {}", status.as_u16()));
            ready(Ok::<_, Infallible>(response.map(Full::new)))
        }),
    )
}
