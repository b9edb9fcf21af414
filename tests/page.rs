//! The page: how it is served, and that a browser can chat with it (only where there is a browser).

use serde_json::json;

use crate::support::browser::{Browser, Tab};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http;
use crate::support::http_wire::{replay, unlike};
use crate::support::provider::{Answer, Gate, Provider};

#[test]
fn served_below_its_base_path() {
    let ui = json!({ "assistant": { "name": "</script><b>Bot" } });
    let gateway = Gateway::start(json!({ "gateway": { "controlUi": { "basePath": "chat/" } }, "ui": ui }));
    let get = |path: &str| http::get(gateway.socket(), "GET", path);
    let moved = get("/chat?session=x");
    assert_eq!((moved.status, moved.header("location")), (302, Some("/chat/?session=x")));
    assert_eq!(get("/elsewhere").status, 404);
    let index = get("/chat/");
    assert_eq!((index.status, index.header("cache-control")), (200, Some("no-cache")));
    assert!(index.body.contains(r#"__CLAWDBOT_CONTROL_UI_BASE_PATH__="/chat""#), "{}", index.body);
    assert!(!index.body.contains("</script><b>"), "the name can end the script");
    for (path, kind) in [
        ("/chat/app.js", "application/javascript; charset=utf-8"),
        ("/chat/app.css", "text/css; charset=utf-8"),
        ("/chat/favicon.svg", "image/svg+xml"),
        ("/chat/deep/link", "text/html; charset=utf-8"),
    ] {
        let file = get(path);
        assert_eq!((file.status, file.header("content-type")), (200, Some(kind)), "{path}");
        assert!(!file.body.is_empty());
    }
    assert_eq!(http::get(gateway.socket(), "HEAD", "/chat/app.js").body, "");
    assert_eq!(http::get(gateway.socket(), "POST", "/chat/").status, 405);
}

#[test]
fn browsers_get_files_compressed_once_and_pages_with_a_policy() {
    let gateway = Gateway::start(json!({}));
    let ask = |more: &str| {
        let request = format!("GET /app.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        http::exchange(gateway.socket(), request.as_bytes()).expect("a response")
    };
    let plain = ask("");
    let tag = plain.header("etag").expect("a name of the content").to_owned();
    assert_eq!((plain.header("content-encoding"), plain.header("x-content-type-options")), (None, Some("nosniff")));
    let packed = ask("Accept-Encoding: br, gzip\r\n");
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), (Some("gzip"), Some("Accept-Encoding")));
    let length = |it: &http::Response| it.header("content-length").expect("a length").parse::<usize>().unwrap();
    assert!(length(&packed) * 2 < length(&plain), "{} of {}", length(&packed), length(&plain));
    assert_eq!(ask(&format!("If-None-Match: {tag}\r\n")).status, 304);
    let policy =
        http::get(gateway.socket(), "GET", "/").header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("'sha256-"), "{policy}");
}

