//! The original's node host beside this gateway: it pairs, shows what it can do, does it, and is missed when it goes.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::original::{Original, json_in};

#[test]
fn it_pairs_works_and_is_missed() {
    let Some(original) = Original::find() else { return };
    let gateway = Gateway::start_in(Home::with_config(&json!({})), &["--verbose"], &[]);
    let mut operator = gateway.client();
    let host = NodeHost::start(original, &gateway);
    gateway.wait_lines("node connected", 1);
    let listed = operator.request("node.list", json!({})).expect("nodes")["nodes"][0].clone();
    assert_eq!(
        (&listed["displayName"], &listed["connected"], &listed["paired"]),
        (&json!("far"), &json!(true), &json!(true)),
        "{listed}"
    );
    let node = listed["nodeId"].as_str().expect("an id").to_owned();
    let described = operator.request("node.describe", json!({ "nodeId": node })).expect("a node");
    assert!(described["commands"].as_array().is_some_and(|it| it.contains(&json!("system.run"))), "{described}");

    let found = invoke(&mut operator, &node, "system.which", json!({ "bins": ["sh", "no-such-program"] }));
    let found = operator.response(&found).expect("an answer");
    assert!(found["payload"]["bins"]["sh"].as_str().is_some_and(|it| it.ends_with("/sh")), "{found}");
    its_commands_reach_it(original, &gateway, &node);

    let policy = json!({ "version": 1, "defaults": { "security": "full", "ask": "off" }, "agents": {} });
    let before = operator.request("exec.approvals.node.get", json!({ "nodeId": node })).expect("a policy");
    let params = json!({ "nodeId": node, "file": policy, "baseHash": before["hash"] });
    operator.request("exec.approvals.node.set", params).expect("a new policy");
    let ran = invoke(&mut operator, &node, "system.run", json!({ "command": ["sh", "-c", "echo done by $0", "far"] }));
    let ran = operator.response(&ran).expect("an answer");
    assert_eq!(ran["payload"]["stdout"], "done by far\n", "{ran}");

    // The command says that it runs by calling here.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let script = format!("echo here >/dev/tcp/127.0.0.1/{}; exec sleep 60", listener.local_addr().unwrap().port());
    let running = invoke(&mut operator, &node, "system.run", json!({ "command": ["bash", "-c", script] }));
    listener.accept().expect("the command runs");
    drop(host);
    let lost = operator.response(&running).expect_err("nobody answers");
    assert_eq!(
        (&lost["code"], &lost["message"]),
        (&json!("UNAVAILABLE"), &json!("Error: node disconnected (system.run)"))
    );
    let listed = operator.request("node.list", json!({})).expect("nodes")["nodes"][0].clone();
    assert_eq!((&listed["connected"], &listed["paired"]), (&json!(false), &json!(true)), "{listed}");
}

fn its_commands_reach_it(original: &Original, gateway: &Gateway, node: &str) {
    let status = original.run(gateway, &["nodes", "status"]);
    assert!(status.stdout.contains("Connected: 1") && status.stdout.contains("far"), "{status:#?}");
    assert_eq!(json_in(&original.run(gateway, &["nodes", "describe", "--node", "far", "--json"]))["nodeId"], node);
    let params = r#"{"bins":["sh"]}"#;
    let args = ["nodes", "invoke", "--node", "far", "--command", "system.which", "--params", params, "--json"];
    assert_eq!(json_in(&original.run(gateway, &args))["nodeId"], node);
}

fn invoke(operator: &mut Client, node: &str, command: &str, params: Value) -> String {
    let timeout = PATIENCE.as_millis() as u64 / 2;
    let params = json!({
        "nodeId": node, "command": command, "params": params, "timeoutMs": timeout, "idempotencyKey": command,
    });
    operator.post("node.invoke", params)
}

/// The process, in a home and a process group of its own: its commands go with it.
struct NodeHost {
    child: Child,
    _home: Home,
}

impl NodeHost {
    fn start(original: &Original, gateway: &Gateway) -> Self {
        let home = Home::empty();
        let port = gateway.port.to_string();
        let args = ["node", "run", "--host", "127.0.0.1", "--port", &port, "--display-name", "far"];
        let mut command = original.command(gateway, &home, &args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { child: command.spawn().expect("the node host starts"), _home: home }
    }
}

impl Drop for NodeHost {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: plain system call on the group of a child that has not been waited for, so its number is still its own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}
