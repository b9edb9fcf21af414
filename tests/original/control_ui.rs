//! The original's Control UI, as built, in a browser against this gateway: every tab, and no request may fail.

use serde_json::json;

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
    let Some(original) = Original::find() else { return };
    let Some(browser) = Browser::start() else { return };
    let gateway = Gateway::start(json!({}));
    let mut tab = open(browser, original, &gateway);
    for (name, methods) in TABS {
        let from = tab.frames.len();
        tab.run(&format!("document.querySelector('a.nav-item[href=\"/{name}\"]').click()"));
        tab.hear(&format!("the answers for {name}"), |frames| {
            methods.iter().all(|method| frames[from..].iter().any(|it| it.sent && it.frame["method"] == *method))
                && unanswered(frames).is_empty()
        });
        println!("== {name}: {:?}", called(&tab.frames[from..]));
        for refusal in refusals(&tab.frames[from..]) {
            println!("   REFUSED {refusal}");
        }
    }
}

/// The page, connected: its address carries where the gateway is and the token, as its own links do.
fn open(browser: Browser, original: &Original, gateway: &Gateway) -> Tab {
    let files = Files::serve(original.directory("control-ui"));
    let url = format!("http://127.0.0.1:{}/?gatewayUrl={}&token=tok", files.port, gateway.url());
    let mut tab = browser.tab(&url);
    tab.hear("hello-ok", |frames| frames.iter().any(|it| it.frame["payload"]["type"] == "hello-ok"));
    tab
}

fn called(frames: &[Sniffed]) -> std::collections::BTreeSet<&str> {
    frames.iter().filter(|it| it.sent).filter_map(|it| it.frame["method"].as_str()).collect()
}

/// Ids of requests that have no answer yet.
fn unanswered(frames: &[Sniffed]) -> Vec<&str> {
    let answered = |id: &str| frames.iter().any(|it| !it.sent && it.frame["type"] == "res" && it.frame["id"] == id);
    let ids = frames.iter().filter(|it| it.sent).filter_map(|it| it.frame["id"].as_str());
    ids.filter(|id| !answered(id)).collect()
}

/// `method: error` of each request that was refused.
fn refusals(frames: &[Sniffed]) -> Vec<String> {
    let refused = frames.iter().filter(|it| !it.sent && it.frame["ok"] == false);
    let method = |id: &serde_json::Value| {
        frames.iter().find(|it| it.sent && it.frame["id"] == *id).map(|it| it.frame["method"].clone())
    };
    refused.map(|it| format!("{:?}: {}", method(&it.frame["id"]), it.frame["error"])).collect()
}
