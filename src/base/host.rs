//! What this machine is called, runs and can be reached at.

use std::net::Ipv4Addr;

/// Returns the host name, `localhost` when there is none.
pub fn name() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is valid for its length; gethostname writes at most that much.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
    match String::from_utf8_lossy(&buffer[..length]).into_owned() {
        name if result == 0 && !name.is_empty() => name,
        _ => "localhost".to_owned(),
    }
}

/// Returns the release of the kernel, `unknown` where it cannot be read.
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Returns the CPU architecture as Node names it.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        other => other,
    }
}

/// Returns the IPv4 addresses of this machine's interfaces, with the interface's name.
pub fn interface_ipv4s() -> Vec<(String, Ipv4Addr)> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills the pointer with a list that freeifaddrs below releases.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut at = list;
    while !at.is_null() {
        // SAFETY: `at` is an entry of the list, which lives until freeifaddrs.
        let entry = unsafe { &*at };
        // SAFETY: ifa_addr is null or points at a sockaddr; the family says that it is a sockaddr_in.
        if !entry.ifa_addr.is_null() && i32::from(unsafe { (*entry.ifa_addr).sa_family }) == libc::AF_INET {
            let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in>() };
            // SAFETY: ifa_name is a NUL-terminated string of the list.
            let name = unsafe { std::ffi::CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
            found.push((name, Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr))));
        }
        at = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is not used afterwards.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// Returns this machine's first address in Tailscale's range (100.64.0.0/10).
pub fn tailnet_ipv4() -> Option<Ipv4Addr> {
    interface_ipv4s().into_iter().map(|(_, ip)| ip).find(|ip| {
        let [first, second, ..] = ip.octets();
        first == 100 && (64..128).contains(&second)
    })
}
