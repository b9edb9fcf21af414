//! Gateways on the local network: how they are found, by this program and by others.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::reach::FORWARDER;
use crate::service::with_tool;
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::lines::Lines;
use crate::support::network::Network;
use crate::support::{PATIENCE, TOKEN, eventually_some, skipped};

const LISTEN: [&str; 5] = ["gateway", "discover", "--json", "--timeout", "1500"];

/// A home whose programs are on the network.
fn home_on(network: &Network) -> Home {
    let mut home = Home::with_config(&json!({}));
    network.hold(&mut home);
    home
}

fn start_on(network: &Network) -> Gateway {
    let gateway = Gateway::start_in(home_on(network), &[], &[("CLAWDBOT_DISABLE_BONJOUR", "0")]);
    gateway.wait_lines("bonjour: advertised", 1);
    gateway
}

fn discover(home: &Home) -> Vec<Value> {
    home.run(&LISTEN).json()["beacons"].as_array().expect("a list").clone()
}

#[test]
fn gateways_are_found_take_names_of_their_own_and_say_goodbye() {
    let network = match Network::start() {
        Ok(network) => network,
        Err(why) => return skipped(&format!("discovery: {why}")),
    };
    let asker = home_on(&network);
    let nobody = asker.run(&LISTEN).json();
    let domains = json!(["local.", "clawdbot.internal."]);
    assert_eq!(nobody, json!({"timeoutMs": 1500, "domains": domains, "count": 0, "beacons": []}));
    let first = start_on(&network);
    let alone = discover(&asker);
    assert_eq!(alone.len(), 1, "{alone:?}");
    let (beacon, host) = (&alone[0], alone[0]["host"].as_str().expect("a host"));
    let port = first.port;
    assert!(beacon["instanceName"].as_str().is_some_and(|name| name.to_lowercase().contains("clawdbot")), "{beacon}");
    assert_eq!(
        (&beacon["domain"], &beacon["role"], &beacon["transport"]),
        (&"local.".into(), &"gateway".into(), &"gateway".into())
    );
    assert_eq!((&beacon["port"], &beacon["gatewayPort"], &beacon["sshPort"]), (&port.into(), &port.into(), &22.into()));
    assert_eq!(beacon["wsUrl"], format!("ws://{host}:{port}"));
    assert!(host.ends_with(".local") && beacon["lanHost"] == host, "{beacon}");
    assert_eq!(beacon["txt"]["gatewayPort"], port.to_string());

    // A second one of this machine has the same name, and must not take it.
    let mut second = start_on(&network);
    let both = discover(&asker);
    assert_eq!(both.len(), 2, "{both:?}");
    assert_ne!(both[0]["instanceName"], both[1]["instanceName"]);
    assert_eq!(both[0]["host"], both[1]["host"], "it is one machine");
    let probed = first.cli(&["gateway", "probe", "--json"]).json();
    assert_eq!((&probed["ok"], &probed["discovery"]["count"]), (&true.into(), &2.into()), "{probed}");
    assert_eq!(second.stop().code, Some(0));
    // The goodbye was sent before the process ended: nothing is to be waited for.
    let left = discover(&asker);
    assert_eq!((left.len(), &left[0]["port"]), (1, &port.into()), "{left:?}");
    let human = asker.run(&["gateway", "discover", "--timeout", "1500"]);
    assert!(
        human.stdout.starts_with("Gateway Discovery\nFound 1 gateway(s) · domains: local., clawdbot.internal.\n- "),
        "{human:?}"
    );
    assert!(human.stdout.contains(&format!("\n  ws: ws://{host}:{port}\n  role: gateway\n")), "{human:?}");
}

/// Says of each answer that reaches the group whether it is a goodbye.
const LISTENER: &str = "import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(('', 5353))
group = socket.inet_aton('224.0.0.251') + socket.inet_aton('127.0.0.1')
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group); print('listening', flush=True)
while True:
    data = s.recv(9000); at = 12
    if not data[2] & 128 or b'_clawdbot-gw' not in data: continue
    while data[at]: at += data[at] + 1
    print('goodbye' if struct.unpack_from('>I', data, at + 5)[0] == 0 else 'said', flush=True)
