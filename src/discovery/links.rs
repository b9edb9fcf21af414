//! The networks that mDNS is spoken on, and a socket for each (RFC 6762 §3, §11, §15.1).
//!
//! Owns the sockets. Other programs of this machine speak mDNS, too: the port is shared, and everybody hears everything
//! that is said to all. Loopback counts only where there is no other network. Not here: when networks come and go
//! (`advertise` looks each minute).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::message::{MESSAGE_BYTES_MAX, Message};
use super::{GROUP, PORT};
use crate::base::host::{Interface, interfaces};

/// Networks that are spoken on; a machine full of containers has many more.
const LINKS_MAX: usize = 16;

/// A network: this machine's addresses there, and a socket.
pub struct Link {
    /// This machine's interface, by number.
    index: u32,
    /// Its addresses and their networks.
    networks: Vec<(Ipv4Addr, u32)>,
    /// Sends to and hears from this network alone.
    pub socket: UdpSocket,
}

/// An interface that mDNS can be spoken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    index: u32,
    networks: Vec<(Ipv4Addr, u32)>,
}

/// Returns the interfaces that are up and reach more than one peer; loopback where there is no other.
pub fn candidates() -> Vec<Candidate> {
    let all = interfaces();
    let is_network = |it: &&Interface| it.is_up && it.is_multicast && !it.is_point_to_point && !it.is_loopback;
    let mut chosen: Vec<&Interface> = all.iter().filter(is_network).collect();
    if chosen.is_empty() {
        chosen = all.iter().filter(|it| it.is_up && it.is_loopback).collect();
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for interface in chosen {
        let network = (interface.ip, interface.mask);
        match candidates.iter_mut().find(|it| it.index == interface.index) {
            Some(known) => known.networks.push(network),
            None => candidates.push(Candidate { index: interface.index, networks: vec![network] }),
        }
    }
    candidates.truncate(LINKS_MAX);
    candidates
}

impl Link {
    /// Opens a socket for an interface, at the port of mDNS or, for who only asks, at any.
    ///
    /// # Errors
    /// The system's, for instance where the port is another program's alone.
    pub fn open(candidate: &Candidate, port: u16) -> io::Result<Self> {
        let address = candidate.networks.first().map_or(Ipv4Addr::LOCALHOST, |(ip, _)| *ip);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        // Without this a socket hears what any other of this machine has asked for.
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
        socket.join_multicast_v4(&GROUP, &address)?;
        socket.set_multicast_if_v4(&address)?;
        socket.set_multicast_ttl_v4(255)?;
        // For the other programs of this machine.
        socket.set_multicast_loop_v4(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { index: candidate.index, networks: candidate.networks.clone(), socket: socket.into() })
    }

    /// Returns whether this is the link of an interface as it is now.
    pub fn is_of(&self, candidate: &Candidate) -> bool {
        self.index == candidate.index && self.networks == candidate.networks
    }

    /// Returns this machine's addresses on it.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.networks.iter().map(|(ip, _)| *ip).collect()
    }

    /// Returns whether an address belongs to this network: nobody else is heard or answered.
    fn is_near(&self, ip: Ipv4Addr) -> bool {
        self.networks.iter().any(|(own, mask)| u32::from(*own) & mask == u32::from(ip) & mask)
    }

    /// Sends a message to everybody, or to one.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, message: &Message, to: Option<SocketAddrV4>) -> io::Result<()> {
        let to = to.unwrap_or(SocketAddrV4::new(GROUP, PORT));
        self.socket.send_to(&message.encode(), to).map(|_| ())
    }

    /// Takes what has come next; `None` when there is nothing. An inner `None` is no message of this network's: callers
    /// count it, so that a flood of such things does not hold them.
    pub fn receive(&self, buffer: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<Option<(Message, SocketAddrV4)>> {
        match self.socket.recv_from(buffer) {
            Ok((length, SocketAddr::V4(from))) if self.is_near(*from.ip()) => {
                Some(Message::decode(&buffer[..length]).map(|message| (message, from)))
            }
            Ok(_) => Some(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(None),
            // A network that went away says so here, too; the next look finds it gone.
            Err(_) => None,
        }
    }
}
