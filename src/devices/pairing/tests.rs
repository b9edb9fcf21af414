//! What pairing promises, in examples and as a state machine under random use.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::fs::testing::TempDir;
use crate::base::requests::REQUEST_TTL_MS;
use crate::base::rng::SeededRng;

fn info(device_id: &str) -> DeviceInfo {
    DeviceInfo {
        device_id: device_id.into(),
        public_key: format!("key of {device_id}"),
        client_id: Some("cli".into()),
        ..Default::default()
    }
}

fn scopes(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn local_devices_pair_silently_and_keep_their_token() {
    let dir = TempDir::new("pairing");
    let rng = SeededRng::new(1);
    let pairing = Pairing::open(dir.path()).expect("open");
    let admit =
        |scopes: &[String], local| pairing.admit(&info("d"), "operator", scopes, local, 1000, &rng).expect("admit");
    let Admission::Admitted { token, approved } = admit(&scopes(&["b", "a"]), true) else { panic!("admitted") };
    assert_eq!((approved.len(), token.scopes.as_slice()), (1, scopes(&["a", "b"]).as_slice()));
    let Admission::Admitted { token: again, approved } = admit(&scopes(&["a"]), false) else { panic!("admitted") };
    assert_eq!((approved.len(), &again.token), (0, &token.token));
    assert!(pairing.accepts_token("d", "operator", &scopes(&["a"]), &token.token, 2000));
    assert!(!pairing.accepts_token("d", "operator", &scopes(&["c"]), &token.token, 2000));
    assert!(!pairing.accepts_token("d", "node", &[], &token.token, 2000));
}

#[test]
fn remote_devices_wait_and_local_ones_wait_with_them() {
    let dir = TempDir::new("pairing-remote");
    let rng = SeededRng::new(2);
    let pairing = Pairing::open(dir.path()).expect("open");
    let admit = |local| pairing.admit(&info("d"), "operator", &scopes(&["a"]), local, 1000, &rng).expect("admit");
    let Admission::Pending { request, is_new: true } = admit(false) else { panic!("pending") };
    let Admission::Pending { request: same, is_new: false } = admit(true) else { panic!("still pending") };
    assert_eq!(request.request_id, same.request_id);
}

#[test]
fn roles_and_scopes_are_merged_also_into_entries_of_older_versions() {
    let dir = TempDir::new("pairing-merge");
    let old =
        r#"{"d": {"deviceId": "d", "publicKey": "key of d", "role": "node", "createdAtMs": 5, "approvedAtMs": 5}}"#;
    std::fs::write(dir.path().join("paired.json"), old).expect("write");
    let rng = SeededRng::new(3);
    let pairing = Pairing::open(dir.path()).expect("open");
    let admitted = |role: &str, names: &[&str]| {
        let admission = pairing.admit(&info("d"), role, &scopes(names), true, 1000, &rng).expect("admit");
        let Admission::Admitted { approved, .. } = admission else { panic!("admitted") };
        approved.len()
    };
    assert_eq!(admitted("node", &[]), 0, "the single role of an older entry counts");
    assert_eq!(admitted("operator", &["a"]), 1);
    assert_eq!(admitted("operator", &["b"]), 1);
    let device = pairing.paired()["d"].clone();
    assert_eq!((device.info.roles, device.info.scopes), (scopes(&["node", "operator"]), scopes(&["a", "b"])));
    assert_eq!((device.created_at_ms, device.approved_at_ms), (5, 1000));
}

#[test]
fn another_key_under_a_known_id_inherits_nothing() {
    let dir = TempDir::new("pairing-key");
    let rng = SeededRng::new(4);
    let pairing = Pairing::open(dir.path()).expect("open");
    let admit = |info: &DeviceInfo, names: &[&str]| {
        pairing.admit(info, "operator", &scopes(names), true, 1000, &rng).expect("admit")
    };
    let Admission::Admitted { token, .. } = admit(&info("d"), &["admin"]) else { panic!("admitted") };
    admit(&DeviceInfo { public_key: "another".into(), ..info("d") }, &["read"]);
    assert!(!pairing.accepts_token("d", "operator", &[], &token.token, 1000));
    assert_eq!(pairing.paired()["d"].info.scopes, scopes(&["read"]));
}

#[test]
fn requests_of_the_original_are_read_and_pruned() {
    let dir = TempDir::new("pairing-pending");
    let entry = |id: &str, device: &str, silent: bool, ts: UnixMs| {
        format!(
            r#""{id}": {{"requestId": "{id}", "deviceId": "{device}", "publicKey": "key of {device}", "role": "operator",
                "roles": ["operator"], "scopes": ["a"], "silent": {silent}, "isRepair": false, "ts": {ts}}}"#
        )
    };
    let now = 10_000_000;
    let stale = entry("r1", "x", false, now - REQUEST_TTL_MS - 1);
    let text = format!("{{{stale}, {}, {}}}", entry("r2", "y", false, now - 1000), entry("r3", "z", true, now - 500));
    std::fs::write(dir.path().join("pending.json"), text).expect("write");
    let rng = SeededRng::new(5);
    let pairing = Pairing::open(dir.path()).expect("open");
    let waiting: Vec<String> = pairing.list(now).0.into_iter().map(|request| request.request_id).collect();
    assert_eq!(waiting, ["r3", "r2"]);
    assert!(pairing.approve("r1", now, &rng).expect("approve").is_none());
    // A silent one that a crash left behind lets its device in, and no further than it asked.
    let wish = |names: &[&str]| pairing.admit(&info("z"), "operator", &scopes(names), false, now, &rng).expect("admit");
    assert!(matches!(wish(&["a"]), Admission::Admitted { approved, .. } if approved.len() == 1));
    assert!(matches!(wish(&["a", "b"]), Admission::Pending { is_new: true, .. }));
    assert!(pairing.approve("r2", now, &rng).expect("approve").is_some());
    assert!(pairing.approve("r2", now, &rng).expect("approve").is_none(), "once");
}

