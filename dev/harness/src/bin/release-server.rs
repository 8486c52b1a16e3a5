//! The release server of `script/demo`, for the files of a directory.
//!
//! It prints `listening HOST:PORT`, and logs each request.

use std::time::Duration;
use std::{env, thread};

use harness::release_server::{Answer, ReleaseServer};

fn main() {
    let directory = env::args_os()
        .nth(1)
        .expect("usage: release-server DIRECTORY");
    let server = ReleaseServer::http([Answer::Directory(directory.into())]);
    println!("listening {}", server.authority());
    loop {
        for request in server.take_requests() {
            println!("{}", request.line);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
