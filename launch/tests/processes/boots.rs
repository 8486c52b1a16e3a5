//! The app's boot, which nothing disturbs.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backplane_launch::VARIABLES;

use crate::support::{self, App, Layer, PATIENT_AGENT, eventually, free_port, listen};

#[test]
fn app_keeps_its_environment_descriptors_and_signals() {
    let (_listener, port) = listen("127.0.0.1");
    let noisy = PATIENT_AGENT.replace("exec sleep", "echo noise\nexec sleep");
    let script = r#"sh -c 'env | sort; ls /proc/self/fd; cat /proc/self/oom_score_adj
        grep -E "^(SigBlk|SigIgn|SigCgt|NoNewPrivs)" /proc/self/status; cat >/dev/null'"#;
    let layer = Layer::new(&noisy, port);
    let app = layer.launch_app(script);
    app.agent(1);
    app.log_has("\nnoise\n");
    app.finish();
    let output = layer.output();

    let mut without_agent = Layer::new(PATIENT_AGENT, port);
    without_agent.set("BACKPLANE_DISABLED", "1");
    let app = without_agent.launch_app(script);
    app.finish();
    let without_agent = without_agent.output().replace("BACKPLANE_DISABLED=1\n", "");
    assert_eq!(output, without_agent);
    for part in ["DATABASE_URL=", "\n2\n", "SigBlk:"] {
        assert!(output.contains(part), "{output}");
    }
}

#[test]
fn launcher_reads_descriptor_3_to_its_end_at_once_and_nothing_else_is_kept_open() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    // Descriptor 7 was left open by what started the app.
    layer.redirections = "3>\"$3\" 7>\"$7\"".to_owned();
    layer.prelude = format!(
        "mkfifo '{0}/three' '{0}/seven'; set -- \"$1\" '' '{0}/three' '' '' '' '{0}/seven'
         cat \"$3\" >'{0}/exported' & cat \"$7\" & ",
        layer.path().display()
    );
    layer.redirections += "; wait";
    // The shell waits for the readers, which wait for the last writer; only then does it become the app.
    let app = layer.launch_app("sh -c 'echo booted; cat'");
    eventually("the app is booted", || {
        (layer.output() == "booted\n").then_some(())
    });
    app.agent(1);
    let exported = std::fs::read(layer.path().join("exported")).unwrap();
    assert_eq!(exported, b"", "nothing is exported into the app");
    app.finish();
}

/// Boots an app that exits by itself, and returns the log.
fn boot(layer: &Layer) -> String {
    let mut app = layer.launch_app("echo booted");
    let status = app.wait();
    assert!(status.success(), "{status}");
    assert!(layer.output().ends_with("booted\n"));
    app.nothing_is_left();
    let log = layer.log();
    assert!(!log.contains("exec.d failed"), "{log}");
    assert!(!log.contains("sesame"), "the token is in the log: {log}");
    assert_eq!(layer.notes(), "");
    log
}

/// Launches an app with this standard error.
fn launch_with_stderr(layer: &Layer, stderr: impl Into<Stdio>) -> App<'_> {
    let mut command = layer.command("cat");
    App::of(layer, command.stderr(stderr).spawn().unwrap())
}

