//! The addresses of another host's name, by the table of hosts (hosts(5)) or else by name servers (resolv.conf(5)).
//!
//! The C library's resolver does that too, but a static glibc's weighs 120 kB in every image, and loads modules of the image that may
//! have been made for another glibc.

use crate::random;
use crate::readiness::dns::{Kind, Question};
use resolv_conf::Config;
use rustix::event::{self, PollFd, PollFlags, Timespec};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long to wait for name servers before they are asked again: a datagram may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// All addresses of a host that are found until the deadline, those of IPv4 first.
pub(crate) fn addresses(host: &str, deadline: Instant) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let hosts = fs::read("/etc/hosts").unwrap_or_default();
    let known = in_hosts(&String::from_utf8_lossy(&hosts), host);
    if !known.is_empty() {
        return known;
    }
    // Without the file, and without a server in it, there is one on this host.
    let (config, _ignored_as_elsewhere) =
        Config::parse_with_errors(&fs::read("/etc/resolv.conf").unwrap_or_default());
    let servers = config.get_nameservers_or_local();
    let servers: Vec<SocketAddr> = servers
        .iter()
        .map(|server| SocketAddr::new(IpAddr::from(server), 53))
        .collect();
    full_names(host, &config)
        .iter()
        .map(|name| by_servers(&servers, name, deadline))
        .find(|addresses| !addresses.is_empty())
        .unwrap_or_default()
}

/// The addresses of a name in a table of hosts.
fn in_hosts(table: &str, host: &str) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('#').next()?.split_ascii_whitespace();
            let address = fields.next()?.parse().ok()?;
            fields
                .any(|name| name.eq_ignore_ascii_case(host))
                .then_some(address)
        })
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// The full names that a host's name may stand for, in the order in which to try them: a name with few dots is first looked for in
/// the domains of the search list.
fn full_names(host: &str, config: &Config) -> Vec<String> {
    if let Some(full) = host.strip_suffix('.') {
        return vec![full.to_owned()];
    }
    let mut names: Vec<String> = config
        .get_last_search_or_domain()
        .map(|domain| format!("{host}.{}", domain.trim_end_matches('.')))
        .collect();
    let dots = host.matches('.').count();
    let has_enough_dots = u32::try_from(dots).is_ok_and(|dots| dots >= config.ndots);
    let place = if has_enough_dots { 0 } else { names.len() };
    names.insert(place, host.to_owned());
    names
}

/// A question, and what it brought.
struct Inquiry {
    question: Question,
    addresses: Option<Vec<IpAddr>>,
}

/// The addresses of a full name by the first servers to answer, all of which are asked at once.
fn by_servers(servers: &[SocketAddr], name: &str, deadline: Instant) -> Vec<IpAddr> {
    let sockets: Vec<UdpSocket> = servers
        .iter()
        .filter_map(|server| connected(*server).ok())
        .collect();
    let mut inquiries: Vec<Inquiry> = [Kind::A, Kind::Aaaa]
        .into_iter()
        .filter_map(|kind| {
            Some(Inquiry {
                // Nobody shall guess it who wants to answer in a server's place; the kernel draws the socket's port, too.
                question: Question::new(random::draw(), name, kind)?,
                addresses: None,
            })
        })
        .collect();
    let is_open = |inquiry: &Inquiry| inquiry.addresses.is_none();
    while !sockets.is_empty() && inquiries.iter().any(is_open) && Instant::now() < deadline {
        for inquiry in inquiries.iter().filter(|inquiry| is_open(inquiry)) {
            for socket in &sockets {
                let _asked_again_if_it_fails = socket.send(inquiry.question.bytes());
            }
        }
        let ask_again = deadline.min(Instant::now() + ASK_AGAIN);
        while inquiries.iter().any(is_open) && wait(&sockets, ask_again) {
            for socket in &sockets {
                receive(socket, &mut inquiries);
            }
        }
    }
    inquiries
        .into_iter()
        .filter_map(|inquiry| inquiry.addresses)
        .flatten()
        .collect()
}

