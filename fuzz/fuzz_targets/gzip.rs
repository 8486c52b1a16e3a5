//! Any bytes as a gzip file, through a buffer of any size: the size makes no difference, and
//! flate2's own reader agrees about what is whole, as far as there is no padding.
#![no_main]

use std::io;

use backplane_buildpack::fuzzing;
use flate2::bufread::MultiGzDecoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (buffer_bytes, stream) = input;
    let whole = fuzzing::gunzip(stream, stream.len()).ok();
    assert_eq!(fuzzing::gunzip(stream, buffer_bytes.into()).ok(), whole);
    if let Ok(bytes) = io::copy(&mut MultiGzDecoder::new(stream), &mut io::sink()) {
        assert_eq!(whole, Some(bytes));
    }
});
