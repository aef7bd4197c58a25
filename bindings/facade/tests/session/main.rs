//! What a binding can rely on, without any host language.

mod calls;
mod ending;
mod hosts;
mod streams;
mod support;
mod tools;
