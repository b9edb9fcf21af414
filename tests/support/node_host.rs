//! A running node host: its process and its home.

use std::process::Child;

use serde_json::{Value, json};

use super::client::Client;
use super::gateway::Gateway;
use super::home::Home;
use super::lines::Lines;
use super::{PATIENCE, TOKEN};

/// Killed when dropped.
pub struct NodeHost {
    // Before `home`, so that the process is gone when its directory is removed.
    process: Process,
    pub home: Home,
}

struct Process {
    child: Child,
    output: Lines,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl NodeHost {
    /// Starts in a home of its own whose policy lets every command run, and waits until it is connected.
    pub fn open(gateway: &Gateway) -> Self {
        Self::with_policy(gateway, &json!({"version": 1, "defaults": {"security": "full", "ask": "off"}}))
    }

    /// The same with another policy file.
    pub fn with_policy(gateway: &Gateway, policy: &Value) -> Self {
        let home = Home::with_config(&json!({}));
        std::fs::write(home.state_dir().join("exec-approvals.json"), policy.to_string()).expect("policy");
        let host = Self::start(home, gateway.port, &["--display-name", "Build Box"]);
        host.wait_connected(1);
        host
    }

    /// Starts without waiting.
    pub fn start(home: Home, port: u16, args: &[&str]) -> Self {
        let port = port.to_string();
        let mut command = home.command(&["node", "run", "--host", "127.0.0.1", "--port", &port]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        command.args(args).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        command.stdout(writer.try_clone().expect("a second end")).stderr(writer);
        let child = command.spawn().expect("the binary starts");
        Self { process: Process { child, output: Lines::collect(reader) }, home }
    }

    /// Waits until it has connected so many times.
    pub fn wait_connected(&self, times: usize) {
        self.wait_said("node host connected to", times);
    }

    /// Waits until its log says something so many times.
    pub fn wait_said(&self, words: &str, times: usize) {
        let is_said = self.process.output.wait_count(PATIENCE, words, times);
        assert!(is_said, "waited for {words:?}:\n{}", self.said());
    }

    /// Everything it wrote.
    pub fn said(&self) -> String {
        self.process.output.text()
    }

    /// The id by which the gateway knows it.
    pub fn id(&self) -> String {
        let text = std::fs::read_to_string(self.home.state_dir().join("identity/device.json")).expect("an identity");
        let identity: Value = serde_json::from_str(&text).expect("JSON");
        identity["deviceId"].as_str().expect("an id").to_owned()
    }

    /// SIGTERM, then the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.process.child.id()).expect("a pid");
        // SAFETY: plain system call on a child that has not been waited for, so the pid is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        assert!(self.process.output.wait_end(PATIENCE), "still running:\n{}", self.said());
        self.process.child.wait().expect("a child can be waited for").code()
    }
}

/// Asks a node for a command and gives the payload, or the error.
pub fn invoke(operator: &mut Client, node: &str, command: &str, params: Value) -> Result<Value, Value> {
    let id = post_invoke(operator, node, command, params);
    operator.response(&id).map(|answer| answer["payload"].clone())
}

/// Asks a node for a command without waiting.
pub fn post_invoke(operator: &mut Client, node: &str, command: &str, params: Value) -> String {
    let key = format!("{command} {params}");
    let request = json!({"nodeId": node, "command": command, "params": params, "idempotencyKey": key});
    operator.post("node.invoke", request)
}
