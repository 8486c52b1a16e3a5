//! An agent that is missing, or that the kernel cannot run: the app boots, and the user reads why it has none.

use crate::stage::assert_lines;
use crate::subjects::{APPS_OUTPUT, APPS_STATUS, PATIENT_AGENT, boots, image_with_agent};
use crate::support::{Image, ReservedPort, workshop};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

fn agent_of(image: &Image) -> PathBuf {
    image.agent_layer().join("libexec/backplane")
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn that_is_missing_is_told_where_it_is_missed() {
    let image = image_with_agent(PATIENT_AGENT);
    let agent = agent_of(&image);
    fs::remove_file(&agent).unwrap();
    let port = ReservedPort::new();
    assert_lines(
        &boots(image.launch("web").connect(port.number)),
        &[&format!(
            "No agent for this process: {} is missing",
            agent.display()
        )],
    );
    let nothing: [&str; 0] = [];
    assert_eq!(boots(image.launch("worker").connect(port.number)), nothing);
}

#[test]
#[ignore = "tier 2: needs the CNB lifecycle; script/test runs it"]
fn that_cannot_be_run_is_told_with_the_cause() {
    let image = image_with_agent(PATIENT_AGENT);
    let agent = agent_of(&image);
    let program = fs::read(workshop().program("backplane")).unwrap();
    let breakages: [(&[u8], u32, &str); 6] = [
        (
            PATIENT_AGENT.as_bytes(),
            0o644,
            "its file is not executable for this user",
        ),
        (
            b"#!/nowhere/sh\n",
            0o755,
            "its file is there, but the interpreter or loader",
        ),
        (
            &without_loader(&program),
            0o755,
            "its file is there, but the interpreter or loader",
        ),
        (
            &for_another_processor(&program),
            0o755,
            "its file is neither a program for this processor architecture",
        ),
        (b"neither", 0o755, "its file is neither a program"),
        (b"", 0o755, "its file is neither a program"),
    ];
    for (content, mode, cause) in breakages {
        fs::write(&agent, content).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(mode)).unwrap();
        let port = ReservedPort::new();
        let launch = image.launch("web").connect(port.number);
        let _listener = port.listen();
        let mut running = launch.start();

        running.wait_for_stderr(&format!("[backplane] The agent cannot run: {cause}"));
        running.close_stdin();
        assert_eq!(running.wait().code(), Some(APPS_STATUS), "{cause}");
        running.wait_for_nothing_left();
        assert_eq!(running.stdout(), APPS_OUTPUT.as_bytes(), "{cause}");
    }
}

/// The program with the name of its loader changed to one that is nowhere.
fn without_loader(program: &[u8]) -> Vec<u8> {
    const LOADER: &[u8] = b"/ld-";
    let mut program = program.to_vec();
    // Its ELF header names it near the beginning.
    let place = program
        .windows(LOADER.len())
        .position(|window| window == LOADER);
    let place = place.expect("a program of cargo's is linked dynamically");
    program[place..place + LOADER.len()].copy_from_slice(b"/no-");
    program
}

/// The program with the machine in its ELF header changed; see elf(5), `e_machine`.
fn for_another_processor(program: &[u8]) -> Vec<u8> {
    const MACHINE: usize = 18;
    // EM_S390, which has no build of this buildpack.
    const OTHER: u8 = 22;
    let mut program = program.to_vec();
    program[MACHINE] = OTHER;
    program
}
