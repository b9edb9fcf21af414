//! Connections from chosen source addresses: `std` cannot bind a socket before it connects.

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::FromRawFd as _;

use mio::net::TcpStream;

/// Starts to connect; the socket becomes writable once it is through.
pub fn dial(source: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    // SAFETY: plain system call; the descriptor is handed to its owner at once.
    let socket = unsafe {
        let descriptor = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        TcpStream::from_std(std::net::TcpStream::from_raw_fd(descriptor))
    };
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (from, to) = (address(SocketAddrV4::new(source, 0)), address(to));
    // SAFETY: the pointers are to values of the lengths given, which outlive the calls.
    let connected = unsafe {
        let yes: libc::c_int = 1;
        // The port is chosen at connect, when the target is known: ports are then shared between targets.
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_IP,
            option,
            (&raw const yes).cast(),
            size_of::<libc::c_int>() as u32,
        );
        if libc::bind(descriptor, (&raw const from).cast(), length) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::connect(descriptor, (&raw const to).cast(), length)
    };
    let error = io::Error::last_os_error();
    if connected != 0 && error.raw_os_error() != Some(libc::EINPROGRESS) {
        return Err(error);
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn address(of: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: of.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*of.ip()).to_be() },
        sin_zero: [0; 8],
    }
}
