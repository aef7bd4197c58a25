//! How bytes get to an upstream and back.

pub(crate) mod connect;
pub mod convert;
pub(crate) mod egress;
pub mod grpc;
pub(crate) mod http;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub mod proxy;
pub mod sse;
pub(crate) mod timer;
pub(crate) mod tls;

#[cfg(feature = "redis")]
pub(crate) use connect::Io;
