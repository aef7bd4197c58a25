//! The matcher passes what a case means and nothing else.

use conformance::matcher::{Captures, OPERATORS, check, matches, mismatches};
use serde_json::{Value, json};

fn holds(pattern: Value, actual: Value) -> bool {
    check(&pattern).expect("a good pattern");
    matches(&pattern, Some(&actual))
}

#[test]
fn objects_match_as_subsets_and_arrays_element_by_element() {
    assert!(holds(
        json!({"a": {"b": 1}}),
        json!({"a": {"b": 1, "c": 2}, "d": 3})
    ));
    assert!(!holds(json!({"a": {"b": 1}}), json!({"a": {"b": 2}})));
    assert!(!holds(json!({"a": null}), json!({})));
    assert!(holds(json!([{"a": 1}, 2]), json!([{"a": 1, "b": 1}, 2])));
    assert!(!holds(json!([1]), json!([1, 2])));
    assert!(!holds(json!({"a": 1}), json!("a")));
}

#[test]
fn numbers_compare_by_value_and_money_exactly() {
    assert!(holds(json!(1), json!(1.0)));
    assert!(!holds(
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992_u64)
    ));
    assert!(holds(
        json!({"$int": "18446744073709551615"}),
        json!(u64::MAX)
    ));
    assert!(holds(json!({"$int": "12"}), json!("12")));
    assert!(!holds(json!({"$int": "12"}), json!(13)));
    assert!(holds(json!({"$gte": 1, "$lt": 2}), json!(1.5)));
    assert!(!holds(json!({"$gte": 1, "$lt": 2}), json!(2)));
    assert!(!holds(json!({"$lte": 2}), json!("1")));
    assert!(holds(json!({"$approx": [0.1, 0.001]}), json!(0.1005)));
}

#[test]
fn absence_and_presence_are_told_apart() {
    assert!(holds(json!({"a": {"$absent": true}}), json!({})));
    assert!(holds(json!({"a": {"$absent": true}}), json!({"a": null})));
    assert!(!holds(json!({"a": {"$absent": true}}), json!({"a": 0})));
    assert!(holds(json!({"a": {"$any": true}}), json!({"a": false})));
    assert!(!holds(json!({"a": {"$any": true}}), json!({"a": null})));
}

#[test]
fn strings_and_lists_have_their_operators() {
    assert!(holds(
        json!({"$regex": "^ossai-[0-9a-f]+$"}),
        json!("ossai-1f")
    ));
    assert!(!holds(
        json!({"$regex": "^ossai-[0-9a-f]+$"}),
        json!("ossai-xyz")
    ));
    assert!(holds(json!({"$contains": "b"}), json!("abc")));
    assert!(holds(json!({"$contains": [1, 3]}), json!([1, 2, 3])));
    assert!(!holds(json!({"$contains": [3, 1]}), json!([1, 2, 3])));
    assert!(holds(
        json!({"$prefix": [1, {"$any": true}]}),
        json!([1, 2, 3])
    ));
    assert!(holds(json!({"$len": 2}), json!("ñb")));
    assert!(holds(json!({"$len": {"$gte": 2}}), json!([1, 2, 3])));
    assert!(!holds(json!({"$len": 0}), json!(0)));
    assert!(holds(json!({"$each": {"$gt": 0}}), json!([1, 2])));
    assert!(!holds(json!({"$each": {"$gt": 1}}), json!([1, 2])));
    assert!(holds(json!({"$at": {"-1": 3, "0": 1}}), json!([1, 2, 3])));
    assert!(!holds(json!({"$at": {"5": {"$any": true}}}), json!([1])));
    assert!(holds(json!({"$join": "ab"}), json!(["a", "", "b"])));
    assert!(holds(
        json!({"$json": {"a": 1}}),
        json!("{\"a\": 1, \"b\": 2}")
    ));
    assert!(!holds(json!({"$json": {"a": 1}}), json!("{\"a\"")));
}

#[test]
fn patterns_combine() {
    assert!(holds(json!({"$one_of": [1, {"$gte": 5}]}), json!(7)));
    assert!(!holds(json!({"$one_of": [1, {"$gte": 5}]}), json!(2)));
    assert!(holds(json!({"$not": {"$absent": true}}), json!(0)));
    assert!(holds(json!({"$exact": {"a": 1}}), json!({"a": 1.0})));
    assert!(!holds(json!({"$exact": {"a": 1}}), json!({"a": 1, "b": 2})));
}

#[test]
fn same_and_distinct_hold_over_a_whole_case() {
    let mut captures = Captures::default();
    let pattern = json!([{"k": {"$same": "key"}, "i": {"$distinct": "id"}}, {"k": {"$same": "key"}, "i": {"$distinct": "id"}}]);
    let good = json!([{"k": "x", "i": 1}, {"k": "x", "i": 2}]);
    assert_eq!(
        mismatches(&pattern, Some(&good), "", &mut captures),
        Vec::<String>::new()
    );
    let other = mismatches(
        &json!({"$same": "key"}),
        Some(&json!("y")),
        "later",
        &mut captures,
    );
    assert_eq!(other.len(), 1);
    let again = mismatches(
        &json!({"$distinct": "id"}),
        Some(&json!(2)),
        "later",
        &mut captures,
    );
    assert_eq!(again.len(), 1);
}

#[test]
fn a_mismatch_names_its_path() {
    let found = mismatches(
        &json!({"a": [{"b": 1}]}),
        Some(&json!({"a": [{"b": 2}]})),
        "call",
        &mut Captures::default(),
    );
    assert_eq!(found, ["call.a[0].b: expected 1, got 2"]);
}

#[test]
fn a_pattern_that_could_never_fail_or_never_hold_is_refused() {
    for bad in [
        json!({"$regexp": "x"}),
        json!({"$gte": "1"}),
        json!({"$any": false}),
        json!({"$regex": "("}),
        json!({"a": {"$len": {"$foo": 1}}}),
        json!({"$gte": 1, "plain": 2}),
        json!({"$at": {"x": 1}}),
    ] {
        assert!(check(&bad).is_err(), "{bad}");
    }
}

#[test]
fn every_documented_operator_is_known() {
    let readme = include_str!("../README.md");
    for (name, _) in OPERATORS {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is missing in the README"
        );
        let error = check(&json!({*name: null})).err().unwrap_or_default();
        assert!(!error.contains("unknown operator"), "{name}");
    }
}
