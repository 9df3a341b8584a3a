//! One target of `tests/fuzz`, under libFuzzer: the environment variable `RTC_FUZZ_TARGET` says which.
//!
//! With `RTC_FUZZ_SEEDS` it writes every target's seeds to that directory, and a dictionary, and ends.
#![no_main]

#[path = "../tests/fuzz/daemon.rs"]
mod daemon;
#[path = "../tests/fuzz/targets/mod.rs"]
mod targets;

use std::path::Path;
use std::sync::LazyLock;

use targets::Target;

fn all() -> impl Iterator<Item = Target> {
    targets::all().into_iter().chain(daemon::all())
}

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RTC_FUZZ_TARGET").expect("RTC_FUZZ_TARGET names a target");
    all().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
});

fn write_seeds(dir: &Path) -> std::io::Result<()> {
    for target in all() {
        let dir = dir.join(target.name);
        std::fs::create_dir_all(&dir)?;
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{number}")), seed)?;
        }
    }
    let words: String = targets::dictionary().iter().map(|word| format!("\"{word}\"\n")).collect();
    std::fs::write(dir.join("dictionary"), words)
}

libfuzzer_sys::fuzz_target!(
    init: if let Some(dir) = std::env::var_os("RTC_FUZZ_SEEDS") {
        write_seeds(dir.as_ref()).expect("seeds can be written");
        std::process::exit(0);
    },
    |bytes: &[u8]| (TARGET.run)(bytes)
);
