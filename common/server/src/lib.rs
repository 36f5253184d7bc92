//! What every sigbox service shares once it listens: a bounded pool for signature work, listeners that speak
//! HTTP/1.1 and HTTP/2 on one port (clear text and TLS), the layers around a router, metrics and tracing.
//!
//! Every queue is bounded: what does not fit is refused early ([`admission`]), and what drips, stalls or says nothing is
//! cut ([`body`], [`serve`]).
//!
//! It knows no service: no endpoint of an API, no key, no configuration file, no clock. Who builds on it: the service
//! crates use [`admission`], [`body`], [`cpu`], [`mod@grpc`] and [`reply`]; `deploy/bin` binds [`listen::Bound`] listeners, wraps the composed router with
//! [`layers::wrap`] and runs it with [`serve::serve`].

pub mod admission;
pub mod body;
pub mod client;
mod connections;
pub mod cpu;
mod delivery;
pub mod grpc;
mod idle;
pub mod layers;
mod linger;
pub mod listen;
pub mod quota;
mod refusals;
pub mod reply;
pub mod serve;
pub mod telemetry;
pub mod tls;
mod unsent;
