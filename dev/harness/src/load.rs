//! Constant load on an endpoint, and records of all requests.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http;

/// A client's requests, one after the other.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    /// Requests that are answered at once, with a short pause in between.
    Quick,
    /// Requests whose answers take this many milliseconds.
    Slow(u32),
    /// The page of a server other than the sample app: the PID of the process that answers, in a
    /// line.
    Page,
}

impl Client {
    /// Quick ones, and one whose requests outlast most of what happens to an app meanwhile.
    pub const MIX: [Self; 8] = [
        Self::Quick,
        Self::Quick,
        Self::Quick,
        Self::Quick,
        Self::Slow(300),
        Self::Slow(300),
        Self::Slow(300),
        Self::Slow(3_000),
    ];
}

/// How long a client that is not slow pauses between two requests: some load, and no race of all
/// clients for the processor.
const PAUSE: Duration = Duration::from_millis(10);

/// The result of a request.
#[derive(Debug)]
pub struct Record {
    /// Before the client connected.
    pub sent: Instant,
    /// After the whole answer, or its failure.
    pub answered: Instant,
    /// The process of the app that answered, if the answer's header came that far.
    pub app: Option<u32>,
    /// The release of the app that answered, if it has a name.
    pub release: Option<String>,
    /// Whether anything of an answer came.
    pub has_begun: bool,
    /// The request, and what came instead of a whole answer.
    pub failure: Option<String>,
}

/// Clients at work, until this is dropped.
pub struct Load {
    stopping: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    records: Arc<Mutex<Records>>,
}

impl Load {
    /// Starts these clients on `endpoint` at the edge that listens on `address`.
    pub(super) fn start(address: &str, endpoint: &'static str, clients: &[Client]) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let ids = Arc::new(AtomicU64::new(1));
        let records = Arc::new(Mutex::new(Records::default()));
        let clients = clients
            .iter()
            .map(|client| {
                let (client, address) = (*client, address.to_owned());
                let (stopping, ids) = (Arc::clone(&stopping), Arc::clone(&ids));
                let records = Arc::clone(&records);
                thread::spawn(move || {
                    while !stopping.load(Ordering::Relaxed) {
                        let id = ids.fetch_add(1, Ordering::Relaxed);
                        let record = client.ask(&address, endpoint, id);
                        lock(&records).0.push(record);
                        if !matches!(client, Client::Slow(_)) {
                            thread::sleep(PAUSE);
                        }
                    }
                })
            })
            .collect();
        Self {
            stopping,
            clients,
            records,
        }
    }

    /// The requests so far.
    pub fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }

    /// Lets the clients finish their requests, and returns the records of all requests.
    pub fn stop(mut self) -> Records {
        self.end();
        mem::take(&mut lock(&self.records))
    }

    fn end(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // In a failing test, a panic of its own would hide why that fails.
            let _ = client.join();
        }
    }
}

fn lock(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Client {
    fn ask(self, address: &str, endpoint: &str, id: u64) -> Record {
        let path = match self {
            Client::Quick => format!("/headers?id={id}"),
            Client::Slow(milliseconds) => format!("/slow?ms={milliseconds}&id={id}"),
            Client::Page => format!("/?id={id}"),
        };
        let sent = Instant::now();
        let mut answer = Vec::new();
        // What came before an error counts too.
        let ended = http::send(address, endpoint, &path)
            .and_then(|mut stream| stream.read_to_end(&mut answer));
        let answered = Instant::now();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let app = match self {
            Client::Page => body.strip_suffix('\n').and_then(|pid| pid.parse().ok()),
            _ => app_of(head),
        };
        let is_whole = head.starts_with("HTTP/1.1 200 ")
            && match self {
                Client::Quick => body.starts_with(&format!("GET {path}\n")),
                // The last line, and the end of a body that comes in pieces (RFC 9112, section
                // 7.1).
                Client::Slow(_) => body.contains("10/10\n") && body.ends_with("\r\n0\r\n\r\n"),
                Client::Page => app.is_some(),
            };
        Record {
            app,
            release: release_of(head),
            has_begun: !answer.is_empty(),
            failure: (!is_whole).then(|| format!("{path}: {answer} ({ended:?})")),
            sent,
            answered,
        }
    }
}

/// The process of the sample app that wrote this header.
fn app_of(head: &str) -> Option<u32> {
    let (_, process) = server(head)?.split_once("(process ")?;
    process.strip_suffix(')')?.parse().ok()
}

/// The release of the sample app that wrote this header.
fn release_of(head: &str) -> Option<String> {
    let (product, _) = server(head)?.split_once(' ')?;
    Some(product.strip_prefix("sample-app/")?.to_owned())
}

/// The `server` field of a header.
fn server(head: &str) -> Option<&str> {
    let mut fields = head.lines();
    fields.find_map(|line| line.strip_prefix("server: ").map(str::trim_end))
}

/// The results of all requests.
#[derive(Default)]
pub struct Records(Vec<Record>);

impl Records {
    fn answered(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|record| record.failure.is_none())
    }

    pub fn sent(&self) -> usize {
        self.0.len()
    }

    pub fn failed(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|record| record.failure.is_some())
    }

    /// The processes with whole answers.
    pub fn answering(&self) -> BTreeSet<u32> {
        self.answered().filter_map(|record| record.app).collect()
    }

    /// Whether this release has a whole answer.
    pub fn has_answer_of(&self, release: &str) -> bool {
        // Most likely one of the last.
        let mut records = self.0.iter().rev();
        records.any(|record| record.failure.is_none() && record.release.as_deref() == Some(release))
    }

    /// The releases with whole answers.
    pub fn releases(&self) -> BTreeSet<&str> {
        let releases = self.answered().map(|record| record.release.as_deref());
        releases.flatten().collect()
    }
}
