//! The entries of a tar archive, in every dialect that GNU tar and bsdtar unpack.
//!
//! The `tar` crate reads the fields of a header. Its own iterator reads a path of any length into
//! memory, fails at a blank size (a volume label), and does not support the sparse files of the pax
//! format.

use std::io::{self, Read, Write};

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::error::{ArchiveError, Damage, Form, read_error};
use super::file_kind::has_valid_checksum;
use crate::limits::BUFFER_BYTES;

/// The unit of a tar archive: headers have one, and contents are padded to it.
const BLOCK_BYTES: usize = 512;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// The longest path of an archive: that of Linux (`PATH_MAX`, limits.h).
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// The longest extension header: room for the map of a sparse file and for extended attributes.
const MAX_EXTENSION_BYTES: u64 = 512 * 1024;

/// The most pieces that a sparse file may have.
const MAX_CHUNKS: usize = 32 * 1024;

/// The offset and the length of a piece of a file's content. Between two pieces is a hole, full of
/// zeros.
type Chunk = [u64; 2];

/// An entry of the archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum EntryKind {
    /// A regular file, whose content comes next.
    File(Content),
    /// Another name of an earlier entry, which is the target.
    HardLink(Vec<u8>),
    SymbolicLink(Vec<u8>),
    Directory,
    /// A device or a FIFO.
    Special,
}

/// The content of a regular file, as it is stored in the archive.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) mode: u32,
    /// The size of the file, holes included.
    pub(super) size: u64,
    chunks: Vec<Chunk>,
}

