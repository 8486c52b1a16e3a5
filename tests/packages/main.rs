//! The results of `script/package`: the directory of the buildpack, and the published file.
//!
//! A plain `cargo test` does not run these tests. `script/test packages` does, for each
//! architecture that it can package for.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, which clippy only sees of what is inside of a test function"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, EM_AARCH64, EM_X86_64, PT_INTERP};
use elf::endian::AnyEndian;
use flate2::read::GzDecoder;
use harness::ARCHITECTURE;
use harness::registry::{OTHER_ARCHITECTURE, Registry, packages_of_both_architectures};

/// The architectures to package for, separated by spaces; by default this machine's own.
const ARCHITECTURES: &str = "BACKPLANE_TEST_ARCHITECTURES";

/// The programs of a package: the one that builds, and the one that is copied into images.
const PROGRAMS: [&str; 2] = [".libcnb-cargo/additional-bin/launch", "bin/build"];

/// Files by their path in the buildpack.
type Files = BTreeMap<String, Content>;

#[derive(Debug, PartialEq)]
enum Content {
    File { bytes: Vec<u8>, executable: bool },
    Link { target: PathBuf },
}

struct Package {
    architecture: String,
    directory: PathBuf,
    file: PathBuf,
}

/// The packages, made by the first test that asks for them.
fn packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let architectures = env::var(ARCHITECTURES).unwrap_or_else(|_| ARCHITECTURE.to_owned());
        let packages: Vec<_> = architectures
            .split_whitespace()
            .map(Package::make)
            .collect();
        assert!(!packages.is_empty(), "{ARCHITECTURES} is empty");
        packages
    })
}

impl Package {
    fn make(architecture: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut script = Command::new(root.join("script/package"));
        script.args(["--arch", architecture, "--cnb"]);
        harness::make(&mut script).unwrap_or_else(|problem| panic!("{problem}"));
        let directory = if architecture == ARCHITECTURE {
            "backplane_agent".to_owned()
        } else {
            format!("backplane_agent-{architecture}")
        };
        let version = env!("CARGO_PKG_VERSION");
        let file = format!("backplane_agent-{version}-linux-{architecture}.cnb");
        Self {
            architecture: architecture.to_owned(),
            directory: root.join("target/package").join(directory),
            file: root.join("target/package").join(file),
        }
    }

    /// The number that the header of its programs has to have.
    fn machine(&self) -> u16 {
        match self.architecture.as_str() {
            "amd64" => EM_X86_64,
            "arm64" => EM_AARCH64,
            other => panic!("{ARCHITECTURES} has {other}, which is no architecture of ours"),
        }
    }

    /// Asserts that of these files the programs alone are ELF files, that each is for this
    /// architecture, and that each runs without a loader and without a library.
    #[track_caller]
    fn assert_programs(&self, files: &Files) {
        let mut programs = Vec::new();
        for (path, content) in files {
            let Content::File { bytes, executable } = content else {
                continue;
            };
            if !bytes.starts_with(b"\x7fELF") {
                continue;
            }
            let program = ElfBytes::<AnyEndian>::minimal_parse(bytes).unwrap();
            assert_eq!(program.ehdr.e_machine, self.machine(), "{path}");
            let segments = program.segments().expect("a program has segments");
            let wants_loader = segments.iter().any(|segment| segment.p_type == PT_INTERP);
            assert!(!wants_loader, "{path} wants a loader");
            let mut entries = program.dynamic().unwrap().into_iter().flatten();
            let wants_library = entries.any(|entry| entry.d_tag == DT_NEEDED);
            assert!(!wants_library, "{path} wants libraries");
            assert!(executable, "{path} cannot be run");
            programs.push(path.as_str());
        }
        assert_eq!(programs, PROGRAMS, "{}", self.architecture);
    }
}

/// All files below a directory.
fn files_below(directory: &Path) -> Files {
    let mut files = Files::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let content = if kind.is_dir() {
                directories.push(path);
                continue;
            } else if kind.is_symlink() {
                Content::Link {
                    target: fs::read_link(&path).unwrap(),
                }
            } else {
                Content::File {
                    bytes: fs::read(&path).unwrap(),
                    executable: entry.metadata().unwrap().permissions().mode() & 0o111 == 0o111,
                }
            };
            let path = path.strip_prefix(directory).unwrap();
            files.insert(path.to_str().unwrap().to_owned(), content);
        }
    }
    files
}

