//! Any bytes as what an earlier build left: nothing panics, and accepted metadata contains no
//! secret and names only files that a build installs.
#![no_main]

use backplane_buildpack::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    for (source, names) in fuzzing::metadata(content) {
        let public = source
            .rsplit_once("?sha256=")
            .map_or(&*source, |(public, _)| public);
        assert!(!public.contains(['?', '#']), "{source}");
        assert!(!public.replacen("***@", "", 1).contains('@'), "{source}");
        assert!(names.iter().any(|name| name == "backplane"), "{names:?}");
        for name in names {
            assert!(
                !name.contains('/') && !["", ".", ".."].contains(&&*name),
                "{name}"
            );
            assert!(!name.contains(char::is_control), "{name}");
        }
    }
});
