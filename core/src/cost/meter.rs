//! What vendors meter, each with its own rate.

use serde::{Serialize, Serializer, ser::SerializeMap};

macro_rules! meters {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $decimals:literal;)*) => {
        /// One thing a vendor bills by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Meter { $($(#[$doc])* $variant,)* }

        impl Meter {
            /// Every meter.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in the table.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How many decimals a table price may have: picodollars per unit = price × 10^decimals.
            pub(super) const fn decimals(self) -> u32 {
                match self { $(Self::$variant => $decimals,)* }
            }
        }
    };
}

meters! {
    /// Fresh input tokens.
    Input, "input", 6;
    /// Output tokens, reasoning included unless it has its own rate.
    Output, "output", 6;
    /// Input tokens read from the vendor's cache.
    CacheRead, "cache_read", 6;
    /// Input tokens written to it for the default time (Anthropic 5 minutes, OpenAI 30).
    CacheWrite, "cache_write", 6;
    /// Input tokens written for an hour.
    CacheWrite1h, "cache_write_1h", 6;
    /// Input tokens written for twelve hours.
    CacheWrite12h, "cache_write_12h", 6;
    /// Reasoning tokens, where they do not cost what output costs.
    Reasoning, "reasoning", 6;
    /// Fresh audio input tokens.
    AudioIn, "audio_in", 6;
    /// Audio output tokens.
    AudioOut, "audio_out", 6;
    /// Audio input tokens read from the vendor's cache.
    AudioCacheRead, "audio_cache_read", 6;
    /// Image input tokens.
    ImageIn, "image_in", 6;
    /// Video input tokens.
    VideoIn, "video_in", 6;
    /// Citation tokens.
    Citation, "citation", 6;
    /// Web searches the model made; the table's price is per thousand.
    WebSearch, "web_search_per_1k", 9;
    /// Searches of a rerank call; the table's price is per thousand.
    Search, "search_per_1k", 9;
    /// Calls; the table's price is per thousand.
    Request, "request_per_1k", 9;
}

const COUNT: usize = Meter::ALL.len();

impl Meter {
    /// The meter a table field names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|meter| meter.name() == name)
    }
}

/// Rates by meter, in picodollars per token or piece; an absent one is unknown, not free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Option<u64>; COUNT]);

impl Rates {
    /// The meter's rate.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<u64> {
        self.0.get(meter as usize).copied().flatten()
    }

    /// Sets the meter's rate.
    pub fn set(&mut self, meter: Meter, pico: u64) {
        if let Some(slot) = self.0.get_mut(meter as usize) {
            *slot = Some(pico);
        }
    }

    /// Whether no rate is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The known rates.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, u64)> + '_ {
        Meter::ALL
            .iter()
            .filter_map(|&meter| Some((meter, self.get(meter)?)))
    }

    /// Takes over every rate `other` knows.
    pub(super) fn override_with(&mut self, other: &Self) {
        for (meter, pico) in other.iter() {
            self.set(meter, pico);
        }
    }

    /// Writes the rates as the table does, in dollars per million tokens or thousand pieces.
    pub(super) fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (meter, pico) in self.iter() {
            // The nearest double of a price of at most 15 digits prints as that price, so reading it back is exact.
            #[allow(clippy::cast_precision_loss)]
            map.serialize_entry(
                meter.name(),
                &(pico as f64 / 10_f64.powi(meter.decimals() as i32)),
            )?;
        }
        Ok(())
    }
}

/// As the table does, in dollars per million tokens or thousand pieces.
impl Serialize for Rates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}
