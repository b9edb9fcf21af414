//! Signing in from a terminal: codes that are pasted, handed over by a browser, or approved elsewhere.

use serde_json::{Value, json};

use super::{MAIN, auth_file, entry, outcome, read_profiles, write_profiles};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};
use crate::support::wire_formats::Part;

#[test]
fn people_sign_in_from_a_terminal() {
    use std::io::Write as _;
    use std::process::Stdio;
    let provider = Provider::judging(|asked| {
        let body = asked.body.to_string();
        match asked.path.as_str() {
            "/v1/oauth/token" if body.contains("\"code\":\"the-code\"") => Answer::Json(json!({
                "access_token": "sk-ant-oat01-secret", "refresh_token": "secret-refresh", "expires_in": 28800,
            })),
            "/api/v1/oauth2/device/code" => Answer::Json(json!({
                "device_code": "secret-device", "user_code": "AB-12", "verification_uri": "https://qwen.example/approve",
                "interval": 1, "expires_in": 60,
            })),
            "/api/v1/oauth2/token" if asked.index < 3 => {
                Answer::Refused(400, json!({"error": "authorization_pending"}))
            }
            "/api/v1/oauth2/token" => {
                Answer::Json(json!({"access_token": "secret-qwen", "refresh_token": "secret-r", "expires_in": 3600}))
            }
            _ => Answer::Status(400, "no"),
        }
    });
    let home = Home::with_config(&json!({}));
    let login = |provider_id: &str, typed: &str| {
        let mut command = home.command(&["models", "auth", "login", "--provider", provider_id]);
        command.env("CLAWDBOT_OAUTH_BASE_URL", provider.origin());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        // Whoever is not asked reads nothing.
        drop(child.stdin.take().unwrap().write_all(typed.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout) + &text(output.stderr))
    };
    let (is_ok, said) = login("anthropic", "the-code\n");
    assert!(is_ok && said.contains("https://claude.ai/oauth/authorize?response_type=code&client_id="), "{said}");
    assert!(said.contains("Auth profile: anthropic:default (anthropic/oauth)") && !said.contains("secret"), "{said}");
    let asked = &provider.asked()[0].body;
    assert!(
        asked["code_verifier"].as_str().is_some_and(|it| it.len() == 43) && asked["grant_type"] == "authorization_code"
    );
    let profile = &read_profiles(&home)["profiles"]["anthropic:default"];
    assert_eq!((&profile["type"], &profile["access"]), (&json!("oauth"), &json!("sk-ant-oat01-secret")));

    let (is_ok, said) = login("qwen", "");
    assert!(is_ok && said.contains("approve the code AB-12") && !said.contains("secret"), "{said}");
    assert_eq!(read_profiles(&home)["profiles"]["qwen-portal:default"]["refresh"], "secret-r");

    let (is_ok, said) = login("anthropic", "other-code\n");
    assert!(!is_ok && said.contains("Sign-in failed: status 400"), "{said}");
    let (is_ok, said) = login("openai", "");
    assert!(!is_ok && said.contains("clawdbot models auth add --provider openai"), "{said}");
}

/// A sign-in under way, and what it has printed.
struct SignIn {
    child: std::process::Child,
    out: std::io::BufReader<std::process::ChildStdout>,
    said: String,
}

impl SignIn {
    fn start(home: &Home, args: &[&str], provider: &Provider, env: &[(&str, &str)]) -> Self {
        use std::process::Stdio;
        let mut command = home.command(&[&["models", "auth"], args].concat());
        command.env("CLAWDBOT_OAUTH_BASE_URL", provider.origin()).envs(env.iter().copied());
        // With port 0 the system chooses one; what an issuer would check is not ours to check.
        command.env("CLAWDBOT_OAUTH_CALLBACK_PORT", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        Self { child, out, said: String::new() }
    }

    /// The address that a browser is to open.
    fn address(&mut self) -> String {
        use std::io::BufRead as _;
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).expect("a line") > 0, "no address: {}", self.said);
            self.said.push_str(&line);
            if line.starts_with("https://") {
                return line.trim().to_owned();
            }
        }
    }

    fn paste(&mut self, text: &str) {
        use std::io::Write as _;
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").expect("pasted");
    }

    fn end(mut self) -> (bool, String) {
        use std::io::Read as _;
        self.out.read_to_string(&mut self.said).expect("read");
        let output = self.child.wait_with_output().expect("ended");
        (output.status.success(), self.said + &String::from_utf8_lossy(&output.stderr))
    }
}

