//! The command `ossai`, as a library so that its parts can be tested.

pub mod ask;
pub mod common;
pub mod cost;
pub mod count;
pub mod doctor;
pub mod embed;
pub mod models;
pub mod retrieve;
pub mod serve;
