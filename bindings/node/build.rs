//! Lets the addon be linked with symbols that the process that loads it brings.

fn main() {
    napi_build::setup();
}
