//! The canvas on both of its ports: as recorded, nothing from outside its directory, pages that reload and send actions.

use std::net::TcpStream;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tungstenite::protocol::Message;

use crate::support::PATIENCE;
use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::Home;
use crate::support::http::{self, Response};
use crate::support::http_wire::{replay, unlike};

const SECRET: &str = "nobody may read this";

/// A gateway with some files in its canvas, and the canvas's own port.
fn start(config: Value) -> (Gateway, u16) {
    let port = free_port();
    let mut all = json!({"canvasHost": {"port": port}});
    for (key, value) in config["canvasHost"].as_object().into_iter().flatten() {
        all["canvasHost"][key] = value.clone();
    }
    let home = Home::with_config(&all);
    let root = home.path().join("clawd/canvas");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    for (name, text) in [
        ("sub/index.html", "<html><body><h1>s</h1></body></html>\n"),
        ("a.txt", "plain text\n"),
        ("a.css", "body{}\n"),
        ("a.js", "x=1\n"),
        ("a.json", "{}\n"),
        ("../secret.txt", SECRET),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    symlink(root.join("../secret.txt"), root.join("link.txt")).unwrap();
    symlink("/etc", root.join("linkdir")).unwrap();
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_SKIP_CANVAS_HOST", "0")]);
    gateway.wait_lines("canvas host mounted", 1);
    (gateway, port)
}

fn socket(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("the port is served");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn get(port: u16, path: &str) -> Response {
    http::get(socket(port), "GET", path)
}

#[test]
fn the_canvas_as_recorded() {
    let (gateway, own) = start(json!({}));
    let types = "web views want to know what it is";
    let unlike = [
        unlike("file_a.css", 200, types),
        unlike("file_a.js", 200, types),
        unlike("a2ui_bundle", 200, types),
        unlike("bad_pct", 400, "it is the client's mistake"),
    ];
    replay(&gateway, "canvas", &[], &unlike);
    for port in [gateway.port, own] {
        let page = get(port, "/__clawdbot__/canvas/");
        assert!(page.body.contains("Clawdbot Canvas") && page.body.contains("clawdbotSendUserAction"), "{}", page.body);
        assert!(page.body.contains("/__clawdbot/ws"), "it reloads");
    }
    assert_eq!(get(own, "/").status, 404);
    let hello = gateway.client();
    assert_eq!(hello.hello["canvasHostUrl"], format!("http://127.0.0.1:{}", gateway.port));
}

#[test]
fn nothing_outside_is_served_on_either_port() {
    let (gateway, own) = start(json!({}));
    for port in [gateway.port, own] {
        for path in [
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e/secret.txt",
            "/%2e%2e%2fsecret.txt",
            "/.%2e/secret.txt",
            "/%252e%252e%252fsecret.txt",
            "/..%5csecret.txt",
            "/..\\secret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/link.txt",
            "/linkdir/hostname",
            "/%2fetc%2fhostname",
            "//etc/hostname",
            "/a.txt%00.html",
            "/a.txt/../../secret.txt",
            "/sub//..//../secret.txt",
            "/;/../secret.txt",
            "/....//secret.txt",
            "/%uff0e%uff0e/secret.txt",
        ] {
            let response = get(port, &format!("/__clawdbot__/canvas{path}"));
            let host = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| "\u{1}".to_owned());
            assert!(
                !response.body.contains(SECRET) && response.body.trim() != host.trim(),
                "{path}: {}",
                response.body
            );
        }
        assert_eq!(get(port, "/__clawdbot__/canvas/a.txt").body, "plain text\n");
    }
}

/// A file that is long gets there whole, to a slow reader too, and a page behind it is not held up.
#[test]
fn long_files_come_in_parts() {
    let (gateway, own) = start(json!({"canvasHost": {"liveReload": false}}));
    let long: Vec<u8> = (0..6_000_000u32).map(|it| (it % 251) as u8).collect();
    std::fs::write(gateway.home.path().join("clawd/canvas/long.bin"), &long).unwrap();
    for port in [gateway.port, own] {
        let mut slow = socket(port);
        std::io::Write::write_all(
            &mut slow,
            b"GET /__clawdbot__/canvas/long.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        assert_eq!(get(port, "/__clawdbot__/canvas/a.txt").status, 200);
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut slow, &mut all).expect("to its end");
        assert!(all.ends_with(&long), "{} bytes", all.len());
        assert!(String::from_utf8_lossy(&all[..400]).contains("Content-Length: 6000000"));
    }
    assert_eq!(get(gateway.port, "/__clawdbot/ws").status, 404, "live reload is off");
}

/// One request with these header lines, on a connection that stays.
fn ask(socket: &mut TcpStream, method: &str, name: &str, lines: &str) -> Response {
    let request = format!("{method} /__clawdbot__/canvas/{name} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    std::io::Write::write_all(socket, request.as_bytes()).unwrap();
    http::read_answer(socket, method).expect("a response")
}

/// A file that was finished a while ago.
fn settled(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn players_seek_and_downloads_go_on() {
    let (gateway, own) = start(json!({}));
    let root = gateway.home.path().join("clawd/canvas");
    let long: Vec<u8> = (0..2_000_000u32).map(|it| b'a' + (it % 23) as u8).collect();
    let text = |range: std::ops::Range<usize>| String::from_utf8(long[range].to_vec()).unwrap();
    settled(&root.join("long.bin"), &long);
    settled(&root.join("short.txt"), b"0123456789");
    settled(&root.join("empty.txt"), b"");
    for port in [gateway.port, own] {
        let socket = &mut socket(port);
        let head = ask(socket, "HEAD", "long.bin", "Range: bytes=5-6\r\n");
        assert_eq!((head.status, head.header("content-length")), (200, Some("2000000")), "{}", head.head);
        assert_eq!((head.header("accept-ranges"), head.header("cache-control")), (Some("bytes"), Some("no-store")));
        let tag = head.header("etag").expect("a tag").to_owned();
        let date = head.header("last-modified").expect("a date").to_owned();

        // A part that is long and one that is short, on the same connection.
        let tail = ask(socket, "GET", "long.bin", "Range: bytes=1000000-\r\n");
        assert_eq!((tail.status, tail.header("content-range")), (206, Some("bytes 1000000-1999999/2000000")));
        assert!(tail.body == text(1_000_000..2_000_000), "{} bytes", tail.body.len());
        let last = ask(socket, "GET", "long.bin", &format!("Range: bytes=-3\r\nIf-Range: {tag}\r\n"));
        assert_eq!((last.status, last.body), (206, text(1_999_997..2_000_000)));
        let middle = ask(socket, "GET", "short.txt", "Range: bytes=3-5\r\n");
        assert_eq!((middle.body.as_str(), middle.header("content-range")), ("345", Some("bytes 3-5/10")));
        assert_eq!(middle.header("content-type"), Some("text/plain"));

        let outside = ask(socket, "GET", "short.txt", "Range: bytes=10-\r\n");
        assert_eq!((outside.status, outside.header("content-range")), (416, Some("bytes */10")));
        assert_eq!(ask(socket, "GET", "empty.txt", "Range: bytes=0-\r\n").status, 416);
        assert_eq!(ask(socket, "GET", "short.txt", "Range: bytes=0-0,5-5\r\n").body, "0123456789");

        let known = ask(socket, "HEAD", "long.bin", &format!("If-None-Match: W/{tag}\r\n"));
        assert_eq!((known.status, known.header("etag")), (304, Some(tag.as_str())), "{}", known.head);
        assert_eq!(ask(socket, "HEAD", "long.bin", &format!("If-Modified-Since: {date}\r\n")).status, 304);
        assert_eq!(ask(socket, "HEAD", "long.bin", "If-Match: \"x\"\r\n").status, 412);
        // Pages are made for whoever asks.
        let page = ask(socket, "GET", "sub/", "Range: bytes=0-3\r\n");
        assert_eq!((page.status, page.header("etag"), page.header("accept-ranges")), (200, None, None));
    }
    // What is another file by now comes whole, and what was written just now has no name yet.
    let socket = &mut socket(own);
    let tag = ask(socket, "HEAD", "short.txt", "").header("etag").expect("a tag").to_owned();
    std::fs::write(root.join("short.txt"), "abcdefghij").unwrap();
    // As if it were done at the very moment of the question, however long that takes.
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(root.join("short.txt")).unwrap().set_modified(soon).unwrap();
    let changed = ask(socket, "GET", "short.txt", &format!("Range: bytes=3-5\r\nIf-Range: {tag}\r\n"));
    assert_eq!((changed.status, changed.body.as_str(), changed.header("etag")), (200, "abcdefghij", None));
    assert_eq!(ask(socket, "GET", "short.txt", &format!("If-None-Match: {tag}\r\n")).status, 200);
}

#[test]
fn a_browser_seeks_in_a_sound() {
    let Some(browser) = Browser::start() else { return };
    // The page is to stay while its files are new.
    let (gateway, _) = start(json!({"canvasHost": {"liveReload": false}}));
    let root = gateway.home.path().join("clawd/canvas");
    // Twenty minutes of silence, more than a browser keeps; on the disk it is nothing but its head.
    let bytes: u32 = 176_400 * 1200;
    let mut sound = b"RIFF".to_vec();
    sound.extend((36 + bytes).to_le_bytes());
    sound.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    sound.extend([44_100u32, 176_400].into_iter().flat_map(u32::to_le_bytes));
    sound.extend(b"\x04\0\x10\0data");
    sound.extend(bytes.to_le_bytes());
    std::fs::write(root.join("long.wav"), &sound).unwrap();
    std::fs::File::options().write(true).open(root.join("long.wav")).unwrap().set_len(u64::from(44 + bytes)).unwrap();
    std::fs::write(root.join("index.html"), "<audio src=long.wav preload=metadata></audio>").unwrap();
    let mut tab = browser.tab(&format!("http://127.0.0.1:{}/__clawdbot__/canvas/", gateway.port));
    let sound = "((it) => @)(document.querySelector('audio'))";
    tab.wait(&sound.replace('@', "it.duration > 1199 && it.seekable.end(0) > 1199"));
    tab.run(&sound.replace('@', "it.currentTime = 1190"));
    tab.wait(&sound.replace('@', "!it.seeking && it.currentTime === 1190 && it.readyState >= 2"));
    assert_eq!(tab.errors, Vec::<String>::new());
}

fn listen(port: u16) -> tungstenite::WebSocket<TcpStream> {
    tungstenite::client(format!("ws://127.0.0.1:{port}/__clawdbot/ws"), socket(port)).expect("a WebSocket").0
}

#[test]
fn pages_hear_of_changes() {
    let (gateway, own) = start(json!({}));
    let mut hearers = [listen(gateway.port), listen(own)];
    // What they say themselves is ignored.
    hearers[0].send(Message::text("hello")).unwrap();
    let root = gateway.home.path().join("clawd/canvas");
    std::fs::create_dir_all(root.join("node_modules")).unwrap();
    std::fs::write(root.join("sub/new.html"), "<p>new</p>").unwrap();
    for hearer in &mut hearers {
        assert_eq!(hearer.read().expect("a word").to_text().unwrap(), "reload");
    }
    assert_eq!(gateway.client().request("health", json!({})).expect("health")["ok"], true);
}

#[test]
fn switched_off_there_is_nothing() {
    let gateway = Gateway::start(json!({"canvasHost": {"enabled": false}}));
    for path in ["/__clawdbot__/canvas/", "/__clawdbot__/a2ui/", "/__clawdbot/ws"] {
        assert_eq!(get(gateway.port, path).status, 404, "{path}");
    }
    assert_eq!(gateway.client().hello.get("canvasHostUrl"), None);
}

#[test]
fn a_browser_reloads_the_page_and_sends_actions() {
    let Some(browser) = Browser::start() else { return };
    let (gateway, _) = start(json!({}));
    let root = gateway.home.path().join("clawd/canvas");
    let page = |text: &str| format!("<html><body><h1>{text}</h1></body></html>");
    std::fs::write(root.join("index.html"), page("first")).unwrap();
    let mut tab = browser.tab(&format!("http://127.0.0.1:{}/__clawdbot__/canvas/", gateway.port));
    tab.wait("document.querySelector('h1').textContent === 'first'");
    // Without an application around it the bridge says so, and with one it gets there.
    assert_eq!(tab.run("window.clawdbotSendUserAction({name: 'x'})"), Some(json!(false)));
    tab.run("window.clawdbotCanvasA2UIAction = {said: [], postMessage(text) { this.said.push(text); }}");
    assert_eq!(tab.run("window.Clawdbot.sendUserAction({name: 'x', id: ' 7 '})"), Some(json!(true)));
    assert_eq!(
        tab.run("window.clawdbotCanvasA2UIAction.said[0]"),
        Some(json!(r#"{"userAction":{"name":"x","id":"7"}}"#))
    );
    std::fs::write(root.join("index.html"), page("second")).unwrap();
    tab.wait("document.querySelector('h1').textContent === 'second'");
    assert_eq!(tab.errors, Vec::<String>::new());
}

#[test]
fn a_browser_draws_a2ui() {
    let Some(browser) = Browser::start() else { return };
    let (gateway, _) = start(json!({}));
    let mut tab = browser.tab(&format!("http://127.0.0.1:{}/__clawdbot__/a2ui/?platform=android", gateway.port));
    tab.wait("window.clawdbotA2UI && document.documentElement.dataset.platform === 'android'");
    let text = |value: &str| json!({"literalString": value});
    let component = |id: &str, component: Value| json!({"id": id, "component": component});
    let list = |items: &[&str]| json!({"explicitList": items});
    let action = json!({"name": "book", "context": [{"key": "who", "value": {"path": "/form/name"}}, {"key": "n", "value": {"literalNumber": 2}}]});
    let messages = json!([
        {"surfaceUpdate": {"surfaceId": "main", "components": [
            component("root", json!({"Column": {"children": list(&["title", "name", "guests", "agree", "kind", "go", "tabs", "odd", "loop"])}})),
            component("title", json!({"Text": {"text": {"path": "/title"}, "usageHint": "h1"}})),
            component("name", json!({"TextField": {"label": text("Name"), "text": {"path": "/form/name"}}})),
            component("guests", json!({"List": {"children": {"template": {"componentId": "guest", "dataBinding": "/guests"}}}})),
            component("guest", json!({"Text": {"text": {"path": "name"}}})),
            component("agree", json!({"CheckBox": {"label": text("Agree"), "value": {"path": "/form/agree", "literalBoolean": true}}})),
            component("kind", json!({"MultipleChoice": {"selections": {"path": "/form/kind"}, "maxAllowedSelections": 1, "options": [{"label": text("A"), "value": "a"}, {"label": text("B"), "value": "b"}]}})),
            component("go", json!({"Button": {"child": "goText", "primary": true, "action": action}})),
            component("goText", json!({"Text": {"text": text("<b>Go</b>")}})),
            component("tabs", json!({"Tabs": {"tabItems": [{"title": text("One"), "child": "one"}, {"title": text("Two"), "child": "two"}]}})),
            component("one", json!({"Text": {"text": text("first tab")}})),
            component("two", json!({"Image": {"url": text("javascript:alert(1)")}})),
            component("odd", json!({"Nothing": {}})),
            component("loop", json!({"Card": {"child": "loop"}})),
        ]}},
        {"dataModelUpdate": {"surfaceId": "main", "contents": [
            {"key": "title", "valueString": "Dinner"},
            {"key": "form", "valueMap": [{"key": "name", "valueString": "Ann"}]},
            {"key": "guests", "valueMap": [{"key": "0", "valueMap": [{"key": "name", "valueString": "Bo"}]}, {"key": "1", "valueMap": [{"key": "name", "valueString": "Cy"}]}]},
            {"key": "__proto__", "valueMap": [{"key": "polluted", "valueBoolean": true}]},
        ]}},
        {"beginRendering": {"surfaceId": "main", "root": "root"}},
    ]);
    assert_eq!(
        tab.run(&format!("window.clawdbotA2UI.applyMessages({messages})")),
        Some(json!({"ok": true, "surfaces": ["main"]}))
    );
    tab.wait("document.querySelector('h1').textContent === 'Dinner'");
    tab.wait("[...document.querySelectorAll('[data-component=guest]')].map((it) => it.textContent).join() === 'Bo,Cy'");
    assert_eq!(tab.run("({}).polluted === undefined"), Some(json!(true)));
    tab.wait("document.querySelector('[data-component=agree] input').checked");
    tab.wait("document.querySelector('[data-component=odd]').textContent.includes('Unknown component: Nothing')");

    // What is typed is in the data model, and goes along with the action.
    tab.run("{ const it = document.querySelector('[data-component=name] input'); it.value = 'Dee'; it.dispatchEvent(new Event('input')); }");
    tab.run("document.querySelectorAll('[data-component=kind] input')[1].click()");
    tab.run("document.querySelector('[data-component=go]').click()");
    tab.wait("document.getElementById('toast').textContent === 'Failed: missing native bridge'");
    tab.run("window.clawdbotCanvasA2UIAction = {said: [], postMessage(text) { this.said.push(text); }}");
    assert_eq!(
        tab.run("document.querySelector('[data-component=go] p').innerHTML"),
        Some(json!("&lt;b&gt;Go&lt;/b&gt;"))
    );
    tab.run("document.querySelector('[data-component=go]').click()");
    let said = tab.run("JSON.parse(window.clawdbotCanvasA2UIAction.said[0]).userAction").expect("an action");
    assert_eq!(
        (&said["name"], &said["surfaceId"], &said["sourceComponentId"]),
        (&json!("book"), &json!("main"), &json!("go"))
    );
    assert_eq!(said["context"], json!({"who": "Dee", "n": 2}));
    tab.run("window.dispatchEvent(new CustomEvent('clawdbot:a2ui-action-status', {detail: {id: window.__clawdbotLastA2UIAction.id, ok: true}}))");
    tab.wait("document.getElementById('toast').textContent === 'Sent: book'");

    tab.run("document.querySelectorAll('[data-component=tabs] nav button')[1].click()");
    tab.wait("document.querySelector('[data-component=two]').getAttribute('src') === ''");
    tab.run("window.__clawdbot.setDebugStatusEnabled(true); window.__clawdbot.setStatus('Ready', 'now')");
    tab.wait("document.getElementById('status').classList.contains('shown')");
    assert_eq!(
        tab.run("window.clawdbotA2UI.applyMessages([{deleteSurface: {surfaceId: 'main'}}])"),
        Some(json!({"ok": true, "surfaces": []}))
    );
    tab.wait("document.querySelector('clawdbot-a2ui-host').textContent.includes('Nothing to show')");
    assert_eq!(tab.errors, Vec::<String>::new());
}