/// All files in an archive, without directories.
fn files_in(archive: impl Read) -> Files {
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let path = path
            .strip_prefix("/")
            .unwrap_or(&path)
            .to_str()
            .unwrap()
            .to_owned();
        let content = match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Symlink => Content::Link {
                target: entry.link_name().unwrap().unwrap().into_owned(),
            },
            _ => {
                let executable = entry.header().mode().unwrap() & 0o111 == 0o111;
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                Content::File { bytes, executable }
            }
        };
        assert!(!files.contains_key(&path), "{path} is there twice");
        files.insert(path, content);
    }
    files
}

/// An image in the layout of the OCI, as a `.cnb` file has it
/// (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>).
struct Layout(Files);

impl Layout {
    fn bytes(&self, path: &str) -> &[u8] {
        match self.0.get(path) {
            Some(Content::File { bytes, .. }) => bytes,
            other => panic!("{path} is {other:?}"),
        }
    }

    /// The blob that a descriptor points to.
    fn blob(&self, descriptor: &serde_json::Value) -> &[u8] {
        let digest = descriptor["digest"].as_str().unwrap();
        self.bytes(&format!("blobs/{}", digest.replace(':', "/")))
    }

    fn json(&self, descriptor: &serde_json::Value) -> serde_json::Value {
        serde_json::from_slice(self.blob(descriptor)).unwrap()
    }
}

#[test]
fn programs_of_a_package_are_static_and_of_its_architecture() {
    for package in packages() {
        package.assert_programs(&files_below(&package.directory));
    }
}

/// pack would write a second image with the same programs for each further target.
#[test]
fn file_of_a_package_has_what_the_package_has_for_its_architecture_alone() {
    for package in packages() {
        let layout = Layout(files_in(File::open(&package.file).unwrap()));
        let index: serde_json::Value = serde_json::from_slice(layout.bytes("index.json")).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 1, "{index}");
        let manifest = layout.json(&manifests[0]);
        let config = layout.json(&manifest["config"]);
        assert_eq!(config["os"], "linux");
        assert_eq!(config["architecture"], package.architecture.as_str());

        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1, "{manifest}");
        let directory = format!(
            "cnb/buildpacks/backplane_agent/{}/",
            env!("CARGO_PKG_VERSION")
        );
        let files: Files = files_in(GzDecoder::new(layout.blob(&layers[0])))
            .into_iter()
            .map(|(path, content)| (path.strip_prefix(&directory).unwrap().to_owned(), content))
            .collect();
        package.assert_programs(&files);
        // Not assert_eq, which would print the programs.
        assert!(
            files == files_below(&package.directory),
            "{:?}",
            files.keys()
        );
    }
}

#[test]
fn published_index_has_the_images_of_both_files() {
    let version = env!("CARGO_PKG_VERSION");
    let packages = packages_of_both_architectures();
    let registry = Registry::start();
    let names = ["backplane/agent:first", "backplane/agent:second"];
    let name = registry.publish(packages.path(), &names);
    let digest = name.strip_prefix(&format!("{}/backplane/agent@", registry.address));
    let index = registry.manifest(names[0]);
    assert_eq!(
        digest.unwrap(),
        format!("sha256:{}", harness::sha256(index.as_bytes()))
    );
    assert_eq!(index, registry.manifest(names[1]));

    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2, "{index}");
    for architecture in [ARCHITECTURE, OTHER_ARCHITECTURE] {
        let platform = serde_json::json!({ "os": "linux", "architecture": architecture });
        let mut found = manifests
            .iter()
            .filter(|manifest| manifest["platform"] == platform);
        let digest = found.next().unwrap()["digest"].as_str().unwrap();
        assert!(found.next().is_none(), "{index}");

        let file = format!("backplane_agent-{version}-linux-{architecture}.cnb");
        let layout = Layout(files_in(File::open(packages.path().join(file)).unwrap()));
        let manifest = registry.manifest(&format!("backplane/agent@{digest}"));
        assert_eq!(
            manifest.as_bytes(),
            layout.bytes(&format!("blobs/{}", digest.replace(':', "/")))
        );
        // What a registry's pages and pack show.
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let config = layout.json(&manifest["config"]);
        assert_eq!(config["architecture"], architecture);
        let label = config["config"]["Labels"]["io.buildpacks.buildpackage.metadata"].as_str();
        let label: serde_json::Value = serde_json::from_str(label.unwrap()).unwrap();
        assert_eq!(label["id"], "backplane/agent");
        assert_eq!(label["version"], version);
        assert_eq!(
            label["homepage"],
            "https://github.com/backplane/backplane-heroku-buildpack"
        );
        assert!(label["description"].is_string(), "{label}");
    }
}

