//! The rules of the architecture, kept by reading the sources.
//!
//! Goal: a rule that is written down is a rule that holds. Each rule is a function from one file to
//! what breaks it there; each is run on the whole tree, and on snippets that break it, so that no
//! rule is one that cannot fail. Rust is read as tokens (comments and strings cannot trip a rule),
//! without type information: a rule sees names, not what they stand for.

#[path = "tidy/source.rs"]
mod source;

use source::{Finding, Source, root, rust_sources, tracked_texts};

/// Modules of `engine`, in the order in which they may use each other: a module uses its own level
/// and those before it.
const LAYERS: &[&[&str]] = &[
    &["error", "id", "data"],
    &["time"],
    &["state"],
    &["graph"],
    &["checkpoint"],
    &["runtime"],
    &["testing"],
];

/// Modules of `engine` outside the order: the map of the crate, and plain knobs.
const UNLAYERED: &[&str] = &["lib", "settings"];

/// What each crate must not name, in code or manifest.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "engine",
        &[
            "millstream",
            "millstream_operators",
            "millstream_connectors",
        ],
    ),
    ("operators", &["millstream", "millstream_connectors"]),
    ("connectors", &["millstream", "millstream_operators"]),
];

/// Names that `operators` must not use: it does no IO, waits for nothing and reads no clock.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["async"],
    &["await"],
    &["std", "fs"],
    &["std", "net"],
    &["SystemTime"],
    &["Instant"],
];

/// The one reader of the clock.
const CLOCK: &str = "engine/src/time/clock.rs";

/// Files that may say `unsafe`, each with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[];

/// `unwrap` and `expect` that may stay: file, a part of the line, the reason.
const PANICS_ALLOWED: &[(&str, &str, &str)] = &[
    (
        "operators/src/accumulator/extreme.rs",
        "a result over no record was asked for",
        "a window has at least one record, and an `Option` in every user's result would say otherwise",
    ),
    (
        "operators/src/accumulator/by.rs",
        "a result over no record was asked for",
        "as in extreme.rs",
    ),
];

const FILE_LINES_MAX: usize = 700;

// ---- the rules ----------------------------------------------------------------------------------

/// Inside `engine`, a module uses only what stands to its left. Tests may use the harness.
fn layer_rule(source: &Source) -> Vec<Finding> {
    let Some(inside) = source.path.strip_prefix("engine/src/") else {
        return Vec::new();
    };
    let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    let module = parts[0];
    if UNLAYERED.contains(&module) {
        return Vec::new();
    }
    let Some(level) = level_of(module) else {
        return vec![source.finding(1, format!("module `{module}` stands in no layer"))];
    };
    let depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
    source
        .production_names()
        .filter_map(|name| {
            let target = name.root_module(depth)?;
            if UNLAYERED.contains(&target) || (name.is_macro && name.segments.len() == 2) {
                return None;
            }
            match level_of(target) {
                Some(used) if used <= level => None,
                Some(_) => Some(source.finding(name.line, format!("`{module}` uses `{target}`"))),
                None => Some(source.finding(name.line, format!("`{target}` stands in no layer"))),
            }
        })
        .collect()
}

fn level_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|level| level.contains(&module))
}

/// `operators -> engine <- connectors`: nobody names a neighbour or who stands above.
fn crate_rule(source: &Source) -> Vec<Finding> {
    let Some((_, foreign)) = FOREIGN
        .iter()
        .find(|(name, _)| source.path.starts_with(&format!("{name}/")))
    else {
        return Vec::new();
    };
    if source.path.ends_with("/Cargo.toml") {
        return source.lines_where(|line| {
            let package = line.split(['.', '=', ' ']).next().unwrap_or_default();
            foreign.contains(&package.replace('-', "_").as_str())
        });
    }
    source.names_where(&source.names, |name| {
        foreign.contains(&name.segments[0].as_str())
    })
}

/// `operators` does no IO, is synchronous and reads no clock.
fn pure_rule(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("operators/src/") {
        return Vec::new();
    }
    source.names_where(source.production_names(), |name| {
        IMPURE
            .iter()
            .any(|path| name.segments.windows(path.len()).any(|part| part == *path))
    })
}