/// What the state machine may have granted, kept apart from the code under test.
#[derive(Default)]
struct Model {
    /// Scopes that somebody consented to, ever, by device and role.
    consented: BTreeMap<(String, String), BTreeSet<String>>,
    /// Tokens in force: (device, role) → (token, scopes).
    in_force: BTreeMap<(String, String), (String, BTreeSet<String>)>,
    /// Every token that was ever handed out.
    issued: Vec<(String, String, String)>,
    now_ms: UnixMs,
}

impl Model {
    fn consent(&mut self, device: &str, role: &str, scopes: &[String]) {
        self.consented.entry((device.into(), role.into())).or_default().extend(scopes.iter().cloned());
    }

    fn issue(&mut self, device: &str, token: &Token) {
        let scopes = token.scopes.iter().cloned().collect();
        self.in_force.insert((device.into(), token.role.clone()), (token.token.clone(), scopes));
        self.issued.push((device.into(), token.role.clone(), token.token.clone()));
    }
}

#[test]
fn random_use_keeps_the_promises() {
    for seed in crate::base::rng::testing::seeds(64) {
        let result = std::panic::catch_unwind(|| simulate(seed));
        assert!(result.is_ok(), "failed with SIM_SEED={seed}");
    }
}

fn simulate(seed: u64) {
    const DEVICES: [&str; 3] = ["d1", "d2", "d3"];
    const ROLES: [&str; 2] = ["operator", "node"];
    const SCOPES: [&str; 3] = ["admin", "read", "write"];
    let dir = TempDir::new("pairing-sim");
    let rng = SeededRng::new(seed);
    let mut pairing = Pairing::open(dir.path()).expect("open");
    let mut model = Model { now_ms: 1_000_000, ..Model::default() };
    let pick = |list: &[&str]| list[usize::try_from(rng.below(list.len() as u64)).expect("small")].to_owned();
    let some = || -> Vec<String> { SCOPES.iter().filter(|_| rng.below(2) == 0).map(|&name| name.to_owned()).collect() };
    for _ in 0..60 {
        model.now_ms += rng.below(40_000);
        let (device, role) = (pick(&DEVICES), pick(&ROLES));
        match rng.below(10) {
            0..=3 => connect(&pairing, &mut model, &rng, &device, &role, &some()),
            4 | 5 => settle(&pairing, &mut model, &rng),
            6 => {
                let given = (rng.below(2) == 0).then(some);
                rotate(&pairing, &mut model, &rng, &device, &role, given);
            }
            7 => {
                let revoked = pairing.revoke(&device, &role, model.now_ms).expect("revoke");
                assert_eq!(revoked.is_some(), model.issued.iter().any(|(d, r, _)| (d, r) == (&device, &role)));
                model.in_force.remove(&(device, role));
            }
            8 => model.now_ms += REQUEST_TTL_MS,
            _ => {
                // As after kill -9: what was answered is on the disk.
                drop(pairing);
                pairing = Pairing::open(dir.path()).expect("reopen");
            }
        }
        check(&pairing, &model);
    }
}