/// Makes the archive and the branch of the classic buildpack, by a command that has been prepared.
/// Returns the archive, and the id of the branch's commit.
fn make_classic(prepare: impl FnOnce(&mut Command)) -> (PathBuf, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let suffix = if ARCHITECTURE == "amd64" {
        ""
    } else {
        "-arm64"
    };
    let mut script = Command::new(root.join("script/package"));
    script.arg("classic");
    prepare(&mut script);
    harness::make(&mut script).unwrap_or_else(|problem| panic!("{problem}"));
    let packages = root.join("target/package");
    let branch = packages.join(format!("classic{suffix}.git/refs/heads/classic"));
    (
        packages.join(format!("backplane-buildpack-classic{suffix}.tgz")),
        fs::read_to_string(branch).unwrap(),
    )
}

/// Neither the user's configuration of git nor a repository around it matters.
#[test]
fn classic_branch_is_the_same_commit_wherever_it_is_made() {
    let (_, plain) = make_classic(|_| ());
    let (_, hostile) = make_classic(|script| {
        script
            .env("GIT_DIR", "/nonexistent")
            .env("GIT_INDEX_FILE", "/nonexistent")
            .env("GIT_AUTHOR_NAME", "somebody")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.fileMode")
            .env("GIT_CONFIG_VALUE_0", "false");
    });
    assert_eq!(plain, hostile);
}

/// What a release does before it publishes, and what it would publish.
#[test]
fn dry_run_of_a_release_assembles_it_and_publishes_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = env!("CARGO_PKG_VERSION");
    let directory = packages_of_both_architectures();
    let path = |name: &str| directory.path().join(name);
    let release = |step: &str| {
        let mut script = Command::new(root.join("script/release"));
        script
            .args([step, directory.path().to_str().unwrap(), "--dry-run"])
            .env("GITHUB_REPOSITORY", "Somebody/A-Fork")
            .env("GITHUB_OUTPUT", path("output"));
        let output = script.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        (output.status.success(), stdout, stderr)
    };
    let run = |step| {
        let (succeeded, stdout, stderr) = release(step);
        assert!(succeeded, "{stdout}{stderr}");
        stdout
    };

    let boms = ["build", "launch"].map(|name| format!("backplane_agent-{version}-{name}.cdx.json"));
    let (succeeded, _, complaint) = release("assemble");
    assert!(!succeeded && complaint.contains(&boms[1]), "{complaint}");
    for bom in &boms {
        fs::write(path(bom), "{}").unwrap();
    }
    let archive = "backplane-buildpack-classic.tgz";
    let (made, commit) = make_classic(|_| ());
    fs::copy(made, path(archive)).unwrap();
    let assembled = run("assemble");
    assert!(assembled.contains(commit.trim()), "{assembled}");
    let sums = fs::read_to_string(path("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 5, "{sums}");
    let sum = harness::sha256(&fs::read(path(archive)).unwrap());
    assert!(sums.contains(&format!("{sum}  {archive}\n")), "{sums}");
    assert!(!fs::read_to_string(path("notes.md")).unwrap().is_empty());

    // Not one of the programs that publish has to be there, and no registry.
    let image = "ghcr.io/somebody/a-fork";
    let images = run("images");
    assert!(images.contains(&format!("'{image}@sha256:")), "{images}");
    let output = fs::read_to_string(path("output")).unwrap();
    let expected = format!("image={image}\ndigest=sha256:");
    assert!(output.starts_with(&expected), "{output}");
    let files = run("files");
    for part in [
        "'push' '--force' 'https://github.com/Somebody/A-Fork' 'classic:classic'",
        "'gh' 'release' 'create'",
        "issues/new?title=ADD%20backplane%2Fagent%40",
    ] {
        assert!(files.contains(part), "{files}");
    }
}
