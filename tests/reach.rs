//! TLS of the gateway's port, and its exposure through Tailscale.

use std::io::{Read as _, Write as _};

use serde_json::json;

use crate::service::with_tool;
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::{Home, Ran};

#[test]
fn the_port_speaks_tls_with_a_certificate_of_its_own() {
    let home = Home::with_config(&json!({ "gateway": { "tls": { "enabled": true } } }));
    let gateway = Gateway::start_in(home, &[], &[]);
    gateway.wait_lines(&format!("listening on wss://127.0.0.1:{} (PID", gateway.port), 1);
    let certificate = gateway.home.state_dir().join("gateway/tls/gateway-cert.pem");
    let first = std::fs::read_to_string(&certificate).expect("a certificate was made");
    // The command line trusts this machine's own certificate by its fingerprint.
    assert_eq!(gateway.cli(&["health", "--json"]).json()["ok"], true);
    let big = gateway.cli(&["gateway", "call", "config.schema", "--json"]).json();
    assert!(big.to_string().len() > 100_000, "a large answer arrives whole");
    let status = gateway.cli(&["gateway", "status", "--json"]).json();
    assert_eq!(status["rpc"]["ok"], true, "{status}");
    let probed = gateway.cli(&["gateway", "probe", "--json"]).json();
    assert_eq!(
        (&probed["primaryTargetId"], &probed["targets"][0]["url"]),
        (&json!("localLoopback"), &json!(format!("wss://127.0.0.1:{}", gateway.port))),
        "{probed}"
    );
    let page = format!("https://127.0.0.1:{}/", gateway.port);
    for words in [&["status"][..], &["gateway", "status"], &["dashboard", "--no-open"]] {
        let ran = gateway.cli(words);
        assert!(ran.stdout.contains(&page), "{ran:?}");
    }
    // Somebody who does not know it is not fooled.
    let url = format!("wss://127.0.0.1:{}", gateway.port);
    let stranger = gateway.cli(&["gateway", "call", "health", "--url", &url]);
    assert!(stranger.stderr.contains("certificate not trusted"), "{stranger:?}");
    // Plain HTTP gets no answer of the gateway's.
    let mut plain = gateway.socket();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("write");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    match std::process::Command::new("curl")
        .args(["-sk", "--max-time", "15", &format!("https://127.0.0.1:{}/", gateway.port)])
        .output()
    {
        Ok(page) => assert!(String::from_utf8_lossy(&page.stdout).contains("<html"), "{page:?}"),
        Err(error) => crate::support::skipped(&format!("the page over TLS by curl: {error}")),
    }
    let port = gateway.port;
    let again = Gateway::start_on(port, gateway.kill());
    assert_eq!(std::fs::read_to_string(&certificate).expect("kept"), first, "clients know it by now");
    drop(again);
}

#[test]
#[cfg(feature = "canvas")]
fn the_canvas_speaks_tls_on_its_own_port_too() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        return crate::support::skipped("the canvas over TLS: no curl here");
    }
    let own = free_port();
    let home = Home::with_config(&json!({ "gateway": { "tls": { "enabled": true } }, "canvasHost": { "port": own } }));
    let root = home.path().join("clawd/canvas");
    std::fs::create_dir_all(&root).unwrap();
    let long: Vec<u8> = (0..3_000_000u32).map(|it| (it % 251) as u8).collect();
    std::fs::write(root.join("long.bin"), &long).unwrap();
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_SKIP_CANVAS_HOST", "0")]);
    gateway.wait_lines(&format!("canvas host listening on https://127.0.0.1:{own}"), 1);
    // The same certificate, given to curl as the only one to trust.
    let certificate = gateway.home.state_dir().join("gateway/tls/gateway-cert.pem");
    for port in [gateway.port, own] {
        let output = std::process::Command::new("curl")
            .args(["-s", "--max-time", "15", "--range", "1000000-", "--noproxy", "*", "--cacert"])
            .arg(&certificate)
            .arg(format!("https://127.0.0.1:{port}/__clawdbot__/canvas/long.bin"))
            .output()
            .expect("curl");
        assert!(output.stdout == long[1_000_000..], "{port}: {} bytes, {:?}", output.stdout.len(), output.status);
    }
    // Plain HTTP gets no answer there either.
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", own)).expect("the port is served");
    plain.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    plain.write_all(b"GET /__clawdbot__/canvas/ HTTP/1.1\r\nHost: x\r\n\r\n").expect("write");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

/// The whole of 127.0.0.0/8 is this machine's, on Linux.
#[test]
#[cfg(target_os = "linux")]
fn a_gateway_on_an_address_of_its_own_is_found_there() {
    let home = Home::with_config(&json!({ "gateway": { "bind": "custom", "customBindHost": "127.0.0.2" } }));
    let gateway = Gateway::start_in(home, &[], &[]);
    gateway.wait_lines(&format!("listening on ws://127.0.0.2:{} ", gateway.port), 1);
    assert_eq!(gateway.cli(&["health", "--json"]).json()["ok"], true);
    let probed = gateway.cli(&["gateway", "probe", "--json"]).json();
    assert_eq!(probed["targets"][0]["url"], format!("ws://127.0.0.2:{}", gateway.port), "{probed}");
    let status = gateway.cli(&["status"]);
    for part in [format!("http://127.0.0.2:{}/", gateway.port), "(local custom 127.0.0.2)".to_owned()] {
        assert!(status.stdout.contains(&part), "{status:?}");
    }
}