#[test]
fn boot_goes_on_with_one_line_about_what_an_agent_lacks() {
    for (name, value, expected) in [
        ("BACKPLANE_TOKEN", "", "BACKPLANE_TOKEN"),
        ("PORT", "eighty", "'eighty'"),
        ("BACKPLANE_LABELS", "-x", "'-x'"),
        ("BACKPLANE_LOG", "loud", "'loud'"),
    ] {
        let mut layer = Layer::new(PATIENT_AGENT, free_port());
        layer.set("BACKPLANE_LOG", "").set(name, value);
        let log = boot(&layer);
        assert!(log.starts_with("[backplane] "), "{name}: {log}");
        assert!(log.contains(expected), "{name}: {log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
    let mut layer = Layer::new(PATIENT_AGENT, free_port());
    layer.set("BACKPLANE_LOG", "");
    std::fs::remove_file(layer.agent()).unwrap();
    let log = boot(&layer);
    assert!(log.contains("libexec/backplane is missing"), "{log}");

    // Together they make an argument of the supervisor that is longer than the kernel allows.
    let mut layer = Layer::new(PATIENT_AGENT, free_port());
    for name in ["BACKPLANE_LABELS", "BACKPLANE_LABELS_WEB"] {
        layer.set(name, &format!("a={}", "x".repeat(100_000)));
    }
    let log = boot(&layer);
    assert!(log.contains("unable to start its supervisor"), "{log}");
}

#[test]
fn password_in_the_proxy_url_is_refused_and_shown_nowhere() {
    for user_info in ["user:S3cret", "user:1/S3cret", "user:S3cret@x"] {
        let mut layer = Layer::new(PATIENT_AGENT, free_port());
        layer.set(
            "BACKPLANE_PROXY_URL",
            &format!("http://{user_info}@127.0.0.1:1/"),
        );
        let log = boot(&layer);
        assert!(log.contains("BACKPLANE_PROXY_URL is"), "{log}");
        assert!(log.contains("password") && !log.contains("S3cret"), "{log}");
    }
}

#[test]
fn boot_goes_on_silently_where_no_agent_is_wanted() {
    for (name, value) in [
        ("BACKPLANE_DISABLED", "1"),
        ("BACKPLANE_PROCESS_TYPE", "run"),
        ("BACKPLANE_PROCESS_TYPE", ""),
    ] {
        let mut layer = Layer::new(PATIENT_AGENT, free_port());
        layer.set("BACKPLANE_LOG", "").set(name, value);
        assert_eq!(boot(&layer), "", "{name}={value}");
    }
}

#[test]
fn unknown_type_is_logged_for_servers_that_an_init_starts() {
    for (init, is_main) in [
        // tini, dumb-init and the like; one that starts a shell; a supervisor for each service, as of s6 and runit.
        (r#"sh -c '"$@"; :' init"#, true),
        (r#"sh -c 'sh -c "\"\$@\"; :" shell "$@"; :' init"#, true),
        // Process 1 itself.
        ("", true),
        // Deeper down are cron jobs and commands of scripts.
        (
            r#"sh -c 'sh -c "sh -c '\''\"\$@\"; :'\'' sh \"\$@\"; :" shell "$@"; :' init"#,
            false,
        ),
    ] {
        for (port, expected) in [("8080", is_main), ("", false)] {
            let mut layer = Layer::new(PATIENT_AGENT, free_port());
            layer
                .set("BACKPLANE_LOG", "")
                .set("BACKPLANE_PROCESS_TYPE", "")
                .set("PORT", port);
            let launcher = layer.command("echo booted");
            let variables = launcher.get_envs();
            let output = Command::new("unshare")
                .args(["-rpf", "--mount-proc", "sh", "-c"])
                .arg(format!("exec {init} \"$@\""))
                .arg("unshare")
                .arg(launcher.get_program())
                .args(launcher.get_args())
                .env_clear()
                .envs(variables.filter_map(|(name, value)| Some((name, value?))))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(output.stdout, b"booted\n", "{init}");
            let log = String::from_utf8_lossy(&output.stderr);
            let is_logged = log.contains("set BACKPLANE_PROCESS_TYPE");
            assert_eq!(is_logged, expected, "{init} {port}: {log}");
            assert_eq!(log.lines().count(), usize::from(expected), "{log}");
        }
    }
}

#[test]
fn boot_goes_on_with_any_bytes_in_every_variable() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let others = [
        "BACKPLANE_LABELS_WEB",
        "PORT",
        "DYNO",
        "HEROKU_TEST_RUN_ID",
        "SERVICE_BINDING_ROOT",
        "HOME",
    ];
    let names: Vec<_> = VARIABLES.into_iter().chain(others).collect();
    let layer = Layer::new(PATIENT_AGENT, free_port());
    let boots = |mut command: Command| {
        let mut app = App::of(&layer, command.spawn().unwrap());
        assert!(app.wait().success());
    };
    let can_move_others =
        |character: char| character != '\n' && character.is_control() || character == '\u{202e}';
    let mut count = 0;
    for value in [
        &b""[..],
        b" \t ",
        b"\xff\xfe\x80=\xc3",
        b"\x1b[31m\n\r\x07",
        b"=",
        b"%s",
        b"-, ,=,--help",
        b"a.b-c-\xff://[",
        "\u{202e}\u{1f4a5}".as_bytes(),
        // As long as one variable can be: the kernel's MAX_ARG_STRLEN, less its name.
        &b"x".repeat(131_000),
    ] {
        let mut all = layer.command("echo booted");
        for name in &names {
            // All together they have to stay within the kernel's limit for one program's start.
            all.env(name, OsStr::from_bytes(&value[..value.len().min(50_000)]));
            let mut one = layer.command("echo booted");
            one.env(name, OsStr::from_bytes(value));
            boots(one);
        }
        boots(all);
        count += names.len() + 1;
        assert_eq!(layer.output(), "booted\n".repeat(count));
        let log = layer.log();
        for unwanted in ["exec.d failed", "internal error", "sesame"] {
            assert!(!log.contains(unwanted), "{log}");
        }
        assert!(!log.contains(can_move_others), "{log:?}");
        assert!(!log.is_empty() && log.lines().all(|line| line.len() < 5000));
    }
    eventually("their supervisors are gone", || {
        layer.supervisors().is_empty().then_some(())
    });
}

#[test]
fn boot_goes_on_with_standard_error_closed() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.prelude = "exec 2>&-".to_owned();
    let app = layer.launch();
    app.agent(1);
    app.finish();
    // Of the exec.d program alone, so that its failure would be seen.
    for redirections in [
        "2>&-",
        "0<&- 1>&- 2>&-",
        "3>&- 2>&-",
        "3>/dev/full 2>/dev/full",
    ] {
        let mut layer = Layer::new(PATIENT_AGENT, port);
        layer.redirections = redirections.to_owned();
        layer.set("BACKPLANE_TOKEN", "");
        boot(&layer);
    }
}

#[test]
fn boot_and_restarts_go_on_with_a_standard_error_that_is_not_read() {
    type Stderr = (Option<PipeReader>, OwnedFd);
    let stderrs: [fn() -> Stderr; 3] = [
        || {
            let (reader, writer) = std::io::pipe().unwrap();
            support::fill(&writer);
            (Some(reader), writer.into())
        },
        || (None, std::io::pipe().unwrap().1.into()),
        || (None, UnixStream::pair().unwrap().1.into()),
    ];
    // One that writes nothing, and one that waits forever in its write, or is ended by it.
    for end in [
        "exec >/dev/null 2>&1 sleep 1000",
        "echo of the agent\nexec sleep 1000",
    ] {
        for stderr in stderrs {
            let (_listener, port) = listen("127.0.0.1");
            let layer = Layer::new(&PATIENT_AGENT.replace("exec sleep 1000", end), port);
            let (_reader, stderr) = stderr();
            let app = launch_with_stderr(&layer, stderr.try_clone().unwrap());
            support::signal(app.agent(1), "KILL");
            app.agent(2);
            assert!(
                !support::is_nonblocking(&stderr),
                "the app's writes may wait"
            );
            app.finish();
        }
    }
}

#[test]
fn exec_d_returns_within_milliseconds() {
    let (_listener, port) = listen("127.0.0.1");
    let layer = Layer::new("#!/bin/sh\nsleep 1000\n", port);
    let started = Instant::now();
    let mut app = layer.launch_app("true");
    let status = app.wait();
    // Generous for a busy machine, but far less than any wait for the app, the agent or a time-out.
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(status.into_raw(), 0);
    app.nothing_is_left();
}

#[test]
fn program_called_by_a_relative_path_finds_its_layer() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new(PATIENT_AGENT, port);
    layer.prelude = format!("cd '{}/exec.d'; set -- ./launch", layer.path().display());
    let app = layer.launch();
    app.agent(1);
    app.finish();
}

/// A command that runs the exec.d program with a file size limit of 0: a write to a file raises SIGXFSZ.
const NO_FILE_MAY_GROW: &str = "sh -c 'ulimit -f 0; exec \"$0\"'";

#[test]
fn boot_goes_on_where_no_file_may_grow() {
    for (name, value) in [
        ("BACKPLANE_LABELS", "-x"),
        ("BACKPLANE_LOG", "loud"),
        ("PORT", ""),
    ] {
        let mut layer = Layer::new(PATIENT_AGENT, free_port());
        layer.runner = NO_FILE_MAY_GROW.to_owned();
        layer.set(name, value);
        assert_eq!(boot(&layer), "", "{name}={value}");
    }
}

#[test]
fn agent_is_started_with_no_signal_blocked_or_ignored_where_no_file_may_grow() {
    let (_listener, port) = listen("127.0.0.1");
    let mut layer = Layer::new("#!/bin/sh\nexec sleep 1000\n", port);
    layer.runner = NO_FILE_MAY_GROW.to_owned();
    let app = layer.launch();
    let agent = |other_than: Option<u32>| {
        eventually("the agent runs", || {
            let is_agent = |pid: &u32| {
                Some(*pid) != other_than && support::field(*pid, "Name").as_deref() == Some("sleep")
            };
            layer.processes().into_iter().find(is_agent)
        })
    };
    let first = agent(None);
    let signals = |pid, set| u64::from_str_radix(&support::field(pid, set).unwrap(), 16).unwrap();
    assert_eq!(signals(first, "SigBlk"), 0);
    // The C library ignores its own two, 32 and 33, in what it starts; a shell, some in what it starts in the background.
    let ignored_before = signals(std::process::id(), "SigIgn") | (0b11 << 31);
    assert_eq!(signals(first, "SigIgn") & !ignored_before, 0);
    support::signal(first, "KILL");
    agent(Some(first));
    app.finish();
}

#[test]
fn boot_and_supervisor_go_on_with_a_terminal_that_has_little_room() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::Read as _;
    let agent = PATIENT_AGENT.replace("exec sleep 1000", "exec >/dev/null 2>&1 sleep 1000");
    // Lines that are longer than the room: of exec.d and of the supervisor, or of the latter alone.
    for verbosity in ["debug", "info"] {
        let (_listener, port) = listen("127.0.0.1");
        let mut layer = Layer::new(&agent, port);
        layer
            .set("BACKPLANE_LOG", verbosity)
            .set("BACKPLANE_LABELS", &format!("app={}", "x".repeat(8_000)));
        let (mut reader, terminal) = support::terminal();
        support::fill(&terminal);
        let has_room = || {
            let mut descriptors = [PollFd::new(&terminal, PollFlags::OUT)];
            poll(&mut descriptors, Some(&Timespec::default())).unwrap() > 0
        };
        while !has_room() {
            reader.read_exact(&mut [0]).unwrap();
        }
        let app = launch_with_stderr(&layer, terminal.try_clone().unwrap());
        support::signal(app.agent(1), "KILL");
        app.agent(2);
        assert!(
            !support::is_nonblocking(&terminal),
            "the app's writes may wait"
        );
        app.finish();
    }
}

