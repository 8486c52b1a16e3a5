//! The rules of the decision, each as a table: variables and other inputs, and the outcome.

use std::cell::Cell;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sidecar::{Environment, Upstream, Verbosity};

use super::*;
use crate::settings::tests::{environment, with_bytes};

/// A process that gets an agent, changed case by case.
struct Case {
    environment: Environment,
    launcher_type: Option<&'static str>,
    is_main: bool,
    has_terminal: bool,
    binding: fn() -> Binding,
    token_file: fn() -> io::Result<OsString>,
    layer: Option<&'static str>,
    is_installed: bool,
    agents_variables: &'static str,
}

type Variables<'a> = &'a [(&'a str, &'a str)];

const BOOTABLE: [(&str, &str); 4] = [
    ("BACKPLANE_TOKEN", "sesame"),
    ("BACKPLANE_LABELS", "app=shop"),
    ("BACKPLANE_PROCESS_TYPE", "web"),
    ("PORT", "8080"),
];
const NO_TOKEN: (&str, &str) = ("BACKPLANE_TOKEN", "");
const NO_LABELS: (&str, &str) = ("BACKPLANE_LABELS", "");
const NO_PORT: (&str, &str) = ("PORT", "");
const NO_TYPE: (&str, &str) = ("BACKPLANE_PROCESS_TYPE", "");
const TEST_RUN: (&str, &str) = ("HEROKU_TEST_RUN_ID", "x");
const DISABLED: (&str, &str) = ("BACKPLANE_DISABLED", "1");

fn of_type(process_type: &str) -> (&'static str, &str) {
    ("BACKPLANE_PROCESS_TYPE", process_type)
}

fn allow(types: &str) -> (&'static str, &str) {
    ("BACKPLANE_PROCESS_ALLOW", types)
}

fn ignore(types: &str) -> (&'static str, &str) {
    ("BACKPLANE_IGNORE_PROCESS_TYPE", types)
}

/// The bootable process with these variables changed; an empty value unsets one.
fn with(changes: Variables) -> Case {
    let mut variables = BOOTABLE.to_vec();
    variables.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    variables.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    Case {
        environment: environment(&variables),
        launcher_type: None,
        is_main: false,
        has_terminal: false,
        binding: Binding::default,
        token_file: || Ok("from a file".into()),
        layer: Some("/layers/agent"),
        is_installed: true,
        agents_variables: "",
    }
}

impl Case {
    fn decide_with(&self, read_binding: &dyn Fn(&Path) -> Binding) -> Decision {
        decide(&Inputs {
            process: &Process {
                environment: &self.environment,
                launcher_type: self.launcher_type,
                layer: self.layer.map(Path::new),
                is_main: self.is_main,
                has_terminal: self.has_terminal,
            },
            read_binding,
            read_token: &|_| (self.token_file)(),
            is_file: &|_| self.is_installed,
            read_variables: &|_| crate::variables::Variables::parse(self.agents_variables),
            read_checksum: &|layer| Some(format!("checksum of {}", layer.display())),
        })
    }

    fn decide(&self) -> Decision {
        self.decide_with(&|_| (self.binding)())
    }

    /// Asserts that the process gets no agent, with this level and part of the only line in the log.
    #[track_caller]
    fn assert_skipped(&self, level: Level, reason: &str) {
        let Decision { start, log, .. } = self.decide();
        assert_eq!(start, None, "{:?}", self.environment);
        assert_eq!(log.len(), 1, "{log:?}");
        assert_eq!(log[0].level, level, "{log:?}");
        assert!(log[0].text.contains(reason), "{log:?}");
    }

    /// The agent of a case that has to have one, and the log above the level of details.
    #[track_caller]
    fn started(&self) -> (Spec, Vec<LogEntry>) {
        let Decision { start, mut log, .. } = self.decide();
        let spec = start.unwrap_or_else(|| panic!("no agent is started: {log:?}"));
        log.retain(|entry| entry.level < Level::Debug);
        (spec, log)
    }
}