#[test]
fn avatars_of_the_workspace_are_served() {
    let home = Home::with_config(&json!({"gateway": {"controlUi": {"basePath": "/clawdbot/"}}, "agents": {"list": [
        {"id": "main", "identity": {"avatar": "a.png"}},
        {"id": "beta", "identity": {"avatar": "https://example.com/a.png"}},
    ]}}));
    let workspace = home.path().join("clawd");
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::write(workspace.join("a.png"), "a picture").unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let get = |path: &str| http::get(gateway.socket(), "GET", path);
    let picture = get("/clawdbot/avatar/main");
    assert_eq!(
        (picture.status, picture.body.as_str(), picture.header("content-type")),
        (200, "a picture", Some("image/png"))
    );
    assert_eq!(get("/clawdbot/avatar/main?meta=1").body, r#"{"avatarUrl":"/clawdbot/avatar/main"}"#);
    assert_eq!(get("/clawdbot/avatar/beta?meta=1").body, r#"{"avatarUrl":"https://example.com/a.png"}"#);
    for missing in
        ["/clawdbot/avatar/beta", "/clawdbot/avatar/..%2f", "/clawdbot/avatar/a/b", "/clawdbot/avatar/", "/avatar/main"]
    {
        assert_eq!(get(missing).status, 404, "{missing}");
    }
    assert!(get("/clawdbot/").body.contains(r#"__CLAWDBOT_ASSISTANT_AVATAR__="/clawdbot/avatar/main""#));
}

#[test]
fn the_page_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let icon = "its icon is another file";
    replay(&gateway, "control_ui", &[], &[unlike("favicon", 200, icon), unlike("h10", 200, icon)]);
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let gateway = Gateway::start(json!({}));
    for path in ["/", "/app.js", "/app.css", "/favicon.svg"] {
        let body = http::get(gateway.socket(), "GET", path).body.replace("http://www.w3.org/", "");
        assert!(!body.contains("http://") && !body.contains("https://") && !body.contains("innerHTML"), "{path}");
    }
}

const CONNECTED: &str = "document.querySelector('[data-testid=state]')?.dataset.state === 'connected'";

#[test]
fn a_browser_chats() {
    let Some(browser) = Browser::start() else { return };
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Text(vec!["Hello", " <b>you</b>"]),
        _ => Answer::Held("Once upon", held.clone(), " a time"),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    // A link names another gateway: it must not get the token.
    let mut tab = browser.tab(&format!("http://127.0.0.1:{}/?token=tok&gatewayUrl=ws://127.0.0.1:1", gateway.port));
    tab.wait(CONNECTED);
    tab.wait("location.search === ''");
    tab.wait("document.querySelector('[data-testid=health-version]').textContent !== ''");
    say(&mut tab, "hi");
    tab.wait(&shown("assistant", "Hello <b>you</b>"));
    tab.wait("document.querySelectorAll('[data-testid=message-user]').length === 1");

    say(&mut tab, "a story");
    tab.wait(&shown("assistant", "Once upon"));
    tab.click("stop");
    tab.wait(&shown("note", "Stopped."));
    tab.wait("document.querySelector('[data-testid=stop]').hidden");
    gate.open();
    say(&mut tab, "/help");
    tab.wait("document.querySelectorAll('[data-testid=message-assistant]').length >= 3");
}

#[test]
fn a_browser_asks_for_the_token_once_and_comes_back_by_itself() {
    let Some(browser) = Browser::start() else { return };
    let mut gateway = Gateway::start(json!({ "gateway": { "controlUi": { "basePath": "/chat" } } }));
    let mut tab = browser.tab(&format!("http://127.0.0.1:{}/chat/", gateway.port));
    tab.wait("!document.querySelector('[data-testid=token-form]').hidden");
    tab.run("document.querySelector('[data-testid=token-input]').value = 'wrong'");
    tab.click("token-submit");
    tab.wait("document.querySelector('[data-testid=token-help]').textContent.includes('mismatch')");
    tab.run("document.querySelector('[data-testid=token-input]').value = 'tok'");
    tab.click("token-submit");
    tab.wait(CONNECTED);
    tab.wait("document.querySelector('[data-testid=token-form]').hidden");

    assert_eq!(gateway.stop().code, Some(0));
    tab.wait("document.querySelector('[data-testid=state]').dataset.state !== 'connected'");
    tab.wait("!document.querySelector('[data-testid=banner]').hidden");
    let port = gateway.port;
    let _gateway = Gateway::start_on(port, gateway.kill());
    tab.wait(CONNECTED);
    tab.wait("document.querySelector('[data-testid=banner]').hidden");
}

/// That a message of this kind with this text is on the page.
fn shown(kind: &str, text: &str) -> String {
    format!("[...document.querySelectorAll('[data-testid=message-{kind}]')].some(it => it.textContent === '{text}')")
}

fn say(tab: &mut Tab, text: &str) {
    tab.run(&format!("document.querySelector('[data-testid=input]').value = '{text}'"));
    tab.click("send");
}
