//! The kernel's listening TCP sockets by `/proc/net/tcp` and `tcp6` (`proc_pid_net(5)`): slower,
//! and without `IPV6_V6ONLY`, but available if netlink is refused.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::Path;

use super::listener::Listener;

/// All sockets that listen on this port, by the tables in `directory`.
pub(crate) fn listeners(directory: &Path, port: NonZeroU16) -> io::Result<Vec<Listener>> {
    let mut listeners = parse(&fs::read_to_string(directory.join("tcp"))?, port);
    match fs::read_to_string(directory.join("tcp6")) {
        Ok(table) => listeners.extend(parse(&table, port)),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(listeners)
}

/// The listeners in a table: a header, then lines of `number: address:port address:port state
/// queues timer retransmits uid timeout inode …` in hexadecimal.
fn parse(table: &str, port: NonZeroU16) -> Vec<Listener> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (address, local_port) = fields.next()?.split_once(':')?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5);
            let is_wanted = state == "0A" && u16::from_str_radix(local_port, 16) == Ok(port.get());
            is_wanted.then_some(Listener {
                address: parse_address(address)?,
                // The table does not show it; dual-stack is the default of Linux and of most
                // programs.
                only_v6: false,
                inode: inode.and_then(|inode| inode.parse().ok()).unwrap_or(0),
            })
        })
        .collect()
}

/// An address as the kernel prints it: each 32-bit word in the machine's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|word| u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_flattened() {
        v4 if v4.len() == 4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(v4).ok()?))),
        v6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(v6).ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As a little-endian machine prints them.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000000000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000
";

    #[test]
    fn listeners_are_read_from_both_tables() {
        let directory = tempfile::tempdir().unwrap();
        let port = |port| NonZeroU16::new(port).unwrap();
        assert!(listeners(directory.path(), port(1)).is_err());
        fs::write(directory.path().join("tcp"), TCP).unwrap();
        let addresses = |number| -> Vec<String> {
            let found = listeners(directory.path(), port(number)).unwrap();
            found
                .iter()
                .map(|found| found.address.to_string())
                .collect()
        };
        assert_eq!(addresses(8080), ["127.0.0.1"], "without IPv6");
        fs::write(directory.path().join("tcp6"), TCP6).unwrap();
        assert_eq!(addresses(8080), ["127.0.0.1", "::1"]);
        assert_eq!(addresses(80), ["0.0.0.0"]);
        assert_eq!(addresses(81), ["::"]);
        assert_eq!(addresses(8081), ["::ffff:127.0.0.1"]);
        assert_eq!(addresses(50000), [""; 0], "a connection is no listener");
    }

    #[test]
    fn malformed_lines_are_skipped() {
        let port = NonZeroU16::new(8080).unwrap();
        for line in [
            "",
            "0:",
            "0: 0100007F",
            "0: 01:1F90 0:0 0A",
            "0: ZZ00007F:1F90 0:0 0A",
            "0: üüüü:1F90 0:0 0A",
        ] {
            assert_eq!(parse(&format!("header\n{line}\n"), port), []);
        }
    }
}
