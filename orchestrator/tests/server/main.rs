//! What the server promises, tried against a server in this process and a scripted provider.
#![allow(clippy::unwrap_used)]

mod access;
mod budgets;
mod calls;
mod grpc;
mod lifecycle;
mod limits;
mod messages;
mod observe;
mod rates;
mod replay;
mod responses;
mod resume;
mod support;
mod tls;
mod upstream;
