//! `system.which`: where programs are. Runs on the command's thread.

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::{Refusal, Shared, decode};
use super::environment::find_program;

#[derive(Deserialize)]
struct WhichParams {
    #[serde(default)]
    bins: Option<Vec<String>>,
}

/// Returns the paths of the programs that there are, by name.
pub(super) fn which(shared: &Shared, params: &str) -> Result<Value, Refusal> {
    let WhichParams { bins: Some(bins) } = decode(params)? else {
        return Err(Refusal::invalid("Error: INVALID_REQUEST: bins required"));
    };
    let found: serde_json::Map<String, Value> = bins
        .iter()
        .map(|bin| bin.trim())
        .filter_map(|bin| Some((bin.to_owned(), find_program(bin, &shared.path_env)?.to_string_lossy().into())))
        .collect();
    Ok(json!({"bins": found}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_cannot_be_read() {
        assert_eq!(
            decode::<WhichParams>("").err(),
            Some(Refusal::invalid("Error: INVALID_REQUEST: paramsJSON required"))
        );
        assert!(decode::<WhichParams>("{").is_err());
        assert!(decode::<WhichParams>("{\"bins\": 5}").is_err());
    }
}
