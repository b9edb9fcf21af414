//! Whole runs: the ways people take, and ways that nobody would.

use std::sync::Arc;

use serde_json::{Value, json};

use super::plan::ResetScope;
use super::session::{End, Session, State};
use super::*;
use crate::base::fs::testing::TempDir;
use crate::base::rng::SeededRng;
use crate::config::load::load;

const NOW_MS: u64 = 1_795_353_648_869;

struct Place {
    _dir: TempDir,
    paths: Paths,
}

impl Place {
    fn new(config: Option<&str>) -> Self {
        let dir = TempDir::new("wizard");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        if let Some(config) = config {
            std::fs::create_dir_all(&paths.state_dir).expect("state directory");
            std::fs::write(&paths.config_file, config).expect("configuration");
        }
        Self { _dir: dir, paths }
    }

    fn start(&self, request: Request, seed: u64) -> Session {
        let rng = Arc::new(SeededRng::new(seed));
        let snapshot = Arc::new(load(&self.paths));
        let facts =
            Facts { env: |_| None, may_put_state_away: true, ..Facts::new(self.paths.clone(), snapshot, &*rng) };
        Session::start(facts, request, rng)
    }

    fn text(&self) -> Option<String> {
        std::fs::read_to_string(&self.paths.config_file).ok()
    }
}

/// Answers by the question's first words; notes pass, everything else gets its initial value.
fn walk(session: &mut Session, answers: &[(&str, Value)]) -> Vec<String> {
    let mut asked = Vec::new();
    while let State::Asking { step, .. } = session.state() {
        assert!(asked.len() < 100, "no end: {asked:?}");
        let name = step.title.clone().unwrap_or_else(|| step.message.clone());
        let given = answers.iter().find(|(start, _)| step.kind != Kind::Note && name.starts_with(start));
        let value = given.map(|(_, value)| value.clone()).or_else(|| step.initial.clone()).unwrap_or(Value::Null);
        asked.push(name);
        session.answer(value).unwrap_or_else(|error| panic!("{error}; asked {asked:?}"));
    }
    asked
}

fn apply(place: &Place, session: &mut Session) -> Value {
    let plan = session.take_plan().expect("a plan");
    plan.apply(&place.paths, NOW_MS).expect("applied");
    session.finish(Ok(()));
    assert!(matches!(session.state(), State::Ended(End::Done)));
    let snapshot = load(&place.paths);
    assert!(snapshot.valid, "{:?}", snapshot.issues);
    snapshot.parsed
}

#[test]
fn quickstart_asks_for_little_and_makes_a_token() {
    let place = Place::new(None);
    let mut session = place.start(Request::default(), 1);
    let answers =
        [("I understand", json!(true)), ("Model provider", json!("openai-api-key")), ("OpenAI API key", json!("sk"))];
    let asked = walk(&mut session, &answers);
    let order = [
        "Clawdbot onboarding",
        "Security",
        "I understand that this is powerful and risky. Continue?",
        "Onboarding mode",
        "QuickStart",
        "Model provider",
        "OpenAI API key",
        "Default model",
        "Channels",
        "Skills",
        "Control UI",
        "Done",
    ];
    assert_eq!(asked, order);
    assert_eq!(place.text(), None, "nothing is written before the end");
    let config = apply(&place, &mut session);
    assert_eq!(config["env"]["vars"]["OPENAI_API_KEY"], "sk");
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "openai/gpt-5-mini");
    let gateway = &config["gateway"];
    assert_eq!(
        (&gateway["mode"], &gateway["bind"], &gateway["auth"]["mode"]),
        (&json!("local"), &json!("loopback"), &json!("token"))
    );
    assert_eq!(gateway["auth"]["token"].as_str().map(str::len), Some(48));
    assert_eq!(
        (&config["wizard"]["lastRunCommand"], &config["wizard"]["lastRunMode"]),
        (&json!("onboard"), &json!("local"))
    );
    assert!(place.paths.home.join("clawd/AGENTS.md").exists());
    assert!(place.paths.state_dir.join("agents/main/sessions").is_dir());
}

