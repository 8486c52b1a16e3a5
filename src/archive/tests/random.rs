//! Random archives, most of them hostile: nothing panics, and nothing is written elsewhere.

use std::os::unix::ffi::OsStrExt;

use harness::soak_or;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// An entry of a random archive.
#[derive(Clone, Debug)]
struct RandomEntry {
    kind: u8,
    path: Vec<u8>,
    mode: u32,
    /// The size in the header; the actual size if there is none.
    announced: Option<u64>,
    content: Vec<u8>,
    magic: [u8; 8],
    /// Offsets and lengths of the pieces of a sparse file, and its size.
    map: Vec<u64>,
}

impl RandomEntry {
    fn bytes(&self) -> Vec<u8> {
        let field = |bytes: &[u8]| bytes[..bytes.len().min(100)].to_vec();
        let size = self.announced.unwrap_or(self.content.len() as u64);
        let mut raw = Raw::new(self.kind, &field(&self.path), size).with(257, &self.magic);
        raw.0.set_mode(self.mode);
        if matches!(self.kind, b'1' | b'2') {
            raw = raw.with(157, &field(&self.content));
        }
        if self.kind == b'S' {
            for (index, number) in self.map.iter().take(9).enumerate() {
                // The last one is the size, behind the mark of a further map.
                let offset = 386 + 12 * index + usize::from(index == 8);
                let digits = format!("{:011o}\0", number % (1 << 33));
                raw = raw.with(offset, digits.as_bytes());
            }
        }
        raw.holding(&self.content)
    }
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let component = prop_oneof![
        8 => select(vec!["dist", "a", ".", "..", "", "backplane-status", "0", "escaped"])
            .prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"backplane".to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    let anywhere = vec(component.clone(), 1..5).prop_map(|components| components.join(&b'/'));
    let beside_the_agent = component.prop_map(|name| [&b"dist/"[..], &name].concat());
    prop_oneof![anywhere, beside_the_agent]
}

fn entry() -> impl Strategy<Value = RandomEntry> {
    let kind = prop_oneof![
        6 => Just(b'0'),
        1 => select(b"1234567KLSgx".to_vec()),
        1 => any::<u8>(),
    ];
    let content = prop_oneof![
        2 => Just(SCRIPT.to_vec()),
        1 => Just(elf_header(EM_X86_64)),
        1 => Just(b"../../escaped".to_vec()),
        1 => Just(b"dist/backplane".to_vec()),
        1 => Just(b"23 path=../../escaped/x\n".to_vec()),
        2 => records(),
        1 => vec(small_number(), 0..9).prop_map(|numbers| {
            let lines: Vec<_> = numbers.iter().map(|number| format!("{number}\n")).collect();
            let mut map = lines.concat().into_bytes();
            map.resize(512, 0);
            [&map[..], &[b'x'; 512]].concat()
        }),
        1 => vec(any::<u8>(), 0..2000),
    ];
    let announced = prop_oneof![9 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let magic = select(vec![*b"ustar  \0", *b"ustar\x0000", [0; 8]]);
    let map = vec(small_number(), 0..10);
    (kind, path(), any::<u32>(), announced, content, magic, map).prop_map(
        |(kind, path, mode, announced, content, magic, map)| RandomEntry {
            kind,
            path,
            mode: mode & 0o7777,
            announced,
            content,
            magic,
            map,
        },
    )
}

/// A number as it may be in the map of a sparse file: mostly of whole blocks.
fn small_number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => (0..8_u64).prop_map(|blocks| blocks * 512), 1 => 0..5_000_u64, 1 => any::<u64>()]
}

/// The records of an extension header.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let key = select(vec![
        "path",
        "linkpath",
        "size",
        "GNU.sparse.name",
        "GNU.sparse.major",
        "GNU.sparse.minor",
        "GNU.sparse.size",
        "GNU.sparse.realsize",
        "GNU.sparse.offset",
        "GNU.sparse.numbytes",
        "GNU.sparse.map",
    ]);
    let value = prop_oneof![
        select(vec!["0", "1", "dist/backplane", "dist/x"]).prop_map(str::to_owned),
        small_number().prop_map(|number| number.to_string()),
        vec(small_number(), 0..6).prop_map(|numbers| {
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            numbers.join(",")
        }),
    ];
    vec((key, value), 0..6).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (*key, &value[..]))
            .collect();
        dialects::records(&pairs).into_bytes()
    })
}

/// An archive, with or without compression, whole or damaged.
fn download() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((any::<Index>(), any::<u8>()), 1..3),
    ];
    let cut = prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let entries = vec(entry(), 0..8);
    let parts = (any::<bool>(), entries, any::<bool>(), damage, cut);
    parts.prop_map(|(has_agent, entries, zipped, damage, cut)| {
        let mut bytes = Vec::new();
        if has_agent {
            bytes.extend(agent_at("dist/backplane"));
        }
        bytes.extend(entries.iter().flat_map(RandomEntry::bytes));
        bytes.resize(bytes.len() + 1024, 0);
        if zipped {
            bytes = gzip(&bytes);
        }
        for (position, byte) in damage {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

/// Everything below a directory that is not a directory itself, links not followed.
fn below(directory: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(directory)
        .unwrap()
        .flat_map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(soak_or(10_000, 512)))]

    #[test]
    fn random_archives_do_no_harm(download in download(), is_complete in any::<bool>()) {
        let limits = Limits {
            max_unpacked_bytes: 1 << 20,
            ..Limits::default()
        };
        let attempt = Attempt::with(&download, &limits, is_complete);
        let directory = attempt.directory.path();
        for path in below(directory) {
            prop_assert!(fs_err::symlink_metadata(&path).unwrap().is_file());
            let relative = path.strip_prefix(directory).unwrap();
            let is_ours = relative == Path::new("download")
                || relative.parent() == Some(Path::new("scratch"))
                || relative.parent() == Some(Path::new("into"));
            prop_assert!(is_ours, "{}", relative.display());
        }
        if attempt.outcome.is_ok() {
            let installed = attempt.installed();
            prop_assert!(installed.contains(&executable("backplane")));
            let size = |(name, _): &(String, u32)| attempt.content(name).len() as u64;
            prop_assert!(installed.iter().map(size).sum::<u64>() <= limits.max_unpacked_bytes);
            for (name, mode) in installed {
                prop_assert!(mode == PROGRAM_MODE || mode == FILE_MODE);
                prop_assert!(!RESERVED_NAMES.contains(&name.as_str()));
                prop_assert!(!Path::new(&name).as_os_str().as_bytes().contains(&b'/'));
            }
        }
    }
}
