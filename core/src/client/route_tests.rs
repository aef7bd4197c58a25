use std::collections::BTreeMap;

use super::*;

fn route_of(name: &str, config: serde_json::Value) -> Arc<Route> {
    let config: Config = serde_json::from_value(config).unwrap();
    let none = |_: &str| Err(Error::new(ErrorKind::Internal, "no road"));
    let routes = Routes::new(&config, &BTreeMap::new(), none).unwrap();
    Arc::clone(routes.direct(name).unwrap())
}

#[test]
fn a_trace_context_goes_to_addresses_of_the_users_own_and_to_no_vendor() {
    let own = serde_json::json!({"providers": {
        "openai": {"base_url": "http://localhost:1/v1"},
        "mine": {"base_url": "https://models.example/v1"},
    }});
    assert!(route_of("openai", own.clone()).is_users);
    assert!(route_of("mine", own).is_users);
    let none = serde_json::json!({"providers": {"openai": {"base_url": null}}});
    for vendor in ["anthropic", "groq", "xai"] {
        assert!(!route_of(vendor, none.clone()).is_users, "{vendor}");
    }
    assert!(route_of("ollama", none).is_users);
}