";

#[test]
fn nobody_keeps_the_advertisement_of_a_gateway_that_does_not_come_back() {
    let network = match Network::start() {
        Ok(network) => network,
        Err(why) => return skipped(&format!("a goodbye after a restart that fails: {why}")),
    };
    let mut home = Home::with_config(&json!({"commands": {"restart": true}}));
    network.hold(&mut home);
    let mut command = network.command(home.path(), &["python3", "-c", LISTENER]);
    let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
        return skipped("a goodbye after a restart that fails: no nsenter");
    };
    let heard = Lines::collect(child.stdout.take().expect("piped"));
    let _listener = Daemon(child);
    if !heard.wait_count(PATIENCE, "listening", 1) {
        return skipped("a goodbye after a restart that fails: python3 listens");
    }
    let mut gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_DISABLE_BONJOUR", "0")]);
    gateway.wait_lines("bonjour: advertised", 1);
    assert!(heard.wait_count(PATIENCE, "said", 2), "{}", heard.text());
    gateway.signal(libc::SIGUSR1);
    gateway.wait_lines("bonjour: advertised", 2);
    assert!(heard.wait_count(PATIENCE, "said", 4), "{}", heard.text());
    assert_eq!(heard.count("goodbye"), 0, "it came back: {}", heard.text());
    gateway.home.write_config("{ broken");
    gateway.signal(libc::SIGUSR1);
    assert_eq!(gateway.wait_end().code, Some(1));
    assert!(heard.wait_count(PATIENCE, "goodbye", 1), "{}", heard.text());
}

#[test]
fn only_machines_that_ssh_knows_are_reached_because_the_network_says_so() {
    let network = match Network::start() {
        Ok(network) => network,
        Err(why) => return skipped(&format!("probing what is discovered: {why}")),
    };
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return skipped("probing what is discovered: python3 stands in for ssh");
    }
    let advertised = |name: &str| {
        let env = [("CLAWDBOT_DISABLE_BONJOUR", "0"), ("CLAWDBOT_TAILNET_DNS", name)];
        let gateway = Gateway::start_in(home_on(&network), &[], &env);
        gateway.wait_lines("bonjour: advertised", 1);
        gateway
    };
    // The first to be tried, and what it says of its host is an option.
    let first = advertised("-oProxyCommand=touch${IFS}evil");
    let script = format!(
        "case $* in *friend*) exec python3 -c \"{FORWARDER}\" \"$3\" ;; esac\n\
         echo 'No ED25519 host key is known and you have requested strict checking.' >&2\n\
         echo 'Host key verification failed.' >&2; exit 255"
    );
    let prober = home_on(&network);
    let path = with_tool(&prober, "ssh", &script);
    prober.write_config(&json!({"gateway": {"remote": {"token": TOKEN}}}).to_string());
    // A machine that is busy may answer the question too late.
    let probe = |is_wanted: fn(&Value) -> bool| {
        eventually_some("what was discovered is reached, or refused", || {
            let mut command = prober.command(&["gateway", "probe", "--ssh-auto", "--json", "--timeout", "8000"]);
            command.env("PATH", &path).env("USER", "me").env("CLAWDBOT_GATEWAY_PORT", first.port.to_string());
            let report: Value = serde_json::from_str(&Ran::of(command).stdout).expect("JSON");
            is_wanted(&report).then_some(report)
        })
    };
    let report = probe(|report| report["discovery"]["count"] == 1);
    let log = std::fs::read_to_string(prober.path().join("ssh.log")).expect("ssh was run");
    let beacon = &report["discovery"]["beacons"][0];
    assert_eq!(beacon["tailnetDns"], "-oProxyCommand=touch${IFS}evil", "{report}");
    let host = beacon["lanHost"].as_str().expect("a host");
    assert!(log.trim_end().ends_with(&format!(" -- me@{host}")) && !log.contains("ProxyCommand"), "{log}");
    for option in ["BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no"] {
        assert!(log.contains(option), "{log}");
    }
    let said = report["warnings"][0]["message"].as_str().expect("a warning");
    assert!(said.contains("ssh does not know it") && said.contains(&format!("--ssh me@{host}\n")), "{said}");
    // With the one that it knows the command goes on.
    let second = advertised("friend.example");
    let report = probe(|report| report["primaryTargetId"] == "sshTunnel");
    assert_eq!(report["targets"][0]["tunnel"]["target"], "me@friend.example", "{report}");
    drop(second);
}

