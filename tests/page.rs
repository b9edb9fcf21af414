//! The page: how it is served, and that a browser can chat with it (only where there is a browser).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http;
use crate::support::lines::Lines;
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
    tab.say("hi");
    tab.wait(&shown("assistant", "Hello <b>you</b>"));
    tab.wait("document.querySelectorAll('[data-testid=message-user]').length === 1");

    tab.say("a story");
    tab.wait(&shown("assistant", "Once upon"));
    tab.click("stop");
    tab.wait(&shown("note", "Stopped."));
    tab.wait("document.querySelector('[data-testid=stop]').hidden");
    gate.open();
    tab.say("/help");
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

fn chromium() -> Option<PathBuf> {
    let chosen = std::env::var_os("CLAWDBOT_CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| Some(PathBuf::from("/usr/bin/chromium"))).filter(|path| path.exists())
}

/// A headless browser driven over its debugging socket.
struct Browser {
    child: Child,
    port: u16,
    _profile: Home,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// `None`, with a word about it, where there is no browser.
    fn start() -> Option<Self> {
        let Some(path) = chromium() else {
            eprintln!("skipped: no Chromium here (set CLAWDBOT_CHROMIUM)");
            return None;
        };
        let profile = Home::empty();
        let mut child = Command::new(path)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Chromium starts");
        let lines = Lines::collect(child.stderr.take().expect("piped"));
        let port = lines.wait(PATIENCE, |line| {
            line.strip_prefix("DevTools listening on ws://127.0.0.1:")?.split('/').next()?.parse().ok()
        });
        Some(Self { child, port: port.expect("a debugging port"), _profile: profile })
    }

    fn tab(self, url: &str) -> Tab {
        let socket = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("debugging port");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let target: Value =
            serde_json::from_str(&http::get(socket, "PUT", &format!("/json/new?{url}")).body).expect("a target");
        let address = target["webSocketDebuggerUrl"].as_str().expect("an address").to_owned();
        let stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("debugging port");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(address.as_str(), stream).expect("debugging socket");
        Tab { socket, next_id: 1, _browser: self }
    }
}

struct Tab {
    socket: tungstenite::WebSocket<std::net::TcpStream>,
    next_id: u32,
    _browser: Browser,
}

impl Tab {
    /// The value of an expression; `None` when the page was replaced by another while it was computed.
    fn run(&mut self, expression: &str) -> Option<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let call = json!({ "id": id, "method": "Runtime.evaluate", "params": params });
        self.socket.send(tungstenite::Message::text(call.to_string())).expect("sent");
        loop {
            let message = self.socket.read().expect("an answer");
            let Ok(answer) = serde_json::from_str::<Value>(message.to_text().unwrap_or_default()) else { continue };
            if answer["id"] == id {
                assert!(answer["result"]["exceptionDetails"].is_null(), "{expression}: {answer}");
                return answer.get("result").map(|it| it["result"]["value"].clone());
            }
        }
    }

    fn click(&mut self, element: &str) {
        self.run(&format!("document.querySelector('[data-testid={element}]').click()"));
    }

    fn say(&mut self, text: &str) {
        self.run(&format!("document.querySelector('[data-testid=input]').value = '{text}'"));
        self.click("send");
    }

    /// Looks at every frame the page draws until the condition holds.
    fn wait(&mut self, condition: &str) {
        let limit = PATIENCE.as_millis() / 2;
        // Before the page is there its elements are not, which is only not yet.
        let code = format!(
            "new Promise(done => {{ const began = Date.now(); \
             const holds = () => {{ try {{ return {condition} }} catch {{ return false }} }}; \
             const look = () => holds() ? done(true) : \
             Date.now() - began > {limit} ? done(false) : setTimeout(look, 20); look(); }})"
        );
        let found = self.run(&code).or_else(|| self.run(&code));
        let page = self.run("document.body.innerText");
        assert_eq!(found, Some(json!(true)), "waited for {condition}; page: {page:?}");
    }
}
