//! Credentials as a type that cannot be printed.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A credential. Neither `Debug` nor `Display` nor serialisation shows more of it than that it is there.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential in; surrounding white space (a line end from a file) is cut.
    pub fn new(secret: impl AsRef<str>) -> Self {
        Self(secret.as_ref().trim().to_owned())
    }

    /// The credential, for the header it belongs in and nowhere else.
    pub(crate) fn expose(&self) -> &str {
        self.0.trim()
    }

    /// A digest that tells credentials apart without giving them away, the same on every machine.
    pub(crate) fn fingerprint(secret: Option<&Self>) -> [u8; 32] {
        secret.map_or([0; 32], |secret| {
            blake3::derive_key(
                "ossai 2026 credential fingerprint v1",
                secret.expose().as_bytes(),
            )
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<T: AsRef<str>> From<T> for Secret {
    fn from(secret: T) -> Self {
        Self::new(secret)
    }
}