#[test]
fn a_time_that_is_none_is_refused() {
    let ran = Home::empty().run(&["gateway", "discover", "--timeout", "soon"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "gateway discover failed: Error: invalid --timeout: soon"));
}

/// Ended when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn avahi_finds_the_gateway_and_is_found() {
    let network = match Network::start() {
        Ok(network) if network.is_root => network,
        Ok(_) => return skipped("discovery beside avahi: its daemon needs root"),
        Err(why) => return skipped(&format!("discovery beside avahi: {why}")),
    };
    for tool in ["dbus-daemon", "avahi-daemon", "avahi-browse", "avahi-publish"] {
        if !["/usr/bin", "/usr/sbin", "/bin"].iter().any(|dir| std::path::Path::new(dir).join(tool).exists()) {
            return skipped(&format!("discovery beside avahi: {tool} is missing"));
        }
    }
    let home = home_on(&network);
    let bus = "unix:path=/run/bus";
    let dbus = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
<busconfig><type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth><policy context=\"default\">
<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>";
    let avahi = "[server]\nhost-name=peer\nuse-ipv6=no\nallow-interfaces=lo\n[wide-area]\nenable-wide-area=no\n[publish]\npublish-hinfo=no\npublish-workstation=no\n";
    std::fs::write(home.path().join("dbus.conf"), dbus).expect("write");
    std::fs::write(home.path().join("avahi.conf"), avahi).expect("write");
    let daemon = |words: &[&str]| {
        let mut command = network.command(home.path(), words);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus).stdout(Stdio::null()).stderr(Stdio::null());
        Daemon(command.spawn().expect("nsenter starts"))
    };
    // The world of a network begins at the root directory.
    let path = |name: &str| home.path().join(name).display().to_string();
    let _bus = daemon(&["dbus-daemon", &format!("--config-file={}", path("dbus.conf")), "--nofork"]);
    let ask = |words: &[&str]| {
        let mut command = network.command(home.path(), words);
        Ran::of({
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
            command
        })
    };
    eventually_some("the bus is there", || {
        network.run(home.path(), &["test", "-S", "/run/bus"]).code.filter(|it| *it == 0)
    });
    let _avahi = daemon(&["avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f", &path("avahi.conf")]);
    eventually_some("avahi is there", || ask(&["avahi-browse", "-at"]).code.filter(|it| *it == 0));
    let _published = daemon(&[
        "avahi-publish",
        "-s",
        "A peer; ä",
        "_clawdbot-gw._tcp",
        "4711",
        "displayName=Péer",
        "gatewayPort=4711",
    ]);
    let gateway = start_on(&network);
    let found = eventually_some("avahi resolves it", || {
        let ran = ask(&["avahi-browse", "-rtp", "_clawdbot-gw._tcp"]);
        ran.stdout.lines().find(|line| line.starts_with('=') && line.contains("role=gateway")).map(str::to_owned)
    });
    let fields: Vec<&str> = found.splitn(10, ';').collect();
    assert_eq!((fields[5], fields[7], fields[8]), ("local", "127.0.0.1", gateway.port.to_string().as_str()), "{found}");
    assert!(found.contains(&format!("\"gatewayPort={}\"", gateway.port)), "{found}");
    let beacons = discover(&home);
    let peer = beacons.iter().find(|it| it["gatewayPort"] == 4711).unwrap_or_else(|| panic!("no peer: {beacons:?}"));
    assert_eq!((&peer["instanceName"], &peer["displayName"]), (&"A peer; ä".into(), &"Péer".into()));
    assert_eq!((&peer["host"], beacons.len()), (&"peer.local".into(), 2), "{beacons:?}");
}
