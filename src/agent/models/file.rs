//! `models.json` in an agent's directory: providers beside those of the configuration, in the same words (agent.md §12.3).
//!
//! The original writes it from its configuration and reads it back; here it is read only. Any thread that may touch the
//! disk.

use std::path::Path;

use crate::base::fs::read_text_capped;
use crate::config::types::Models;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads the file; a missing or broken one names nothing.
pub(super) fn read(dir: &Path) -> Models {
    let path = dir.join("models.json");
    let read = match read_text_capped(&path, FILE_BYTES_MAX) {
        Ok(None) => return Models::default(),
        Ok(Some(text)) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|error| {
        log::warn!(target: "agent", "cannot read {}: {error}", path.display());
        Models::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn what_cannot_be_read_names_nothing() {
        let dir = TempDir::new("models-json");
        assert!(read(dir.path()).providers.is_empty());
        let path = dir.path().join("models.json");
        std::fs::write(&path, "{\"providers\": {\"p\": {\"baseUrl\": \"http://h\", \"models\": [{\"id\": \"m\"}]}}}")
            .expect("write");
        assert_eq!(read(dir.path()).providers["p"].models[0].id, "m");
        std::fs::write(&path, "{").expect("write");
        assert!(read(dir.path()).providers.is_empty());
    }
}
