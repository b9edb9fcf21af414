//! temporary
fn main() {
    let paths = clawdbot::config::paths::Paths::from_env();
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok());
    let code = clawdbot::gateway::run(clawdbot::gateway::RunOptions {
        paths,
        port,
        bind: None,
        auth: None,
        token: None,
        password: None,
        tailscale: None,
        allow_unconfigured: true,
        dev: false,
        reset: false,
        force: false,
        verbose: true,
        ws_log: Default::default(),
    });
    std::process::exit(code);
}