/// Only the clock reads the clock; benches, examples and tests stand outside the simulated world.
fn clock_rule(source: &Source) -> Vec<Finding> {
    if source.path == CLOCK {
        return Vec::new();
    }
    source.names_where(source.production_names(), |name| {
        name.segments
            .windows(2)
            .any(|pair| matches!(pair[0].as_str(), "SystemTime" | "Instant") && pair[1] == "now")
    })
}

/// `unsafe` nowhere, tests included.
fn unsafe_rule(source: &Source) -> Vec<Finding> {
    if UNSAFE_ALLOWED.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    source.names_where(&source.names, |name| name.segments == ["unsafe"])
}

/// A file is one concept; what grows past this is two.
fn length_rule(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![source.finding(lines, format!("more than {FILE_LINES_MAX} lines"))]
}

/// Nothing panics by `unwrap` or `expect` outside tests.
fn panic_rule(source: &Source) -> Vec<Finding> {
    let mut panics = source.names_where(source.production_names(), |name| {
        let last = name.segments.last().map(String::as_str);
        matches!(last, Some("unwrap" | "expect"))
            && ((name.is_method && name.is_called) || name.segments.len() > 1)
    });
    panics.retain(|finding| {
        !PANICS_ALLOWED
            .iter()
            .any(|(path, part, _)| *path == source.path && source.line(finding.line).contains(part))
    });
    panics
}

/// No path of the machine on which something was written.
fn machine_path_rule(source: &Source) -> Vec<Finding> {
    // Put together, so that this file keeps the rule.
    let folders = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let goes_on = |c: char| c.is_alphanumeric() || "_-.~}>".contains(c);
    source.lines_where(|line| {
        folders.iter().any(|folder| {
            line.match_indices(folder)
                .any(|(at, _)| !line[..at].ends_with(goes_on))
        })
    })
}

// ---- the tree keeps them ------------------------------------------------------------------------

const CRATES: &[&str] = &["engine/src", "operators/src", "connectors/src"];
const CRATES_AND_FACADE: &[&str] = &["engine/src", "operators/src", "connectors/src", "src"];
const EVERYTHING: &[&str] = &[
    "engine",
    "operators",
    "connectors",
    "src",
    "benches",
    "examples",
    "tests",
    "docs",
];

#[test]
fn engine_modules_use_only_what_stands_to_their_left() {
    holds(layer_rule, &rust_sources(&["engine/src"]));
}

#[test]
fn crates_know_only_the_engine() {
    holds(crate_rule, &rust_sources(CRATES));
    let manifests: Vec<Source> = FOREIGN
        .iter()
        .map(|(name, _)| Source::read_text(format!("{name}/Cargo.toml")).unwrap())
        .collect();
    holds(crate_rule, &manifests);
}

#[test]
fn operators_do_no_io() {
    holds(pure_rule, &rust_sources(&["operators/src"]));
}

#[test]
fn only_the_clock_reads_the_clock() {
    assert!(root().join(CLOCK).exists(), "{CLOCK} has moved");
    holds(clock_rule, &rust_sources(CRATES_AND_FACADE));
}

#[test]
fn nothing_is_unsafe() {
    holds(unsafe_rule, &rust_sources(EVERYTHING));
    for (path, _) in UNSAFE_ALLOWED {
        let source = Source::read_rust((*path).to_owned());
        let used = source.names.iter().any(|name| name.segments == ["unsafe"]);
        assert!(used, "{path} is allowed `unsafe` and has none");
    }
}

#[test]
fn files_stay_short() {
    holds(length_rule, &rust_sources(CRATES));
}

#[test]
fn nothing_panics_outside_tests() {
    holds(panic_rule, &rust_sources(CRATES_AND_FACADE));
    for (path, part, _) in PANICS_ALLOWED {
        let source = Source::read_rust((*path).to_owned());
        let used = source.text.contains(part);
        assert!(used, "{path} is allowed `{part}` and has none");
    }
}

#[test]
fn no_path_of_one_machine() {
    holds(machine_path_rule, &tracked_texts(EVERYTHING));
}