/// A socket that receives from this server alone, and never waits.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Waits until something can be received. False where nothing came in time.
fn wait(sockets: &[UdpSocket], until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let mut descriptors: Vec<PollFd<'_>> = sockets
        .iter()
        .map(|socket| PollFd::new(socket, PollFlags::IN))
        .collect();
    let Ok(timeout) = Timespec::try_from(left) else {
        return false;
    };
    event::poll(&mut descriptors, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// Takes all that a socket has received. An error is a server that is not there; the time limit is for it too.
fn receive(socket: &UdpSocket, inquiries: &mut [Inquiry]) {
    // The most that a datagram may bring where no more was asked for (RFC 1035, section 4.2.1).
    let mut buffer = [0; 512];
    while let Ok(length) = socket.recv(&mut buffer) {
        for inquiry in &mut *inquiries {
            if inquiry.addresses.is_none() {
                inquiry.addresses = inquiry.question.answered_by(&buffer[..length]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::dns::tests::answer;
    use std::thread;

    fn parsed(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn address_stands_for_itself() {
        for address in ["10.1.2.3", "2001:db8::1"] {
            assert_eq!(addresses(address, Instant::now()), parsed(&[address]));
        }
    }

    #[test]
    fn table_of_hosts_has_names_and_their_aliases() {
        let table = "\
127.0.0.1 localhost # app
# 10.9.9.9 app
2001:db8::7\tapp.internal  app
10.0.0.7 app.internal app
nonsense app
10.0.0.8";
        for (host, expected) in [
            ("app", &["10.0.0.7", "2001:db8::7"][..]),
            ("APP.internal", &["10.0.0.7", "2001:db8::7"]),
            ("internal", &[]),
            ("10.0.0.8", &[]),
        ] {
            assert_eq!(in_hosts(table, host), parsed(expected), "{host}");
        }
    }

    #[test]
    fn names_are_completed_by_the_search_list() {
        for (config, host, expected) in [
            ("", "app", &["app"][..]),
            ("search one.", "app", &["app.one", "app"]),
            (
                "search one two",
                "app.web",
                &["app.web", "app.web.one", "app.web.two"],
            ),
            (
                "search one two\noptions ndots:5",
                "app.web",
                &["app.web.one", "app.web.two", "app.web"],
            ),
            ("search one", "app.", &["app"]),
        ] {
            let config = Config::parse(config).unwrap();
            assert_eq!(full_names(host, &config), expected, "{host}, {config:?}");
        }
    }

    /// A name server that answers this many questions, each with the addresses of its kind.
    fn server(questions: usize, known: Vec<IpAddr>, code: u8) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..questions {
                let (length, client) = socket.recv_from(&mut buffer).unwrap();
                let question = &buffer[..length];
                let wants_v6 = question.ends_with(&[0, 28, 0, 1]);
                let known: Vec<IpAddr> = known
                    .iter()
                    .copied()
                    .filter(|address| address.is_ipv6() == wants_v6)
                    .collect();
                let _gone = socket.send_to(&answer(question, &known, code), client);
            }
        });
        address
    }

    #[test]
    fn server_is_asked_for_both_kinds() {
        let known = parsed(&["2001:db8::1", "10.0.0.1", "10.0.0.2"]);
        let server = server(2, known, 0);
        assert_eq!(
            by_servers(&[server], "app.internal", soon()),
            parsed(&["10.0.0.1", "10.0.0.2", "2001:db8::1"])
        );
    }

    #[test]
    fn unknown_name_has_no_address_at_once() {
        let started = Instant::now();
        let server = server(2, Vec::new(), 3);
        assert_eq!(by_servers(&[server], "app", soon()), parsed(&[]));
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(by_servers(&[server], "not..a.name", soon()), parsed(&[]));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn server_that_is_gone_or_refuses_is_no_obstacle() {
        let known = parsed(&["10.0.0.1"]);
        let gone = server(0, Vec::new(), 0);
        let refusing = server(100, Vec::new(), 5);
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let servers = [
            gone,
            refusing,
            silent.local_addr().unwrap(),
            server(2, known.clone(), 0),
        ];
        assert_eq!(by_servers(&servers, "app", soon()), known);
    }

    #[test]
    fn silence_ends_with_the_deadline() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = silent.local_addr().unwrap();
        let started = Instant::now();
        let deadline = started + ASK_AGAIN * 2;
        assert_eq!(by_servers(&[server], "app", deadline), parsed(&[]));
        assert!(started.elapsed() >= ASK_AGAIN * 2);
        // Each question was asked more than once.
        silent.set_nonblocking(true).unwrap();
        let mut buffer = [0; 512];
        let asked = std::iter::from_fn(|| silent.recv(&mut buffer).ok()).count();
        assert!(asked >= 4, "{asked}");
    }
}