/// Reads the entries of an archive one after the other.
pub(super) struct Entries<R> {
    source: R,
    limit: usize,
    headers: usize,
    /// The unread bytes of the current entry.
    data: u64,
    padding: u64,
    global: Extensions,
    has_end_mark: bool,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            limit,
            headers: 0,
            data: 0,
            padding: 0,
            global: Extensions::default(),
            has_end_mark: false,
        }
    }

    /// Whether two blocks of zeros have been read, the mark at the end of an archive.
    pub(super) fn has_end_mark(&self) -> bool {
        self.has_end_mark
    }

    pub(super) fn into_inner(self) -> R {
        self.source
    }

    /// Reads the next entry up to its content; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip()?;
        let mut long_path = None;
        let mut long_link = None;
        let mut local = Extensions::default();
        let mut is_announced = false;
        loop {
            let Some(header) = self.header()? else {
                return if is_announced {
                    Err(damaged(Damage::EndsEarly))
                } else {
                    Ok(None)
                };
            };
            let size = header_size(&header)?;
            match header.as_old().linkflag[0] {
                b'L' => long_path = Some(self.name(size)?),
                b'K' => long_link = Some(self.name(size)?),
                // The second one is Solaris's.
                b'x' | b'X' => {
                    let text = self.extension(size)?;
                    local.read(&text)?;
                }
                b'g' => {
                    let text = self.extension(size)?;
                    self.global.read(&text)?;
                    continue;
                }
                // The label of a volume.
                b'V' => {
                    self.expect(size);
                    self.skip()?;
                    continue;
                }
                _ => {
                    let extensions = local.or(&self.global);
                    return self
                        .entry(&header, size, long_path, long_link, &extensions)
                        .map(Some);
                }
            }
            is_announced = true;
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        size: u64,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        extensions: &Extensions,
    ) -> Result<Entry, ArchiveError> {
        let path = [&extensions.sparse_name, &extensions.path]
            .into_iter()
            .flatten()
            .find(|path| !path.is_empty())
            .cloned()
            .or(long_path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        if path.len() > MAX_PATH_BYTES {
            return Err(ArchiveError::PathTooLong);
        }
        let target = || {
            let of_header = || header.link_name_bytes().unwrap_or_default().into_owned();
            let of_extension = extensions.link.clone().filter(|link| !link.is_empty());
            of_extension.or(long_link).unwrap_or_else(of_header)
        };
        let kind = match header.as_old().linkflag[0] {
            // Some archivers store the size of what a link or a device leads to; nothing of it
            // follows.
            b'1' => EntryKind::HardLink(target()),
            b'2' => EntryKind::SymbolicLink(target()),
            b'3' | b'4' | b'6' => EntryKind::Special,
            b'5' => EntryKind::Directory,
            kind => {
                self.expect(extensions.size.unwrap_or(size));
                match kind {
                    // A directory's list in an incremental backup.
                    b'D' => EntryKind::Directory,
                    b'M' => return Err(unsupported(&path, Form::Continuation)),
                    // A directory of the archivers before POSIX.
                    _ if path.ends_with(b"/") => EntryKind::Directory,
                    // POSIX: an unknown kind is a regular file.
                    _ => EntryKind::File(self.content(header, &path, extensions)?),
                }
            }
        };
        Ok(Entry { path, kind })
    }

    /// Reads the map of a sparse file; other files are one piece.
    fn content(
        &mut self,
        header: &Header,
        path: &[u8],
        extensions: &Extensions,
    ) -> Result<Content, ArchiveError> {
        let mode = header.mode().unwrap_or_default();
        let (size, chunks) = match (extensions.sparse_size, extensions.sparse_version) {
            _ if header.as_old().linkflag[0] == b'S' => self.gnu_map(header, path)?,
            _ if extensions.has_foreign_map => {
                return Err(unsupported(path, Form::ForeignSparse));
            }
            (None, _) => (self.data, chunks(&[0, self.data], path)?),
            (Some(size), [0, 0 | 1]) => (size, chunks(&extensions.sparse_map, path)?),
            (Some(size), [1, 0]) => (size, self.map_before_data(path)?),
            _ => return Err(unsupported(path, Form::UnknownSparse)),
        };
        check_map(size, &chunks, self.data)?;
        Ok(Content { mode, size, chunks })
    }

    /// The map in the header of an entry of type `S` and in the blocks behind it.
    fn gnu_map(&mut self, header: &Header, path: &[u8]) -> Result<(u64, Vec<Chunk>), ArchiveError> {
        let gnu = header
            .as_gnu()
            .ok_or_else(|| unsupported(path, Form::ForeignSparse))?;
        let mut chunks = Vec::new();
        let mut add = |headers: &[GnuSparseHeader]| {
            for header in headers.iter().filter(|header| !header.is_empty()) {
                let (Ok(offset), Ok(length)) = (header.offset(), header.length()) else {
                    return Err(damaged(Damage::SparseMap));
                };
                chunks.push([offset, length]);
            }
            if chunks.len() > MAX_CHUNKS {
                return Err(unsupported(path, Form::ManyPieces));
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let mut is_extended = gnu.is_extended();
        while is_extended {
            let mut block = GnuExtSparseHeader::new();
            self.source
                .read_exact(block.as_mut_bytes())
                .map_err(read_error)?;
            add(block.sparse())?;
            is_extended = block.is_extended();
        }
        let size = gnu.real_size().map_err(|_| damaged(Damage::SparseMap))?;
        Ok((size, chunks))
    }

    /// The map in front of the content: the number of pieces, then the offset and the length of
    /// each, a line for each number.
    fn map_before_data(&mut self, path: &[u8]) -> Result<Vec<Chunk>, ArchiveError> {
        let mut numbers = Vec::new();
        let mut number: Option<u64> = None;
        loop {
            let mut block = [0; BLOCK_BYTES];
            self.data = self
                .data
                .checked_sub(BLOCK)
                .ok_or_else(|| damaged(Damage::SparseMap))?;
            self.source.read_exact(&mut block).map_err(read_error)?;
            for byte in block {
                match (byte, number) {
                    (b'0'..=b'9', _) => {
                        let longer = number.unwrap_or(0).checked_mul(10);
                        number = longer.and_then(|ten| ten.checked_add((byte - b'0').into()));
                        number.ok_or_else(|| damaged(Damage::SparseMap))?;
                    }
                    (b'\n', Some(complete)) => {
                        numbers.push(complete);
                        number = None;
                        let count = usize::try_from(numbers[0]).unwrap_or(usize::MAX);
                        if count > MAX_CHUNKS {
                            return Err(unsupported(path, Form::ManyPieces));
                        }
                        if numbers.len() > 2 * count {
                            return chunks(&numbers[1..], path);
                        }
                    }
                    _ => return Err(damaged(Damage::SparseMap)),
                }
            }
        }
    }

    /// Writes the content of the current entry; read and write errors differ.
    pub(super) fn copy(
        &mut self,
        content: &Content,
        into: &mut impl Write,
    ) -> Result<(), ArchiveError> {
        let mut position = 0;
        for [offset, length] in &content.chunks {
            copy_exactly(&mut io::repeat(0), offset - position, into)?;
            copy_exactly(&mut self.source, *length, into)?;
            self.data -= length;
            position = offset + length;
        }
        copy_exactly(&mut io::repeat(0), content.size - position, into)
    }

    /// The next header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let block = self.block()?;
        match block.len() {
            0 => return Ok(None),
            BLOCK_BYTES => {}
            _ => return Err(damaged(Damage::EndsEarly)),
        }
        if is_blank(&block) {
            let second = self.block()?;
            self.has_end_mark = second.len() == BLOCK_BYTES && is_blank(&second);
            return Ok(None);
        }
        let mut header = Header::from_byte_slice(&block).clone();
        if !has_valid_checksum(&header) {
            return Err(damaged(Damage::Header));
        }
        self.headers += 1;
        if self.headers > self.limit {
            return Err(ArchiveError::TooManyEntries { limit: self.limit });
        }
        // The library looks for the prefix of a path in version 00 only.
        if header.as_bytes()[257..263] == *b"ustar\0" {
            header.as_mut_bytes()[263..265].copy_from_slice(b"00");
        }
        Ok(Some(header))
    }

    /// The next block, which is shorter at the end of the file.
    fn block(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        copy(&mut self.source, BLOCK, &mut block)?;
        Ok(block)
    }

    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    /// Skips what is left of the current entry.
    fn skip(&mut self) -> Result<(), ArchiveError> {
        copy_exactly(&mut self.source, self.data, &mut io::sink())?;
        copy_exactly(&mut self.source, self.padding, &mut io::sink())?;
        self.expect(0);
        Ok(())
    }

    /// The content of a GNU entry with the long path of the next entry.
    fn name(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        // With the NUL at its end.
        if size > MAX_PATH_BYTES as u64 + 1 {
            return Err(ArchiveError::PathTooLong);
        }
        let name = self.extension(size)?;
        let name = name.split(|byte| *byte == 0).next();
        Ok(name.unwrap_or_default().to_vec())
    }

    /// The content of an entry that describes the next one.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENSION_BYTES {
            return Err(ArchiveError::PathTooLong);
        }
        self.expect(size);
        let mut text = Vec::new();
        copy_exactly(&mut self.source, size, &mut text)?;
        self.data = 0;
        self.skip()?;
        Ok(text)
    }
}