fn query_of(address: &str, name: &str) -> String {
    let pairs = address.split_once('?').expect("a query").1.split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).expect("a field").1;
    value.replace("%3A", ":").replace("%2F", "/")
}

#[test]
fn a_browser_on_this_machine_hands_the_code_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let provider = Provider::judging(|asked| {
        let is_authorized = asked.header("authorization") == Some("Bearer secret-access-1");
        match asked.path.as_str() {
            "/token" if asked.body.to_string().contains("refresh_token=secret-refresh-1") => {
                Answer::Json(json!({"access_token": "secret-access-2", "expires_in": 3600}))
            }
            "/token" if asked.body.to_string().contains("code=the-code") => Answer::Json(json!({
                "access_token": "secret-access-1", "refresh_token": "secret-refresh-1", "expires_in": 3600,
            })),
            "/oauth2/v1/userinfo?alt=json" if is_authorized => Answer::Json(json!({"email": "ann@example.com"})),
            "/v1internal:loadCodeAssist" if is_authorized => {
                Answer::Json(json!({"allowedTiers": [{"id": "free-tier", "isDefault": true}]}))
            }
            "/v1internal:onboardUser" if asked.body["tierId"] == "free-tier" => Answer::Json(json!({
                "done": true, "response": {"cloudaicompanionProject": {"id": "made-for-ann"}},
            })),
            path if path.ends_with(":streamGenerateContent?alt=sse") => Answer::Parts(vec![Part::Text("hello Ann")]),
            _ => Answer::Status(400, "no"),
        }
    });
    let mut test = entry(&provider.url(), "");
    test.as_object_mut().unwrap().remove("api");
    let home = Home::with_config(&json!({"models": {"providers": {"google-gemini-cli": test}}}));
    let args = ["login", "--provider", "google-gemini-cli"];
    let refused = home.run(&[&["models", "auth"], args.as_slice()].concat());
    assert!(refused.code == Some(1) && refused.stderr.contains("install the Gemini CLI"), "{refused:?}");
    let client = [("GEMINI_CLI_OAUTH_CLIENT_ID", "app-1"), ("GEMINI_CLI_OAUTH_CLIENT_SECRET", "secret-app")];
    let mut sign_in = SignIn::start(&home, &args, &provider, &client);
    let address = sign_in.address();
    assert!(address.starts_with("https://accounts.google.com/o/oauth2/v2/auth?"), "{address}");
    assert!(address.contains("code_challenge_method=S256") && address.contains("client_id=app-1"), "{address}");
    let (page, state) = (query_of(&address, "redirect_uri"), query_of(&address, "state"));
    let host = page.trim_start_matches("http://localhost:").split('/').next().expect("a host");
    let port: u16 = host.parse().expect("a port");
    let get = |query: &str| {
        let path = page.splitn(4, '/').last().expect("a path");
        let socket = std::net::TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        crate::support::http::get(socket, "GET", &format!("/{path}?{query}")).status
    };
    // Browsers open connections that they may use later.
    let _idle: Vec<std::net::TcpStream> =
        (0..20).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).expect("somebody listens")).collect();
    assert_eq!(get("code=stolen&state=other"), 400);
    assert_eq!(get(&format!("code=the-code&state={state}")), 200);
    let (is_ok, said) = sign_in.end();
    assert!(
        is_ok && said.contains("Auth profile: google-gemini-cli:ann@example.com") && !said.contains("secret"),
        "{said}"
    );
    let id = "google-gemini-cli:ann@example.com";
    let mut profiles = read_profiles(&home)["profiles"].clone();
    let fields = ["type", "projectId", "email", "clientId", "clientSecret"].map(|field| profiles[id][field].clone());
    assert_eq!(fields, ["oauth", "made-for-ann", "ann@example.com", "app-1", "secret-app"]);
    assert_eq!(std::fs::metadata(auth_file(&home)).unwrap().permissions().mode() & 0o777, 0o600);

    let listed = home.run(&["models", "list", "--all", "--provider", "google-gemini-cli", "--json"]).json();
    assert!(
        listed["models"].as_array().is_some_and(|rows| rows.iter().all(|row| row["available"] == true)),
        "{listed}"
    );
    // The gateway renews with what the sign-in has kept, and names the project.
    profiles[id]["expires"] = 5.into();
    write_profiles(&home, profiles);
    let set = home.run(&["models", "set", "google-gemini-cli/m"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_OAUTH_BASE_URL", &provider.origin())]);
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("hello Ann"));
    let asked = provider.asked();
    let renewal = asked[asked.len() - 2].body.to_string();
    assert!(renewal.contains("client_secret=secret-app") && renewal.contains("client_id=app-1"), "{renewal}");
    let turn = &asked[asked.len() - 1];
    assert_eq!(turn.header("authorization"), Some("Bearer secret-access-2"));
    assert_eq!(turn.body["project"], "made-for-ann");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(!log.contains("secret-"), "{log}");
}

