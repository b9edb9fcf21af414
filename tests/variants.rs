//! The second configuration of the HTTP recordings: no secret, small limits, a base path, another path of hooks, fewer tools, a
//! canvas that does not reload, and agents with pictures.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::openai::recorded;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http;
use crate::support::http_wire::{replay, unlike};

/// As many bytes as the recorded picture has.
const PICTURE: [u8; 70] = [b'p'; 70];

fn config(provider: &str) -> Value {
    let model = json!({"id": "fm", "name": "fm", "reasoning": false, "input": ["text", "image"], "contextWindow": 128_000,
        "maxTokens": 1000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
    let responses = json!({"enabled": true, "maxBodyBytes": 1500, "files": {"allowUrl": false, "maxBytes": 10, "maxChars": 3},
        "images": {"allowUrl": false, "maxBytes": 5}});
    json!({
        "gateway": {"auth": null, "controlUi": {"basePath": "/clawdbot/"}, "http": {"endpoints": {"responses": responses}}},
        "hooks": {"enabled": true, "token": "hooktok", "path": "wh", "maxBodyBytes": 50},
        "tools": {"profile": "messaging", "deny": ["cron"]},
        "canvasHost": {"liveReload": false},
        "models": {"providers": {"test": {"baseUrl": provider, "apiKey": "k", "api": "openai-completions", "models": [model]}}},
        "agents": {"defaults": {"model": {"primary": "test/fm"}}, "list": [
            {"id": "main", "identity": {"name": "Molty </script>", "avatar": "a.png"}},
            {"id": "beta", "identity": {"avatar": "https://example.com/a.png"}},
            {"id": "gamma", "identity": {"avatar": "link.png"}},
        ]},
    })
}

#[test]
fn another_configuration_as_recorded() {
    let provider = recorded();
    let home = Home::with_config(&config(&provider.url()));
    let workspace = home.path().join("clawd");
    std::fs::create_dir_all(workspace.join("canvas")).unwrap();
    std::fs::write(workspace.join("a.png"), PICTURE).unwrap();
    // A picture that is elsewhere in truth, in the workspace of its agent.
    let other = home.path().join("clawd-gamma");
    std::fs::create_dir_all(&other).unwrap();
    symlink(workspace.join("a.png"), other.join("link.png")).unwrap();
    std::fs::write(workspace.join("canvas/index.html"), "<!doctype html><html><body>hi</body></html>\n").unwrap();
    let gateway =
        Gateway::start_in(home, &[], &[("CLAWDBOT_SKIP_CANVAS_HOST", "0"), ("CLAWDBOT_CANVAS_HOST_PORT", "0")]);
    let answered = "where the original hung up, it is said";
    let unlike = [
        unlike("cc_disabled", 404, "an API that is off says so"),
        unlike("cc_disabled_get", 404, "in JSON"),
        unlike("responses_body_big", 413, answered),
        unlike("hooks_big", 413, answered),
        unlike(
            "browser_controlToken",
            404,
            "recorded on the port of the browser control, which this version does not have",
        ),
    ];
    replay(&gateway, "variants", &[], &unlike);
    let picture = http::get(gateway.socket(), "GET", "/clawdbot/avatar/main");
    assert_eq!(picture.header("content-length"), Some("70"));
    // Of these two pages the recording keeps no more than their length.
    let index = http::get(gateway.socket(), "GET", "/clawdbot/").body;
    for global in
        ["BASE_PATH__=\"/clawdbot\"", "NAME__=\"Molty \\u003c/script>\"", "AVATAR__=\"/clawdbot/avatar/main\""]
    {
        assert!(index.contains(global), "{global}: {index}");
    }
    let page = http::get(gateway.socket(), "GET", "/__clawdbot__/a2ui/").body;
    assert!(page.contains("clawdbotSendUserAction"), "{page}");
}
