//! What the benches share: a gateway of any make with a home of its own, and a client.
#![allow(dead_code)] // Each bench uses its part.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(60);

/// The command line of the gateway to measure: `CLAWDBOT_BIN`, else this build.
pub fn program() -> String {
    std::env::var("CLAWDBOT_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_clawdbot").to_owned())
}

/// A home directory of its own, removed at the end, and the program that lives in it.
pub struct Home {
    path: PathBuf,
    program: String,
}

impl Home {
    /// Makes one with this configuration.
    pub fn new(program: &str, config: &Value) -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("clawdbot-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join(".clawdbot")).expect("a home");
        let mut config = config.clone();
        config["gateway"] = json!({"mode": "local", "auth": {"token": "t"}});
        config["logging"] = json!({"file": path.join("log")});
        std::fs::write(path.join(".clawdbot/clawdbot.json"), config.to_string()).expect("a configuration");
        Self { path, program: program.to_owned() }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command of the program, pointed at this port.
    pub fn command(&self, args: &[&str], port: u16) -> Command {
        let mut words = self.program.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(args).env_clear().current_dir(&self.path);
        command.env("HOME", &self.path).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("CLAWDBOT_GATEWAY_PORT", port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", "t");
        command.env("CLAWDBOT_SKIP_CHANNELS", "1").stdin(Stdio::null());
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A running gateway, killed when dropped.
pub struct Gateway {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Gateway {
    /// Starts one; it may not listen yet.
    pub fn spawn(home: &Home) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = home.command(&["gateway", "--port", &port.to_string()], port);
        // A group of its own: the original's gateway is a child of what is started here.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().expect("the gateway starts");
        Self { child, port }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join(file)).expect("Linux")
    }

    fn status_kib(&self, field: &str) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a field of /proc/pid/status");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Resident memory.
    pub fn resident_kib(&self) -> f64 {
        self.status_kib("VmRSS:")
    }

    /// Heap and stacks, without the pages of the program's file.
    pub fn private_kib(&self) -> f64 {
        self.status_kib("RssAnon:")
    }

    /// The most that was ever resident.
    pub fn peak_kib(&self) -> f64 {
        self.status_kib("VmHWM:")
    }

    /// What it has read so far, from files and sockets.
    pub fn read_kib(&self) -> f64 {
        let io = self.proc("io");
        let bytes = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a field of /proc/pid/io");
        bytes.parse::<f64>().expect("a number") / 1024.0
    }

    /// CPU used so far.
    pub fn cpu_ticks(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        fields[11].parse::<f64>().expect("ticks") + fields[12].parse::<f64>().expect("ticks")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: plain system call; the leader has not been waited for, so the group is still its own.
        unsafe { libc::killpg(group, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

/// Connects as soon as the port answers, through the handshake.
pub fn connect(port: u16) -> WebSocket<TcpStream> {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < PATIENCE, "no gateway: {error}"),
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/"), stream).expect("an upgrade");
    let params = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": ["operator.admin"], "auth": {"token": "t"},
        "client": {"id": "cli", "version": "bench", "platform": "linux", "mode": "cli"},
    });
    let hello = request(&mut socket, "connect", "connect", params);
    assert_eq!(hello["payload"]["type"], "hello-ok", "{hello}");
    socket
}

/// Sends a request.
pub fn send(socket: &mut WebSocket<TcpStream>, id: &str, method: &str, params: Value) {
    let frame = json!({"type": "req", "id": id, "method": method, "params": params});
    socket.send(Message::text(frame.to_string())).expect("sent");
}

/// Returns the next frame.
pub fn read(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a frame") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

/// Sends a request and returns its answer.
pub fn request(socket: &mut WebSocket<TcpStream>, id: &str, method: &str, params: Value) -> Value {
    send(socket, id, method, params);
    loop {
        let frame = read(socket);
        if frame["id"] == id {
            return frame;
        }
    }
}