#[test]
fn web_process_with_token_labels_and_port_is_started() {
    let (spec, log) = with(&[]).started();
    assert_eq!(log, []);
    assert_eq!(
        spec,
        Spec {
            program: PathBuf::from("/layers/agent/libexec/backplane"),
            args: vec![
                Arg::Text("connect".into()),
                Arg::Text("app=shop".into()),
                Arg::AppUrl,
            ],
            environment: agent_environment::of_agent(
                &environment(&BOOTABLE[1..3]),
                Path::new("/layers/agent/libexec"),
                &[],
                OsStr::new("sesame")
            ),
            value_files: Vec::new(),
            upstream: Upstream::from_port(OsStr::new("8080")).unwrap(),
            title: "app=shop".to_owned(),
            wait_for_app: true,
            ready_path: None,
            health_url: None,
            drain: Drain::Keep,
            stop_timeout: Duration::from_secs(5),
            outlives_sigterm: false,
            memory_limit: None,
            is_expected: true,
            info: [
                ("process_type", "web"),
                ("labels", "app=shop"),
                ("agent_sha256", "checksum of /layers/agent"),
            ]
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .to_vec(),
        }
    );
}

#[test]
fn settings_reach_the_agent_and_its_supervisor() {
    let mut case = with(&[
        NO_TOKEN,
        ("BACKPLANE_WAIT_FOR_APP", "no"),
        ("BACKPLANE_DRAIN", "stop"),
        ("BACKPLANE_STOP_TIMEOUT", "30"),
        ("BACKPLANE_AGENT_MEMORY", "256M"),
        ("BACKPLANE_HEALTH_URL", "http://127.0.0.1:7400/healthz"),
        ("BACKPLANE_LOG", "quiet"),
        ("BACKPLANE_AGENT_ENV", "MINE"),
        ("MINE", "x"),
        ("OTHER", "y"),
    ]);
    case.environment = with_bytes(&case.environment, b"BACKPLANE_TOKEN", b"\xff\xfe");
    assert_eq!(case.decide().verbosity, Verbosity::Quiet);
    let (spec, _) = case.started();
    assert!(!spec.wait_for_app);
    assert_eq!(spec.drain, Drain::Stop);
    assert_eq!(spec.stop_timeout, Duration::from_secs(30));
    assert_eq!(spec.memory_limit, Some(256 << 20));
    let health_url = spec.health_url.map(|url| url.to_string());
    assert_eq!(health_url.as_deref(), Some("http://127.0.0.1:7400/healthz"));
    for (name, value) in [
        ("MINE", Some(&b"x"[..])),
        ("OTHER", None),
        ("BACKPLANE_TOKEN", Some(b"\xff\xfe")),
    ] {
        let found = spec.environment.get(name).map(OsStr::as_bytes);
        assert_eq!(found, value, "{name}");
    }
}

#[test]
fn process_type_is_the_stated_one_else_the_dynos_else_the_launchers() {
    for (changes, launcher_type, expected) in [
        (&[of_type("a"), ("DYNO", "b.1")][..], Some("c"), "a"),
        (&[NO_TYPE, ("DYNO", "b.1")], Some("c"), "b"),
        (&[NO_TYPE, ("DYNO", "b-12a34b56d-e78f9")], None, "b"),
        (&[NO_TYPE], Some("c"), "c"),
        (&[NO_TYPE, ("DYNO", "odd")], Some("c"), "c"),
        // Types are compared as whole words.
        (&[ignore("worker webs we Web web.1")], None, "web"),
        (&[allow("www,worker"), of_type("worker")], None, "worker"),
        (&[allow("run"), of_type("run")], None, "run"),
        (&[allow("web"), TEST_RUN], None, "web"),
        (&[("CNB_EXEC_ENV", "production")], None, "web"),
        (&[of_type("runner")], None, "runner"),
        (&[of_type("Release")], None, "Release"),
    ] {
        let case = Case {
            launcher_type,
            ..with(changes)
        };
        let info = case.started().0.info;
        assert_eq!(info[0].1.as_deref(), Some(expected), "{changes:?}");
    }
}

