//! The command `ossai`, as a library so that its parts can be tested.

pub mod ask;
pub mod budget;
pub mod cost;
pub mod count;
pub mod doctor;
pub mod embed;
pub mod failure;
pub mod global;
pub mod io;
pub mod keys;
pub mod model;
pub mod models;
pub mod money;
pub mod retrieve;
pub mod serve;
pub mod settings;
pub mod usage;