#[test]
fn manual_asks_for_everything_and_keeps_it_safe() {
    let place = Place::new(None);
    let mut session = place.start(Request { accepts_risk: true, ..Request::default() }, 2);
    let answers = [
        ("Onboarding mode", json!("advanced")),
        ("What do you", json!("local")),
        ("Workspace", json!("~/w")),
        ("Model provider", json!("custom")),
        ("Base URL", json!("http://127.0.0.1:1/v1")),
        ("Default model", json!("m1")),
        ("Gateway port", json!(4000)),
        ("Gateway bind", json!("custom")),
        ("Custom IP", json!("10.0.0.1")),
        ("Gateway auth", json!("off")),
        ("Gateway token", json!("  ")),
    ];
    let asked = walk(&mut session, &answers);
    assert!(asked.contains(&"Note".to_owned()), "an open door is corrected and said: {asked:?}");
    let config = apply(&place, &mut session);
    let gateway = &config["gateway"];
    assert_eq!(
        (&gateway["port"], &gateway["bind"], &gateway["customBindHost"]),
        (&json!(4000), &json!("custom"), &json!("10.0.0.1"))
    );
    assert_eq!(gateway["auth"]["token"].as_str().map(str::len), Some(48));
    let server = &config["models"]["providers"]["custom"];
    assert_eq!((&server["baseUrl"], &server["models"][0]["id"]), (&json!("http://127.0.0.1:1/v1"), &json!("m1")));
    assert_eq!(server.get("apiKey"), None);
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "custom/m1");
    assert!(place.paths.home.join("w/SOUL.md").exists());
}

#[test]
fn existing_values_are_kept_as_they_are_written() {
    let text = r#"{ gateway: { port: 5000, auth: { token: "${HOME}-tok" } }, agents: { defaults: { workspace: "~/mine", model: { primary: "offline/offline", fallbacks: ["ollama/x"] } } }, ui: { seamColor: "123456" } }"#;
    let place = Place::new(Some(text));
    let mut session = place.start(Request { accepts_risk: true, ..Request::default() }, 3);
    let asked = walk(&mut session, &[]);
    assert!(!asked.iter().any(|name| name.starts_with("Model provider") || name.starts_with("Workspace")), "{asked:?}");
    let config = apply(&place, &mut session);
    assert_eq!(config["gateway"]["auth"], json!({"token": "${HOME}-tok", "mode": "token"}));
    assert_eq!(config["agents"]["defaults"]["workspace"], "~/mine");
    assert_eq!((&config["gateway"]["port"], &config["ui"]["seamColor"]), (&json!(5000), &json!("123456")));

    let mut session = place.start(Request { accepts_risk: true, ..Request::default() }, 4);
    let answers =
        [("Config handling", json!("modify")), ("Model provider", json!("ollama")), ("Default model", json!("qwen"))];
    walk(&mut session, &answers);
    let model = &apply(&place, &mut session)["agents"]["defaults"]["model"];
    assert_eq!(*model, json!({"primary": "ollama/qwen", "fallbacks": ["ollama/x"]}));
}

