//! What this machine is called, runs and can be reached at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Returns the platform as Node names it.
pub fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
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

/// An IPv4 address of this machine, and what the interface that has it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The interface, by number.
    pub index: u32,
    /// The address.
    pub ip: Ipv4Addr,
    /// Which of its bits name the network.
    pub mask: u32,
    /// Whether it is up and connected.
    pub is_up: bool,
    /// Whether it reaches this machine alone.
    pub is_loopback: bool,
    /// Whether it reaches one peer alone.
    pub is_point_to_point: bool,
    /// Whether many can be spoken to at once.
    pub is_multicast: bool,
}

/// Returns the IPv4 addresses of this machine with their interfaces.
pub fn interfaces() -> Vec<Interface> {
    each_interface(|entry| {
        // SAFETY: both are null or point at a sockaddr of the family that they name.
        let (ip, mask) = unsafe { (address_of(entry.ifa_addr), address_of(entry.ifa_netmask)) };
        let Some(IpAddr::V4(ip)) = ip else { return None };
        let mask = if let Some(IpAddr::V4(mask)) = mask { u32::from(mask) } else { u32::MAX };
        // SAFETY: ifa_name is a NUL-terminated string of the list.
        let index = unsafe { libc::if_nametoindex(entry.ifa_name) };
        let has = |flag: libc::c_int| entry.ifa_flags & flag as libc::c_uint != 0;
        Some(Interface {
            index,
            ip,
            mask,
            is_up: has(libc::IFF_UP) && has(libc::IFF_RUNNING),
            is_loopback: has(libc::IFF_LOOPBACK),
            is_point_to_point: has(libc::IFF_POINTOPOINT),
            is_multicast: has(libc::IFF_MULTICAST),
        })
    })
}

/// Returns the addresses of this machine's interfaces, with the interface's name.
pub fn interface_addresses() -> Vec<(String, IpAddr)> {
    each_interface(|entry| {
        // SAFETY: ifa_addr is null or points at a sockaddr of the family that it names.
        let address = unsafe { address_of(entry.ifa_addr) }?;
        // SAFETY: ifa_name is a NUL-terminated string of the list.
        let name = unsafe { std::ffi::CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        Some((name, address))
    })
}

/// Reads the system's list of addresses; `read` sees each entry while the list lives.
fn each_interface<T>(read: impl Fn(&libc::ifaddrs) -> Option<T>) -> Vec<T> {
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
        found.extend(read(entry));
        at = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is not used afterwards.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// Reads an IP address; `None` for other families.
///
/// # Safety
/// `address` is null or points at a sockaddr of the family that it names.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and every sockaddr begins with its family.
    match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in.
            let address = unsafe { &*address.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is a sockaddr_in6.
            let address = unsafe { &*address.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Returns the IPv4 addresses of this machine's interfaces, with the interface's name.
pub fn interface_ipv4s() -> Vec<(String, Ipv4Addr)> {
    let v4 = |(name, ip)| match ip {
        IpAddr::V4(ip) => Some((name, ip)),
        IpAddr::V6(_) => None,
    };
    interface_addresses().into_iter().filter_map(v4).collect()
}

/// Returns this machine's first address in Tailscale's range (100.64.0.0/10).
pub fn tailnet_ipv4() -> Option<Ipv4Addr> {
    interface_ipv4s().into_iter().map(|(_, ip)| ip).find(|&ip| is_tailnet(ip.into()))
}

/// Returns whether this is one of this machine's own addresses in Tailscale's ranges.
pub fn is_own_tailnet(ip: IpAddr) -> bool {
    is_tailnet(ip) && interface_addresses().iter().any(|(_, own)| *own == ip)
}

/// Returns this machine's first address in Tailscale's other range (fd7a:115c:a1e0::/48).
pub fn tailnet_ipv6() -> Option<Ipv6Addr> {
    let v6 = |(_, ip)| match ip {
        IpAddr::V6(ip) if is_tailnet(ip.into()) => Some(ip),
        _ => None,
    };
    interface_addresses().into_iter().find_map(v6)
}

/// Returns whether an address is in Tailscale's ranges: 100.64.0.0/10 and fd7a:115c:a1e0::/48.
pub fn is_tailnet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]),
        IpAddr::V6(ip) => ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges() {
        assert!(interface_addresses().iter().any(|(_, ip)| ip.is_loopback()));
        let loopback = interfaces().into_iter().find(|it| it.ip.is_loopback()).expect("loopback");
        assert!(loopback.is_loopback && !loopback.is_point_to_point && loopback.index > 0);
        assert_eq!(loopback.mask, 0xff00_0000);
        for (ip, expected) in [
            ("100.64.0.1", true),
            ("100.127.9.9", true),
            ("100.128.0.1", false),
            ("10.64.0.1", false),
            ("fd7a:115c:a1e0::1", true),
            ("fd7a:115c:a1e1::1", false),
        ] {
            assert_eq!(is_tailnet(ip.parse().expect("address")), expected, "{ip}");
        }
        assert!(!is_own_tailnet("127.0.0.1".parse().expect("address")));
    }
}
