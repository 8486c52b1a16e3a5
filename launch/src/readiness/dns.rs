//! DNS messages, as much of them as it takes to ask for the addresses of a name (RFC 1035, section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kinds of records that hold addresses, by their numbers (RFC 1035, section 3.2.2, and RFC 3596, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// Class IN (RFC 1035, section 3.2.4).
const INTERNET: u16 = 1;

/// The length of a message's header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// A message that asks one question, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question(Vec<u8>);

impl Question {
    /// Asks for the records of a full name. None where it cannot be a name in the DNS: a part of it is empty or longer than 63
    /// bytes, or all of it is longer than 253 (RFC 1035, section 2.3.4).
    pub(crate) fn new(id: u16, name: &str, kind: Kind) -> Option<Self> {
        const RECURSION_DESIRED: u16 = 0x0100;
        if name.len() > 253 {
            return None;
        }
        let mut message = Vec::with_capacity(HEADER + name.len() + 6);
        for number in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            message.extend(number.to_be_bytes());
        }
        for label in name.split('.') {
            let length = u8::try_from(label.len()).ok()?;
            if !matches!(length, 1..=63) {
                return None;
            }
            message.push(length);
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend((kind as u16).to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        Some(Self(message))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The addresses that a received message gives as the answer, none if the name has none. `None` where it is no answer to this
    /// question, or says that the server cannot tell.
    pub(crate) fn answered_by(&self, message: &[u8]) -> Option<Vec<IpAddr>> {
        const IS_ANSWER: u8 = 0x80;
        const NO_ERROR: u8 = 0;
        const NO_SUCH_NAME: u8 = 3;
        let (head, mut rest) = message.split_at_checked(self.0.len())?;
        let is_ours =
            head[..2] == self.0[..2] && head[HEADER..].eq_ignore_ascii_case(&self.0[HEADER..]);
        let (code, count) = (head[3] & 0x0f, u16::from_be_bytes([head[6], head[7]]));
        if !is_ours || head[2] & IS_ANSWER == 0 || !matches!(code, NO_ERROR | NO_SUCH_NAME) {
            return None;
        }
        let mut addresses = Vec::new();
        for _ in 0..count {
            // A message that was cut short, as it was too long for one datagram, still has its first records.
            let Some(record) = Record::take(&mut rest) else {
                break;
            };
            addresses.extend(record.address());
        }
        Some(addresses)
    }
}

/// A record of an answer (RFC 1035, section 4.1.3). Whose it is does not matter: the server has followed the aliases.
struct Record<'a> {
    kind: u16,
    class: u16,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes a record off the front of `rest`.
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        skip_name(rest)?;
        let kind = take_number(rest)?;
        let class = take_number(rest)?;
        let _time_to_live = take(rest, 4)?;
        let length = take_number(rest)?;
        let data = take(rest, length.into())?;
        Some(Self { kind, class, data })
    }

    fn address(&self) -> Option<IpAddr> {
        if self.class != INTERNET {
            return None;
        }
        if self.kind == Kind::A as u16 {
            let octets: [u8; 4] = self.data.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        } else if self.kind == Kind::Aaaa as u16 {
            let octets: [u8; 16] = self.data.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        } else {
            None
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u16> {
    let bytes = take(rest, 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Skips a name: labels, each after its length, that end with an empty one or with a pointer (RFC 1035, section 4.1.4).
fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        match take(rest, 1)?[0] {
            0 => return Some(()),
            length @ 1..=63 => {
                take(rest, length.into())?;
            }
            0xc0.. => {
                take(rest, 1)?;
                return Some(());
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The answer of a server that knows these addresses of the name that was asked for, or that says the code.
    pub(crate) fn answer(question: &[u8], addresses: &[IpAddr], code: u8) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[3] = 0x80 | code;
        answer[7] = u8::try_from(addresses.len()).unwrap();
        for address in addresses {
            let (kind, data) = match address {
                IpAddr::V4(address) => (Kind::A, address.octets().to_vec()),
                IpAddr::V6(address) => (Kind::Aaaa, address.octets().to_vec()),
            };
            answer.extend(record(kind as u16, &data));
        }
        answer
    }

    /// A record of the name in the question, which it points to.
    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        let mut record = vec![0xc0, 12];
        record.extend(kind.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend(length.to_be_bytes());
        record.extend(data);
        record
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn question() -> Question {
        Question::new(0x1234, "app.internal", Kind::A).unwrap()
    }

    #[test]
    fn question_is_written_as_the_standard_says() {
        let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03app\x08internal\x00\x00\x01\x00\x01";
        assert_eq!(question().bytes(), expected);
        let other = Question::new(0, "a", Kind::Aaaa).unwrap();
        assert!(other.bytes().ends_with(b"\x01a\x00\x00\x1c\x00\x01"));
    }

    #[test]
    fn name_that_cannot_be_in_the_dns_is_not_asked_for() {
        let long = "a".repeat(63);
        assert!(Question::new(0, &long, Kind::A).is_some());
        for name in [
            "",
            ".",
            "a.",
            "a..b",
            &"a".repeat(64),
            &[long.as_str(); 4].join("."),
        ] {
            assert_eq!(Question::new(0, name, Kind::A), None, "{name}");
        }
    }

    #[test]
    fn answer_has_the_addresses() {
        let known = addresses(&["10.0.0.1", "2001:db8::1", "10.0.0.2"]);
        let question = question();
        for count in 0..=3 {
            let answer = answer(question.bytes(), &known[..count], 0);
            assert_eq!(
                question.answered_by(&answer).as_deref(),
                Some(&known[..count])
            );
        }
        let unknown = answer(question.bytes(), &[], 3);
        assert_eq!(question.answered_by(&unknown), Some(Vec::new()));
        let in_capitals: Vec<u8> = answer(question.bytes(), &known, 0)
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                12..26 => byte.to_ascii_uppercase(),
                _ => *byte,
            })
            .collect();
        assert_eq!(question.answered_by(&in_capitals), Some(known));
    }

    #[test]
    fn aliases_are_passed_over() {
        const CNAME: u16 = 5;
        let question = question();
        let mut answer = answer(question.bytes(), &[], 0);
        answer[7] = 2;
        answer.extend(record(CNAME, b"\x05other\x08internal\x00"));
        answer.extend(record(Kind::A as u16, &[10, 0, 0, 3]));
        assert_eq!(
            question.answered_by(&answer),
            Some(addresses(&["10.0.0.3"]))
        );
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let question = question();
        let good = answer(question.bytes(), &addresses(&["10.0.0.1"]), 0);
        let refused = answer(question.bytes(), &[], 5);
        assert_eq!(question.answered_by(&refused), None);
        assert_eq!(question.answered_by(question.bytes()), None);
        for (at, byte) in [(0, 0x13), (13, b'b')] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(question.answered_by(&other), None, "{at}");
        }
    }

    #[test]
    fn broken_message_is_borne() {
        let question = question();
        let good = answer(
            question.bytes(),
            &addresses(&["10.0.0.1", "2001:db8::1"]),
            0,
        );
        let whole = question.answered_by(&good).unwrap();
        for length in 0..good.len() {
            let found = question.answered_by(&good[..length]);
            assert!(found.is_none_or(|found| whole.starts_with(&found)));
            for byte in [0, 1, 0x3f, 0x40, 0x80, 0xbf, 0xc0, 0xff] {
                let mut changed = good.clone();
                changed[length] = byte;
                let _whatever_it_says = question.answered_by(&changed);
            }
        }
    }
}
