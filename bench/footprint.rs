//! What a gateway costs: time to the first `hello-ok`, resident memory, memory per idle client, idle CPU, the command line's
//! round trip, and `health` while many runs wait for a slow model.
//!
//! `cargo bench --bench footprint` measures this build, or the program in `CLAWDBOT_BIN` (`node …/entry.js` works too).
//! Each figure stands beside its goal; figures of different machines do not compare. `CLAWDBOT_BENCH_ASSERT=1` exits 1
//! when a goal is missed, `CLAWDBOT_BENCH_OUT=FILE` appends the figures as one line of JSON.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod support;
use support::{Gateway, Home, connect, program, read, request, send};

const STARTS: usize = 20;
const IDLE_CLIENTS: usize = 1000;
const RUNS: usize = 64;
/// Idle figures are taken this long after the last activity.
const QUIET: Duration = Duration::from_secs(3);
/// How long the CPU of an idle gateway is watched.
const WATCH: Duration = Duration::from_secs(10);

fn main() {
    let mut figures = Figures::default();
    starts(&mut figures);
    idle(&mut figures);
    command_line(&mut figures);
    runs(&mut figures);
    figures.finish();
}

/// Process start to the first `hello-ok`.
fn starts(figures: &mut Figures) {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let home = Home::new(&program(), &json!({}));
        let start = Instant::now();
        let gateway = Gateway::spawn(&home);
        let _client = connect(gateway.port);
        times.push(start.elapsed());
    }
    times.sort();
    figures.add("start to hello-ok, median of 20", millis(times[STARTS / 2]), "ms", 10.0);
    figures.add("start to hello-ok, best", millis(times[0]), "ms", 10.0);
}

/// Memory at rest, per client, and the CPU that waiting costs.
fn idle(figures: &mut Figures) {
    let home = Home::new(&program(), &json!({}));
    let gateway = Gateway::spawn(&home);
    drop(connect(gateway.port));
    std::thread::sleep(QUIET);
    let rest = gateway.resident_kib();
    figures.add("resident when idle", rest / 1024.0, "MiB", 6.0);
    let before = gateway.cpu_ticks();
    std::thread::sleep(WATCH);
    // A tick is 10 ms: one in ten seconds is 0.1 % of a core.
    figures.add("CPU while idle", gateway.cpu_ticks() - before, "ticks in 10 s", 1.0);
    let rest = gateway.private_kib();
    let clients: Vec<_> = (0..IDLE_CLIENTS).map(|_| connect(gateway.port)).collect();
    std::thread::sleep(QUIET);
    let each = (gateway.private_kib() - rest) / IDLE_CLIENTS as f64;
    figures.add("private memory per idle client of 1000", each, "KiB", 4.0);
    figures.add("resident with 1000 idle clients", gateway.resident_kib() / 1024.0, "MiB", 10.0);
    drop(clients);
}

/// `gateway call health`, as a script would run it.
fn command_line(figures: &mut Figures) {
    let home = Home::new(&program(), &json!({}));
    let gateway = Gateway::spawn(&home);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let status =
            home.command(&["gateway", "call", "health", "--json"], gateway.port).stdout(Stdio::null()).status();
        assert!(status.expect("the program runs").success(), "gateway call health failed");
        times.push(start.elapsed());
    }
    times.sort();
    figures.add("gateway call health, median of 20", millis(times[STARTS / 2]), "ms", 15.0);
}

/// 64 runs over a slow model; `health` meanwhile.
fn runs(figures: &mut Figures) {
    let model = slow_model();
    let row = json!({"id": "m", "name": "m", "reasoning": false, "input": ["text"], "contextWindow": 32000, "maxTokens": 1000,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
    let provider = json!({"baseUrl": model, "apiKey": "k", "api": "openai-completions", "models": [row]});
    let home = Home::new(
        &program(),
        &json!({
            "models": {"providers": {"test": provider}},
            "agents": {"defaults": {"model": {"primary": "test/m"}, "maxConcurrent": RUNS, "skipBootstrap": true}},
        }),
    );
    let gateway = Gateway::spawn(&home);
    let mut caller = connect(gateway.port);
    let mut probe = connect(gateway.port);
    request(&mut probe, "warm", "health", json!({}));
    let start = Instant::now();
    for run in 0..RUNS {
        let params =
            json!({"message": "hi", "sessionKey": format!("agent:main:b{run}"), "idempotencyKey": format!("b{run}")});
        send(&mut caller, &format!("r{run}"), "agent", params);
    }
    let waiter = std::thread::spawn(move || {
        let mut finished = 0;
        while finished < RUNS {
            let frame = read(&mut caller);
            if frame["type"] == "res" && frame["payload"]["status"] != "accepted" {
                assert_eq!(frame["payload"]["status"], "ok", "{frame}");
                finished += 1;
            }
        }
    });
    let mut times = Vec::new();
    while !waiter.is_finished() {
        let asked = Instant::now();
        request(&mut probe, &format!("h{}", times.len()), "health", json!({}));
        times.push(asked.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    waiter.join().expect("every run finishes");
    figures.add("64 runs over a slow model, all finished", start.elapsed().as_secs_f64(), "s", 30.0);
    times.sort();
    figures.add("health meanwhile, median", millis(times[times.len() / 2]), "ms", 1.0);
    figures.add("health meanwhile, 99th percentile", millis(times[times.len() * 99 / 100]), "ms", 1.0);
    figures.add("resident after 64 runs", gateway.resident_kib() / 1024.0, "MiB", 24.0);
}

#[derive(Default)]
struct Figures(Vec<(&'static str, f64, &'static str, f64)>);

impl Figures {
    fn add(&mut self, name: &'static str, value: f64, unit: &'static str, goal: f64) {
        let mark = if value <= goal { ' ' } else { '!' };
        println!("{mark} {name:<44} {value:>9.2} {unit} (goal {goal})");
        self.0.push((name, value, unit, goal));
    }

    fn finish(self) {
        if let Ok(path) = std::env::var("CLAWDBOT_BENCH_OUT") {
            let rows: serde_json::Map<String, Value> =
                self.0.iter().map(|(name, value, unit, _)| ((*name).to_owned(), json!([value, unit]))).collect();
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the file opens");
            writeln!(file, "{}", Value::Object(rows)).expect("written");
        }
        let missed = self.0.iter().any(|(_, value, _, goal)| value > goal);
        if missed && std::env::var("CLAWDBOT_BENCH_ASSERT").as_deref() == Ok("1") {
            std::process::exit(1);
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A model server that takes two seconds for ten words; returns its base URL. Its threads end with the process.
fn slow_model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve_model(stream));
        }
    });
    url
}

fn serve_model(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    for word in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": format!("word{word} ")}}]});
        if !say(&format!("data: {chunk}\n\n")) {
            return;
        }
    }
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    say(&format!("data: {last}\n\ndata: [DONE]\n\n"));
}
