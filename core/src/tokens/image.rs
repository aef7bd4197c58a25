//! What an image counts, by each vendor's published formula.
//!
//! Sources: OpenAI, "Images and vision", calculating costs; Anthropic, "Vision", evaluate image size; Google, Gemini API,
//! "Token counting" and "Media resolution"; all as of mid-2026. Where usage that the API returned is reported to differ
//! from OpenAI's page, the expected value follows the reports and the interval holds both.

use super::estimate::Estimate;

/// How closely the model is asked to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// A small version of the image.
    Low,
    /// The vendor's default size.
    High,
    /// As the vendor decides; counted as [`High`](Self::High), which it is for all but small images.
    #[default]
    Auto,
    /// The full size, where a model offers it; as [`High`](Self::High) elsewhere.
    Original,
}

enum Rule {
    /// A base, and tokens for each tile of 512 pixels.
    Tiles { base: u64, tile: u64 },
    /// Patches of 32 pixels, at most `budget`, times a factor in hundredths as returned and as documented.
    Patches {
        budget: u64,
        original: u64,
        returned: u64,
        documented: u64,
    },
    /// Patches of 28 pixels within a longest edge and a number of patches.
    Claude { edge: f64, most: u64 },
    /// 258 tokens for each tile of 768 pixels.
    Gemini2,
    /// A number for each resolution.
    Gemini3,
}

/// By prefix of the model's name; the first that fits holds.
const RULES: &[(&str, Rule)] = &[
    (
        "gpt-4o-mini",
        Rule::Tiles {
            base: 2833,
            tile: 5667,
        },
    ),
    ("gpt-4.1-mini", patches(162, 162)),
    ("gpt-4.1-nano", patches(246, 246)),
    ("o4-mini", patches(172, 172)),
    ("codex-mini", patches(172, 172)),
    ("gpt-5-mini", patches(120, 162)),
    ("gpt-5-nano", patches(150, 246)),
    ("gpt-5.4-mini", patches(120, 162)),
    ("gpt-5.4-nano", patches(120, 246)),
    (
        "gpt-5.1",
        Rule::Tiles {
            base: 70,
            tile: 140,
        },
    ),
    ("gpt-5.2", patches(120, 100)),
    ("gpt-5.3", patches(120, 100)),
    (
        "gpt-5.",
        Rule::Patches {
            budget: 2500,
            original: 10_000,
            returned: 120,
            documented: 100,
        },
    ),
    (
        "gpt-5",
        Rule::Tiles {
            base: 70,
            tile: 140,
        },
    ),
    (
        "gpt-6",
        Rule::Patches {
            budget: 2500,
            original: 10_000,
            returned: 120,
            documented: 100,
        },
    ),
    (
        "gpt-4",
        Rule::Tiles {
            base: 85,
            tile: 170,
        },
    ),
    (
        "chatgpt-4o",
        Rule::Tiles {
            base: 85,
            tile: 170,
        },
    ),
    (
        "o1",
        Rule::Tiles {
            base: 75,
            tile: 150,
        },
    ),
    (
        "o3",
        Rule::Tiles {
            base: 75,
            tile: 150,
        },
    ),
    (
        "computer-use-preview",
        Rule::Tiles {
            base: 65,
            tile: 129,
        },
    ),
    ("claude-opus-4-7", CLAUDE_LARGE),
    ("claude-opus-4.7", CLAUDE_LARGE),
    ("claude-opus-4-8", CLAUDE_LARGE),
    ("claude-opus-5", CLAUDE_LARGE),
    (
        "claude",
        Rule::Claude {
            edge: 1568.0,
            most: 1568,
        },
    ),
    ("gemini-1", Rule::Gemini2),
    ("gemini-2", Rule::Gemini2),
    ("gemini", Rule::Gemini3),
];

const CLAUDE_LARGE: Rule = Rule::Claude {
    edge: 2576.0,
    most: 4784,
};

const fn patches(returned: u64, documented: u64) -> Rule {
    Rule::Patches {
        budget: 1536,
        original: 1536,
        returned,
        documented,
    }
}

/// The tokens of an image of `width` by `height` pixels for a model, named with or without its provider; `None` when
/// no formula is published for the model. A side of 0 counts as 1.
///
/// For OpenAI's tile models the interval is the formula's one value, which usage reports confirm up to a tile where a
/// scaled side falls on a border. For its patch models it spans documented and returned factors. For Claude it spans the
/// present formula (patches of 28 pixels) and the earlier one (pixels / 750), some percent apart.
pub fn image_tokens(model: &str, width: u32, height: u32, detail: Detail) -> Option<Estimate> {
    let name = model.rsplit('/').next().unwrap_or(model);
    let (_, rule) = RULES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
    Some(match *rule {
        Rule::Tiles { base, .. } if detail == Detail::Low => Estimate::of(base),
        Rule::Tiles { base, tile } => Estimate::of(base + tile * tiles(width, height)),
        Rule::Patches {
            budget,
            original,
            returned,
            documented,
        } => {
            let budget = if detail == Detail::Original {
                original
            } else {
                budget
            };
            let patches = openai_patches(width, height, budget);
            let times = |factor: u64| (patches * factor).div_ceil(100);
            Estimate::between(times(returned), times(documented), times(returned))
        }
        Rule::Claude { edge, most } => {
            let (patches, area) = claude(width, height, edge, most);
            Estimate::between(patches, area, patches)
        }
        Rule::Gemini2 => {
            let small = width <= 384.0 && height <= 384.0;
            let tiles = if small {
                1
            } else {
                cells(width, 768.0) * cells(height, 768.0)
            };
            // How a larger image is cut into tiles is only said by example.
            Estimate::between(258, 258 * tiles.saturating_mul(2), 258 * tiles)
        }
        Rule::Gemini3 => match detail {
            Detail::Low => Estimate::between(0, 280, 280),
            Detail::High | Detail::Auto => Estimate::between(0, 1120, 1120),
            Detail::Original => Estimate::between(0, 2240, 2240),
        },
    })
}