/// The extension headers of the pax format, as far as they matter here
/// ([pax](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html),
/// [sparse files](https://www.gnu.org/software/tar/manual/html_node/PAX-Sparse-Files.html)).
#[derive(Clone, Debug, Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse_name: Option<Vec<u8>>,
    sparse_version: [u64; 2],
    sparse_size: Option<u64>,
    sparse_map: Vec<u64>,
    has_foreign_map: bool,
}

impl Extensions {
    /// Adds the records of an extension header, each in the form `LENGTH KEY=VALUE\n`. Of two with
    /// the same key, the last one counts.
    fn read(&mut self, text: &[u8]) -> Result<(), ArchiveError> {
        let mut rest = text;
        while rest.first().is_some_and(|byte| *byte != 0) {
            let (length, key, value) =
                record(rest).ok_or_else(|| damaged(Damage::ExtensionHeader))?;
            self.set(key, value)?;
            rest = &rest[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let number = || number(value).ok_or_else(|| damaged(Damage::ExtensionHeader));
        match key {
            b"path" => self.path = Some(value.to_owned()),
            b"linkpath" => self.link = Some(value.to_owned()),
            b"size" => self.size = Some(number()?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_owned()),
            b"GNU.sparse.major" => self.sparse_version[0] = number()?,
            b"GNU.sparse.minor" => self.sparse_version[1] = number()?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                // Any number of extension headers may come before an entry.
                if self.sparse_map.len() > 2 * MAX_CHUNKS {
                    return Err(ArchiveError::PathTooLong);
                }
                self.sparse_map.push(number()?);
            }
            b"GNU.sparse.map" => {
                self.sparse_map = value
                    .split(|byte| *byte == b',')
                    .map(self::number)
                    .collect::<Option<_>>()
                    .ok_or_else(|| damaged(Damage::SparseMap))?;
            }
            b"SCHILY.realsize" | b"SUN.holesdata" => self.has_foreign_map = true,
            _ => {}
        }
        Ok(())
    }

    /// These, with those of `global` as defaults.
    fn or(self, global: &Self) -> Self {
        Self {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size.or(global.size),
            ..self
        }
    }
}

/// The first record of `text`: its length, its key and its value.
fn record(text: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&text[..space])?).ok()?;
    let pair = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((length, &pair[..equals], &pair[equals + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn chunks(numbers: &[u64], path: &[u8]) -> Result<Vec<Chunk>, ArchiveError> {
    if numbers.len() > 2 * MAX_CHUNKS {
        return Err(unsupported(path, Form::ManyPieces));
    }
    let (pairs, rest) = numbers.as_chunks();
    if !rest.is_empty() {
        return Err(damaged(Damage::SparseMap));
    }
    Ok(pairs.to_vec())
}

/// Checks that the pieces follow one another in a file of `size` bytes, and add up to the `stored`
/// bytes.
fn check_map(size: u64, chunks: &[Chunk], stored: u64) -> Result<(), ArchiveError> {
    let mut position = 0;
    let mut left = stored;
    for [offset, length] in chunks {
        // Archivers disagree on where a piece starts if the previous one ends within a block.
        let is_aligned = *length == 0 || (stored - left).is_multiple_of(BLOCK);
        match (offset.checked_add(*length), left.checked_sub(*length)) {
            (Some(end), Some(rest)) if *offset >= position && end <= size && is_aligned => {
                position = end;
                left = rest;
            }
            _ => return Err(damaged(Damage::SparseMap)),
        }
    }
    match left {
        0 => Ok(()),
        _ => Err(damaged(Damage::SparseMap)),
    }
}

fn header_size(header: &Header) -> Result<u64, ArchiveError> {
    let field = header.as_old().size;
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    header.entry_size().map_err(|_| damaged(Damage::Header))
}

fn is_blank(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn copy_exactly(
    from: &mut impl Read,
    bytes: u64,
    into: &mut impl Write,
) -> Result<(), ArchiveError> {
    match copy(from, bytes, into)? {
        copied if copied == bytes => Ok(()),
        _ => Err(damaged(Damage::EndsEarly)),
    }
}

/// Copies at most `most` bytes; returns how many there were. Read and write errors differ.
pub(super) fn copy(
    from: &mut impl Read,
    most: u64,
    into: &mut impl Write,
) -> Result<u64, ArchiveError> {
    let mut from = from.take(most);
    let size = usize::try_from(most).map_or(BUFFER_BYTES, |most| most.min(BUFFER_BYTES));
    let mut buffer = vec![0; size];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(most - from.limit()),
            Ok(count) => into
                .write_all(&buffer[..count])
                .map_err(ArchiveError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(error)),
        }
    }
}

fn damaged(damage: Damage) -> ArchiveError {
    ArchiveError::Damaged(damage)
}

fn unsupported(path: &[u8], form: Form) -> ArchiveError {
    ArchiveError::Unsupported {
        path: String::from_utf8_lossy(path).into_owned(),
        form,
    }
}