#[test]
fn process_that_is_no_server_is_skipped_silently() {
    for (changes, reason) in [
        (&[DISABLED][..], "BACKPLANE_DISABLED is set"),
        (&[ignore("worker web")], "(web) is in BACKPLANE_IGNORE"),
        (&[ignore("web"), allow("web")], "is in BACKPLANE_IGNORE"),
        (&[allow("www")], "(web) is not in BACKPLANE_PROCESS_ALLOW"),
        (&[allow("webs,we")], "is not in BACKPLANE_PROCESS_ALLOW"),
        (&[allow("web"), of_type("run")], "its type (run) is not in"),
        (&[allow("web"), NO_TYPE], "its type is unknown, and only"),
        (&[of_type("run")], "run is a one-off type"),
        (&[of_type("release")], "release is a one-off type"),
        (&[of_type("scheduler"), NO_TOKEN], "is a one-off type"),
        (&[TEST_RUN], "this is a test run, by HEROKU_TEST_RUN_ID"),
        (&[("CNB_EXEC_ENV", "test")], "by CNB_EXEC_ENV"),
        (&[of_type("advanced-scheduler")], "is a one-off type"),
        (&[NO_TYPE], "it has no process type"),
    ] {
        with(changes).assert_skipped(Level::Debug, reason);
        // Not even a malformed setting is reported.
        let malformed = ("BACKPLANE_LOG", "loud");
        let log = with(&[changes, &[malformed]].concat()).decide().log;
        assert!(log[0].text.starts_with("BACKPLANE_LOG"), "{log:?}");
        assert_eq!(log[0].level, Level::Debug);
    }
    let (_, log) = with(&[("BACKPLANE_LOG", "loud")]).started();
    assert_eq!(log[0].level, Level::Warning);
}

#[test]
fn unknown_type_is_reported_if_it_looks_like_a_server() {
    let unbound: fn() -> Binding = Binding::default;
    let bound: fn() -> Binding = || Binding {
        token: Some("T".into()),
        ..Binding::default()
    };
    let url = ("BACKPLANE_PROXY_URL", "http://127.0.0.1:3000");
    for (changes, is_main, has_terminal, binding, is_reported) in [
        (&[][..], true, false, unbound, true),
        (&[NO_TOKEN], true, false, bound, true),
        (&[NO_PORT, url], true, false, unbound, true),
        (&[], false, false, unbound, false),
        (&[], true, true, unbound, false),
        (&[NO_TOKEN], true, false, unbound, false),
        // A job is not for requests.
        (&[NO_PORT], true, false, unbound, false),
    ] {
        let case = Case {
            is_main,
            has_terminal,
            binding,
            ..with(&[&[NO_TYPE], changes].concat())
        };
        if is_reported {
            case.assert_skipped(Level::Info, "set BACKPLANE_PROCESS_TYPE");
        } else {
            case.assert_skipped(Level::Debug, "it has no process type");
        }
    }
}

#[test]
fn skips_warn_for_web_www_and_types_on_the_allow_list_only() {
    for (process_type, allowed, is_expected) in [
        ("web", "", true),
        ("www", "", true),
        ("worker", "worker", true),
        ("run", "run", true),
        ("worker", "", false),
        ("webs", "", false),
    ] {
        let kind = [of_type(process_type), allow(allowed)];
        assert_eq!(with(&kind).started().0.is_expected, is_expected);
        let level = if is_expected {
            Level::Warning
        } else {
            Level::Debug
        };
        let variable = labels::variable_of_type(process_type);
        let set_labels = format!("Set BACKPLANE_LABELS or {variable}, for");
        for (missing, reason) in [
            (NO_TOKEN, "it has no token"),
            (NO_LABELS, &set_labels),
            (NO_PORT, "neither PORT nor BACKPLANE_PROXY_URL"),
        ] {
            with(&[kind[0], kind[1], missing]).assert_skipped(level, reason);
        }
        let mut case = with(&kind);
        case.is_installed = false;
        case.assert_skipped(level, "/layers/agent/libexec/backplane is missing");
        case.layer = None;
        case.assert_skipped(level, "cannot find its own directory");
    }
}

