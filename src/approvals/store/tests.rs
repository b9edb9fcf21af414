//! What the policy file's owner promises.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, json};

use super::*;
use crate::base::fs::testing::TempDir;
use crate::base::rng::SeededRng;

struct Place {
    store: PolicyStore,
    rng: SeededRng,
    _dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new("policy");
        Self { store: PolicyStore::new(dir.path().join("exec-approvals.json")), rng: SeededRng::new(1), _dir: dir }
    }

    fn with(text: &str) -> Self {
        let place = Self::new();
        std::fs::write(&place.store.path, text).expect("write");
        place
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.store.path).expect("read")
    }

    fn replace(&self, file: Value, hash: Option<&str>) -> Result<Snapshot, ReplaceError> {
        self.store.replace(file, hash, 1000, &self.rng)
    }
}

#[test]
fn the_first_look_makes_a_private_file_that_then_stays() {
    let place = Place::new();
    let absent = place.store.load().expect("load");
    assert!(!absent.exists && absent.fault.is_none());
    assert_eq!(absent.hash, sha256_hex(b""));
    let made = place.store.load_complete(&place.rng).expect("load");
    let text = place.text();
    assert!(text.ends_with("}\n"));
    let keys: Vec<String> = serde_json::from_str::<Map<String, Value>>(&text).expect("JSON").keys().cloned().collect();
    assert_eq!(keys, ["version", "socket", "defaults", "agents"]);
    assert_eq!(std::fs::metadata(&place.store.path).expect("meta").permissions().mode() & 0o777, 0o600);
    assert_eq!(made.hash, sha256_hex(text.as_bytes()));
    assert_eq!(place.store.load_complete(&place.rng).expect("load").hash, made.hash, "nothing is rewritten");
    let token = made.file.socket.token.clone().expect("a token");
    assert_eq!(URL_SAFE_NO_PAD.decode(&token).expect("base64url").len(), 24);
    let socket = place.store.path.with_extension("sock");
    assert_eq!(made.file.shown(), json!({"version": 1, "socket": {"path": socket}, "defaults": {}, "agents": {}}));
    assert!(!format!("{made:?}").contains(&token));
}

#[test]
fn replacing_needs_the_hash_and_keeps_what_is_hidden() {
    let place = Place::with(
        r#"{"version": 1, "later": 1, "socket": {"token": " tok ", "path": "/s"}, "defaults": {"ask": "off", "hue": 2},
            "agents": {"a": {"mood": 3, "allowlist": [{"id": "i", "pattern": "/x", "note": 4}]}}}"#,
    );
    let before = place.store.load_complete(&place.rng).expect("load");
    let next = json!({"version": 1, "agents": {
        "a": {"security": "full", "allowlist": [{"id": "i", "pattern": "/x"}, {"pattern": "/y"}]}, "default": {"ask": "always"},
    }});
    assert!(matches!(place.replace(next.clone(), None), Err(ReplaceError::BaseHashMissing)));
    assert!(matches!(place.replace(next.clone(), Some(" ")), Err(ReplaceError::BaseHashMissing)));
    assert!(matches!(place.replace(next.clone(), Some("0")), Err(ReplaceError::Changed)));
    let after = place.replace(next, Some(&before.hash)).expect("replaced");
    assert_ne!(after.hash, before.hash);
    let stored: Value = serde_json::from_str(&place.text()).expect("JSON");
    assert_eq!(stored["socket"], json!({"path": "/s", "token": "tok"}));
    assert_eq!((&stored["later"], &stored["defaults"]), (&json!(1), &json!({"hue": 2})));
    let agent = &stored["agents"]["a"];
    assert_eq!((&agent["security"], &agent["mood"]), (&json!("full"), &json!(3)));
    assert_eq!(
        (&agent["allowlist"][0]["note"], agent["allowlist"][1]["id"].as_str().map(str::len)),
        (&json!(4), Some(36))
    );
    assert_eq!((&stored["agents"]["main"], stored["agents"].get("default")), (&json!({"ask": "always"}), None));
}

#[test]
fn a_file_that_cannot_be_read_allows_nothing_and_is_kept() {
    for text in ["{\"version\": 1, ", "[]", "{\"version\": 2}", "{\"version\": 1, \"defaults\": {\"security\": 5}}"] {
        let place = Place::with(text);
        let found = place.store.load_complete(&place.rng).expect("load");
        assert!(found.exists && found.fault.is_some(), "{text}");
        assert_eq!(found.strictness(None, Security::Full, Ask::Off), Strictness::CLOSED);
        assert_eq!(place.text(), text, "it is not overwritten");
        assert!(place.store.update(1000, &place.rng, |file| file.allow(None, "/x", 1)).is_err());
        place.replace(json!({"version": 1}), Some(&found.hash)).expect("replaced on purpose");
        let aside = format!("{}.corrupt-1000", place.store.path.display());
        assert_eq!(std::fs::read_to_string(aside).expect("kept aside"), text);
        assert!(place.store.load().expect("load").fault.is_none());
    }
}

#[test]
fn entries_are_added_noted_and_taken_out() {
    let place = Place::new();
    let change = |change: &dyn Fn(&mut PolicyFile) -> bool| {
        let before = place.store.load().expect("load").hash;
        place.store.update(1000, &place.rng, change).expect("update").hash != before
    };
    assert!(change(&|file| file.allow(None, " /x ", 5)));
    assert!(!change(&|file| file.allow(Some("main"), "/x", 6)));
    assert!(!change(&|file| file.allow(None, " ", 6)));
    assert!(change(&|file| file.allow(Some("*"), "/x", 6)));
    assert!(change(&|file| {
        file.note_use(Some("main"), "/x", "x -l", Path::new("/x"), 9);
        true
    }));
    let entry = place.store.load().expect("load").file.agents["main"].allowlist[0].clone();
    assert_eq!((entry.last_used_at, entry.last_used_command.as_deref()), (Some(9), Some("x -l")));
    assert!(entry.id.is_some());
    assert!(!change(&|file| file.disallow(None, "/absent")));
    assert!(change(&|file| file.disallow(None, "/x")));
    assert_eq!(place.store.load().expect("load").file.agents.keys().collect::<Vec<_>>(), ["*"]);
}
