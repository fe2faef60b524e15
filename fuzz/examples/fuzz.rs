//! All targets as one program, linked once: the name that it is started by says which one libFuzzer runs.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strongroom_fuzz::{Target, target};

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let program = std::env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    target(name).unwrap_or_else(|| panic!("start it by the name of a target: `{name}` is none"))
});

fuzz_target!(|bytes: &[u8]| (CHOSEN.check)(bytes));