#[test]
fn rules_are_tried_in_their_order() {
    // Each case breaks one rule more than the one after it; the first broken one is the reason.
    let everything = [
        DISABLED,
        ignore("web"),
        allow("www"),
        TEST_RUN,
        NO_TOKEN,
        NO_LABELS,
        NO_PORT,
    ];
    for (repaired, (level, reason)) in [
        (Level::Debug, "BACKPLANE_DISABLED"),
        (Level::Debug, "BACKPLANE_IGNORE_PROCESS_TYPE"),
        (Level::Debug, "BACKPLANE_PROCESS_ALLOW"),
        (Level::Debug, "HEROKU_TEST_RUN_ID"),
        (Level::Warning, "BACKPLANE_TOKEN"),
        (Level::Warning, "BACKPLANE_LABELS_WEB"),
        (Level::Warning, "PORT"),
        (Level::Warning, "libexec/backplane"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut case = with(&everything[repaired..]);
        case.is_installed = false;
        case.assert_skipped(level, reason);
    }
}

#[test]
fn labels_are_joined() {
    let of_web = ("BACKPLANE_LABELS_WEB", "tier=front");
    let of_my_web = ("BACKPLANE_LABELS_MY_WEB", "x=y");
    let dyno = ("DYNO", "web.1");
    for (changes, expected) in [
        (&[][..], "app=shop"),
        (&[of_web], "app=shop,tier=front"),
        (&[of_web, dyno], "app=shop,tier=front,heroku=true"),
        (&[of_web, NO_LABELS], "tier=front"),
        (&[("DYNO", "anything")], "app=shop,heroku=true"),
        (&[("BACKPLANE_LABELS_WORKER", "x=y")], "app=shop"),
        (&[of_type("my-web"), of_my_web], "app=shop,x=y"),
    ] {
        assert_eq!(with(changes).started().0.title, expected, "{changes:?}");
    }
    // The mark of Heroku alone is no label.
    with(&[NO_LABELS, dyno]).assert_skipped(Level::Warning, "it has no labels");
    let (spec, log) = with(&[("BACKPLANE_LABELS", "blue,a=b")]).started();
    assert_eq!(spec.title, "blue,a=b");
    let label = "blue".to_owned();
    let warning = Message::LabelWithoutValue { label };
    assert_eq!(log, [LogEntry::warning(warning)]);
}

#[test]
fn malformed_labels_and_upstreams_are_warned_of_and_skipped_for_every_type() {
    let dash = "the label '-x' starts with";
    let url = "is 'ftp://***@app', but it must start";
    for process_type in ["web", "worker"] {
        let of_type_name = labels::variable_of_type(process_type);
        for (name, value, reason) in [
            ("BACKPLANE_LABELS", "a=b,-x", dash),
            (&of_type_name, "-x", dash),
            ("PORT", "80 80", "PORT is '80 80'"),
            ("BACKPLANE_PROXY_URL", "ftp://me:secret@app", url),
        ] {
            let case = with(&[of_type(process_type), (name, value)]);
            case.assert_skipped(Level::Warning, reason);
        }
    }
}

#[test]
fn upstream_is_the_url_else_the_port() {
    let url = |url| ("BACKPLANE_PROXY_URL", url);
    for (changes, expected) in [
        (&[][..], "port 8080"),
        (&[url("http://app:1/x")], "http://app:1/x"),
        (&[url("https://app"), ("PORT", "nonsense")], "https://app"),
        (&[url(""), ("PORT", "1")], "port 1"),
    ] {
        let upstream = with(changes).started().0.upstream;
        assert_eq!(upstream.to_string(), expected, "{changes:?}");
    }
}

#[test]
fn binding_stands_in_for_variables_one_by_one() {
    for (changes, token, labels) in [
        (&[][..], "sesame", "app=shop"),
        (&[NO_TOKEN], "bound", "app=shop"),
        (&[NO_LABELS], "sesame", "from=binding"),
        (&[NO_TOKEN, NO_LABELS], "bound", "from=binding"),
    ] {
        let case = Case {
            binding: || Binding {
                token: Some("bound".into()),
                token_path: Some("/bindings/b/token".into()),
                labels: Some("from=binding".into()),
                unreadable: Vec::new(),
            },
            ..with(changes)
        };
        let (spec, _) = case.started();
        let found = spec.environment.get("BACKPLANE_TOKEN");
        assert_eq!(found, Some(OsStr::new(token)));
        assert_eq!(spec.title, labels);
        let files = Vec::from_iter(
            (token == "bound").then(|| ("BACKPLANE_TOKEN".into(), "/bindings/b/token".into())),
        );
        assert_eq!(spec.value_files, files, "{changes:?}");
    }
}

#[test]
fn token_file_comes_after_the_variable_and_before_the_binding() {
    let file = ("BACKPLANE_TOKEN_FILE", "/run/secrets/token");
    let readable: fn() -> io::Result<OsString> = || Ok("from a file".into());
    let unreadable: fn() -> io::Result<OsString> = || Err(io::ErrorKind::PermissionDenied.into());
    for (changes, token_file, token, is_from_file, messages) in [
        (&[file][..], readable, "sesame", false, 0),
        (&[file, NO_TOKEN], readable, "from a file", true, 0),
        (&[file, NO_TOKEN], unreadable, "bound", false, 1),
    ] {
        let case = Case {
            binding: || Binding {
                token: Some("bound".into()),
                ..Binding::default()
            },
            token_file,
            ..with(changes)
        };
        let (spec, log) = case.started();
        let found = spec.environment.get("BACKPLANE_TOKEN");
        assert_eq!(found, Some(OsStr::new(token)));
        let files = Vec::from_iter(is_from_file.then(|| ("BACKPLANE_TOKEN".into(), file.1.into())));
        assert_eq!(spec.value_files, files, "{changes:?}");
        assert_eq!(log.len(), messages, "{log:?}");
    }
    let case = Case {
        token_file: unreadable,
        ..with(&[file, NO_TOKEN])
    };
    let log = case.decide().log;
    let unreadable = "Unable to read the token in /run/secrets/token (permission";
    assert!(log[0].text.starts_with(unreadable), "{log:?}");
    assert_eq!(log[1], LogEntry::warning(Message::NoToken));
}

#[test]
fn placeholders_in_labels_are_variables_of_the_app_and_the_process_type() {
    let labels = |labels| ("BACKPLANE_LABELS", labels);
    let case = with(&[
        labels("pod={POD_NAME},type={BACKPLANE_PROCESS_TYPE}"),
        ("POD_NAME", "shop-1"),
    ]);
    assert_eq!(case.started().0.title, "pod=shop-1,type=web");

    let (spec, log) = with(&[labels("app=shop,pod={POD_NAME},t={BACKPLANE_TOKEN}")]).started();
    assert_eq!(spec.title, "app=shop");
    let left_out = [
        ("pod={POD_NAME}", "POD_NAME"),
        ("t={BACKPLANE_TOKEN}", "BACKPLANE_TOKEN"),
    ];
    let expected = left_out.map(|(label, variable)| {
        let (label, variable) = (label.to_owned(), variable.to_owned());
        LogEntry::warning(Message::LabelLeftOut { label, variable })
    });
    assert_eq!(log, expected);

    let log = with(&[labels("pod={POD_NAME}")]).decide().log;
    assert!(log[0].text.contains("is left out: POD_NAME"), "{log:?}");
    assert!(log[1].text.contains("it has no labels"), "{log:?}");
}

#[test]
fn agent_on_a_dyno_outlives_a_sigterm_to_every_process_unless_it_is_to_drain() {
    let dyno = ("DYNO", "web.1");
    for (changes, expected) in [
        (&[][..], false),
        (&[dyno], true),
        (&[dyno, ("BACKPLANE_DRAIN", "stop")], false),
    ] {
        let spec = with(changes).started().0;
        assert_eq!(spec.outlives_sigterm, expected, "{changes:?}");
    }
}

#[test]
fn ready_path_is_for_an_app_that_can_be_asked() {
    let path = ("BACKPLANE_READY_PATH", "/healthz");
    let url = |url| ("BACKPLANE_PROXY_URL", url);
    for (changes, expected) in [
        (&[path][..], Some("/healthz")),
        (&[path, url("http://localhost:1/x")], Some("/healthz")),
        (&[path, url("https://localhost:1/")], None),
        (&[path, url("http://app:1/")], None),
        (&[path, ("BACKPLANE_WAIT_FOR_APP", "no")], None),
    ] {
        let (spec, log) = with(changes).started();
        assert_eq!(spec.ready_path.as_deref(), expected, "{changes:?}");
        assert_eq!(log.len(), usize::from(expected.is_none()), "{log:?}");
    }
}

#[test]
fn binding_is_read_once_where_needed_from_the_stated_root() {
    let root = ("SERVICE_BINDING_ROOT", "/platform");
    for (changes, expected) in [
        (&[][..], None),
        (&[NO_TOKEN], Some("/bindings")),
        (&[NO_TOKEN, NO_LABELS, root], Some("/platform")),
        (&[NO_TOKEN, of_type("run")], None),
        (&[NO_TOKEN, DISABLED], None),
    ] {
        let read = Cell::new(None);
        with(changes).decide_with(&|root| {
            assert_eq!(read.replace(Some(root.to_owned())), None, "{changes:?}");
            Binding::default()
        });
        assert_eq!(read.take(), expected.map(PathBuf::from), "{changes:?}");
    }
}

#[test]
fn unreadable_binding_is_a_warning_of_its_own() {
    let unreadable = || Message::BindingUnreadable {
        path: PathBuf::from("/bindings/b/token"),
        error: "permission denied".to_owned(),
    };
    for (process_type, reason) in [
        ("web", LogEntry::warning(Message::NoToken)),
        ("worker", LogEntry::debug(Message::NoToken)),
    ] {
        let decision = with(&[NO_TOKEN, of_type(process_type)]).decide_with(&|_| Binding {
            unreadable: vec![unreadable()],
            ..Binding::default()
        });
        assert_eq!(decision.log, [LogEntry::warning(unreadable()), reason]);
    }
}

#[test]
fn agents_variables_are_defaults_or_required() {
    let variables = "BACKPLANE_LABELS=agent=tunnel\nBACKPLANE_DRAIN=stop\nBACKPLANE_SERVER\n";
    let case = |changes: &[(&str, &str)]| Case {
        agents_variables: variables,
        ..with(changes)
    };
    case(&[]).assert_skipped(Level::Warning, "BACKPLANE_SERVER is not set");
    case(&[of_type("worker")]).assert_skipped(Level::Debug, "BACKPLANE_SERVER is not set");
    case(&[DISABLED]).assert_skipped(Level::Debug, "BACKPLANE_DISABLED");

    let server = ("BACKPLANE_SERVER", "tunnel.example");
    let (spec, log) = case(&[server, NO_LABELS]).started();
    assert_eq!(log, []);
    assert_eq!((&*spec.title, spec.drain), ("agent=tunnel", Drain::Stop));
    assert_eq!(spec.environment.get(server.0), Some(OsStr::new(server.1)));
    assert_eq!(case(&[server]).started().0.title, "app=shop");

    // A binding's labels come before the agent's own.
    let bound = Case {
        binding: || Binding {
            labels: Some("app=bound".into()),
            ..Binding::default()
        },
        ..case(&[server, NO_LABELS])
    };
    assert_eq!(bound.started().0.title, "app=bound");
}
