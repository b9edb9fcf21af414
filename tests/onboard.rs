//! The first steps on a new machine: `onboard`, `configure`, `setup` with the wizard's flags.

use serde_json::{Value, json};

use crate::support::bot_api::{self, BotApi};
use crate::support::client::{Client, connect_params};
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::{Home, Ran};
use crate::support::lines::Lines;
use crate::support::network::Network;
use crate::support::terminal::{self, END};
use crate::support::{PATIENCE, TOKEN, skipped};

const QUIET: [&str; 4] = ["onboard", "--non-interactive", "--accept-risk", "--skip-health"];

fn onboard(home: &Home, more: &[&str]) -> Ran {
    home.run(&[&QUIET, more].concat())
}

fn config(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.config_file()).expect("a configuration")).expect("JSON")
}

#[test]
fn flags_alone_make_a_gateway() {
    let home = Home::empty();
    let port = free_port();
    let number = port.to_string();
    let flags = ["--gateway-port", &number, "--auth-choice", "openrouter-api-key", "--openrouter-api-key", "sk-or-1"];
    let ran = onboard(&home, &[&flags[..], &["--workspace", "~/w", "--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (said, summary) = ran.stdout.split_once("\n{").expect("lines, then JSON");
    assert!(
        said.starts_with("Updated ~/.clawdbot/clawdbot.json\nWorkspace OK: ~/w\nSessions OK: ~/.clawdbot/"),
        "{said}"
    );
    assert!(said.contains("Saved OPENROUTER_API_KEY to ~/.clawdbot/clawdbot.json"), "{said}");
    let summary: Value = serde_json::from_str(&format!("{{{summary}")).expect("JSON");
    let wanted = json!({
        "mode": "local", "workspace": home.path().join("w"), "authChoice": "openrouter-api-key",
        "gateway": { "port": port, "bind": "loopback", "authMode": "token", "tailscaleMode": "off" },
        "installDaemon": false, "skipSkills": false, "skipHealth": true,
    });
    assert_eq!(summary, wanted);
    let written = config(&home);
    assert_eq!(written["env"]["vars"]["OPENROUTER_API_KEY"], "sk-or-1");
    assert_eq!(written["agents"]["defaults"]["model"]["primary"], "openrouter/openai/gpt-5-mini");
    assert_eq!(written["gateway"]["tailscale"], json!({ "mode": "off", "resetOnExit": false }));
    assert_eq!(written["skills"]["install"]["nodeManager"], "npm");
    assert_eq!(
        (&written["wizard"]["lastRunCommand"], &written["wizard"]["lastRunMode"]),
        (&json!("onboard"), &json!("local"))
    );
    let token = written["gateway"]["auth"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(token.len(), 48);

    // Once more: what clients know stays, the rest changes.
    assert_eq!(onboard(&home, &["--auth-choice", "offline"]).code, Some(0));
    let again = config(&home);
    assert_eq!((&again["gateway"]["auth"]["token"], &again["gateway"]["port"]), (&json!(token), &json!(port)));
    let gateway = Gateway::start_on(port, home);
    let mut params = connect_params();
    params["auth"]["token"] = json!(token);
    let mut client = Client::connect_as(port, params);
    let said = json!({ "sessionKey": "main", "message": "hello", "idempotencyKey": "r1" });
    client.request("chat.send", said).unwrap();
    assert_eq!(client.chat_end("r1")["state"], "final");
    drop(gateway);
}

#[test]
fn a_remote_gateway() {
    let home = Home::empty();
    let ran = onboard(&home, &["--mode", "remote", "--remote-url", "wss://far:1", "--remote-token", "t", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("\"remoteUrl\": \"wss://far:1\",\n  \"auth\": \"token\""), "{ran:?}");
    assert_eq!(config(&home)["gateway"], json!({ "mode": "remote", "remote": { "url": "wss://far:1", "token": "t" } }));
    let human = home.run(&[&QUIET[..], &["--mode", "remote", "--remote-url", "wss://far:2"]].concat());
    assert!(human.stdout.contains("Remote gateway: wss://far:2\nAuth: none\n"), "{human:?}");
    assert_eq!(config(&home)["gateway"]["remote"], json!({ "url": "wss://far:2" }));
}

#[test]
fn unsafe_combinations_are_corrected() {
    let check = |flags: &[&str], expected: (&str, &str)| {
        let home = Home::empty();
        let ran = onboard(&home, &[flags, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{flags:?} {ran:?}");
        let gateway = &config(&home)["gateway"];
        let auth = gateway["auth"]["mode"].as_str().unwrap_or("off");
        assert_eq!((gateway["bind"].as_str().unwrap(), auth), expected, "{flags:?}");
    };
    check(&["--gateway-auth", "off"], ("loopback", "off"));
    check(&["--gateway-auth", "off", "--gateway-bind", "lan"], ("lan", "token"));
    check(&["--tailscale", "serve", "--gateway-bind", "lan"], ("loopback", "token"));
    check(&["--tailscale", "funnel", "--gateway-password", "p"], ("loopback", "password"));
}

#[test]
fn flags_that_cannot_be_followed_change_nothing() {
    let home = Home::with_config(&json!({}));
    let before = std::fs::read_to_string(home.config_file()).unwrap();
    for (flags, words) in [
        (&["--mode", "sideways"][..], "Invalid --mode \"sideways\" (use local|remote)."),
        (&["--mode", "remote"], "Missing --remote-url for remote mode."),
        (&["--auth-choice", "openai-api-key"], "Missing --openai-api-key (or OPENAI_API_KEY in env)."),
        (
            &["--auth-choice", "claude-cli"],
            "--auth-choice claude-cli is not supported by this build. Use one of: apiKey, openai-api-key",
        ),
        (&["--auth-choice", "github-copilot"], "--auth-choice github-copilot asks somebody to sign in"),
        (
            &["--token-provider", "anthropic"],
            "--token-provider is for a model provider that this build does not speak to",
        ),
        (&["--gateway-port", "0"], "Invalid --gateway-port"),
        (&["--gateway-bind", "moon"], "Invalid --gateway-bind \"moon\" (use loopback|tailnet|lan|auto|custom)."),
        (&["--gateway-bind", "custom"], "--gateway-bind custom needs an address"),
        (&["--gateway-auth", "password"], "Missing --gateway-password for password auth."),
        (&["--node-manager", "pip"], "Invalid --node-manager (use npm, pnpm, or bun)"),
    ] {
        let ran = onboard(&home, flags);
        assert_eq!(ran.code, Some(1), "{flags:?} {ran:?}");
        assert!(ran.stderr.starts_with(words), "{flags:?} {ran:?}");
        assert_eq!(std::fs::read_to_string(home.config_file()).unwrap(), before, "{flags:?}");
    }
    let ran = home.run(&["onboard", "--non-interactive"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("Non-interactive onboarding requires explicit risk acknowledgement.\n"), "{ran:?}");
    assert_eq!(ran.stderr.trim_end().lines().count(), 3, "{ran:?}");
    home.write_config("{ gateway: { port: 'x' } }");
    let ran = onboard(&home, &[]);
    assert!(ran.stderr.starts_with("Config invalid. Run `clawdbot doctor` to repair it"), "{ran:?}");
    assert_eq!(onboard(&home, &["--reset"]).code, Some(0), "a reset replaces a broken file");
    assert_eq!(config(&home)["gateway"]["mode"], "local");
}

#[test]
fn the_gateway_is_looked_at_in_the_end() {
    let gateway = Gateway::start(json!({ "gateway": { "reload": { "mode": "off" } } }));
    let ran = gateway.cli(&["onboard", "--non-interactive", "--accept-risk"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Agents: main (default)"), "{ran:?}");
    assert_eq!(config(&gateway.home)["gateway"]["port"], gateway.port);
    // The files of a running gateway stay where they are.
    let ran = gateway.cli(&[&QUIET[..], &["--reset"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("stop the gateway before --reset"), "{ran:?}");
    assert_eq!(config(&gateway.home)["gateway"]["auth"]["token"], TOKEN);
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let home = Home::empty();
    for args in [&["onboard"][..], &["configure"], &["config"], &["setup", "--wizard"], &["setup", "--mode", "local"]] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{args:?} {ran:?}");
        assert!(ran.stderr.contains("needs a terminal.\nWithout one, use: clawdbot "), "{args:?} {ran:?}");
    }
    let ran = home.run(&["configure", "--section", "gateway", "--section", "moon"]);
    let wanted =
        "Invalid --section: moon. Expected one of: workspace, model, web, gateway, daemon, channels, skills, health.";
    assert_eq!((ran.code, ran.stderr.trim_end()), (Some(1), wanted));
    assert!(!home.config_file().exists());
    let ran = home.run(&["setup", "--non-interactive"]);
    assert!(ran.stderr.starts_with("Non-interactive onboarding requires"), "{ran:?}");
}

#[test]
fn a_person_answers() {
    let home = Home::empty();
    // Risk, QuickStart, a wrong word and then the offline agent; a token that cannot be tried, and none.
    let mut command = home.command(&["onboard", "--skip-daemon"]);
    command.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", free_port()));
    let ran = terminal::run(command, "y\n\nnonsense\noffline\n1:secret\n\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = ran.stdout.lines().find(|line| line.contains("The token could not be tried: ")).expect("a line");
    assert!(!told.contains("Failed(") && !told.contains("secret"), "{told}");
    assert!(ran.stdout.contains("Please choose a number from 1 to "), "{ran:?}");
    assert!(ran.stdout.contains("Updated ~/.clawdbot/clawdbot.json"), "{ran:?}");
    let written = config(&home);
    assert_eq!(written["agents"]["defaults"]["model"]["primary"], "offline/offline");
    assert_eq!(written["gateway"]["auth"]["token"].as_str().map(str::len), Some(48));
    assert!(home.path().join("clawd/AGENTS.md").exists());

    // The provider by flag: only its key and model are asked for.
    let args = ["onboard", "--accept-risk", "--auth-choice", "groq-api-key", "--skip-channels", "--skip-daemon"];
    let ran = terminal::run(home.command(&args), "\n\ngsk-1\n\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(config(&home)["env"]["vars"]["GROQ_API_KEY"], "gsk-1");
    // One that people sign in to: right after the set-up, which stays when the sign-in fails.
    let args = ["onboard", "--accept-risk", "--auth-choice", "openai-codex", "--skip-channels", "--skip-daemon"];
    let mut command = home.command(&args);
    command.env("CLAWDBOT_OAUTH_BASE_URL", "http://127.0.0.1:9").env("CLAWDBOT_OAUTH_CALLBACK_PORT", "0");
    let ran = terminal::run(command, "\n\n\nthe-code\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("https://auth.openai.com/oauth/authorize?"), "{ran:?}");
    assert!(ran.stdout.contains("Try again with: clawdbot models auth login --provider openai-codex"), "{ran:?}");
    assert_eq!(config(&home)["agents"]["defaults"]["model"]["primary"], "openai-codex/gpt-5.2");
    let unknown = terminal::run(home.command(&["onboard", "--auth-choice", "codex-cli"]), "");
    assert!(unknown.code == Some(1) && unknown.stdout.contains("not supported by this build"), "{unknown:?}");

    // Port and bind of an existing configuration; a port that is none is asked for again.
    let typed = "\nmany\n4000\n\n\n\n";
    let ran = terminal::run(home.command(&["configure", "--section", "gateway"]), typed);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Invalid port"), "{ran:?}");
    let changed = config(&home);
    assert_eq!(
        (&changed["gateway"]["port"], &changed["wizard"]["lastRunCommand"]),
        (&json!(4000), &json!("configure"))
    );
    assert_eq!(changed["gateway"]["auth"], written["gateway"]["auth"], "an empty line keeps the token");
    assert!(!ran.stdout.contains(written["gateway"]["auth"]["token"].as_str().unwrap()), "and does not show it");
}

#[test]
fn a_person_joins_telegram_on_the_way() {
    let api = BotApi::start();
    let home = Home::empty();
    home.write_config(&json!({ "channels": { "telegram": { "apiRoot": api.url() } } }).to_string());
    let args =
        ["onboard", "--accept-risk", "--flow", "quickstart", "--auth-choice", "offline", "--skip-daemon", "--skip-ui"];
    // What is there stays; a token that Telegram does not know, and one that it does.
    let ran = terminal::run(home.command(&args), &format!("\n99:wrong\n{}\n", bot_api::TOKEN));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Telegram does not accept it: Unauthorized"), "{ran:?}");
    assert!(ran.stdout.contains("connected as @test_bot"), "{ran:?}");
    let telegram = &config(&home)["channels"]["telegram"];
    assert_eq!((&telegram["botToken"], &telegram["enabled"]), (&json!(bot_api::TOKEN), &json!(true)));
    assert_eq!(telegram["apiRoot"], api.url(), "what was there stays");
}

#[test]
fn a_person_takes_the_model_server_that_runs_here() {
    let network = match Network::start() {
        Ok(network) => network,
        Err(why) => return skipped(&format!("a model server found by onboarding: {why}")),
    };
    // At its usual port, which is why this needs a network of its own.
    let server = "import http.server, json
class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, kind, body):
        self.send_response(200); self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        self.answer('application/json', json.dumps({'data': [{'id': 'llama3.2'}, {'id': 'qwen3:8b'}]}).encode())
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        chunk = lambda delta, end: 'data: ' + json.dumps({'id': '1', 'object': 'chat.completion.chunk', 'model': asked['model'],
            'choices': [{'index': 0, 'delta': delta, 'finish_reason': end}]}) + '\\n\\n'
        text = chunk({'role': 'assistant', 'content': 'I am ' + asked['model']}, None) + chunk({}, 'stop') + 'data: [DONE]\\n\\n'
        self.answer('text/event-stream', text.encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 11434), Server)
print('up', flush=True)
server.serve_forever()
";
    let mut home = Home::empty();
    network.hold(&mut home);
    let mut python = network.command(home.path(), &["python3", "-c", server]);
    let Ok(python) = python.stdout(std::process::Stdio::piped()).spawn() else {
        return skipped("a model server found by onboarding: python3 stands in for it");
    };
    let mut python = Killed(python);
    let told = Lines::collect(python.0.stdout.take().expect("piped"));
    assert!(told.wait(PATIENCE, |line| (line == "up").then_some(())).is_some(), "{}", told.text());
    let args = ["onboard", "--accept-risk", "--flow", "quickstart", "--skip-channels", "--skip-daemon", "--skip-ui"];
    // The server is the answer that an empty line gives; so are its address and its first model.
    let ran = terminal::run(home.command(&args), "\n\n\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Ollama runs here with llama3.2"), "{ran:?}");
    assert_eq!(config(&home)["agents"]["defaults"]["model"]["primary"], "ollama/llama3.2");
    // From there it is one command to an answer.
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut asked = gateway.home.command(&["agent", "--agent", "main", "--message", "who?"]);
    asked.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string());
    let answer = Ran::of(asked);
    assert_eq!((answer.code, answer.stdout.trim()), (Some(0), "I am llama3.2"), "{answer:?}");
    let doctor = gateway.home.run(&["doctor", "--non-interactive"]);
    assert!(!doctor.stdout.contains("CRITICAL"), "a fresh set-up is whole: {doctor:?}");
}

/// Killed when dropped.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_person_does_not_want_to() {
    let home = Home::empty();
    let refused = terminal::run(home.command(&["onboard"]), "\n");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let left = terminal::run(home.command(&["onboard"]), &format!("y\n\n{END}"));
    assert_eq!(left.code, Some(0), "{left:?}");
    for ran in [refused, left] {
        assert!(ran.stdout.contains("Setup cancelled."), "{ran:?}");
    }
    assert!(!home.config_file().exists() && !home.path().join("clawd").exists());
}
