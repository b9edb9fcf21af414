//! A headless Chromium driven over its debugging socket, and what its page said over WebSockets.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::home::Home;
use super::http;
use super::lines::Lines;
use super::{PATIENCE, skipped};

/// Where Debian installs it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser without a window, in a profile of its own.
pub struct Browser {
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
    pub fn start() -> Option<Self> {
        let chosen = std::env::var_os("CLAWDBOT_CHROMIUM").map_or_else(|| PathBuf::from(CHROMIUM), PathBuf::from);
        if !chosen.exists() {
            skipped("the page in a browser: no Chromium here (CLAWDBOT_CHROMIUM says where it is)");
            return None;
        }
        let profile = Home::empty();
        let mut child = Command::new(chosen)
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

    /// Opens a page; its WebSocket frames and uncaught errors are heard from the first on.
    pub fn tab(self, url: &str) -> Tab {
        let target: Value = serde_json::from_str(&http::get(self.connect(), "PUT", "/json/new?about:blank").body)
            .expect("the browser opens a page");
        let address = target["webSocketDebuggerUrl"].as_str().expect("an address").to_owned();
        let (socket, _) = tungstenite::client(address.as_str(), self.connect()).expect("debugging socket");
        let mut tab = Tab { socket, next_id: 1, frames: Vec::new(), errors: Vec::new(), _browser: self };
        for domain in ["Network.enable", "Runtime.enable", "Page.enable"] {
            tab.command(domain, json!({}));
        }
        tab.command("Page.navigate", json!({ "url": url }));
        tab
    }

    fn connect(&self) -> std::net::TcpStream {
        let socket = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("debugging port");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// One WebSocket frame of the page.
#[derive(Debug, Clone)]
pub struct Sniffed {
    /// Whether the page sent it.
    pub sent: bool,
    pub frame: Value,
}

/// One page.
pub struct Tab {
    socket: tungstenite::WebSocket<std::net::TcpStream>,
    next_id: u32,
    /// What went over the page's WebSockets so far, in order.
    pub frames: Vec<Sniffed>,
    /// Errors that nobody on the page caught.
    pub errors: Vec<String>,
    _browser: Browser,
}

impl Tab {
    /// The value of an expression; `None` when the page was replaced by another while it was computed.
    pub fn run(&mut self, expression: &str) -> Option<Value> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", params);
        assert!(answer["result"]["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer.get("result").map(|it| it["result"]["value"].clone())
    }

    /// Clicks what has this `data-testid`.
    pub fn click(&mut self, element: &str) {
        self.run(&format!("document.querySelector('[data-testid={element}]').click()"));
    }

    /// Looks at every frame the page draws until the condition holds.
    pub fn wait(&mut self, condition: &str) {
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

    /// Listens until what was heard is as wanted.
    pub fn hear(&mut self, what: &str, wanted: impl Fn(&[Sniffed]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(&self.frames) {
            assert!(Instant::now() < until, "waited for {what}; heard {:#?}", self.frames);
            self.listen();
        }
    }

    fn command(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params);
        loop {
            if let Some(answer) = self.listen().filter(|it| it["id"] == id) {
                return answer;
            }
        }
    }

    fn post(&mut self, method: &str, params: Value) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let call = json!({ "id": id, "method": method, "params": params });
        self.socket.send(tungstenite::Message::text(call.to_string())).expect("sent");
        id
    }

    /// Reads one message: keeps what the page said, returns answers.
    fn listen(&mut self) -> Option<Value> {
        let message = self.socket.read().expect("the browser says something");
        let message: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
        let sent = match message["method"].as_str() {
            Some("Network.webSocketFrameSent") => true,
            Some("Network.webSocketFrameReceived") => false,
            // Nobody else would close it, and the page waits.
            Some("Page.javascriptDialogOpening") => {
                self.post("Page.handleJavaScriptDialog", json!({ "accept": true }));
                return None;
            }
            Some("Runtime.exceptionThrown") => {
                self.errors.push(message["params"]["exceptionDetails"].to_string());
                return None;
            }
            _ => return Some(message),
        };
        let text = message["params"]["response"]["payloadData"].as_str()?;
        self.frames.push(Sniffed { sent, frame: serde_json::from_str(text).ok()? });
        None
    }
}
