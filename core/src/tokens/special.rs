//! Names and ids of the special tokens, from tiktoken 0.14's `openai_public.py`.
//!
//! o200k_harmony also reserves `<|reserved_200013|>` to `<|reserved_201087|>`, which stand for nothing and are left out.

pub(super) const ENDOFTEXT: &[(&str, u32)] = &[("<|endoftext|>", 50_256)];

pub(super) const P50K_EDIT: &[(&str, u32)] = &[
    ("<|endoftext|>", 50_256),
    ("<|fim_prefix|>", 50_281),
    ("<|fim_middle|>", 50_282),
    ("<|fim_suffix|>", 50_283),
];

pub(super) const CL100K_BASE: &[(&str, u32)] = &[
    ("<|endoftext|>", 100_257),
    ("<|fim_prefix|>", 100_258),
    ("<|fim_middle|>", 100_259),
    ("<|fim_suffix|>", 100_260),
    ("<|endofprompt|>", 100_276),
];

pub(super) const O200K_BASE: &[(&str, u32)] =
    &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)];

pub(super) const O200K_HARMONY: &[(&str, u32)] = &[
    ("<|startoftext|>", 199_998),
    ("<|endoftext|>", 199_999),
    ("<|reserved_200000|>", 200_000),
    ("<|reserved_200001|>", 200_001),
    ("<|return|>", 200_002),
    ("<|constrain|>", 200_003),
    ("<|reserved_200004|>", 200_004),
    ("<|channel|>", 200_005),
    ("<|start|>", 200_006),
    ("<|end|>", 200_007),
    ("<|message|>", 200_008),
    ("<|reserved_200009|>", 200_009),
    ("<|reserved_200010|>", 200_010),
    ("<|reserved_200011|>", 200_011),
    ("<|call|>", 200_012),
    ("<|endofprompt|>", 200_018),
];