#[test]
fn agent_that_does_not_wait_for_its_output_changes_nothing_for_the_app() {
    let agent = PATIENT_AGENT.replace(
        "exec sleep",
        "cat /proc/self/fdinfo/1 /proc/self/fdinfo/2 >\"$0.flags\"
dd if=/dev/null oflag=nonblock >&2
dd if=/dev/null oflag=nonblock
echo done >>\"$0.flags\"
exec sleep",
    );
    let (_reader, terminal) = support::terminal();
    let (_pipe_reader, pipe) = std::io::pipe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = std::fs::File::options();
    let log = options
        .append(true)
        .create(true)
        .open(directory.path().join("log"));
    for stderr in [
        OwnedFd::from(terminal),
        OwnedFd::from(pipe),
        OwnedFd::from(log.unwrap()),
    ] {
        let (_listener, port) = listen("127.0.0.1");
        let layer = Layer::new(&agent, port);
        let app = launch_with_stderr(&layer, stderr.try_clone().unwrap());
        let flags = eventually("the agent has changed its flags", || {
            let flags = std::fs::read_to_string(layer.agent().with_extension("flags")).ok()?;
            flags.ends_with("done\n").then_some(flags)
        });
        assert!(!support::is_nonblocking(&stderr), "{stderr:?}");
        let is_nonblocking = |line: &str| {
            let octal = line.strip_prefix("flags:")?.trim();
            Some(u32::from_str_radix(octal, 8).unwrap() & 0o4000 != 0)
        };
        let at_start: Vec<bool> = flags.lines().filter_map(is_nonblocking).collect();
        assert_eq!(at_start, [false, false], "its own writes wait, as usual");
        app.finish();
    }
}

#[test]
fn log_that_is_not_open_for_appending_has_the_lines_of_app_and_supervisor() {
    let (_listener, port) = listen("127.0.0.1");
    let noisy = PATIENT_AGENT.replace("exec sleep", "echo of the agent >&2\nexec sleep");
    let layer = Layer::new(&noisy, port);
    let mut command = layer.command("sh -c 'echo of the app >&2; cat; echo end of the app >&2'");
    command.stderr(std::fs::File::create(layer.path().join("stderr")).unwrap());
    let app = App::of(&layer, command.spawn().unwrap());
    app.log_has("of the agent\n");
    app.finish();
    let log = layer.log();
    for line in ["of the app", "of the agent", "end of the app"] {
        assert!(log.lines().any(|other| other == line), "{log}");
    }
    let ours = |line: &str| line.starts_with("[backplane] ") || line.contains("of the ");
    assert!(log.lines().all(ours), "{log}");
}