#[test]
fn codes_are_pasted_and_approved() {
    let provider = Provider::judging(|asked| match asked.path.as_str() {
        "/oauth/token" if asked.body.to_string().contains("code=the-code") => {
            Answer::Json(json!({"access_token": "a.e30.c", "refresh_token": "r", "expires_in": 3600}))
        }
        "/login/device/code" if !asked.body.to_string().contains("code_challenge") => Answer::Json(json!({
            "device_code": "secret-device", "user_code": "AB-12", "verification_uri": "https://github.example/device",
            "interval": 1, "expires_in": 60,
        })),
        "/login/oauth/access_token" if asked.index < 4 => Answer::Json(json!({"error": "authorization_pending"})),
        "/login/oauth/access_token" => Answer::Json(json!({"access_token": "secret-github", "token_type": "bearer"})),
        "/copilot_internal/v2/token" => Answer::Status(404, "Not Found"),
        _ => Answer::Status(400, "no"),
    });
    let home = Home::with_config(&json!({}));
    let codex = ["login", "--provider", "openai-codex", "--set-default"];
    let mut sign_in = SignIn::start(&home, &codex, &provider, &[]);
    let state = query_of(&sign_in.address(), "state");
    sign_in.paste("");
    sign_in.paste(&format!("http://localhost:1455/auth/callback?code=the-code&state={state}"));
    let (is_ok, said) = sign_in.end();
    assert!(is_ok && said.contains("Auth profile: openai-codex:default (openai-codex/oauth)"), "{said}");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "openai-codex/gpt-5.2");

    let mut sign_in = SignIn::start(&home, &["login", "--provider", "openai-codex"], &provider, &[]);
    sign_in.address();
    sign_in.paste("http://localhost:1455/auth/callback?code=the-code&state=of-another");
    let (is_ok, said) = sign_in.end();
    assert!(!is_ok && said.contains("belongs to another sign-in"), "{said}");

    let (is_ok, said) = SignIn::start(&home, &["login-github-copilot", "--yes"], &provider, &[]).end();
    assert!(is_ok && said.contains("approve the code AB-12") && !said.contains("secret"), "{said}");
    assert!(said.contains("Does this GitHub account have Copilot?"), "{said}");
    let profile = &read_profiles(&home)["profiles"]["github-copilot:github"];
    assert_eq!((&profile["type"], &profile["token"]), (&json!("token"), &json!("secret-github")));
}
