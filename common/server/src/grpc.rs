//! What gRPC services on the port of an HTTP API share: bounds on what a call brings, and statuses that say when to come back.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tonic::metadata::MetadataValue;
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::body::{BodyError, Reader};
use crate::reply;

/// What stands before a message: compressed or not, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// The routes of services whose calls bring one message of at most `limit` bytes. `admit` is asked with the path of a call before
/// its body is read.
///
/// The body is read to its end before the call is handled, which for unary calls changes nothing: tonic bounds one message, this
/// bounds all of them together, and the time that each takes.
pub fn router<A>(routes: Routes, limit: usize, admit: A) -> Router
where
    A: Fn(&str) -> Result<(), Status> + Clone + Send + Sync + 'static,
{
    let bounds = Bounds {
        bodies: Reader::new(limit.saturating_add(PREFIX)),
        admit,
    };
    // Tonic's own fallback would answer every unknown path of the origin with a gRPC status.
    routes
        .into_axum_router()
        .reset_fallback()
        .route_layer(from_fn_with_state(bounds, bounded::<A>))
}

#[derive(Clone)]
struct Bounds<A> {
    bodies: Reader,
    admit: A,
}

async fn bounded<A>(State(bounds): State<Bounds<A>>, call: Request, next: Next) -> Response
where
    A: Fn(&str) -> Result<(), Status>,
{
    if let Err(status) = (bounds.admit)(call.uri().path()) {
        return refused(status);
    }
    let (parts, body) = call.into_parts();
    match bounds.bodies.read_of(&parts, body).await {
        // The slot of a large one is held until it is answered.
        Ok(read) => {
            next.run(Request::from_parts(parts, Body::from(read.bytes.clone())))
                .await
        }
        Err(BodyError::Overloaded) => refused(overloaded(BodyError::Overloaded.to_string())),
        Err(cause) => refused(Status::new(code(cause), cause.to_string())),
    }
}

/// As grpc-go answers a message over its limit (`rpc_util.go`, `recv`), and one that broke off.
fn code(cause: BodyError) -> Code {
    match cause {
        BodyError::TooLarge { .. } => Code::ResourceExhausted,
        BodyError::Overloaded => Code::Unavailable,
        BodyError::TooSlow | BodyError::Unreadable => Code::Cancelled,
    }
}

fn refused(status: Status) -> Response {
    status.into_http::<Body>().into_response()
}

/// Refused for load: a client that retries by itself may come back after [`reply::retry_after_seconds`].
#[must_use]
pub fn overloaded(message: impl Into<String>) -> Status {
    pushed_back(Status::unavailable(message), reply::retry_after_seconds().into())
}

/// Adds the time after which a client that retries by itself may do so (see [`reply::GRPC_PUSHBACK`]).
#[must_use]
pub fn pushed_back(mut status: Status, seconds: u32) -> Status {
    let wait = MetadataValue::from(seconds.saturating_mul(1_000));
    status.metadata_mut().insert(reply::GRPC_PUSHBACK, wait);
    status
}