fn connect(pairing: &Pairing, model: &mut Model, rng: &SeededRng, device: &str, role: &str, wanted: &[String]) {
    let is_local = rng.below(2) == 0;
    let waited = pairing.list(model.now_ms).0.iter().any(|request| request.info.device_id == device);
    let admission = pairing.admit(&info(device), role, wanted, is_local, model.now_ms, rng).expect("admit");
    match admission {
        Admission::Admitted { token, approved } => {
            for request in &approved {
                assert!(is_local && !waited, "only a local device with nothing waiting is let in unasked");
                assert!(request.is_silent());
                model.consent(device, role, &request.info.scopes);
            }
            assert!(wanted.iter().all(|scope| token.scopes.contains(scope)), "the token serves the connect");
            if model.in_force.get(&(device.into(), role.into())).is_none_or(|(known, _)| *known != token.token) {
                model.issue(device, &token);
            }
        }
        Admission::Pending { request, is_new } => {
            assert!(is_new != waited, "one request per device");
            assert_eq!(request.info.device_id, device);
        }
    }
}

fn settle(pairing: &Pairing, model: &mut Model, rng: &SeededRng) {
    let waiting = pairing.list(model.now_ms).0;
    let Some(request) = waiting.first() else {
        assert!(pairing.approve("nobody's", model.now_ms, rng).expect("approve").is_none());
        return;
    };
    if rng.below(3) == 0 {
        assert!(pairing.reject(&request.request_id, model.now_ms).expect("reject").is_some());
        return;
    }
    let paired = pairing.approve(&request.request_id, model.now_ms, rng).expect("approve").expect("waits");
    let role = request.info.role.clone().expect("a role");
    model.consent(&request.info.device_id, &role, &request.info.scopes);
    model.issue(&request.info.device_id, &paired.tokens[&role]);
}

fn rotate(pairing: &Pairing, model: &mut Model, rng: &SeededRng, device: &str, role: &str, given: Option<Vec<String>>) {
    let is_approval = given.is_some();
    let Some(scopes) = pairing.rotation_scopes(device, role, given) else {
        assert!(!pairing.paired().contains_key(device));
        return;
    };
    let token = pairing.rotate(device, role, &scopes, is_approval, model.now_ms, rng).expect("rotate").expect("paired");
    // Whoever names scopes consents to them; without, they come from what was consented to before.
    if is_approval {
        model.consent(device, role, &scopes);
    }
    model.issue(device, &token);
}

fn check(pairing: &Pairing, model: &Model) {
    let (waiting, paired) = pairing.list(model.now_ms);
    let subjects: BTreeSet<_> = waiting.iter().map(|request| &request.info.device_id).collect();
    assert_eq!(subjects.len(), waiting.len(), "never two requests of one device");
    let consented: BTreeMap<&str, BTreeSet<&str>> =
        model.consented.iter().fold(BTreeMap::new(), |mut all, ((device, _), scopes)| {
            all.entry(device.as_str()).or_default().extend(scopes.iter().map(String::as_str));
            all
        });
    for device in &paired {
        let granted = consented.get(device.info.device_id.as_str()).expect("paired means consented");
        assert!(device.info.scopes.iter().all(|scope| granted.contains(scope.as_str())), "no scope grows by itself");
        for token in device.tokens.values() {
            assert!(token.scopes.iter().all(|scope| granted.contains(scope.as_str())), "no token grows by itself");
        }
    }
    assert_eq!(consented.len(), paired.len(), "nothing approved is lost");
    for (device, role, token) in &model.issued {
        let current = model.in_force.get(&(device.clone(), role.clone()));
        let is_in_force = current.is_some_and(|(known, _)| known == token);
        assert_eq!(
            pairing.accepts_token(device, role, &[], token, model.now_ms),
            is_in_force,
            "issued and not revoked"
        );
        for scope in ["admin", "read", "write"] {
            let covered = is_in_force && current.is_some_and(|(_, scopes)| scopes.contains(scope));
            let accepted = pairing.accepts_token(device, role, &scopes(&[scope]), token, model.now_ms);
            assert_eq!(accepted, covered, "{role} {scope}");
        }
    }
}
