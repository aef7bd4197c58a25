//! The ossai orchestrator protocol as Rust types: messages, and behind the features `client` and `server` the gRPC
//! clients and servers.
//!
//! The code under `generated/` is checked in, so that building needs neither protoc nor a build script; the example
//! `generate` writes it anew from `ossai/orchestrator/v1/*.proto`, where every message and field is explained.

/// Package `ossai.orchestrator.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used
)]
pub mod v1 {
    include!("generated/ossai.orchestrator.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of all files and their imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

/// The version of the protocol this crate speaks.
///
/// Additions do not change it, since both sides skip what they do not know. It changes only when an old peer would
/// misread a new one, together with the package name.
pub const PROTOCOL_VERSION: u32 = 1;

/// The metadata key under which both sides name the [`PROTOCOL_VERSION`] they speak. A peer of another version answers
/// `version_incompatible` (`FAILED_PRECONDITION`, reason `VERSION_INCOMPATIBLE`); absent means 1.
pub const PROTOCOL_KEY: &str = "x-ossai-protocol";

/// The metadata key under which a server gives the token of a stream that can be resumed (`ResumeStream.token`).
pub const RESUME_KEY: &str = "x-ossai-resume";