/// Runs a rule over the tree and reports all that breaks it at once.
#[track_caller]
fn holds(rule: fn(&Source) -> Vec<Finding>, sources: &[Source]) {
    assert!(!sources.is_empty(), "nothing was read");
    let findings: Vec<String> = sources
        .iter()
        .flat_map(rule)
        .map(|finding| finding.to_string())
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

// ---- and each can fail --------------------------------------------------------------------------

/// Runs a rule on a snippet as if it stood in `path`; expects findings in these lines.
#[track_caller]
fn check(rule: fn(&Source) -> Vec<Finding>, path: &str, code: &str, lines: &[usize]) {
    let read = if path.ends_with(".rs") {
        Source::rust
    } else {
        Source::text
    };
    let source = read(path.to_owned(), code.to_owned());
    let found: Vec<usize> = rule(&source).iter().map(|finding| finding.line).collect();
    assert_eq!(found, lines, "{path}: {code}");
}

#[test]
#[rustfmt::skip]
fn layer_rule_finds() {
    let find = |path: &str, code: &str, lines: &[usize]| check(layer_rule, path, code, lines);
    let state = "engine/src/state/table.rs";
    find(state, "use crate::time::clock::Clock;", &[]);
    find(state, "use crate::state::codec;\nuse crate::error::Error;", &[]);
    find(state, "use crate::graph::Operator;", &[1]);
    find(state, "use crate::{\n error::Result,\n runtime::{self, Worker as W},\n};", &[3, 3]);
    find(state, "fn f() {\n crate::runtime::start();\n}", &[2]);
    find(state, "fn f() { println!(\"{}\", crate::runtime::NAME); }", &[1]);
    find(state, "fn f<T: crate::graph::Operator>() -> Vec<crate::graph::Id> {}", &[1, 1]);
    find(state, "use super::super::graph::Operator;", &[1]);
    find(state, "use super::graph::Operator;", &[]);
    find(state, "mod inner {\n use super::super::super::graph;\n}", &[2]);
    find(state, "mod inner {\n use super::super::graph;\n}", &[]);
    find(state, "use crate::elsewhere::X;", &[1]);
    find(state, "use crate::*;", &[1]);
    find(state, "pub(crate) fn f() { crate::trace!(1); }", &[]);
    find(state, "use crate::settings::Settings;", &[]);
    find(state, "//! See [`crate::runtime`].\n/* crate::runtime */", &[]);
    find(state, "#[cfg(test)]\nmod tests { use crate::testing::Harness; }", &[]);
    find(state, "#[cfg(test)]\nuse crate::testing::{A, B};\nuse crate::runtime;", &[3]);
    find(state, "#[cfg(not(test))]\nuse crate::runtime;", &[2]);
    find(state, "#![cfg(test)]\nuse crate::error;\nuse crate::runtime;", &[]);
    find("engine/src/state/mod.rs", "use super::graph::Operator;", &[1]);
    find("engine/src/error.rs", "use crate::data::Batch;", &[]);
    find("engine/src/error.rs", "use crate::time::clock;", &[1]);
    find("engine/src/runtime/worker.rs", "use crate::testing::Harness;", &[1]);
    find("engine/src/newcomer.rs", "", &[1]);
    find("engine/src/lib.rs", "pub use crate::runtime::Worker;", &[]);
}

#[test]
#[rustfmt::skip]
fn crate_rule_finds() {
    let find = |path: &str, code: &str, lines: &[usize]| check(crate_rule, path, code, lines);
    find("engine/src/a.rs", "use millstream_operators::Job;", &[1]);
    find("engine/src/a.rs", "use ::millstream_connectors::file;", &[1]);
    find("engine/src/a.rs", "extern crate millstream;", &[1]);
    find("operators/src/a.rs", "use millstream_engine::error;", &[]);
    find("operators/src/a.rs", "fn f() {\n millstream_connectors::g() }", &[2]);
    find("connectors/src/a.rs", "use {\n millstream_operators as o};", &[2]);
    find("connectors/src/a.rs", "#[cfg(test)]\nmod tests { use millstream_operators::Job; }", &[2]);
    find("engine/Cargo.toml", "[dependencies]\nmillstream-operators.workspace = true", &[2]);
    find("operators/Cargo.toml", "millstream-connectors = \"1\"", &[1]);
    find("operators/Cargo.toml", "name = \"millstream-operators\"\nmillstream-engine = \"1\"", &[]);
}

#[test]
#[rustfmt::skip]
fn pure_rule_finds() {
    let find = |code: &str, lines: &[usize]| check(pure_rule, "operators/src/a.rs", code, lines);
    find("use tokio::sync::mpsc;", &[1]);
    find("use std::{\n fmt,\n fs::File,\n net,\n};", &[3, 4]);
    find("fn f() { std::fs::read(p) }", &[1]);
    find("use std::time::{Duration, Instant};", &[1]);
    find("use std::time::SystemTime as Now;", &[1]);
    find("async fn f() {\n g().await }", &[1, 2]);
    find("use std::time::Duration;\nlet fs = 1;", &[]);
    find("/// Like [`std::fs`].\nfn f() { \"tokio\" }", &[]);
    check(pure_rule, "connectors/src/a.rs", "use std::fs;", &[]);
}

#[test]
#[rustfmt::skip]
fn clock_rule_finds() {
    let find = |path: &str, code: &str, lines: &[usize]| check(clock_rule, path, code, lines);
    find("engine/src/a.rs", "let t = Instant::now();", &[1]);
    find("connectors/src/a.rs", "let t = std::time::SystemTime::now();", &[1]);
    find("src/main.rs", "let t = start.unwrap_or_else(Instant::now);", &[1]);
    find("engine/src/a.rs", "#[test]\n#[cfg(test)]\nfn f() { Instant::now(); }", &[]);
    find("engine/src/a.rs", "fn f(at: Instant) {}", &[]);
    find(CLOCK, "let t = Instant::now();", &[]);
}

#[test]
#[rustfmt::skip]
fn unsafe_rule_finds() {
    let find = |code: &str, lines: &[usize]| check(unsafe_rule, "tests/a.rs", code, lines);
    find("fn f() {\n unsafe { g() }\n}", &[2]);
    find("unsafe impl Send for A {}", &[1]);
    find("m!(unsafe { g() });", &[1]);
    find("#[cfg(test)] mod tests { unsafe fn f() {} }", &[1]);
    find("#![deny(unsafe_code)]\n// unsafe", &[]);
}

#[test]
fn length_rule_finds() {
    let file = |lines: usize| "// line\n".repeat(lines);
    let (path, max) = ("engine/src/a.rs", FILE_LINES_MAX);
    check(length_rule, path, &file(max), &[]);
    check(length_rule, path, &file(max + 1), &[max + 1]);
}

#[test]
#[rustfmt::skip]
fn panic_rule_finds() {
    let find = |code: &str, lines: &[usize]| check(panic_rule, "engine/src/a.rs", code, lines);
    find("fn f() {\n a\n.unwrap();\n b.expect(\"there\") }", &[3, 4]);
    find("fn f() { format!(\"{}\", a.unwrap()) }", &[1]);
    find("fn f() { a.map(Option::unwrap) }", &[1]);
    find("#[expect(dead_code)]\nfn f() { a.unwrap_or(1); a.expect_err(2); }", &[]);
    find("#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }", &[]);
    find("#[cfg(test)]\nmod tests { }\nfn f() { a.unwrap(); }", &[3]);
    find("#[cfg(all(test, unix))]\nfn f() { a.unwrap(); }", &[]);
    find("#[cfg(any(test, unix))]\nfn f() { a.unwrap(); }", &[2]);
    find("/// ```\n/// a.unwrap();\n/// ```\nfn f() {}", &[]);
}

#[test]
fn machine_path_rule_finds() {
    let find = |code: &str, lines: &[usize]| check(machine_path_rule, "a.md", code, lines);
    let home = concat!("/ro", "ot/");
    find(&format!("in\n{home}data"), &[2]);
    find(&format!("`{home}`"), &[1]);
    find(concat!("cd /wo", "rk/main"), &[1]);
    find(
        &format!("https://example.org{home}x or ${{dir}}{home}"),
        &[],
    );
}

/// A file that is a test as a whole (`#[cfg(test)] mod tests;`) is known by its declaration.
#[test]
fn test_modules_in_their_own_files_are_known() {
    let declared =
        |path: &str, code: &str| Source::rust(path.to_owned(), code.to_owned()).test_modules();
    let code = "mod table;\n#[cfg(test)]\nmod tests;\nmod view;";
    let tests = ["engine/src/state/tests"];
    assert_eq!(declared("engine/src/state/mod.rs", code), tests);
    assert_eq!(declared("engine/src/state.rs", code), tests);
}