#[test]
fn a_reset_puts_away_and_starts_from_nothing() {
    let place = Place::new(Some(r#"{ ui: { seamColor: "123456" }, gateway: { auth: { token: "old" } } }"#));
    let credential = place.paths.state_dir.join("credentials/one");
    std::fs::create_dir_all(credential.parent().expect("a parent")).expect("credentials");
    std::fs::write(&credential, "secret").expect("file");
    std::fs::create_dir_all(place.paths.home.join("clawd")).expect("workspace");
    std::fs::write(place.paths.home.join("clawd/SOUL.md"), "mine").expect("file");
    let request = Request { accepts_risk: true, reset: Some(ResetScope::Full), ..Request::default() };
    let mut session = place.start(request, 5);
    walk(&mut session, &[]);
    assert!(credential.exists(), "nothing happens before the end");
    let config = apply(&place, &mut session);
    assert_eq!(config.get("ui"), None);
    assert_ne!(config["gateway"]["auth"]["token"], "old");
    assert!(!credential.exists());
    let trash = place.paths.home.join(".local/share/Trash/files");
    assert_eq!(std::fs::read_to_string(trash.join(format!("clawd-{NOW_MS}/SOUL.md"))).expect("kept"), "mine");
    assert_ne!(std::fs::read_to_string(place.paths.home.join("clawd/SOUL.md")).expect("new"), "mine");
}

#[test]
fn a_gateway_elsewhere() {
    let place = Place::new(None);
    let request =
        Request { accepts_risk: true, mode: Some(Mode::Remote), pace: Some(Pace::QuickStart), ..Request::default() };
    let mut session = place.start(request, 6);
    walk(&mut session, &[("Gateway WebSocket URL", json!("wss://far:1")), ("Gateway token", json!("t"))]);
    let config = apply(&place, &mut session);
    assert_eq!(config["gateway"], json!({"mode": "remote", "remote": {"url": "wss://far:1", "token": "t"}}));
    assert!(!place.paths.home.join("clawd").exists());
}

#[test]
fn refusals() {
    let place = Place::new(None);
    let mut session = place.start(Request::default(), 7);
    // A text that says yes is no consent.
    walk(&mut session, &[("I understand", json!("true"))]);
    assert!(matches!(session.state(), State::Ended(End::Cancelled(why)) if why == "risk not accepted"));
    assert_eq!(session.answer(json!(1)), Err("wizard: no pending step".to_owned()));

    let mut session = place.start(Request { accepts_risk: true, ..Request::default() }, 8);
    assert_eq!(session.answer(Value::Null), Ok(()));
    let refused = session.answer(json!("sideways")).expect_err("no such option");
    assert_eq!(refused, "Onboarding mode: choose one of quickstart, advanced");
    assert!(matches!(session.state(), State::Asking { .. }), "the question still stands");

    let broken = Place::new(Some("{ gateway: { port: 'x' } }"));
    let mut session = broken.start(Request { accepts_risk: true, ..Request::default() }, 9);
    walk(&mut session, &[]);
    assert!(matches!(session.state(), State::Ended(End::Failed(why)) if why.starts_with("Config invalid.")));
}

#[test]
fn sections_are_configured_in_one_go() {
    let place = Place::new(Some("{ gateway: { mode: 'local' } }"));
    let purpose = Purpose::Configure(vec![Section::Web, Section::Workspace]);
    let mut session = place.start(Request { purpose, ..Request::default() }, 10);
    walk(&mut session, &[("Workspace", json!("~/w")), ("Enable web_search", json!(true)), ("Brave", json!("BSA1"))]);
    let config = apply(&place, &mut session);
    assert_eq!(
        config["tools"]["web"],
        json!({"search": {"enabled": true, "apiKey": "BSA1"}, "fetch": {"enabled": true}})
    );
    assert_eq!(config["wizard"]["lastRunCommand"], "configure");
    assert!(place.paths.home.join("w").is_dir());

    let mut session = place.start(Request { purpose: Purpose::Configure(Vec::new()), ..Request::default() }, 11);
    walk(&mut session, &[("Select sections", json!("__continue"))]);
    apply(&place, &mut session);
}

/// Whatever is answered: no panic, an end, and a configuration that changes only when the plan is carried out.
#[test]
fn random_answers_always_end() {
    let mut ends = [0; 3];
    for seed in crate::base::rng::testing::seeds(256) {
        let outcome = std::panic::catch_unwind(|| random_run(seed));
        let end = outcome.unwrap_or_else(|_| panic!("SIM_SEED={seed} replays this failure"));
        ends[match end {
            End::Done => 0,
            End::Cancelled(_) => 1,
            End::Failed(_) => 2,
        }] += 1;
    }
    if std::env::var_os("SIM_SEED").is_none() {
        assert!(ends.iter().all(|&count| count > 5), "the runs end in every way: {ends:?}");
    }
}

fn random_run(seed: u64) -> End {
    let rng = SeededRng::new(seed);
    let config =
        ["", "{}", "{ gateway: { port: 5, auth: { password: 'p' } } }", "{ a: 1 }", "{ env: { OPENAI_API_KEY: 'k' } }"];
    let config = config[rng.below(5) as usize];
    let place = Place::new(Some(config).filter(|text| !text.is_empty()));
    let purpose = match rng.below(4) {
        0 => Purpose::Configure(Vec::new()),
        1 => Purpose::Configure(Section::ALL.into_iter().filter(|_| rng.below(2) == 0).collect()),
        _ => Purpose::Onboard,
    };
    let request = Request {
        purpose,
        mode: [None, Some(Mode::Local), Some(Mode::Remote)][rng.below(3) as usize],
        accepts_risk: rng.below(2) == 0,
        reset: [None, None, None, Some(ResetScope::Full)][rng.below(4) as usize],
        ..Request::default()
    };
    let is_strict = rng.below(2) == 0;
    let mut session = place.start(request, seed);
    let before = place.text();
    for _ in 0..1000 {
        assert_eq!(place.text(), before, "written before the end");
        let State::Asking { step, .. } = session.state() else { break };
        let answer = random_answer(step, &rng);
        if rng.below(100) == 0 {
            session.end(End::Cancelled("cancelled".to_owned()));
        } else if let Err(why) = session.answer(answer)
            && is_strict
        {
            session.end(End::Failed(why));
        }
    }
    if let Some(plan) = session.take_plan() {
        session.end(End::Cancelled("too late".to_owned()));
        let result = plan.apply(&place.paths, NOW_MS).map(|_| ());
        assert_eq!(result, Ok(()));
        assert!(load(&place.paths).valid);
        session.finish(result);
    } else {
        assert_eq!(place.text(), before, "written without a plan");
    }
    match session.state() {
        State::Ended(end) => end.clone(),
        _ => panic!("the run did not end"),
    }
}

fn random_answer(step: &Step, rng: &SeededRng) -> Value {
    let junk = [json!(null), json!({"a": [1]}), json!("\u{7}"), json!("é".repeat(9000)), json!(-1), json!([])];
    let texts = ["", "70000", "4000", "10.0.0.1", "ws://h:1", "http://h:1/v1", "a/b", "k", "//"];
    // Where a workspace is made must stay inside the test's home.
    if step.message == "Workspace directory" {
        return json!(["", "~/w"][rng.below(2) as usize]);
    }
    if rng.below(25) == 0 {
        return junk[rng.below(junk.len() as u64) as usize].clone();
    }
    match step.kind {
        Kind::Note => Value::Null,
        Kind::Select => json!(step.options[rng.below(step.options.len() as u64) as usize].value),
        Kind::Confirm => json!(rng.below(4) > 0),
        Kind::Text if rng.below(2) == 0 => step.initial.clone().unwrap_or_else(|| json!("k")),
        Kind::Text => json!(texts[rng.below(texts.len() as u64) as usize]),
    }
}

#[test]
fn what_runs_here_is_offered_first() {
    let place = Place::new(None);
    let rng = Arc::new(SeededRng::new(1));
    let server = LocalServer {
        word: "ollama",
        label: "Ollama",
        base_url: "http://127.0.0.1:11434/v1".to_owned(),
        models: vec!["qwen3".to_owned()],
    };
    let facts = Facts::new(place.paths.clone(), Arc::new(load(&place.paths)), &*rng);
    let facts = Facts { env: |_| None, servers: vec![server], ..facts };
    let request = Request { accepts_risk: true, pace: Some(Pace::QuickStart), ..Request::default() };
    let mut session = Session::start(facts, request, rng);
    // Every question gets its first suggestion.
    walk(&mut session, &[]);
    let config = apply(&place, &mut session);
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "ollama/qwen3");
    assert_eq!(config["models"]["providers"]["ollama"]["baseUrl"], "http://127.0.0.1:11434/v1");
}
