//! Plain HTTP over connections that stay: a small file of the page, an error of the API, and the page itself.
//!
//! Beside the others stands nginx where it is installed, serving what this build serves, byte for byte.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Bench;
use crate::fleet::Fleet;
use crate::home::Home;
use crate::process::Process;
use crate::sheet::Unit;
use crate::subject::free_port;
use crate::wire;

const TURN: Duration = Duration::from_millis(600);
const CONNECTIONS: usize = 64;
/// How long nginx may take until it answers.
const NGINX_PATIENCE: Duration = Duration::from_secs(10);
/// Small files of the page, by gateway.
const SMALL_FILES: [&str; 2] = ["/favicon.svg", "/favicon.ico"];
const API: &str = "/v1/chat/completions";

/// A server under test and what it is asked.
struct Server {
    name: String,
    port: u16,
    requests: Vec<(&'static str, Vec<u8>)>,
}

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let gateways = bench.open_all(&json!({}))?;
    let mut servers = Vec::new();
    for (subject, gateway) in bench.subjects.iter().zip(&gateways) {
        let small = small_file(gateway.port)?;
        let requests =
            vec![("small answer", wire::get(small)), ("API error", wire::post(API)), ("page", wire::get("/"))];
        servers.push(Server { name: subject.name.clone(), port: gateway.port, requests });
    }
    let nginx = Nginx::start(&servers[0])?;
    match &nginx {
        Some(nginx) => {
            let requests = servers[0].requests.clone();
            servers.push(Server { name: "nginx".to_owned(), port: nginx.port, requests });
        }
        None => println!("  (nginx is not installed: nothing to compare with)"),
    }
    for case in 0..servers[0].requests.len() {
        for _ in 0..bench.turns {
            let length = bench.length(TURN);
            for server in &servers {
                let (what, request) = &server.requests[case];
                let mut fleet = Fleet::new(server.port)?;
                fleet.open_http(CONNECTIONS)?;
                let load = fleet.calls(request, 1, length);
                let load = load.with_context(|| format!("{} on port {}, {what}", server.name, server.port))?;
                let mut note = |figure: &str, unit, value| {
                    bench.sheet.note(&server.name, format!("{what} {figure}"), unit, value);
                };
                note("rate", Unit::PerSecond, load.rate);
                note("p50", Unit::Ms, load.times.percentile_ms(50));
                note("p99", Unit::Ms, load.times.percentile_ms(99));
            }
        }
        bench.sheet.settle()?;
    }
    Ok(())
}

/// What a server answers to one request.
fn fetch(port: u16, request: &[u8]) -> Result<wire::Answer> {
    let mut fleet = Fleet::new(port)?;
    fleet.open_http(1)?;
    wire::Answer::parse(&fleet.ask(request)?.0)
}

fn small_file(port: u16) -> Result<&'static str> {
    for path in SMALL_FILES {
        let answer = fetch(port, &wire::get(path))?;
        if answer.status == 200 && !answer.kind.contains("html") {
            return Ok(path);
        }
    }
    // Whatever it says to an unknown file is small, too.
    Ok(SMALL_FILES[0])
}

/// An nginx of its own: a prefix, a configuration and a port of this run.
struct Nginx {
    _process: Process,
    _home: Home,
    port: u16,
}

impl Nginx {
    /// Starts one that answers what `like` answers; `None` where it is not installed.
    fn start(like: &Server) -> Result<Option<Self>> {
        let Some(program) = find("nginx") else { return Ok(None) };
        let home = Home::new(&json!({}))?;
        let port = free_port()?;
        let mut locations = String::new();
        for (what, request) in &like.requests {
            let answer = fetch(like.port, request)?;
            let body = String::from_utf8(answer.body).with_context(|| format!("{what}: no text"))?;
            let (kind, path) = (&answer.kind, wire::path_of(request));
            if answer.status == 200 {
                let file = if path == "/" { "/index.html" } else { path };
                home.write(&format!("html{file}"), &body)?;
                locations += &format!("location = {path} {{ default_type '{kind}'; try_files {file} =500; }}\n");
            } else {
                // A dollar would begin a variable.
                let body = body.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "S");
                let status = answer.status;
                locations += &format!("location = {path} {{ default_type '{kind}'; return {status} \"{body}\"; }}\n");
            }
        }
        home.write("nginx.conf", &configuration(home.path().display(), port, &locations))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(home.path()).arg("-e").arg(home.path().join("errors"));
        command.arg("-c").arg(home.path().join("nginx.conf"));
        let mut process = Process::start(command, home.path().join("output"))?;
        let start = std::time::Instant::now();
        while fetch(port, &wire::get("/")).map_or(true, |answer| answer.status != 200) {
            let words = process.last_words();
            ensure!(process.ended().is_none() && start.elapsed() < NGINX_PATIENCE, "nginx does not serve: {words}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(Self { _process: process, _home: home, port }))
    }
}

fn configuration(home: impl std::fmt::Display, port: u16, locations: &str) -> String {
    format!(
        "daemon off;
        user root;
        worker_processes auto;
        pid {home}/pid;
        error_log {home}/errors;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            keepalive_requests 1000000000;
            sendfile on;
            tcp_nopush on;
            types {{ }}
            client_body_temp_path {home}/body;
            proxy_temp_path {home}/proxy;
            fastcgi_temp_path {home}/fastcgi;
            uwsgi_temp_path {home}/uwsgi;
            scgi_temp_path {home}/scgi;
            server {{
                listen 127.0.0.1:{port};
                root {home}/html;
                {locations}
            }}
        }}
        "
    )
}

/// nginx stands where only root's path looks.
fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join(program)).find(|path| path.is_file())
}
