//! The original's Control UI, as built, in a browser against this gateway: every tab opens and works, no request is
//! refused, nothing on the page throws.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::browser::{Browser, Sniffed, Tab};
use crate::support::files::Files;
use crate::support::gateway::Gateway;
use crate::support::original::Original;

/// The tabs, and what each asks for when it opens.
const TABS: [(&str, &[&str]); 11] = [
    ("chat", &["chat.history", "sessions.list", "agent.identity.get"]),
    (
        "overview",
        &[
            "channels.status",
            "system-presence",
            "sessions.list",
            "cron.status",
            "status",
            "health",
            "models.list",
            "last-heartbeat",
        ],
    ),
    ("channels", &["channels.status", "config.schema", "config.get"]),
    ("instances", &["system-presence"]),
    ("sessions", &["sessions.list"]),
    ("cron", &["channels.status", "cron.status", "cron.list"]),
    ("skills", &["skills.status"]),
    ("nodes", &["node.list", "device.pair.list", "config.get", "exec.approvals.get"]),
    ("config", &["config.schema", "config.get"]),
    ("debug", &["status", "health", "models.list", "last-heartbeat"]),
    ("logs", &["logs.tail"]),
];

#[test]
fn every_tab_gets_its_answers() {
    let Some(mut page) = Page::open() else { return };
    for (name, methods) in TABS {
        page.go(name, methods);
    }
    page.check();
}

#[test]
fn its_buttons_work() {
    let Some(mut page) = Page::open() else { return };
    page.go("chat", &["chat.history"]);
    page.fill("Message", "hello there");
    page.press("Send", &["chat.send"]);
    page.tab.wait("document.body.innerText.includes('You said: hello there')");

    page.go("sessions", &["sessions.list"]);
    page.tab.wait("document.querySelectorAll('.table-row').length === 1");
    page.change(".table-row input", "The first");
    page.answered(&["sessions.patch"]);
    page.tab.wait("document.querySelector('.table-row input').value === 'The first'");

    page.go("cron", &["cron.list"]);
    page.fill("Name", "morning");
    page.fill("System text", "Good morning");
    page.press("Add job", &["cron.add", "cron.list"]);
    page.tab.wait("document.body.innerText.includes('morning')");
    page.press("Run", &["cron.run"]);
    page.press("Runs", &["cron.runs"]);
    page.press("Remove", &["cron.remove"]);
    page.tab.wait("document.body.innerText.includes('No jobs yet.')");

    page.go("nodes", &["device.pair.list", "exec.approvals.get"]);
    page.press("Rotate", &["device.token.rotate"]);
    page.set(
        "[...document.querySelectorAll('main select')].find(it => it.innerHTML.includes('allowlist'))",
        "allowlist",
    );
    page.press("Save", &["exec.approvals.set"]);
    let mut asking = page.gateway.client();
    let question = asking.post("exec.approval.request", json!({ "command": "date", "timeoutMs": 15000 }));
    page.press("Allow once", &["exec.approval.resolve"]);
    assert_eq!(asking.response(&question).expect("a decision")["decision"], "allow-once");

    page.go("config", &["config.get", "config.schema"]);
    page.press("Raw", &[]);
    let raw = page.tab.run("document.querySelector('.config-content textarea').value");
    let mut config: Value = serde_json::from_str(raw.as_ref().and_then(Value::as_str).unwrap()).expect("JSON");
    config["ui"] = json!({ "assistant": { "name": "Somebody" } });
    page.change(".config-content textarea", &config.to_string());
    page.press("Save", &["config.set"]);

    page.go("debug", &["status"]);
    page.fill("Method", "agents.list");
    page.press("Call", &["agents.list"]);
    page.tab.wait("document.body.innerText.includes('\"defaultId\": \"main\"')");
    page.check();
}

/// The page, connected, and the gateway that it speaks to.
struct Page {
    tab: Tab,
    /// Frames before this one belong to an earlier step.
    from: usize,
    gateway: Gateway,
}

impl Page {
    /// Its address carries where the gateway is and the token, as its own links do.
    fn open() -> Option<Self> {
        let original = Original::find()?;
        let browser = Browser::start()?;
        let gateway = Gateway::start(json!({}));
        let files = Files::serve(original.directory("control-ui"));
        let url = format!("http://127.0.0.1:{}/?gatewayUrl={}&token=tok", files.port, gateway.url());
        let mut tab = browser.tab(&url);
        tab.hear("hello-ok", |frames| frames.iter().any(|it| it.frame["payload"]["type"] == "hello-ok"));
        Some(Self { tab, from: 0, gateway })
    }

    /// Opens a tab and waits for its answers.
    fn go(&mut self, name: &str, methods: &[&str]) {
        self.from = self.tab.frames.len();
        self.tab.run(&format!("document.querySelector('a.nav-item[href=\"/{name}\"]').click()"));
        self.answered(methods);
    }

    /// Clicks the first enabled button with this text.
    fn press(&mut self, text: &str, methods: &[&str]) {
        let button = format!(
            "[...document.querySelectorAll('button')].find(it => it.innerText.trim().split('\\n')[0] === '{text}' && !it.disabled)"
        );
        self.tab.wait(&format!("!!{button}"));
        self.from = self.tab.frames.len();
        self.tab.run(&format!("{button}.click()"));
        self.answered(methods);
    }

    /// Types into the field with this label.
    fn fill(&mut self, label: &str, text: &str) {
        self.set(
            &format!(
                "[...document.querySelectorAll('main label.field')].find(it => it.textContent.trim().startsWith('{label}'))\
                 .querySelector('input, textarea')"
            ),
            text,
        );
    }

    fn change(&mut self, selector: &str, text: &str) {
        self.from = self.tab.frames.len();
        self.set(&format!("document.querySelector('{selector}')"), text);
    }

    fn set(&mut self, element: &str, text: &str) {
        self.tab.wait(&format!("!!({element})"));
        self.tab.run(&format!(
            "{{ const it = {element}; it.value = {}; \
             for (const kind of ['input', 'change']) it.dispatchEvent(new Event(kind, {{ bubbles: true }})); }}",
            Value::from(text)
        ));
    }

    /// Waits until these were asked for since the last step, and everything asked for is answered.
    fn answered(&mut self, methods: &[&str]) {
        let from = self.from;
        self.tab.hear(&format!("answers to {methods:?}"), |frames| {
            methods.iter().all(|method| frames[from..].iter().any(|it| it.sent && it.frame["method"] == *method))
                && frames.iter().filter(|it| it.sent).all(|it| answer(frames, it).is_some())
        });
    }

    /// That nothing was refused, and that the page caught all its errors.
    fn check(&self) {
        let frames = &self.tab.frames;
        let refused: BTreeSet<String> = frames
            .iter()
            .filter(|it| it.sent)
            .filter_map(|sent| Some((sent, answer(frames, sent)?)))
            .filter(|(_, answer)| answer["ok"] != true)
            .map(|(sent, answer)| format!("{}: {}", sent.frame["method"], answer["error"]))
            .collect();
        assert!(refused.is_empty(), "{refused:#?}");
        assert!(self.tab.errors.is_empty(), "{:#?}", self.tab.errors);
    }
}

fn answer<'a>(frames: &'a [Sniffed], sent: &Sniffed) -> Option<&'a Value> {
    let frame = frames.iter().find(|it| !it.sent && it.frame["type"] == "res" && it.frame["id"] == sent.frame["id"])?;
    Some(&frame.frame)
}