#[test]
fn tls_that_cannot_work_stops_the_start() {
    let home = Home::with_config(&json!({ "gateway": { "tls": { "enabled": true, "autoGenerate": false } } }));
    let ended = Gateway::run_to_end(&home, free_port(), &[]);
    assert!(ended.code == Some(1) && ended.stderr.contains("gateway tls: cert/key missing"), "{ended:?}");
    let dir = home.state_dir().join("gateway/tls");
    std::fs::create_dir_all(&dir).expect("directory");
    for file in ["gateway-cert.pem", "gateway-key.pem"] {
        std::fs::write(dir.join(file), "nonsense").expect("write");
    }
    let ended = Gateway::run_to_end(&home, free_port(), &[]);
    assert!(ended.code == Some(1) && ended.stderr.contains("gateway tls: failed to load cert ("), "{ended:?}");
}

#[test]
fn tailscale_publishes_the_port_and_takes_it_back() {
    let home = Home::with_config(&json!({ "gateway": { "tailscale": { "mode": "serve", "resetOnExit": true } } }));
    let path = with_tool(
        &home,
        "tailscale",
        "case $1 in status) echo '{\"Self\":{\"DNSName\":\"box.tail1.ts.net.\"}}' ;; esac",
    );
    let mut gateway = Gateway::start_in(home, &[], &[("PATH", &path)]);
    gateway.wait_lines("serve enabled: https://box.tail1.ts.net/ (WS via wss://box.tail1.ts.net)", 1);
    gateway.stop();
    let log = std::fs::read_to_string(gateway.home.path().join("tailscale.log")).expect("a log");
    assert_eq!(log, format!("serve --bg --yes {}\nstatus --json\nserve reset\n", gateway.port));
}

#[test]
fn tailscale_only_where_it_is_safe() {
    let check = |config: serde_json::Value, said: &str| {
        let home = Home::with_config(&config);
        let ended = Gateway::run_to_end(&home, free_port(), &[]);
        assert!(ended.code == Some(1) && ended.stderr.contains(said), "{ended:?}");
    };
    check(
        json!({ "gateway": { "tailscale": { "mode": "funnel" } } }),
        "tailscale funnel requires gateway auth mode=password (set gateway.auth.password or CLAWDBOT_GATEWAY_PASSWORD)",
    );
    check(
        json!({ "gateway": { "bind": "lan", "tailscale": { "mode": "serve" } } }),
        "tailscale serve/funnel requires gateway bind=loopback (127.0.0.1)",
    );
}

/// What `ssh -L` does, on this machine: every connection to the one port is led to the other.
pub const FORWARDER: &str = "import socket, sys, threading
here, there = (int(it) for it in sys.argv[1].split(':')[::2])
def lead(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
server = socket.create_server(('127.0.0.1', here))
while True:
    a = server.accept()[0]; b = socket.create_connection(('127.0.0.1', there))
    for pair in ((a, b), (b, a)): threading.Thread(target=lead, args=pair, daemon=True).start()
";

#[test]
fn a_gateway_is_probed_through_ssh() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return crate::support::skipped("a tunnel: python3 stands in for ssh");
    }
    let gateway = Gateway::start(json!({ "gateway": { "remote": { "token": crate::support::TOKEN } } }));
    let script = format!(
        "case $1 in -G) echo 'user me'; echo 'hostname box.example'; exit ;; esac\n\
         case $* in *wrong*) echo 'Permission denied (publickey).' >&2; exit 255 ;; esac\n\
         exec python3 -c \"{FORWARDER}\" \"$3\""
    );
    let path = with_tool(&gateway.home, "ssh", &script);
    let probe = |words: &[&str]| {
        let mut command = gateway.home.command(&[&["gateway", "probe"], words].concat());
        command.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("PATH", &path);
        Ran::of(command)
    };
    let report = probe(&["--ssh", "alias", "--json"]).json();
    assert_eq!(
        (&report["primaryTargetId"], &report["warnings"][0]["code"]),
        (&json!("sshTunnel"), &json!("multiple_gateways"))
    );
    let tunnel = &report["targets"][0]["tunnel"];
    assert_eq!(
        (&tunnel["target"], &tunnel["remotePort"]),
        (&json!("me@box.example"), &json!(gateway.port)),
        "{report}"
    );
    assert_ne!(tunnel["localPort"], tunnel["remotePort"], "the port is the gateway's own here");
    let failed = probe(&["--ssh", "wrong", "--ssh-identity", "/wrong"]);
    assert_eq!(failed.code, Some(0), "the local one answers: {failed:?}");
    let said = "Warning:\n- SSH tunnel failed: ssh exited (255)\nPermission denied (publickey).\n";
    assert!(failed.stdout.contains(said), "{failed:?}");
}

#[test]
fn a_shell_completes_commands_and_options() {
    let home = Home::empty();
    let bash = home.run(&["completion", "bash"]);
    assert_eq!(bash.code, Some(0), "{bash:?}");
    std::fs::write(home.path().join("completion.bash"), &bash.stdout).expect("write");
    let script = "source completion.bash; COMP_WORDS=(clawdbot gateway sta); COMP_CWORD=2; _clawdbot; echo ${COMPREPLY[@]}; COMP_WORDS=(clawdbot gateway status --no); COMP_CWORD=3; _clawdbot; echo ${COMPREPLY[@]}";
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script]).current_dir(home.path());
    let ran = Ran::of(command);
    assert_eq!(ran.stdout, "status start\n--no-probe", "{ran:?}");
    assert!(
        home.run(&["completion", "fish"])
            .stdout
            .contains("complete -c clawdbot -n \"__clawdbot_at ' gateway'\" -a install")
    );
    assert!(home.run(&["completion", "zsh"]).stdout.starts_with("#compdef clawdbot\n"));
    assert_eq!(home.run(&["completion", "tcsh"]).code, Some(1));
}
