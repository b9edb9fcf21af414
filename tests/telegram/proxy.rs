//! The way through a proxy: everything goes there, by name, and what it says is told without secrets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::receiving::home;
use super::{ENV, config, status};
use crate::support::bot_api::BotApi;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};

/// A proxy that leads to one port, whatever name it is asked for.
struct Proxy {
    port: u16,
    /// What it was asked for, with the credentials.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Proxy {
    /// `to`: `None` refuses everybody.
    fn start(to: Option<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        // Ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || lead(&stream, to, &seen));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn lead(stream: &TcpStream, to: Option<u16>, seen: &Mutex<Vec<(String, String)>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let secret = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    });
    seen.lock().expect("no panic").push((head[0].clone(), secret.unwrap_or_default()));
    let Some(to) = to.filter(|_| head[0].starts_with("CONNECT ")) else {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return (&*stream).write_all(answer.as_bytes()).ok();
    };
    let server = TcpStream::connect(("127.0.0.1", to)).ok()?;
    (&*stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut back, mut there) = (server.try_clone().ok()?, stream.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut there);
        let _ = there.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut &server);
    let _ = server.shutdown(Shutdown::Both);
    Some(())
}

#[test]
fn all_calls_and_files_go_through_it() {
    let api = BotApi::start();
    let proxy = Proxy::start(Some(api.port()));
    let provider = Provider::always(Answer::Text(vec!["seen"]));
    // Only the proxy knows where this name leads.
    let root = format!("http://bot-api.invalid:{}", api.port());
    let way = format!("http://ann:open%20sesame@127.0.0.1:{}", proxy.port);
    let gateway = Gateway::start_in(home(&api, &provider, &json!({"apiRoot": root, "proxy": way})), &[], &ENV);
    api.put_file("pic", b"\x89PNG\r\n\x1a\n0123");
    api.message(5, json!({"caption": "look", "photo": [{"file_id": "pic", "file_unique_id": "p"}]}));
    assert_eq!(api.wait_texts("5", 1), ["seen"]);
    let said = provider.requests()[0].to_string();
    assert!(said.contains("[media attached: "), "the file came through, too: {said}");
    let asked = proxy.asked();
    assert!(asked.iter().all(|(line, _)| line.contains("bot-api.invalid")), "{asked:?}");
    assert!(asked.iter().all(|(_, secret)| secret == "Basic YW5uOm9wZW4gc2VzYW1l"), "{asked:?}");
    assert_eq!(status(&gateway)["connected"], true);
}

#[test]
fn one_that_refuses_is_told_without_its_password() {
    let api = BotApi::start();
    let proxy = Proxy::start(None);
    let way = format!("http://ann:sesame@127.0.0.1:{}", proxy.port);
    let gateway = Gateway::start_in(Home::with_config(&config(&api, &json!({"proxy": way}))), &[], &ENV);
    let mut row = Value::Null;
    eventually("the fault shows", || {
        row = status(&gateway);
        row["lastError"].is_string()
    });
    let error = row["lastError"].as_str().unwrap();
    assert!(error.contains("407") || error.to_lowercase().contains("proxy"), "{error}");
    assert!(row["connected"] == false && api.calls().is_empty(), "{row}");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(!row.to_string().contains("sesame") && !log.contains("sesame"), "{row}");
}

#[test]
fn one_that_is_none_is_told() {
    let api = BotApi::start();
    let gateway = Gateway::start_in(Home::with_config(&config(&api, &json!({"proxy": "no proxy"}))), &[], &ENV);
    let mut row = Value::Null;
    eventually("the fault shows", || {
        row = status(&gateway);
        row["lastError"].is_string()
    });
    assert!(row["lastError"].as_str().unwrap().contains("channels.telegram.proxy is no address"), "{row}");
}
