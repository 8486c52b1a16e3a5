//! The kernel's listening TCP sockets by `NETLINK_SOCK_DIAG` (`sock_diag(7)`), as `ss` asks for
//! them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::listener::Listener;

/// A netlink socket, kept open from probe to probe.
#[derive(Debug)]
pub(crate) struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

// From linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h and net/tcp_states.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// The size of a message's header, `struct nlmsghdr`.
const HEADER: usize = 16;
/// The size of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// The size of `struct inet_diag_msg`, after which attributes follow.
const ANSWER: usize = 72;

/// Enough for any part of an answer: the kernel makes them at most as long as a page, or 8 KiB
/// (netlink(7)).
const BUFFER: usize = 8192;

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// All IPv4 sockets that listen on this port.
    pub(crate) fn v4_listeners(&mut self, port: NonZeroU16) -> io::Result<Vec<Listener>> {
        self.dump(AF_INET, port)
    }

    /// All IPv6 sockets that listen on this port; none if the kernel does not have IPv6.
    pub(crate) fn v6_listeners(&mut self, port: NonZeroU16) -> io::Result<Vec<Listener>> {
        match self.dump(AF_INET6, port) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(Vec::new()),
            result => result,
        }
    }

    fn dump(&mut self, family: u8, port: NonZeroU16) -> io::Result<Vec<Listener>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence, family, port);
        rustix::net::send(&self.socket, &request, SendFlags::empty())?;
        let mut listeners = Vec::new();
        let mut buffer = [0; BUFFER];
        loop {
            // The kernel has answered before `send` returned; waiting would mean that something is
            // wrong.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let (received, length) = match rustix::net::recv(&self.socket, &mut buffer, flags) {
                Err(Errno::INTR) => continue,
                answer => answer?,
            };
            if length > received {
                return Err(invalid());
            }
            if parse(&buffer[..received], self.sequence, &mut listeners)? {
                return Ok(listeners);
            }
        }
    }
}

fn invalid() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// A request for the sockets of this family that listen on this port.
fn request(sequence: u32, family: u8, port: NonZeroU16) -> [u8; HEADER + REQUEST] {
    let mut request = [0; HEADER + REQUEST];
    let length = u32::try_from(request.len()).expect("it is 72");
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request[8..12].copy_from_slice(&sequence.to_ne_bytes());
    request[16] = family;
    request[17] = IPPROTO_TCP;
    request[20..24].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    request[24..26].copy_from_slice(&port.get().to_be_bytes());
    request
}

/// Takes the listeners from one part of the answer to the request with this sequence number.
/// Returns whether it is the last part.
fn parse(mut part: &[u8], sequence: u32, listeners: &mut Vec<Listener>) -> io::Result<bool> {
    while !part.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(at(part, 0)?)).map_err(|_| invalid())?;
        let message = part.get(..length).ok_or_else(invalid)?;
        let kind = u16::from_ne_bytes(at(message, 4)?);
        let is_ours = u32::from_ne_bytes(at(message, 8)?) == sequence;
        let body = message.get(HEADER..).ok_or_else(invalid)?;
        match kind {
            // Left over from a request that failed halfway.
            _ if !is_ours => {}
            NLMSG_ERROR => return Err(error_in(body).unwrap_or_else(invalid)),
            NLMSG_DONE => return error_in(body).map_or(Ok(true), Err),
            SOCK_DIAG_BY_FAMILY => listeners.extend(listener(body)?),
            _ => {}
        }
        part = part.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// The negated error number at the start of an error, and of the end of an answer that failed.
fn error_in(body: &[u8]) -> Option<io::Error> {
    let number = i32::from_ne_bytes(at(body, 0).ok()?);
    (number < 0).then(|| io::Error::from_raw_os_error(number.saturating_neg()))
}

/// The socket in a `struct inet_diag_msg` and the attributes after it.
fn listener(body: &[u8]) -> io::Result<Option<Listener>> {
    let [family, state] = at(body, 0)?;
    let address = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(at::<4>(body, 8)?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(at::<16>(body, 8)?)),
        _ => return Ok(None),
    };
    let mut only_v6 = false;
    let mut attributes = body.get(ANSWER..).ok_or_else(invalid)?;
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(at(attributes, 0)?));
        let kind = u16::from_ne_bytes(at(attributes, 2)?);
        if length < 4 {
            return Err(invalid());
        }
        if kind == INET_DIAG_SKV6ONLY {
            only_v6 = at::<1>(attributes, 4)? != [0];
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    let inode = u64::from(u32::from_ne_bytes(at(body, 68)?));
    Ok((state == TCP_LISTEN).then_some(Listener {
        address,
        only_v6,
        inode,
    }))
}

/// Messages and attributes start at multiples of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> io::Result<[u8; N]> {
    bytes
        .get(offset..offset + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        message
    }

    #[test]
    fn answers_are_parsed() {
        let mut socket = [0; ANSWER];
        socket[..2].copy_from_slice(&[AF_INET, TCP_LISTEN]);
        socket[8..12].copy_from_slice(&[127, 0, 0, 1]);
        let mut connection = socket;
        connection[1] = 1;
        let refused = (-13_i32).to_ne_bytes();
        for (part, expected) in [
            (message(NLMSG_DONE, 7, &[0; 4]), Ok((true, 0))),
            (message(SOCK_DIAG_BY_FAMILY, 7, &socket), Ok((false, 1))),
            (message(SOCK_DIAG_BY_FAMILY, 6, &socket), Ok((false, 0))),
            (message(SOCK_DIAG_BY_FAMILY, 7, &connection), Ok((false, 0))),
            (message(NLMSG_DONE, 6, &[0; 4]), Ok((false, 0))),
            (message(NLMSG_ERROR, 7, &refused), Err(Some(13))),
            (message(NLMSG_DONE, 7, &refused), Err(Some(13))),
            (message(SOCK_DIAG_BY_FAMILY, 7, &socket[..50]), Err(None)),
            (vec![1, 0, 0, 0], Err(None)),
            (vec![0; 40], Err(None)),
        ] {
            let mut listeners = Vec::new();
            let result = parse(&part, 7, &mut listeners)
                .map(|is_last| (is_last, listeners.len()))
                .map_err(|error| error.raw_os_error());
            assert_eq!(result, expected, "{part:?}");
        }
    }
}
