//! Documents an operator writes.

use ossai::Config;
use ossai::cost::PriceTable;
use ossai_orchestrator::ServeConfig;

use super::check_error;

/// What was read says the same when it is read again (secrets are not written).
pub fn config(input: &[u8]) {
    let Ok(json) = std::str::from_utf8(input) else {
        return;
    };
    match Config::from_json(json) {
        Err(error) => check_error(&error),
        Ok(config) => {
            let written = serde_json::to_string(&config).expect("a configuration is written");
            let again = Config::from_json(&written).map(|again| serde_json::to_string(&again).ok());
            // A credential is written as stars; what only a credential makes valid may be refused then.
            if let Ok(again) = again {
                assert_eq!(again, Some(written));
            }
        }
    }
}

/// A server's, with what the environment may add after a line end.
pub fn serve_config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (json, env) = text.split_once('\n').unwrap_or((text, ""));
    let find = |name: &str| {
        let mut lines = env.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    };
    match ServeConfig::from_parts((!json.is_empty()).then_some(json), &find) {
        Ok(config) => assert!(config.check().is_ok()),
        Err(errors) => {
            assert!(!errors.0.is_empty() && errors.0.len() <= 128);
            errors.0.iter().for_each(check_error);
        }
    }
}

/// Prices over the built-in table.
pub fn prices(input: &[u8]) {
    let Ok(json) = std::str::from_utf8(input) else {
        return;
    };
    match PriceTable::embedded().with_overlay(json) {
        Ok(table) => {
            assert!(table.models().len() >= PriceTable::embedded().models().len());
            let _ = table.find("openai/gpt-4o-mini");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