fn cells(side: f64, size: f64) -> u64 {
    (side / size).ceil() as u64
}

/// Fit into a square of 2048, then the shorter side to 768, never enlarging; tiles of 512 that cover it.
fn tiles(width: f64, height: f64) -> u64 {
    let fit = (2048.0 / width.max(height)).min(1.0);
    let (width, height) = (width * fit, height * fit);
    let fit = (768.0 / width.min(height)).min(1.0);
    cells((width * fit).round().max(1.0), 512.0) * cells((height * fit).round().max(1.0), 512.0)
}

/// Patches of 32 that cover the image, scaled down to whole patches within the budget if there are more.
fn openai_patches(width: f64, height: f64, budget: u64) -> u64 {
    const SIDE: f64 = 32.0;
    let count = cells(width, SIDE) * cells(height, SIDE);
    if count <= budget {
        return count;
    }
    let shrink = (SIDE * SIDE * budget as f64 / (width * height)).sqrt();
    let (across, down) = (width * shrink / SIDE, height * shrink / SIDE);
    let whole = (across.floor().max(1.0) / across).min(down.floor().max(1.0) / down);
    // What is a whole number of patches must not become one more by rounding.
    let cover = |patches: f64| (patches * whole - 1e-9).ceil().max(1.0) as u64;
    (cover(across) * cover(down)).min(budget)
}

/// Patches of 28 pixels, and pixels / 750, of the image scaled down to the longest edge and the most patches.
fn claude(width: f64, height: f64, edge: f64, most: u64) -> (u64, u64) {
    const SIDE: f64 = 28.0;
    let by_area = (most as f64 * SIDE * SIDE / (width * height)).sqrt();
    let fit = (edge / width.max(height)).min(by_area).min(1.0);
    let (width, height) = ((width * fit).max(1.0), (height * fit).max(1.0));
    let patches = cells(width - 1e-9, SIDE) * cells(height - 1e-9, SIDE);
    let area = (width * height / 750.0).ceil() as u64;
    (patches.min(most), area.min(most + most / 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(model: &str, width: u32, height: u32, detail: Detail) -> u64 {
        image_tokens(model, width, height, detail).unwrap().expected
    }

    #[test]
    fn the_examples_of_openais_page_come_out() {
        assert_eq!(expected("openai/gpt-4o", 1024, 1024, Detail::High), 765);
        assert_eq!(expected("gpt-4o", 2048, 4096, Detail::High), 1105);
        assert_eq!(expected("gpt-4o", 4096, 8192, Detail::Low), 85);
        assert_eq!(expected("gpt-4.1-mini", 1024, 1024, Detail::High), 1659);
        assert_eq!(openai_patches(1024.0, 1024.0, 1536), 1024);
        assert_eq!(openai_patches(1800.0, 2400.0, 1536), 1452);
    }

    #[test]
    fn usage_reported_by_callers_comes_out() {
        // Image part of the input tokens that the API returned, as posted in OpenAI's developer forum.
        for (width, height, returned) in [
            (256, 256, 77),
            (512, 512, 308),
            (768, 1024, 922),
            (1280, 720, 1104),
            (1024, 1024, 1229),
            (2048, 768, 1844),
        ] {
            assert_eq!(
                expected("gpt-5-mini", width, height, Detail::High),
                returned
            );
        }
        assert_eq!(expected("gpt-4o-2024-11-20", 128, 64, Detail::High), 255);
        assert_eq!(expected("gpt-4o-mini", 128, 64, Detail::High), 8500);
        assert_eq!(expected("gpt-4o-mini", 128, 64, Detail::Low), 2833);
        assert_eq!(expected("o3", 128, 64, Detail::High), 225);
    }

    #[test]
    fn the_examples_of_anthropics_page_lie_in_the_interval() {
        for (width, height, documented) in [(200, 200, 54), (1000, 1000, 1334), (1092, 1092, 1568)]
        {
            let e =
                image_tokens("anthropic/claude-sonnet-4-5", width, height, Detail::Auto).unwrap();
            assert!(e.low <= documented && documented <= e.high, "{e:?}");
        }
        assert!(expected("claude-sonnet-4-5", 8000, 8000, Detail::Auto) <= 1568);
        assert!(expected("claude-opus-4-7", 8000, 8000, Detail::Auto) > 4000);
    }

    #[test]
    fn any_size_gives_a_finite_interval_and_an_unknown_model_none() {
        for (model, _) in RULES {
            for width in [0, 1, 31, 512, 4000, u32::MAX] {
                for height in [0, 1, 33, 768, u32::MAX] {
                    for detail in [Detail::Low, Detail::High, Detail::Auto, Detail::Original] {
                        let e = image_tokens(model, width, height, detail).unwrap();
                        assert!(
                            e.low <= e.expected && e.expected <= e.high && e.high > 0,
                            "{model} {width}x{height} {e:?}"
                        );
                        if !model.starts_with("gemini-") {
                            assert!(e.high < 60_000, "{model} {width}x{height} {e:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(image_tokens("mistral-large", 10, 10, Detail::Auto), None);
    }
}
