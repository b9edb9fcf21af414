//! What this machine is called and where it is reached: names, addresses, the address to bind.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::ctx::Host;
use crate::base::host;
use crate::config::types::Config;
use crate::net::Listener;

/// Asks the system.
pub fn describe() -> Host {
    let name = host::name();
    let ip = external_ipv4().map_or_else(|| name.clone(), |ip| ip.to_string());
    let family = if cfg!(target_os = "macos") { "Mac" } else { "Linux" };
    let system = if cfg!(target_os = "macos") { "macos" } else { "linux" };
    Host { name, ip, platform: format!("{system} {}", host::kernel_release()), family, model: host::arch() }
}

fn external_ipv4() -> Option<Ipv4Addr> {
    let external: Vec<(String, Ipv4Addr)> =
        host::interface_ipv4s().into_iter().filter(|(_, ip)| !ip.is_loopback()).collect();
    let preferred = external.iter().find(|(name, _)| name == "en0" || name == "eth0");
    preferred.or(external.first()).map(|&(_, ip)| ip)
}

/// Decides the address of a bind mode (http.md §10.1).
pub fn bind_address(mode: &str, config: &Config) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let bindable = |ip: IpAddr| TcpListener::bind((ip, 0)).is_ok();
    match mode {
        "lan" => all,
        "tailnet" => {
            let tailnet = host::tailnet_ipv4().map(IpAddr::V4).filter(|&ip| bindable(ip));
            tailnet.unwrap_or(if bindable(loopback) { loopback } else { all })
        }
        "custom" => {
            let custom = config.gateway.custom_bind_host.as_deref().and_then(|host| host.parse::<Ipv4Addr>().ok());
            custom.map(IpAddr::V4).filter(|&ip| bindable(ip)).unwrap_or(all)
        }
        _ => {
            if bindable(loopback) {
                loopback
            } else {
                all
            }
        }
    }
}

/// Binds the gateway port: the address, and `::1` beside 127.0.0.1 where that works.
///
/// # Errors
/// The system's error for the main address.
pub fn listen(ip: IpAddr, port: u16) -> io::Result<Vec<(SocketAddr, Listener)>> {
    let main = TcpListener::bind((ip, port))?;
    let address = main.local_addr()?;
    let mut listeners = vec![(address, Listener(main))];
    if ip == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        match TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, address.port())) {
            Ok(alias) => listeners.push((alias.local_addr()?, Listener(alias))),
            Err(error) => log::warn!(target: "gateway", "[::1]:{} is not served too: {error}", address.port()),
        }
    }
    Ok(listeners)
}

/// Raises the limit of open files to its hard limit and returns it.
pub fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1024;
        }
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) == 0 {
            limit.rlim_cur = limit.rlim_max;
        }
    }
    limit.rlim_cur
}
